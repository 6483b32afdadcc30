"""The two verbs whole: learn a motion from clips, generate a video that follows motions."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from registry.card import Card, Source
from vmc_cli import __version__, adapters, device, prompts, tokens
from vmc_cli.adapters import paths
from vmc_cli.backbones.base import CLEAN, Backbone
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.clip import Clip
from vmc_cli.delta import Delta, attached, from_raw, to_raw, worn
from vmc_cli.errors import ClipError, Diverged
from vmc_cli.lora import Lora
from vmc_cli.noise import start_noise
from vmc_cli.recipes import GUIDANCE, SAMPLING_STEPS, Recipe
from vmc_cli.sampling import invert, sample
from vmc_cli.tokens import Token
from vmc_cli.training import train
from vmc_cli.watching import Watcher

PREVIEW_SIDE = 64  # pixels
PREVIEW_STEPS = 10  # of denoising while learning, which waits for them
HIDDEN = 0.3  # of the noising: shapes can still be told, textures cannot


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
    clips: Sequence[Clip],
    *,
    name: str,
    prompt: str,
    recipe: Recipe,
    seed: int,
    sources: Sequence[Source] = (),
    keep_prompt: bool = False,
    token: Token | None = None,
    others: Sequence[tuple[Clip, str]] = (),
    checkpoint: Checkpoint | None = None,
    progress: Watcher | None = None,
    preview: Preview | None = None,
) -> Delta:
    """Learn one motion, called ``name``, from ``clips`` of the backbone's size, which ``prompt`` describes.

    The prompt is made appearance-invariant unless ``keep_prompt`` or the recipe says otherwise; the model is
    told the ``token`` in it as its word. ``others`` are clips of other motions with their captions, learned
    from as often. Nothing is stored but checkpoints; the caller saves the delta and then clears them. The
    motion is the same with ``preview`` and without.

    Raises:
        ClipError: a clip has another size or number of frames.
        Diverged, OutOfMemory: see there; nothing is left but the last checkpoint.
    """
    wanted = (backbone.frames, backbone.height, backbone.width, 3)
    if not clips or any(clip.frames.shape != wanted for clip in (*clips, *(other for other, _ in others))):
        raise ClipError(
            f"Clips for {backbone.spec.name} must have {wanted[0]} frames of {wanted[2]}x{wanted[1]}."
        )
    pixels = [np.ascontiguousarray(clip.frames) for clip in (*clips, *(other for other, _ in others))]
    captions = json.dumps([caption for _, caption in others])
    with device.memory_explained("learn this motion"):
        footage = _Footage(
            latents=[_encoded(backbone, clip) for clip in clips],
            preview=_preview(clips[0]),
            fps=clips[0].fps,
            sources=tuple(sources),
            digest=f"{_digest(pixels)} {captions}",
            changed=[
                _encoded(backbone, clip.augmented(number))
                for clip in clips
                for number in range(recipe.augmented)
            ],
            others=[(_encoded(backbone, clip), backbone.embed([caption])) for clip, caption in others],
        )
    return _learn(
        backbone,
        footage,
        name=name,
        prompt=prompt,
        recipe=recipe,
        seed=seed,
        keep_prompt=keep_prompt,
        checkpoint=checkpoint,
        progress=progress,
        preview=preview,
        token=token,
    )


def reverse(
    backbone: Backbone,
    motion: Delta,
    *,
    name: str,
    prompt: str,
    recipe: Recipe,
    seed: int,
    keep_prompt: bool = False,
    checkpoint: Checkpoint | None = None,
    progress: Watcher | None = None,
    preview: Preview | None = None,
) -> Delta:
    """Learn ``motion`` backward, from the latents that it holds: no clip is needed.

    As `learn`. Frames are encoded one by one, so latents in reverse order are those of the clip in reverse
    order. Raises `NotFoundError` when the motion holds none.
    """
    motion.adapter(backbone)
    latents = motion.latents.flip(2)
    footage = _Footage(
        [each[None] for each in latents],
        motion.tensors["preview"].flip(0),
        motion.card.fps,
        motion.card.sources,
        _digest([latents.numpy()]),
    )
    return _learn(
        backbone,
        footage,
        name=name,
        prompt=prompt,
        recipe=recipe,
        seed=seed,
        keep_prompt=keep_prompt,
        checkpoint=checkpoint,
        progress=progress,
        preview=preview,
        token=tokens.of(motion.card),
        extra={"reversed": motion.card.name},
    )


@dataclass(frozen=True)
class _Footage:
    """What there is to learn from: latents (1, C, F, h, w) of each clip, and what a motion tells of them.

    ``changed`` are latents of augmented clips, ``others`` those of other motions with an embedding each.
    """

    latents: list[Tensor]
    preview: Tensor
    fps: float
    sources: tuple[Source, ...]
    digest: str
    changed: Sequence[Tensor] = ()
    others: Sequence[tuple[Tensor, Tensor]] = ()


def _learn(
    backbone: Backbone,
    footage: _Footage,
    *,
    name: str,
    prompt: str,
    recipe: Recipe,
    seed: int,
    keep_prompt: bool,
    checkpoint: Checkpoint | None,
    progress: Watcher | None,
    preview: Preview | None,
    token: Token | None,
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> Delta:
    used = prompts.invariant(prompt) if recipe.invariant_prompt and not keep_prompt else prompt
    if checkpoint:
        if not checkpoint.resume:
            checkpoint.clear()
        # What lies there from now on belongs to this run.
        checkpoint = replace(checkpoint, about=f"{footage.digest} {json.dumps(used)}", resume=True)
    latents = footage.latents
    with device.memory_explained("learn this motion"):
        told = tokens.spoken(used, [token] if token else [])
        embedding = backbone.embed([told])
        words = adapters.Words(backbone, told, token.word) if token and recipe.trains_token else None
        inverted, seconds = _inverted(backbone, latents, recipe.inversion_steps, checkpoint, progress)

        def show(done: int) -> None:
            if preview and done % preview.every == 0:
                start = _start(backbone, recipe.noise_for(len(latents)), inverted, seed)
                with torch.no_grad():
                    said = words.embedding() if words else embedding
                negative = backbone.embed([""])
                preview.show(done, _video(backbone, said, negative, start, steps=PREVIEW_STEPS))

        learned = train(
            backbone,
            [*latents, *footage.changed],
            embedding,
            recipe,
            seed=seed,
            others=footage.others,
            words=words,
            progress=progress,
            checkpoint=checkpoint,
            after_step=show,
        )
    card = Card(
        name=name,
        backbone=backbone.spec.name,
        revision=backbone.revision,
        method=recipe.method,
        recipe=recipe.to_card(),
        prompt=prompt,
        prompt_used=used,
        frames=backbone.frames,
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
        extra={**extra, **(token.extra() if token else {})},
    )
    weights = {key: value.half() for key, value in learned.tensors.items()}
    kept = {"start_noise": inverted, "latents": torch.cat(latents).half().cpu()}
    delta = Delta(card, {**weights, **kept, "preview": footage.preview})
    delta.adapter(backbone)  # what could not be used is not handed out
    return delta


def generate(
    backbone: Backbone,
    prompt: str,
    *,
    deltas: Sequence[tuple[Delta, float]] = (),
    subjects: Sequence[tuple[Lora, float]] = (),
    noise: str | None = None,
    steps: int = SAMPLING_STEPS,
    guidance: float = GUIDANCE,
    negative: str = "",
    seed: int = 0,
    progress: Watcher | None = None,
) -> Clip:
    """A video of ``prompt`` that follows each of ``deltas`` with its strength. Same seed, same pixels.

    ``subjects`` are LoRA files that were matched with this backbone, with a strength each.

    It starts from ``noise`` (see `noise.start_noise`; by default what the first motion's method starts from,
    without a motion random), made from the first motion; where that was learned from several clips, the seed
    chooses one.

    Raises:
        IncompatibleError, Damaged: a motion does not belong to this backbone, or is not whole.
        UsageError, Diverged, OutOfMemory: see there.
    """
    explained = device.memory_explained("generate this video")
    with explained, worn(backbone, subjects), attached(backbone, deltas):
        first = deltas[0][0] if deltas else None
        chosen = noise or (first.noise if first else "random")
        start = _start(backbone, chosen, first.start_noise if first else None, seed)
        said = [token for delta, _ in deltas if (token := tokens.of(delta.card))]
        vectors = {
            word: value
            for delta, strength in deltas
            for word, value in delta.vectors(backbone, strength).items()
        }
        embed = partial(backbone.embed_with, vectors=vectors) if vectors else backbone.embed
        return _video(
            backbone,
            embed([tokens.spoken(prompt, said)]),
            embed([tokens.spoken(negative, said)]),
            start,
            steps=steps,
            guidance=guidance,
            progress=progress,
        )


def file_sizes(backbone: Backbone, recipe: Recipe, clips: int, others: int = 0) -> tuple[int, int]:
    """Bytes of a motion and of a checkpoint while it is learned, but for their headers: an estimate.

    ``others`` is how many clips of other motions are learned from.
    """
    weights = sum(map(math.prod, adapters.place(backbone, recipe.adaptation).shapes().values()))
    looks = paths.size(backbone, recipe.aside, clips * (1 + recipe.augmented) + others)
    noise_and_latents = 2 * clips * math.prod(backbone.latent_shape)
    preview = backbone.frames * PREVIEW_SIDE**2 * 3
    # float16; float32 with two moments each
    return 2 * (weights + noise_and_latents) + preview, 3 * 4 * (weights + looks)


@torch.no_grad()
def reconstruction(backbone: Backbone, clip: Clip) -> float:
    """How well the backbone draws ``clip``: PSNR in dB of what it sees in it behind noise.

    A codec alone can copy what its network could never draw; so the network must fill in, without a prompt
    and in one step, what noise hides.
    """
    latents = backbone.encode(clip.frames)
    t = round(HIDDEN * backbone.schedule.train_timesteps)
    noise = torch.randn(latents.shape, generator=device.generator(0)).to(latents.device)
    noisy = backbone.noised(latents, noise, torch.tensor([t]))
    scale, share = backbone.schedule.transfer(t, CLEAN)
    clean = scale * noisy + share * backbone.predict(noisy, t, backbone.embed([""]))
    error = np.square(backbone.decode(clean).astype(np.float64) - clip.frames).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def _encoded(backbone: Backbone, clip: Clip) -> Tensor:
    latents = backbone.encode(clip.frames)
    if not latents.isfinite().all():
        raise Diverged("The clip left the finite numbers when it was encoded.", "Choose another backbone.")
    return latents


def _inverted(
    backbone: Backbone,
    latents: Sequence[Tensor],
    steps: int,
    checkpoint: Checkpoint | None,
    progress: Watcher | None,
) -> tuple[Tensor, float]:
    """The noise of the clips, (K, C, F, h, w) float16 on the CPU, and the seconds that it took to find.

    It belongs to the network as it was, so it is the same for every motion of the clips. A resumed run finds
    both in its checkpoint.
    """
    began = time.monotonic()
    if checkpoint:
        about = f"{checkpoint.about} {backbone.revision} {steps}"
        checkpoint = replace(checkpoint, folder=checkpoint.folder / "inverted", about=about)
        _, kept = checkpoint.load()
        if kept:
            return from_raw(kept["start_noise"]), float(from_raw(kept["seconds"]))
    found = [invert(backbone, each, steps=steps, progress=progress) for each in latents]
    noise, seconds = torch.cat(found).half().cpu(), torch.tensor(time.monotonic() - began)
    if checkpoint:
        checkpoint.save(steps, {"start_noise": to_raw(noise), "seconds": to_raw(seconds)})
    return noise, float(seconds)


def _video(
    backbone: Backbone,
    embedding: Tensor,
    negative: Tensor,
    start: Tensor,
    *,
    steps: int,
    guidance: float = GUIDANCE,
    progress: Watcher | None = None,
) -> Clip:
    """What the network as it is now makes of a prompt's ``embedding`` (1, L, D) and the noise ``start``."""
    latents = sample(
        backbone,
        embedding,
        start,
        steps=steps,
        guidance=guidance,
        negative_embedding=negative,
        progress=progress,
    )
    return Clip(backbone.decode(latents), backbone.spec.fps)


def _start(backbone: Backbone, noise: str, inverted: Tensor | None, seed: int) -> Tensor:
    """The start noise of one video, (1, C, F, h, w); the seed chooses one of ``inverted`` (K, C, F, h, w)."""
    generator = device.generator(seed)
    random = torch.randn(1, *backbone.latent_shape, generator=generator)
    if inverted is not None:
        inverted = inverted[int(torch.randint(len(inverted), (1,), generator=generator))][None].float()
    return start_noise(noise, inverted, random)


def _preview(clip: Clip) -> Tensor:
    """The clip with at most `PREVIEW_SIDE` pixels a side, (F, h, w, 3) uint8."""
    frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float()
    scale = min(1.0, PREVIEW_SIDE / max(frames.shape[-2:]))
    size = [max(1, round(side * scale)) for side in frames.shape[-2:]]
    return F.interpolate(frames, size, mode="area").round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _digest(arrays: Iterable[np.ndarray[Any, Any]]) -> str:
    """Identifies what is learned from: the very numbers."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
