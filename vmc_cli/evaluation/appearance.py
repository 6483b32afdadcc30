"""Whether videos still look like what they were asked for: what V* stops learning by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmc_cli.clip import Clip
from vmc_cli.evaluation import likeness, oracle
from vmc_cli.evaluation.likeness import Likeness


@dataclass(frozen=True)
class Looks:
    """``score`` tells of a video how much it looks like a subject ("panda"), a higher number for more.

    Means over several videos below ``floor`` are those of a model that forgets its subjects.
    """

    score: Callable[[Clip, str], float]
    floor: float


def by_clip(model: Likeness) -> Looks:
    """Cosine of frames and words by CLIP; the floor is the paper's (arXiv 2312.04966)."""

    def score(video: Clip, subject: str) -> float:
        return likeness.alignment(model.pictures(video.frames), model.words(f"a {subject}"))

    return Looks(score, 0.265)


def by_oracle() -> Looks:
    """1 for a video of the embedded model in which its sprite is seen, else 0: half of them must be right."""
    return Looks(lambda video, subject: float(oracle.subject(video.frames) == subject), 0.5)
