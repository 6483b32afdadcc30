"""All that is measured of one video, in one piece."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vmc_cli import prompts
from vmc_cli.backbones.sprites import world
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

    Larger videos are made as small for it as the clips are, so that both are seen equally sharp.
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
        self._side = max(max(clip.frames.shape[1:3]) for clip in learned)
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
        small = video.small(self._side)
        fidelities = self._fidelities(small, reasons)
        counted = [each for each in fidelities if each is not None]
        if not self._subjects:
            reasons["oracle"] = "only for motions of the embedded model"
        pictures = self._model.pictures(video.frames) if self._model else None
        return Report(
            motion_fidelity=sum(counted) / max(1, len(counted)),
            motion_fidelities=fidelities,
            copy_score=self._copying(small, pictures if small is video else None, reasons),
            oracle=self._seen(video, prompt, reasons) if self._subjects else None,
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
        shared = pictures if self._finder is self._model else None
        seen = self._finder.pictures(video.frames) if shared is None else shared
        return max(likeness.copying(seen, each) for each in self._learned)

    def _seen(self, video: Clip, prompt: str | None, reasons: dict[str, str]) -> dict[str, Any]:
        """The sprites and the place of the video; how the way of the clearest one compares with the clips'.

        A clip's own sprite leaks where it is seen although the prompt does not ask for it.
        """
        cast = oracle.cast(video.frames)
        seen = {
            "place": oracle.place(video.frames),
            "sprites": {
                name: {
                    "path": [[round(x, 4), round(y, 4)] for x, y in _path(way)],
                    "diameters": [round(each.diameter, 4) for each in way],
                    "share": round(statistics.median(each.share for each in way), 3),
                }
                for name, way in cast.items()
            },
            "clip_subjects": self._subjects,
            "leak": any(name in cast and not world.says(prompt or "", name) for name in self._subjects),
        }
        if not cast:
            reasons["displacement_cosine"] = "no sprite is seen"
            return {"subject": None, "doubled": None, "displacement_cosine": None, **seen}
        subject, way = next(iter(cast.items()))
        cosines = [oracle.displacement_cosine(each, _path(way)) for each in self._paths]
        return {
            "subject": subject,
            "doubled": oracle.doubled(video.frames, subject),
            "displacement_cosine": round(statistics.fmean(cosines), 4),
            **seen,
        }


def _path(way: Sequence[oracle.Sighting]) -> list[tuple[float, float]]:
    return [(each.x, each.y) for each in way]
