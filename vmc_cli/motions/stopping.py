"""Stop learning a motion's token before it spoils what other subjects look like (V*)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vmc_cli import prompts, tokens
from vmc_cli.adapters import Acts, all_along
from vmc_cli.backbones.base import Backbone
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.delta import from_raw, to_raw
from vmc_cli.errors import UsageError
from vmc_cli.motions.generating import denoised, glanced
from vmc_cli.motions.starting import start_of
from vmc_cli.tokens import Token
from vmc_cli.training import Trained

if TYPE_CHECKING:
    from vmc_cli.evaluation.appearance import Looks

CHECKS = 20  # over all steps of a recipe: each costs as much as some of them

SUBJECTS = ("panda", "car", "penguin", "horse", "butterfly", "balloon")
"""Asked for beside the subject that is learned from; models know them all, the embedded one too."""

_NOISE = "random"  # a motion's own would tell the subjects' way
_NUMBERS = "numbers"  # in a checkpoint: score, loss, seconds


class Enough(Exception):
    """Nothing better is to come than ``outcome`` with its ``score``."""

    def __init__(self, outcome: Trained, score: float) -> None:
        super().__init__()
        self.outcome, self.score = outcome, score


def held_out(prompt: str, token: Token) -> dict[str, str]:
    """By subject, a prompt in which it does what ``prompt`` says, as the model is told it.

    "a person doing the V*" gives "panda": "a panda doing the pll".
    """
    found = {}
    for subject in SUBJECTS:
        if subject not in prompt.casefold():
            asked = prompts.with_subject(prompt, f"a {subject}")
            asked = asked if token.is_in(asked) else f"a {subject} doing the {token.shown}"
            found[subject] = tokens.spoken(asked, [token])
    return found


class Stopping:
    """Looks at videos of held-out subjects now and then while a token is learned; see `training.AfterStep`.

    ``asked`` gives, by subject, the embedding (1, L, D) of its prompt as it is now. Kept is the last outcome
    whose score was not below the floor, else the first; in ``checkpoint`` too. ``together`` is that of
    `sampling.sample`.
    """

    def __init__(
        self,
        backbone: Backbone,
        looks: Looks,
        asked: Mapping[str, Callable[[], Tensor]],
        steps: int,
        checkpoint: Checkpoint | None = None,
        *,
        together: bool = True,
    ) -> None:
        self._backbone, self._looks, self._asked, self._steps = backbone, looks, asked, steps
        self._every = max(1, steps // CHECKS)
        self._checkpoint, self._together = checkpoint, together
        self._kept = _loaded(checkpoint) if checkpoint else None

    def __call__(self, done: int, so_far: Callable[[], Trained], acts: Acts) -> None:
        """Raises `Enough` below the floor, and after the last step."""
        if done % self._every and done < self._steps:
            return
        score = self.score(acts)
        if self._kept is None or score >= self._looks.floor:
            self._kept = so_far(), score
            self._save(*self._kept)
        if score < self._looks.floor or done == self._steps:
            raise Enough(*self._kept)

    def require_sense(self) -> None:
        """Raises `UsageError` when the score is below the floor even before anything is learned."""
        score, floor = self.score(), self._looks.floor
        if score < floor:
            raise UsageError(
                f"Learning stops when the appearance score falls to {floor:g}; it is {score:.3f} before.",
                "Leave out --early-stop, or judge by another --clip-model.",
            )

    @torch.no_grad()
    def score(self, acts: Acts = all_along) -> float:
        """Mean over one video of each held-out subject, always from the same noise."""
        negative = self._backbone.embed([""])
        scores = []
        for number, (subject, embedding) in enumerate(self._asked.items()):
            start = start_of(self._backbone, _NOISE, None, number)
            video = denoised(
                self._backbone,
                embedding(),
                negative,
                start,
                course=glanced(self._backbone, _NOISE),
                together=self._together,
                acts=acts,
            )
            scores.append(self._looks.score(video, subject))
        return sum(scores) / len(scores)

    def _save(self, outcome: Trained, score: float) -> None:
        if self._checkpoint:
            numbers = torch.tensor([score, outcome.loss, outcome.seconds])
            tensors = {**outcome.tensors, _NUMBERS: numbers}
            self._checkpoint.save(outcome.steps, {key: to_raw(each) for key, each in tensors.items()})


def _loaded(checkpoint: Checkpoint) -> tuple[Trained, float] | None:
    steps, raw = checkpoint.load()
    if not raw:
        return None
    tensors = {key: from_raw(each) for key, each in raw.items()}
    score, loss, seconds = tensors.pop(_NUMBERS).tolist()
    return Trained(tensors, loss, steps, seconds), score
