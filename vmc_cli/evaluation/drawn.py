"""What was followed, made visible."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from vmc_cli.clip import Clip
from vmc_cli.evaluation import tracks

SIDE = 128  # pixels of the longer side, at least: lines need room
MOST = 24  # tracks: more hide the picture
_WAY, _HERE = (255, 255, 255), (255, 0, 80)


def with_tracks(clip: Clip) -> Clip:
    """The clip, enlarged where it is small, with the way of moving points up to each frame."""
    height, width = clip.frames.shape[1:3]
    longer = max(height, width)
    enlarged = max(1, -(-SIDE // longer))
    ways = tracks.moving(tracks.follow(clip.frames))
    ways = ways[:: max(1, len(ways) // MOST)] * longer * enlarged
    frames = []
    for number, frame in enumerate(clip.frames):
        picture = Image.fromarray(frame).resize(
            (width * enlarged, height * enlarged), Image.Resampling.NEAREST
        )
        pen = ImageDraw.Draw(picture)
        for way in ways[:, : number + 1]:
            pen.line([tuple(point) for point in way], fill=_WAY)
            x, y = way[-1]
            pen.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=_HERE)
        frames.append(np.asarray(picture))
    return Clip(np.stack(frames), clip.fps)
