"""Pictures through Pillow: folders of them, animated GIF, WebP and PNG."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from vmc_cli.errors import ClipError

from . import container
from .timeline import Wish, choose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

FOLDER_FPS = 8.0
"""The rate at which a folder of pictures plays: eight frames, what most backbones take, are a second."""

MOST_PIXELS = 40_000_000
"""A large photograph; a frame of an animation may have no more than one of a video."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
_DESCRIPTION = 0x010E  # EXIF ImageDescription
_AGAIN = "Copy or download it again."


def in_order(folder: str) -> list[str]:
    """The paths of the pictures in `folder`, numbers in their names by value: 2.png before 10.png.

    Hidden files, other files and folders are passed over; a broken link is not, to be reported by its name.
    """
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if os.path.splitext(entry.name)[1].lower() in _SUFFIXES
            and not entry.name.startswith(".")
            and (entry.is_file() or _leads_nowhere(entry))
        ]
    return [os.path.join(folder, name) for name in sorted(names, key=_natural)]


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"([0-9]+)", os.path.splitext(name)[0].casefold())
    return [(int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts)], name


def read_folder(folder: str, wish: Wish) -> tuple[list[NDArray[np.uint8]], float]:
    """The wished pictures of a folder at FOLDER_FPS, each (height, width, 3). Raises ClipError."""
    paths = in_order(folder)
    if not paths:
        raise ClipError(
            f"{wish.name} is a folder without pictures.", "Put the frames in it: 1.png, 2.png, ... (or jpg)."
        )
    chosen, fps = choose([number / FOLDER_FPS for number in range(len(paths))], len(paths) / FOLDER_FPS, wish)
    named = [(path, os.path.join(wish.name, os.path.basename(path))) for path in paths]
    return [_read_one(*named[index], wish) for index in chosen], fps


def read_picture(path: str, kind: str, wish: Wish) -> NDArray[np.uint8]:
    """One picture, the first where a file holds several: (height, width, 3). Raises ClipError."""
    if kind not in _FORMATS:
        raise ClipError(f"{wish.name} is no picture.", f"Give {', '.join(_FORMATS)} files.")
    return _read_one(path, wish.name, wish)


def _read_one(path: str, name: str, wish: Wish) -> NDArray[np.uint8]:
    try:
        with _opened(path, name) as image:
            side = 2 * max(wish.width, wish.height)
            image.draft("RGB", (side, side))  # JPEG: skip detail that nobody will see
            return fitted(image, wish)
    except (ClipError, MemoryError):
        raise
    except Exception:  # Pillow raises many kinds on damage
        raise ClipError(f"{name} is damaged or no picture.", "Replace it, or take it out.") from None


def read_animation(path: str, kind: str, wish: Wish) -> tuple[list[NDArray[np.uint8]], float]:
    """The wished frames of an animated picture, each (height, width, 3). Raises ClipError."""
    try:
        if kind == "GIF" and not _has_trailer(path):
            raise ClipError(f"{wish.name} is damaged: its end is missing.", _AGAIN)
        with _opened(path, wish.name, container.MOST_PIXELS) as image:
            times, end = _times(image)
            if len(times) < 2:
                raise ClipError(
                    f"{wish.name} is a single picture; a motion needs at least {wish.frames} frames.",
                    "Give a video, an animated picture or a folder of pictures.",
                )
            chosen, fps = choose(times, end, wish)
            found: dict[int, NDArray[np.uint8]] = {}
            for index in chosen:
                if index not in found:
                    image.seek(index)
                    found[index] = fitted(image, wish)
            return [found[index] for index in chosen], fps
    except (ClipError, MemoryError):
        raise
    except Exception:  # as above
        raise ClipError(f"{wish.name} is damaged.", _AGAIN) from None


def comment(path: str, kind: str) -> str:
    """The text kept in a picture, or in the first picture of a folder; "" where there is none."""
    if kind == "folder":
        paths = in_order(path)
        if not paths:
            return ""
        path = paths[0]
    with _opened(path, path) as image:
        found = image.info.get("comment", image.info.get("Comment", image.getexif().get(_DESCRIPTION, "")))
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def fitted(image: Image.Image, wish: Wish) -> NDArray[np.uint8]:
    """`image` upright, over white, scaled to cover and cropped around the centre: (height, width, 3)."""
    import numpy as np
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion clips instead of scaling
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = ImageOps.fit(image.convert("RGB"), (wish.width, wish.height), Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.uint8)


def _opened(path: str, name: str, most: int = MOST_PIXELS) -> Any:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # what opening would refuse is refused below, with its size
    image = Image.open(path, formats=_FORMATS)
    Image.MAX_IMAGE_PIXELS = most // 2  # frames may grow later; Pillow refuses twice as many
    if image.width * image.height > most:
        image.close()
        raise ClipError(
            f"{name} is {image.width} x {image.height} pixels; {most / 1e6:.1f} million are the most.",
            "Make it smaller first.",
        )
    return image


def _times(image: Any) -> tuple[list[float], float]:
    """When each frame appears and when the last one goes, seconds, as browsers play them."""
    times, now = [], 0.0
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        image.load()
        delay = float(image.info.get("duration") or 0)
        times.append(now)
        now += (delay if delay > 10 else 100) / 1000  # browsers take 10 ms and less for "not said"
    return times, now


def _has_trailer(path: str) -> bool:
    """Whether a GIF ends as it must; Pillow takes one cut between two frames for whole."""
    with open(path, "rb") as stream:
        stream.seek(max(0, os.path.getsize(path) - 1024))
        return stream.read().rstrip(b"\0\r\n")[-1:] == b";"
