"""The one training loop: every method is a recipe for it. Learning can stop at any step and go on later."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vmc_cli import adapters, noise
from vmc_cli.backbones.base import Backbone
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.delta import LARGEST_WEIGHT, from_raw, to_raw
from vmc_cli.device import generator as seeded
from vmc_cli.errors import Diverged
from vmc_cli.losses import LOSSES
from vmc_cli.recipes import Recipe
from vmc_cli.watching import Unwatched, Watcher

LOG_EVERY = 10  # steps between two looks at the loss: each makes the device wait
LOSS_OVER = 50  # last steps, whose mean is the loss that a card tells


@dataclass(frozen=True)
class Trained:
    """What learning gives: float32 tensors on the CPU keyed as in `adapters.shapes`, and how it went.

    ``seconds`` are those of all steps, also of the earlier parts of a resumed run.
    """

    tensors: dict[str, Tensor]
    loss: float
    steps: int
    seconds: float


def train(
    backbone: Backbone,
    latents: Sequence[Tensor],
    embedding: Tensor,
    recipe: Recipe,
    *,
    seed: int,
    progress: Watcher | None = None,
    checkpoint: Checkpoint | None = None,
    after_step: Callable[[int], None] | None = None,
) -> Trained:
    """Learn from ``latents``, one (1, C, F, h, w) for each clip, described by ``embedding`` (1, L, D).

    Each step draws a clip, a timestep and noise from one generator with the seed. The network is as before
    afterwards, however this ends. Stopped by ``progress``, the state goes to ``checkpoint``; a resumed run
    gives the very result of an uninterrupted one. ``after_step`` is called with the number of steps done, the
    network being as it is then; what it does there changes nothing.

    Raises:
        Diverged: the loss or a weight is no longer finite, or too large to store; nothing is returned.
    """
    progress = progress or Unwatched()
    generator = seeded(seed)
    sites = backbone.sites_for(recipe.trains)
    clips = [clip.to(backbone.device, torch.float32) for clip in latents]
    embedding = embedding.to(backbone.device)
    with adapters.trained(backbone.network, sites, recipe.rank, generator) as trainable:
        state = _State(backbone, trainable, recipe, generator)
        done = state.resume(checkpoint, seed) if checkpoint else 0
        progress.stage("Learning", recipe.steps - done)
        for step in range(done, recipe.steps):
            state.losses[step] = _step(backbone, clips, embedding, recipe, state)
            logged = (step + 1) % LOG_EVERY == 0 or step + 1 == recipe.steps
            loss = state.recent_loss(step + 1, LOG_EVERY) if logged else None
            stopped = _stopped(progress, loss)
            if checkpoint and (stopped or (step + 1) % checkpoint.every == 0 or step + 1 == recipe.steps):
                state.save(checkpoint, step + 1, seed)
            if stopped:
                raise stopped
            if after_step:
                after_step(step + 1)
        tensors = {key: value.cpu() for key, value in trainable.tensors().items()}
        _require_usable(tensors.values())
        loss = state.recent_loss(recipe.steps, LOSS_OVER)
        return Trained(tensors, loss, recipe.steps, time.monotonic() - state.began)


def _step(
    backbone: Backbone, clips: Sequence[Tensor], embedding: Tensor, recipe: Recipe, state: _State
) -> Tensor:
    """One step down; its loss, on the device: asking for the number would wait for it."""
    clip = clips[int(torch.randint(len(clips), (1,), generator=state.generator))]
    t = noise.draw_timesteps(recipe.timesteps, 1, backbone.schedule.train_timesteps, state.generator)
    drawn = torch.randn(clip.shape, generator=state.generator).to(clip.device)
    prediction = backbone.predict(backbone.noised(clip, drawn, t), t, embedding)
    weight = backbone.schedule.weight(t).to(clip.device)
    loss = LOSSES[recipe.loss](prediction, backbone.target(clip, drawn, t), recipe.stride, weight)
    state.descend(loss, recipe.clip_norm)
    return loss.detach()


class _State:
    """All that changes while learning."""

    def __init__(
        self,
        backbone: Backbone,
        trainable: adapters.Trainable,
        recipe: Recipe,
        generator: torch.Generator,
    ) -> None:
        self.began = time.monotonic()
        self.generator = generator
        self.losses = torch.zeros(recipe.steps, device=backbone.device)
        self._parameters = trainable.parameters
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

    def descend(self, loss: Tensor, clip_norm: float) -> None:
        """One step of the optimiser, with the gradient's norm clipped."""
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._parameters.values(), clip_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()

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
