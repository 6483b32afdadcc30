"""How the autoencoder of the embedded model is made."""

from __future__ import annotations

import itertools
import math
import random
import time

import torch
import torch.nn.functional as F
from diffusers import AutoencoderDC
from torch import Tensor

from .batches import drawn, place_bank

LATENTS = 6  # channels, at a quarter of the size


def new_vae() -> AutoencoderDC:
    """A residual autoencoder whose short cuts fold pixels into channels: it starts out right and learns fast.

    It normalises over channels only: flat colours stay, and what moves far away changes nothing here.
    """
    nothing = ((), (), ())
    return AutoencoderDC(
        latent_channels=LATENTS, encoder_block_types="ResBlock", decoder_block_types="ResBlock",
        encoder_block_out_channels=(24, 48, 96), encoder_layers_per_block=(1, 1, 1),
        decoder_block_out_channels=(24, 48, 96), decoder_layers_per_block=(1, 2, 2),
        encoder_qkv_multiscales=nothing, decoder_qkv_multiscales=nothing,
        upsample_block_type="pixel_shuffle", downsample_block_type="pixel_unshuffle", scaling_factor=1.0,
    )  # fmt: skip


def _unfamiliar(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Colours that the world does not have, so that clips from elsewhere survive encoding too."""
    device = frames.device
    count = len(frames)
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(count)]).to(device)
    frames = frames.gather(1, order[:, :, None, None].expand_as(frames))
    gain = 0.6 + 0.8 * torch.rand(count, 3, 1, 1, generator=generator)
    shift = 0.6 * torch.rand(count, 3, 1, 1, generator=generator) - 0.3
    return (frames * gain.to(device) + shift.to(device)).clamp(-1, 1)


def _details(frames: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A cut-out of each frame, (B, 3, size, size) on the latent grid, mostly where there is much to see."""
    grey = F.pad(frames.mean(1, keepdim=True), (0, 1, 0, 1), mode="replicate")
    busy = (grey[..., :-1, 1:] - grey[..., :-1, :-1]).abs() + (grey[..., 1:, :-1] - grey[..., :-1, :-1]).abs()
    energy = F.avg_pool2d(busy, size, stride=8)[:, 0] + 0.002
    chosen = torch.multinomial(energy.flatten(1).cpu(), 1, generator=generator)[:, 0]
    rows, columns = chosen // energy.shape[2] * 8, chosen % energy.shape[2] * 8
    return torch.stack(
        [f[:, y : y + size, x : x + size] for f, y, x in zip(frames, rows, columns, strict=True)]
    )


def train_vae(
    batch: int, device: str, seed: int, *, seconds: float, rate: float = 2e-3, variants: int = 32
) -> AutoencoderDC:
    """Three steps in four see `batch` details of a quarter of the area, the fourth fewer whole frames."""
    torch.manual_seed(seed)
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    vae = new_vae().to(device).to(memory_format=torch.channels_last)
    bank = place_bank(variants).to(device)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=rate, weight_decay=0.0, betas=(0.9, 0.99))
    pool = torch.empty(0)
    started = time.time()
    for step in itertools.count():
        done = (time.time() - started) / seconds
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 20) * (1 - done)
        if step % 64 == 0:  # a fresh pool: drawing is batched, and frames of one clip are kept apart
            video, _, _ = drawn(rng, batch * 8, bank)
            frames = video.flatten(0, 1)
            strange = torch.rand(len(frames), generator=generator).to(device) < 0.3
            frames[strange] = _unfamiliar(frames[strange], generator)
            pool = frames[torch.randperm(len(frames), generator=generator).to(device)]
        whole = step % 4 == 3
        first = torch.randint(0, len(pool) - batch, (1,), generator=generator).item()
        frames = (
            pool[first : first + batch // 4]
            if whole
            else _details(pool[first : first + batch], 32, generator)
        )
        frames = frames.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, dtype=torch.bfloat16):
            latents = vae.encode(frames).latent.float()
            restored = vae.decode(latents + 0.05 * torch.randn_like(latents)).sample.float()
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        sharp = F.l1_loss(restored.diff(dim=2), frames.diff(dim=2)) + F.l1_loss(
            restored.diff(dim=3), frames.diff(dim=3)
        )
        spread = mean.pow(2).mean() + (std - 1).pow(2).mean() + (latents.abs() - 3).clamp_min(0).mean()
        loss = F.l1_loss(restored, frames) + F.mse_loss(restored, frames) + 0.5 * sharp + 0.02 * spread
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 200 == 199:
            psnr = -10 * math.log10(F.mse_loss(restored, frames).item() / 4)
            print(f"vae {step + 1} loss {loss.item():.4f}, psnr {psnr:.2f}, {done:.1%} done")
    video, _, _ = drawn(random.Random(seed + 1), 64, bank)
    with torch.no_grad():
        latents = torch.cat([vae.encode(part).latent for part in video.flatten(0, 1).split(64)])
    vae.register_to_config(scaling_factor=float(1 / latents.std()))
    return vae.eval()
