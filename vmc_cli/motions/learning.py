"""Learn a motion, or a subject, from footage."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from registry.card import Card
from vmc_cli import __version__, adapters, costs, memory, prompts, tokens
from vmc_cli.adapters import paths
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.checkpointing import checkpointed
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.clip import Clip
from vmc_cli.delta import Delta, attached, by_colouring, from_raw, to_raw
from vmc_cli.errors import UsageError
from vmc_cli.motions.footage import PREVIEW_SIDE, Footage
from vmc_cli.motions.generating import denoised, glanced
from vmc_cli.motions.starting import start_of
from vmc_cli.motions.stopping import Enough, Stopping, held_out
from vmc_cli.recipe import SUBJECT, Recipe
from vmc_cli.sampling import invert
from vmc_cli.tokens import Token
from vmc_cli.training import Trained, train
from vmc_cli.watching import Watcher

if TYPE_CHECKING:
    from vmc_cli.evaluation.appearance import Looks


@dataclass(frozen=True)
class Preview:
    """Who wants to see what the network makes of the prompt while it learns.

    Every so many steps ``show`` is given the number of steps done and a video: in few denoising steps, always
    from the same noise, which is `generate`'s by default. The motion acts as it does while it is learned, so
    motion embeddings have their values whole.
    """

    every: int
    show: Callable[[int, Clip], None]


def learn(
    backbone: Backbone,
    footage: Footage,
    *,
    name: str,
    prompt: str,
    recipe: Recipe,
    seed: int,
    keep_prompt: bool = False,
    level: str = "auto",
    checkpoint: Checkpoint | None = None,
    progress: Watcher | None = None,
    preview: Preview | None = None,
    looks: Looks | None = None,
) -> Delta:
    """Learn one motion or subject, called ``name``, from ``footage``, which ``prompt`` describes.

    The prompt is made appearance-invariant unless ``keep_prompt`` or the recipe says otherwise; the model is
    told the footage's token in it as its word. Nothing is stored but checkpoints; the caller saves the delta
    and then clears them. The motion is the same with ``preview`` and without, and at each ``level`` of memory
    (`costs.LEVELS`; "auto" is the highest that fits) but for rounding; not so at `costs.IN_BYTES`, which the
    card then tells. ``looks`` judge where the recipe stops early.

    Raises:
        UsageError: the model cannot be judged by ``looks``.
        Diverged, OutOfMemory: see there; nothing is left but the last checkpoint.
    """
    used = prompts.invariant(prompt) if recipe.invariant_prompt and not keep_prompt else prompt
    latents, token = footage.latents, footage.token
    examples = footage.examples
    if recipe.panned:  # the pictures themselves stand still
        examples = [picture.expand(-1, -1, backbone.frames, -1, -1) for picture in examples]
    told = tokens.spoken(used, [token] if token else [])
    frozen = {"frozen": costs.IN_BYTES} if level == costs.IN_BYTES else {}
    if checkpoint:
        if not checkpoint.resume:
            checkpoint.clear()
        # What lies there from now on belongs to this run.
        about = " ".join([footage.digest, json.dumps(told), *frozen.values()])
        checkpoint = replace(checkpoint, about=about, resume=True)
    beside = [(footage.beside, 1.0)] if footage.beside else []
    judged: dict[str, float] = {}
    task = f"learn this {recipe.learns}"

    def peak(level: str) -> int:
        clips = len(examples) + len(footage.others)
        return costs.learning(backbone.blueprint, recipe, level, clips).peak

    with (
        memory.explained(task, memory.usable(backbone), peak, level, below=[costs.IN_BYTES]),
        attached(backbone, beside) as acts,
        costs.held(backbone, recipe, level),
    ):
        embedding = backbone.embed([told])
        inverted, seconds = None, 0.0
        if recipe.inversion_steps:
            inverted, seconds = _inverted(backbone, footage.starts(recipe), recipe, checkpoint, progress)

        def learned_at(level: str) -> Trained:
            words = adapters.Words(backbone, told, token.word) if token and recipe.trains_token else None
            stopping = _stopping(
                backbone,
                used,
                token=token,
                recipe=recipe,
                seed=seed,
                looks=looks,
                words=words,
                checkpoint=checkpoint,
                together=level == "high",
            )

            coloured = None if inverted is None else by_colouring(inverted)

            def look(done: int, so_far: Callable[[], Trained], acts: adapters.Acts) -> None:
                if preview and done % preview.every == 0:
                    noise = recipe.noise_for(len(latents))
                    start = start_of(backbone, noise, coloured, seed)
                    with torch.no_grad():
                        said = words.embedding() if words else embedding
                    video = denoised(
                        backbone,
                        said,
                        backbone.embed([""]),
                        start,
                        course=glanced(backbone, noise),
                        together=level == "high",
                        seed=seed,
                        acts=acts,
                    )
                    preview.show(done, video)
                if stopping:
                    stopping(done, so_far, acts)

            kept = backbone.listening() if words else nullcontext()
            with kept, checkpointed(backbone.network, costs.CHECKPOINTING[level]):
                return train(
                    backbone,
                    examples,
                    embedding,
                    recipe,
                    seed=seed,
                    others=footage.others,
                    words=words,
                    progress=progress,
                    checkpoint=checkpoint,
                    acts=acts,
                    after_step=look,
                )

        try:
            learned = memory.spent(task, level, backbone, peak, learned_at, below=[costs.IN_BYTES])
        except Enough as enough:
            learned, judged = enough.outcome, {"appearance_score": round(enough.score, 4)}
    card = Card(
        name=name,
        backbone=backbone.spec.name,
        revision=backbone.revision,
        method=recipe.method,
        recipe=recipe.to_card(),
        prompt=prompt,
        prompt_used=used,
        frames=latents[0].shape[2],
        height=backbone.height,
        width=backbone.width,
        fps=footage.fps,
        seed=seed,
        sources=footage.sources,
        versions={"vmc": __version__, **{each: version(each) for each in ("torch", "diffusers", "peft")}},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=round(seconds + learned.seconds, 1),
        loss=learned.loss,
        steps=learned.steps,
        kind=recipe.learns,
        extra={**footage.extra, **judged, **frozen, **(token.extra() if token else {})},
    )
    weights = {key: value.half() for key, value in learned.tensors.items()}
    kept = {} if inverted is None else _kept(inverted, footage, recipe)
    delta = Delta(card, {**weights, **kept, "preview": footage.preview})
    delta.adapter(backbone)  # what could not be used is not handed out
    return delta


def _stopping(
    backbone: Backbone,
    prompt: str,
    *,
    token: Token | None,
    recipe: Recipe,
    seed: int,
    looks: Looks | None,
    words: adapters.Words | None,
    checkpoint: Checkpoint | None,
    together: bool,
) -> Stopping | None:
    """What ends learning early, where the recipe asks for it. Raises UsageError."""
    if not recipe.early_stop:
        return None
    if not token or not looks:
        raise UsageError("Learning stops early only for a token, and when somebody judges looks.")
    read = words.embedding_of if words else lambda text: backbone.embed([text])
    asked = {subject: partial(read, text) for subject, text in held_out(prompt, token).items()}
    about = f"{seed} {json.dumps(recipe.to_card())} {backbone.revision}"
    kept = _beside(checkpoint, "best", about)
    stopping = Stopping(backbone, looks, asked, recipe.steps, kept, together=together)
    stopping.require_sense()
    return stopping


def file_sizes(backbone: Backbone, recipe: Recipe, clips: int, others: int = 0) -> tuple[int, int]:
    """Bytes of a motion and of a checkpoint while it is learned, but for their headers: an estimate.

    ``others`` is how many clips of other motions are learned from.
    """
    weights = sum(map(math.prod, adapters.place(backbone, recipe.adaptation).shapes().values()))
    looks = paths.size(backbone, recipe.aside, clips * recipe.examples + others)
    subject = recipe.learns == SUBJECT
    colourings = 1 + len(recipe.turned)
    noises = 2 * colourings + bool(recipe.turned)  # what they were made from beside them, and the clips
    noise_and_latents = 0 if subject else noises * clips * math.prod(backbone.latent_shape)
    preview = clips * (1 if subject else backbone.frames) * PREVIEW_SIDE**2 * 3
    # float16; float32 with two moments each, and the best outcome so far
    state = 4 * (3 * (weights + looks) + weights * recipe.early_stop)
    return 2 * (weights + noise_and_latents) + preview, state


def _inverted(
    backbone: Backbone,
    starts: Sequence[Tensor],
    recipe: Recipe,
    checkpoint: Checkpoint | None,
    progress: Watcher | None,
) -> tuple[Tensor, float]:
    """The noise of clips, as a file holds it (see `Delta`) on the CPU, and the seconds that it took to find.

    It belongs to the network as it was, so it is the same for every motion of the clips. A resumed run finds
    both in its checkpoint. So many are inverted at once as are learned from in each step.
    """
    began, steps = time.monotonic(), recipe.inversion_steps
    about = f"{backbone.revision} {steps} {recipe.turned}"
    checkpoint = _beside(checkpoint, "inverted", about)
    if checkpoint:
        _, kept = checkpoint.load()
        if kept:
            return from_raw(kept["start_noise"]), float(from_raw(kept["seconds"]))
    parts = [each.split(recipe.batch) for each in starts]
    found = [
        torch.cat([invert(backbone, part, steps=steps, progress=progress) for part in each]) for each in parts
    ]
    noise = (torch.stack(found) if recipe.turned else torch.cat(found)).half().cpu()
    seconds = torch.tensor(time.monotonic() - began)
    if checkpoint:
        checkpoint.save(steps, {"start_noise": to_raw(noise), "seconds": to_raw(seconds)})
    return noise, float(seconds)


def _kept(inverted: Tensor, footage: Footage, recipe: Recipe) -> dict[str, Tensor]:
    """What a motion's file holds of its clips, see `Delta`."""
    kept = {"start_noise": inverted, "latents": torch.cat(tuple(footage.latents)).half().cpu()}
    if recipe.turned:
        kept["start_latents"] = torch.stack(footage.starts(recipe)).half().cpu()
    return kept


def _beside(checkpoint: Checkpoint | None, name: str, about: str) -> Checkpoint | None:
    """Where something else of the same run is kept."""
    if checkpoint is None:
        return None
    return replace(checkpoint, folder=checkpoint.folder / name, about=f"{checkpoint.about} {about}")
