"""All that is measured of one video, in one piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmc_cli import prompts
from vmc_cli.clip import Clip
from vmc_cli.evaluation import likeness, oracle, tracks
from vmc_cli.evaluation.likeness import Likeness

NEEDS_CLIP = "needs CLIP"
NEEDS_PROMPT = "needs a prompt"


@dataclass(frozen=True)
class Report:
    """Measures of a video; None where one cannot be taken, with the reason in ``reasons``.

    ``motion_fidelity`` lies in [-1, 1], the others are cosines of CLIP: ``text_alignment`` with the prompt,
    ``frame_consistency`` among the frames, ``appearance_score`` with what the prompt says of looks,
    ``copy_score`` the highest with a learned frame. ``oracle`` is what the embedded model's own world tells.
    """

    motion_fidelity: float
    text_alignment: float | None = None
    frame_consistency: float | None = None
    appearance_score: float | None = None
    copy_score: float | None = None
    oracle: Mapping[str, Any] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


class Comparison:
    """What was ``learned``, looked at once, for videos of equally many frames to be compared with."""

    def __init__(self, learned: Clip, *, model: Likeness | None, of_sprites: bool) -> None:
        self._model = model
        self._tracks = tracks.follow(learned.frames)
        self._pictures = model.pictures(learned.frames) if model else None
        self._subject = oracle.subject(learned.frames) if of_sprites else None
        self._path = _path(oracle.track(learned.frames, self._subject)) if self._subject else []

    def measured(self, video: Clip, prompt: str | None) -> Report:
        """Compare ``video`` with what was learned, and with its ``prompt``."""
        followed = tracks.follow(video.frames)
        fidelity = tracks.fidelity(self._tracks, followed)
        seen = self._seen(video) if self._subject else None
        reasons = {} if seen else {"oracle": "only for motions of the embedded model"}
        for name, found in (("learned clip", self._tracks), ("video", followed)):
            if not len(tracks.moving(found)):
                reasons["motion_fidelity"] = f"0, as nothing that moves could be followed in the {name}"
        if self._model is None:
            wanting = ("text_alignment", "frame_consistency", "appearance_score", "copy_score")
            return Report(fidelity, oracle=seen, reasons={**dict.fromkeys(wanting, NEEDS_CLIP), **reasons})
        pictures = self._model.pictures(video.frames)
        aligned = looks = None
        if prompt is None:
            reasons |= {"text_alignment": NEEDS_PROMPT, "appearance_score": NEEDS_PROMPT}
        else:
            aligned = likeness.alignment(pictures, self._model.words(prompt))
            looks = likeness.alignment(pictures, self._model.words(prompts.appearance(prompt)))
        return Report(
            motion_fidelity=fidelity,
            text_alignment=aligned,
            frame_consistency=likeness.consistency(pictures),
            appearance_score=looks,
            copy_score=likeness.copying(pictures, self._pictures),
            oracle=seen,
            reasons=reasons,
        )

    def _seen(self, video: Clip) -> dict[str, Any]:
        """The sprite and the place that the video shows, its way, and how that compares with the clip's."""
        subject = oracle.subject(video.frames)
        way = oracle.track(video.frames, subject)
        path = _path(way)
        return {
            "subject": subject,
            "place": oracle.place(video.frames),
            "path": [[round(x, 4), round(y, 4)] for x, y in path],
            "diameters": [round(each.diameter, 4) for each in way],
            "share": round(min(each.share for each in way), 3),
            "clip_subject": self._subject,
            "displacement_cosine": round(oracle.displacement_cosine(self._path, path), 4),
            "leak": subject == self._subject,
        }


def _path(way: Sequence[oracle.Sighting]) -> list[tuple[float, float]]:
    return [(each.x, each.y) for each in way]
