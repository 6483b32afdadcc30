"""What the method bench sees in a video of the embedded model."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from suite import Motion, Row

from vmc_cli.evaluation import oracle

SEEN = ("subject", "place", "leak", "doubled", "changes")
CLOSE = 0.8  # cosine: a way that is kept
DOUBLED = 0.25  # of the frames: a sprite that is seen twice in more of them has no way
SWELLS = 0.8  # correlation of its sizes with the clip's
TURNS = (0.5, 1.5)  # times as far as in the clip


def seen(frames: np.ndarray, row: Row, asked: Motion, target: tuple[str, str]) -> dict[str, Any]:
    """What the oracle says of a video."""
    subject, place = row.subject or target[0], target[1]
    way, clearest = oracle.track(frames, subject), oracle.subject(frames)
    clips = asked.cast(row.clips) if row.motion else [asked.subject]
    return {
        "cosine": round(oracle.displacement_cosine(row.way(asked), [(each.x, each.y) for each in way]), 4),
        "subject": clearest == subject,
        "place": oracle.place(frames) == place,
        "leak": not oracle.cast(frames, [subject, *clips]).keys().isdisjoint(clips),
        "doubled": oracle.doubled(frames, subject) > DOUBLED,
        "changes": _swells(asked, row, way) and _turns(asked, row, frames, subject, way),
        "seen": clearest,
    }


def _swells(asked: Motion, row: Row, way: Sequence[oracle.Sighting]) -> bool:
    if len(set(asked.scales)) == 1:
        return True
    scales = asked.scales[::-1] if row.backward else asked.scales
    sizes = [each.diameter for each in way]
    return len(set(sizes)) > 1 and statistics.correlation(sizes, scales) > SWELLS


def _turns(asked: Motion, row: Row, frames: np.ndarray, subject: str, way: Sequence[oracle.Sighting]) -> bool:
    wanted = (asked.angles[-1] - asked.angles[0]) * (-1 if row.backward else 1)
    least, most = TURNS
    return not wanted or least < oracle.turned(frames, subject, way) / wanted < most


def right(result: Mapping[str, Any]) -> bool:
    """Whether a video is all that was asked for."""
    kept = result["cosine"] >= CLOSE and result["subject"] and result["place"] and result["changes"]
    return bool(kept and not result["leak"] and not result["doubled"])
