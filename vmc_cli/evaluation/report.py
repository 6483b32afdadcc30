"""All that is measured of one video, in one piece."""

from __future__ import annotations

from collections.abc import Mapping
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


def measured(
    learned: Clip, video: Clip, *, prompt: str | None, model: Likeness | None, of_sprites: bool
) -> Report:
    """Compare ``video`` with what was ``learned``, of equally many frames, and with its ``prompt``."""
    before, after = tracks.follow(learned.frames), tracks.follow(video.frames)
    fidelity = tracks.fidelity(before, after)
    seen = _seen(learned, video) if of_sprites else None
    reasons = {} if of_sprites else {"oracle": "only for motions of the embedded model"}
    for name, found in (("learned clip", before), ("video", after)):
        if not len(tracks.moving(found)):
            reasons["motion_fidelity"] = f"0, as nothing that moves could be followed in the {name}"
    if model is None:
        wanting = ("text_alignment", "frame_consistency", "appearance_score", "copy_score")
        return Report(fidelity, oracle=seen, reasons={**dict.fromkeys(wanting, NEEDS_CLIP), **reasons})
    pictures = model.pictures(video.frames)
    if prompt is None:
        reasons |= {"text_alignment": NEEDS_PROMPT, "appearance_score": NEEDS_PROMPT}
    return Report(
        motion_fidelity=fidelity,
        text_alignment=None if prompt is None else likeness.alignment(pictures, model.words(prompt)),
        frame_consistency=likeness.consistency(pictures),
        appearance_score=None
        if prompt is None
        else likeness.alignment(pictures, model.words(prompts.appearance(prompt))),
        copy_score=likeness.copying(pictures, model.pictures(learned.frames)),
        oracle=seen,
        reasons=reasons,
    )


def _seen(learned: Clip, video: Clip) -> dict[str, Any]:
    """The sprite and the place that the video shows, its way, and how that compares with the clip's."""
    own, subject = oracle.subject(learned.frames), oracle.subject(video.frames)
    way = oracle.track(video.frames, subject)
    path = [(each.x, each.y) for each in way]
    clips = [(each.x, each.y) for each in oracle.track(learned.frames, own)]
    return {
        "subject": subject,
        "place": oracle.place(video.frames),
        "path": [[round(x, 4), round(y, 4)] for x, y in path],
        "diameters": [round(each.diameter, 4) for each in way],
        "share": round(min(each.share for each in way), 3),
        "clip_subject": own,
        "displacement_cosine": round(oracle.displacement_cosine(clips, path), 4),
        "leak": subject == own,
    }
