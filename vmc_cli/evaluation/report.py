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

    ``motion_fidelity`` lies in [-1, 1]: the mean of ``motion_fidelities``, one for each learned clip, None
    where nothing moves in that. The others are cosines of CLIP: ``text_alignment`` with the prompt,
    ``frame_consistency`` among the frames, ``appearance_score`` with what the prompt says of looks.
    ``copy_score`` is the highest cosine with a learned frame, by a copy-detection model or CLIP, ``oracle``
    what the embedded model's own world tells.
    """

    motion_fidelity: float
    motion_fidelities: Sequence[float | None]
    text_alignment: float | None = None
    frame_consistency: float | None = None
    appearance_score: float | None = None
    copy_score: float | None = None
    oracle: Mapping[str, Any] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)


class Comparison:
    """The clips that were ``learned``, looked at once, for videos of equally many frames to be compared with.

    Copies are found by the features of ``encoder``, or else by those of ``model``.
    """

    def __init__(
        self,
        learned: Sequence[Clip],
        *,
        model: Likeness | None,
        encoder: Encoder | None = None,
        of_sprites: bool,
    ) -> None:
        self._model = model
        self._finder = encoder or model
        self._tracks = [tracks.follow(clip.frames) for clip in learned]
        self._learned = [self._finder.pictures(clip.frames) for clip in learned] if self._finder else []
        self._subjects = [oracle.subject(clip.frames) for clip in learned] if of_sprites else []
        self._paths = [
            _path(oracle.track(clip.frames, subject))
            for clip, subject in zip(learned, self._subjects, strict=False)
        ]

    def measured(self, video: Clip, prompt: str | None) -> Report:
        """Compare ``video`` with what was learned, and with its ``prompt``."""
        reasons: dict[str, str] = {}
        fidelities = self._fidelities(video, reasons)
        counted = [each for each in fidelities if each is not None]
        if not self._subjects:
            reasons["oracle"] = "only for motions of the embedded model"
        pictures = self._model.pictures(video.frames) if self._model else None
        return Report(
            motion_fidelity=sum(counted) / max(1, len(counted)),
            motion_fidelities=fidelities,
            copy_score=self._copying(video, pictures, reasons),
            oracle=self._seen(video) if self._subjects else None,
            reasons=reasons,
            **self._likeness(pictures, prompt, reasons),
        )

    def _fidelities(self, video: Clip, reasons: dict[str, str]) -> list[float | None]:
        """How well the motion of each learned clip is kept; None for a clip in which nothing moves."""
        followed = tracks.follow(video.frames)
        moving = [bool(len(tracks.moving(each))) for each in self._tracks]
        where = "video" if not len(tracks.moving(followed)) else "" if any(moving) else "learned clip"
        if where:
            reasons["motion_fidelity"] = f"0, as nothing that moves could be followed in the {where}"
        return [
            tracks.fidelity(each, followed) if moves else None
            for each, moves in zip(self._tracks, moving, strict=True)
        ]

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
        return max(likeness.copying(seen, each) for each in self._learned)

    def _seen(self, video: Clip) -> dict[str, Any]:
        """The sprite and the place that the video shows, its way, and how that compares with the clips'."""
        subject = oracle.subject(video.frames)
        way = oracle.track(video.frames, subject)
        path = _path(way)
        cosines = [oracle.displacement_cosine(each, path) for each in self._paths]
        return {
            "subject": subject,
            "place": oracle.place(video.frames),
            "path": [[round(x, 4), round(y, 4)] for x, y in path],
            "diameters": [round(each.diameter, 4) for each in way],
            "doubled": oracle.doubled(video.frames, subject),
            "share": round(min(each.share for each in way), 3),
            "clip_subjects": self._subjects,
            "displacement_cosine": round(sum(cosines) / len(cosines), 4),
            "leak": subject in self._subjects,
        }


def _path(way: Sequence[oracle.Sighting]) -> list[tuple[float, float]]:
    return [(each.x, each.y) for each in way]
