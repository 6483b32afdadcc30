"""All that is measured of one video, in one piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vmc_cli import prompts
from vmc_cli.clip import Clip
from vmc_cli.evaluation import likeness, oracle, tracks
from vmc_cli.evaluation.likeness import Likeness

if TYPE_CHECKING:
    from vmc_cli.evaluation.copies import Encoder

NEEDS_CLIP = "needs CLIP"
NEEDS_PROMPT = "needs a prompt"


@dataclass(frozen=True)
class Report:
    """Measures of a video; None where one cannot be taken, with the reason in ``reasons``.

    ``motion_fidelity`` lies in [-1, 1], the others are cosines of CLIP: ``text_alignment`` with the prompt,
    ``frame_consistency`` among the frames, ``appearance_score`` with what the prompt says of looks.
    ``copy_score`` is the highest cosine with a learned frame, by a copy-detection model or CLIP, ``oracle``
    what the embedded model's own world tells.
    """

    motion_fidelity: float
    text_alignment: float | None = None
    frame_consistency: float | None = None
    appearance_score: float | None = None
    copy_score: float | None = None
    oracle: Mapping[str, Any] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


class Comparison:
    """What was ``learned``, looked at once, for videos of equally many frames to be compared with.

    Copies are found by the features of ``encoder``, or else by those of ``model``.
    """

    def __init__(
        self, learned: Clip, *, model: Likeness | None, encoder: Encoder | None = None, of_sprites: bool
    ) -> None:
        self._model = model
        self._finder = encoder or model
        self._tracks = tracks.follow(learned.frames)
        self._learned = self._finder.pictures(learned.frames) if self._finder else None
        self._subject = oracle.subject(learned.frames) if of_sprites else None
        self._path = _path(oracle.track(learned.frames, self._subject)) if self._subject else []

    def measured(self, video: Clip, prompt: str | None) -> Report:
        """Compare ``video`` with what was learned, and with its ``prompt``."""
        reasons: dict[str, str] = {}
        followed = tracks.follow(video.frames)
        for name, found in (("learned clip", self._tracks), ("video", followed)):
            if not len(tracks.moving(found)):
                reasons["motion_fidelity"] = f"0, as nothing that moves could be followed in the {name}"
        if not self._subject:
            reasons["oracle"] = "only for motions of the embedded model"
        pictures = self._model.pictures(video.frames) if self._model else None
        return Report(
            motion_fidelity=tracks.fidelity(self._tracks, followed),
            copy_score=self._copying(video, pictures, reasons),
            oracle=self._seen(video) if self._subject else None,
            reasons=reasons,
            **self._likeness(pictures, prompt, reasons),
        )

    def _likeness(
        self, pictures: Tensor | None, prompt: str | None, reasons: dict[str, str]
    ) -> dict[str, float]:
        """What CLIP tells of its ``pictures``, by name; the ``reasons`` why it does not tell the others."""
        if self._model is None or pictures is None:
            wanting = ("text_alignment", "frame_consistency", "appearance_score")
            reasons.update(dict.fromkeys(wanting, NEEDS_CLIP))
            return {}
        found = {"frame_consistency": likeness.consistency(pictures)}
        looks = None if prompt is None else prompts.appearance(prompt)
        asked = {"text_alignment": prompt, "appearance_score": looks}
        for name, text in asked.items():
            if text is None:
                reasons[name] = NEEDS_PROMPT
            else:
                found[name] = likeness.alignment(pictures, self._model.words(text))
        return found

    def _copying(self, video: Clip, pictures: Tensor | None, reasons: dict[str, str]) -> float | None:
        if self._finder is None:
            reasons["copy_score"] = NEEDS_CLIP
            return None
        seen = pictures if self._finder is self._model else self._finder.pictures(video.frames)
        return likeness.copying(seen, self._learned)

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
