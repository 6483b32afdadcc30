"""The one training loop: every method is a recipe for it. Learning can stop at any step and go on later."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vmc_cli import adapters, noise
from vmc_cli.backbones.base import Backbone
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.delta import LARGEST_WEIGHT, from_raw, to_raw
from vmc_cli.device import generator as seeded
from vmc_cli.errors import Diverged
from vmc_cli.losses import LOSSES
from vmc_cli.recipe import Recipe
from vmc_cli.watching import Unwatched, Watcher

LOG_EVERY = 10  # steps between two looks at the loss: each makes the device wait
LOSS_OVER = 50  # last steps, whose mean is the loss that a card tells


Example = tuple[Tensor, Callable[[], Tensor]]
"""Latents (1, C, F, h, w), and what gives the embedding (1, L, D) of their caption."""


@dataclass(frozen=True)
class Trained:
    """What learning gives: float32 tensors on the CPU keyed as `Adapter.shapes` tells, and how it went.

    ``seconds`` are those of all steps, also of the earlier parts of a resumed run.
    """

    tensors: dict[str, Tensor]
    loss: float
    steps: int
    seconds: float


AfterStep = Callable[[int, Callable[[], Trained], adapters.Acts], None]
"""What wants to see the steps done, and may ask for the outcome so far; it is told how that acts."""


def train(
    backbone: Backbone,
    latents: Sequence[Tensor],
    embedding: Tensor,
    recipe: Recipe,
    *,
    seed: int,
    others: Sequence[tuple[Tensor, Tensor]] = (),
    words: adapters.Words | None = None,
    progress: Watcher | None = None,
    checkpoint: Checkpoint | None = None,
    acts: adapters.Acts = adapters.all_along,
    after_step: AfterStep | None = None,
) -> Trained:
    """Learn from ``latents``, one (1, C, F, h, w) for each clip, described by ``embedding`` (1, L, D).

    ``others`` are clips of other motions, latents and embedding of each. They take turns with the clips, so
    that what the network knew is not forgotten (V*). ``words`` learn too, and give the clips' embedding.

    Each step draws clips, a timestep and noise from one generator with the seed. The network is as before
    afterwards, however this ends. Stopped by ``progress``, the state goes to ``checkpoint``; a resumed run
    gives the very result of an uninterrupted one. ``acts`` is that of what acts on the network beside.
    ``after_step`` is called with the number of steps done and what tells the outcome so far, the network
    being as it is then: after each step, and once when resuming. What it does there changes nothing; what it
    raises ends learning.

    Raises:
        Diverged: the loss or a weight is no longer finite, or too large to store; nothing is returned.
    """
    progress = progress or Unwatched()
    generator = seeded(seed)
    adapter = adapters.place(backbone, recipe.adaptation)
    told = words.embedding if words else partial(embedding.to, backbone.device)
    examples = [
        *((clip.to(backbone.device, torch.float32), told) for clip in latents),
        *(
            (clip.to(backbone.device, torch.float32), partial(caption.to, backbone.device))
            for clip, caption in others
        ),
    ]
    turns = [range(len(latents)), *([range(len(latents), len(examples))] if others else [])]
    with adapter.trained(generator, beside=acts is not adapters.all_along) as trainable:
        paths = adapters.Paths(backbone, recipe.aside, len(examples), generator)
        beside = {**paths.parameters, **(words.parameters if words else {})}
        state = _State(backbone, {**trainable.parameters, **beside}, recipe, generator)
        lesson = Lesson(backbone, examples, recipe, trainable, paths, generator, state.backward, acts)
        both = partial(adapters.together, [acts, partial(trainable.acting, recipe.span)])
        done = state.resume(checkpoint, seed) if checkpoint else 0

        def so_far(done: int) -> Trained:
            learned = {**trainable.tensors(), **(words.tensors() if words else {})}
            tensors = {key: value.cpu() for key, value in learned.items()}
            _require_usable(tensors.values())
            seconds = time.monotonic() - state.began
            return Trained(tensors, state.recent_loss(done, LOSS_OVER), done, seconds)

        if after_step and done:
            after_step(done, partial(so_far, done), both)
        progress.stage("Learning", recipe.steps - done)
        for step in range(done, recipe.steps):
            turn = turns[step % len(turns)]
            drawn = torch.randint(len(turn), (recipe.batch,), generator=generator)
            of_step = lesson.learn([turn[index] for index in drawn.tolist()])
            state.descend(recipe.clip_norm)
            state.losses[step] = of_step  # on the device: asking for the number would wait for it
            logged = (step + 1) % LOG_EVERY == 0 or step + 1 == recipe.steps
            loss = state.recent_loss(step + 1, LOG_EVERY) if logged else None
            stopped = _stopped(progress, loss)
            if checkpoint and (stopped or (step + 1) % checkpoint.every == 0 or step + 1 == recipe.steps):
                state.save(checkpoint, step + 1, seed)
            if stopped:
                raise stopped
            if after_step:
                after_step(step + 1, partial(so_far, step + 1), both)
        return so_far(recipe.steps)


@dataclass(frozen=True)
class Lesson:
    """What is learned from examples, by their numbers; ``backward`` adds up the gradients of each loss."""

    backbone: Backbone
    examples: Sequence[Example]
    recipe: Recipe
    trainable: adapters.Trainable
    paths: adapters.Paths
    generator: torch.Generator
    backward: Callable[[Tensor], None]
    acts: adapters.Acts = adapters.all_along

    def learn(self, numbers: Sequence[int]) -> Tensor:
        """All objectives of some examples, each with its gradients; the loss of the motion, on the device."""
        loss = self.motion(numbers)
        if self.recipe.aside:
            self.looks(numbers[0])
        return loss

    def motion(self, numbers: Sequence[int]) -> Tensor:
        """The recipe's objective, for what the motion's file is going to hold; at one timestep for all."""
        recipe = self.recipe
        # Gradients inside: what the network computed may have to be computed again for them.
        t = self._drawn()
        with self._acting(t), self.paths.beside(numbers[0], learning=False):
            prediction, target = self._predicted([self.examples[number] for number in numbers], t)
            weight = self.backbone.schedule.weight(t).to(target.device)
            loss = LOSSES[recipe.loss](prediction, target, recipe.stride, weight, self.generator)
            self.backward(loss)
        return loss.detach()

    def looks(self, number: int) -> None:
        """Plain error on one random frame, for the clip's own spatial path alone (MotionDirector)."""
        clip, embedding = self.examples[number]
        frame = int(torch.randint(clip.shape[2], (1,), generator=self.generator))
        t = self._drawn()
        with self._acting(t), self.trainable.frozen(), self.paths.beside(number, learning=True):
            prediction, target = self._predicted([(clip[:, :, frame : frame + 1], embedding)], t)
            self.backward(F.mse_loss(prediction, target))

    def _drawn(self) -> Tensor:
        """A timestep, (1,)."""
        recipe, count = self.recipe, self.backbone.schedule.train_timesteps
        return noise.draw_timesteps(
            recipe.timesteps, 1, count, self.generator, alpha=recipe.alpha, span=recipe.span
        )

    def _acting(self, t: Tensor) -> AbstractContextManager[None]:
        return self.acts(int(t) / self.backbone.schedule.train_timesteps)

    def _predicted(self, examples: Sequence[Example], t: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and target for each, (B, C, F, h, w), with noise as at ``t``."""
        backbone = self.backbone
        clean = torch.cat([clip for clip, _ in examples])
        drawn = torch.randn(clean.shape, generator=self.generator).to(clean.device)
        told = torch.cat([embedding() for _, embedding in examples])
        prediction = backbone.predict(backbone.noised(clean, drawn, t), t, told)
        return prediction, backbone.target(clean, drawn, t)


class _State:
    """All that changes while learning."""

    def __init__(
        self,
        backbone: Backbone,
        parameters: Mapping[str, nn.Parameter],
        recipe: Recipe,
        generator: torch.Generator,
    ) -> None:
        self.began = time.monotonic()
        self.generator = generator
        self.losses = torch.zeros(recipe.steps, device=backbone.device)
        self._parameters = parameters
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(),
            lr=recipe.learning_rate,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        # float16 alone has too few exponents for gradients.
        self._scaler = torch.amp.GradScaler(backbone.device.type, enabled=backbone.dtype is torch.float16)
        self._about = json.dumps([recipe.to_card(), backbone.spec.name, backbone.revision])

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of ``loss`` to those of this step."""
        self._scaler.scale(loss).backward()

    def descend(self, clip_norm: float) -> None:
        """One step of the optimiser, with the gradient's norm clipped."""
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._parameters.values(), clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()

    def recent_loss(self, done: int, over: int) -> float:
        """Mean of the last ``over`` losses. Raises `Diverged` when it is not finite."""
        loss = float(self.losses[max(0, done - over) : done].mean())
        if not math.isfinite(loss):
            raise _diverged("The loss")
        return loss

    def resume(self, checkpoint: Checkpoint, seed: int) -> int:
        """Go on from the checkpoint if asked to, else forget it. The steps already done."""
        if not checkpoint.resume:
            checkpoint.clear()
            return 0
        done, raw = self._named(checkpoint, seed).load()
        if not done:
            return 0
        tensors = {name: from_raw(tensor) for name, tensor in raw.items()}
        with torch.no_grad():
            for name, mine in self._tensors():
                mine.copy_(tensors[name])
        self.generator.set_state(tensors["generator"])
        self.began -= float(tensors["seconds"])
        if self._scaler.is_enabled():
            scale, growth = tensors["scaler"].tolist()
            self._scaler.load_state_dict(
                {**self._scaler.state_dict(), "scale": scale, "_growth_tracker": int(growth)}
            )
        return done

    def save(self, checkpoint: Checkpoint, done: int, seed: int) -> None:
        """Write a checkpoint. Raises `Diverged` instead of writing what cannot be continued."""
        _require_usable(self._parameters.values())
        tensors = dict(self._tensors())
        tensors["generator"] = self.generator.get_state()
        tensors["seconds"] = torch.tensor(time.monotonic() - self.began)
        if self._scaler.is_enabled():
            scaler = self._scaler.state_dict()
            tensors["scaler"] = torch.tensor([scaler["scale"], float(scaler["_growth_tracker"])])
        self._named(checkpoint, seed).save(done, {name: to_raw(tensor) for name, tensor in tensors.items()})

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield "losses", self.losses
        for key, parameter in self._parameters.items():
            yield f"weights.{key}", parameter
            moments = self._optimizer.state[parameter]
            for name in ("exp_avg", "exp_avg_sq"):
                yield f"{name}.{key}", moments.setdefault(name, torch.zeros_like(parameter))
            yield f"step.{key}", moments.setdefault("step", torch.zeros((), device=parameter.device))

    def _named(self, checkpoint: Checkpoint, seed: int) -> Checkpoint:
        about = f"{checkpoint.about} {seed} {self._about}"
        return replace(checkpoint, about=hashlib.sha256(about.encode()).hexdigest())


def _stopped(progress: Watcher, loss: float | None) -> KeyboardInterrupt | None:
    """Tell that a step is done; what asked to stop, if something did."""
    try:
        progress.step(loss)
    except KeyboardInterrupt as stopped:
        return stopped
    return None


def _require_usable(tensors: Iterable[Tensor]) -> None:
    largest = torch.stack([tensor.detach().abs().amax() for tensor in tensors]).amax()
    if not largest <= LARGEST_WEIGHT:  # NaN too
        raise _diverged("A weight")


def _diverged(what: str) -> Diverged:
    return Diverged(f"{what} left the finite numbers while learning.", "Try a lower --learning-rate.")
