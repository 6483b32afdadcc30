"""The two verbs whole: learn a motion from clips, generate a video that follows motions."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from registry.card import Card, Source
from vmc_cli import __version__, adapters, device, prompts
from vmc_cli.backbones.base import CLEAN, Backbone
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.clip import Clip
from vmc_cli.delta import Delta, attached, from_raw, to_raw
from vmc_cli.errors import ClipError, Diverged
from vmc_cli.noise import start_noise
from vmc_cli.recipes import DEFAULT_NOISE, GUIDANCE, SAMPLING_STEPS, Recipe
from vmc_cli.sampling import invert, sample
from vmc_cli.training import train
from vmc_cli.watching import Watcher

PREVIEW_SIDE = 64  # pixels
PREVIEW_STEPS = 10  # of denoising while learning, which waits for them
HIDDEN = 0.3  # of the noising: shapes can still be told, textures cannot


@dataclass(frozen=True)
class Preview:
    """Who wants to see what the network makes of the prompt while it learns.

    Every so many steps ``show`` is given the number of steps done and a video: in few denoising steps, always
    from the same noise, which is `generate`'s by default.
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
    checkpoint: Checkpoint | None = None,
    progress: Watcher | None = None,
    preview: Preview | None = None,
) -> Delta:
    """Learn one motion, called ``name``, from ``clips`` of the backbone's size, which ``prompt`` describes.

    The prompt is made appearance-invariant unless ``keep_prompt`` or the recipe says otherwise. Nothing is
    stored but checkpoints; the caller saves the delta and then clears them. The motion is the same with
    ``preview`` and without.

    Raises:
        ClipError: a clip has another size or number of frames.
        Diverged, OutOfMemory: see there; nothing is left but the last checkpoint.
    """
    wanted = (backbone.frames, backbone.height, backbone.width, 3)
    if not clips or any(clip.frames.shape != wanted for clip in clips):
        raise ClipError(
            f"Clips for {backbone.spec.name} must have {wanted[0]} frames of {wanted[2]}x{wanted[1]}."
        )
    used = prompts.invariant(prompt) if recipe.invariant_prompt and not keep_prompt else prompt
    if checkpoint:
        if not checkpoint.resume:
            checkpoint.clear()
        # What lies there from now on belongs to this run.
        checkpoint = replace(checkpoint, about=_about(clips, used), resume=True)
    with device.memory_explained("learn this motion"):
        latents = [_encoded(backbone, clip) for clip in clips]
        embedding = backbone.embed([used])
        inverted, seconds = _inverted(backbone, latents, recipe.inversion_steps, checkpoint, progress)

        def show(done: int) -> None:
            if preview and done % preview.every == 0:
                start = _start(backbone, DEFAULT_NOISE, inverted, seed)
                preview.show(done, _video(backbone, used, start, steps=PREVIEW_STEPS))

        learned = train(
            backbone,
            latents,
            embedding,
            recipe,
            seed=seed,
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
        fps=clips[0].fps,
        seed=seed,
        sources=tuple(sources),
        versions={"vmc": __version__, **{each: version(each) for each in ("torch", "diffusers", "peft")}},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=round(seconds + learned.seconds, 1),
        loss=learned.loss,
        steps=learned.steps,
    )
    weights = {key: value.half() for key, value in learned.tensors.items()}
    delta = Delta(card, {**weights, "start_noise": inverted, "preview": _preview(clips[0])})
    delta.sites(backbone)  # what could not be used is not handed out
    return delta


def generate(
    backbone: Backbone,
    prompt: str,
    *,
    deltas: Sequence[tuple[Delta, float]] = (),
    noise: str | None = None,
    steps: int = SAMPLING_STEPS,
    guidance: float = GUIDANCE,
    negative: str = "",
    seed: int = 0,
    progress: Watcher | None = None,
) -> Clip:
    """A video of ``prompt`` that follows each of ``deltas`` with its strength. Same seed, same pixels.

    It starts from ``noise`` (see `noise.start_noise`; the default depends on whether there is a motion), made
    from the first motion; where that was learned from several clips, the seed chooses one.

    Raises:
        IncompatibleError, Damaged: a motion does not belong to this backbone, or is not whole.
        UsageError, Diverged, OutOfMemory: see there.
    """
    with device.memory_explained("generate this video"), attached(backbone, deltas):
        inverted = deltas[0][0].start_noise if deltas else None
        start = _start(backbone, noise or (DEFAULT_NOISE if deltas else "random"), inverted, seed)
        return _video(
            backbone, prompt, start, steps=steps, guidance=guidance, negative=negative, progress=progress
        )


def file_sizes(backbone: Backbone, recipe: Recipe, clips: int) -> tuple[int, int]:
    """Bytes of a motion and of a checkpoint while it is learned, but for their headers: an estimate."""
    shapes = adapters.shapes(backbone.sites_for(recipe.trains), recipe.rank)
    weights = sum(map(math.prod, shapes.values()))
    noise = clips * math.prod(backbone.latent_shape)
    preview = backbone.frames * PREVIEW_SIDE**2 * 3
    return 2 * (weights + noise) + preview, 3 * 4 * weights  # float16; float32 with two moments each


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
    prompt: str,
    start: Tensor,
    *,
    steps: int,
    guidance: float = GUIDANCE,
    negative: str = "",
    progress: Watcher | None = None,
) -> Clip:
    """What the network as it is now makes of ``prompt`` and the noise ``start``."""
    latents = sample(
        backbone,
        backbone.embed([prompt]),
        start,
        steps=steps,
        guidance=guidance,
        negative_embedding=backbone.embed([negative]),
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


def _about(clips: Sequence[Clip], prompt: str) -> str:
    """Identifies what is learned: the very pixels and the prompt."""
    digest = hashlib.sha256(json.dumps([prompt, *(clip.frames.shape for clip in clips)]).encode())
    for clip in clips:
        digest.update(np.ascontiguousarray(clip.frames).tobytes())
    return digest.hexdigest()
