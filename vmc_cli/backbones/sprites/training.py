"""How the embedded model is made: an autoencoder, then the text encoder and the denoiser together.

Everything is drawn on the way, nothing is downloaded. On a recent GPU the whole takes about 25 minutes.
"""

from __future__ import annotations

import copy
import json
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny, DDIMScheduler, UNet3DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from . import world
from .drawing import draw
from .places import paint

LATENTS = 8  # channels; at 4 the eyes of small sprites were lost
TOKENS = 48
WIDTH = 192  # of the text embedding


def place_bank(variants: int) -> Tensor:
    """Looks of every place, drawn once: (places, variants, 3, SIZE, SIZE) uint8."""
    looks = [[paint(place, variant) for variant in range(variants)] for place in world.PLACES]
    return torch.from_numpy(np.round((np.array(looks) + 1) * 127.5).astype(np.uint8))


def drawn(rng: random.Random, count: int, bank: Tensor) -> tuple[Tensor, list[str]]:
    """Random clips (count, F, 3, SIZE, SIZE) in [-1, 1] with their captions."""
    scenes, captions = zip(*(world.draw(rng) for _ in range(count)), strict=True)
    order = {name: index for index, name in enumerate(world.PLACES)}
    rows = torch.tensor([order[s.place] for s in scenes], device=bank.device)
    looks = torch.tensor([s.variant % bank.shape[1] for s in scenes], device=bank.device)
    places = bank[rows, looks].float() / 127.5 - 1
    return draw(scenes, places), [world.beside_strange_words(c, rng) for c in captions]


# ---------------------------------------------------------------------------------------------- autoencoder


def new_vae() -> AutoencoderTiny:
    """No group norm: flat colours stay what they are, and what moves far away changes nothing here."""
    return AutoencoderTiny(
        encoder_block_out_channels=(48, 48, 48, 48),
        decoder_block_out_channels=(48, 48, 48, 48),
        num_encoder_blocks=(1, 2, 2, 2),
        num_decoder_blocks=(3, 3, 2, 1),
        latent_channels=LATENTS,
        scaling_factor=1.0,
    )


def _unfamiliar(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Colours that the world does not have, so that clips from elsewhere survive encoding too."""
    device = frames.device
    count = len(frames)
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(count)]).to(device)
    frames = frames.gather(1, order[:, :, None, None].expand_as(frames))
    gain = 0.6 + 0.8 * torch.rand(count, 3, 1, 1, generator=generator)
    shift = 0.6 * torch.rand(count, 3, 1, 1, generator=generator) - 0.3
    return (frames * gain.to(device) + shift.to(device)).clamp(-1, 1)


def train_vae(
    steps: int, batch: int, device: str, seed: int, log: Callable[[str], None] = print, variants: int = 64
) -> AutoencoderTiny:
    torch.manual_seed(seed)
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    vae = new_vae().to(device).to(memory_format=torch.channels_last)
    bank = place_bank(variants).to(device)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3, weight_decay=0.0, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.2e-3, total_steps=steps, pct_start=0.05)
    pool = torch.empty(0)
    started = time.time()
    for step in range(steps):
        if step % 32 == 0:  # a fresh pool of frames: drawing is batched, and neighbours in time are kept apart
            video, _ = drawn(rng, batch * 4, bank)
            frames = video.flatten(0, 1)
            strange = torch.rand(len(frames), generator=generator).to(device) < 0.35
            frames[strange] = _unfamiliar(frames[strange], generator)
            pool = frames[torch.randperm(len(frames), generator=generator).to(device)]
        rows = torch.arange(step % 32 * batch, (step % 32 + 1) * batch, device=device)
        frames = pool[rows].contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, dtype=torch.bfloat16):
            latents = vae.encode(frames).latents
            noisy = latents.float() + 0.08 * torch.randn_like(latents.float())
            restored = vae.decode(noisy).sample
        restored, latents = restored.float(), latents.float()
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        sharp = sum(F.l1_loss(restored.diff(dim=d), frames.diff(dim=d)) for d in (2, 3))
        loss = (
            F.l1_loss(restored, frames)
            + 0.5 * F.mse_loss(restored, frames)
            + 0.5 * sharp
            + 0.02 * (mean.pow(2).mean() + (std - 1).pow(2).mean() + (latents.abs() - 3).clamp_min(0).mean())
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0 or step == steps - 1:
            error = F.mse_loss(restored, frames).item() / 4
            log(f"vae {step} loss {loss.item():.4f} psnr {-10 * np.log10(error):.2f} latent std {std.mean().item():.2f} "
                f"seconds {time.time() - started:.0f}")
    video, _ = drawn(random.Random(seed + 1), 64, bank)
    with torch.no_grad():
        latents = torch.cat([vae.encode(part).latents for part in video.flatten(0, 1).split(64)])
    vae.register_to_config(scaling_factor=float(1 / latents.std()))
    return vae.eval()


# ------------------------------------------------------------------------------------- words and denoiser


def new_tokenizer() -> CLIPTokenizer:
    """Byte pairs over the world's captions: each of its words is one token, any other word is spelt out."""
    rng = random.Random(0)
    captions = [world.draw(rng)[1] for _ in range(40_000)]
    for name, (_, *others) in world.SUBJECTS.items():
        captions += [f"{word} {world.plural(word)}" for word in (name, *others)] * 20
    clip = CLIPTokenizer().backend_tokenizer
    pairs = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    pairs.normalizer, pairs.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=4000, min_frequency=2, end_of_word_suffix="</w>", show_progress=False, initial_alphabet=letters
    )
    pairs.train_from_iterator(captions, trainer)
    learned = json.loads(pairs.to_str())["model"]
    words = dict.fromkeys(["<|startoftext|>", "<|endoftext|>", *letters, *(f"{x}</w>" for x in letters)])
    words |= dict.fromkeys(sorted(learned["vocab"], key=learned["vocab"].get))
    return CLIPTokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[tuple(pair) for pair in learned["merges"]],
        model_max_length=TOKENS,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=4,
            num_attention_heads=6, max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def new_unet() -> UNet3DConditionModel:
    """ZeroScope's architecture, small: 15 million parameters."""
    return UNet3DConditionModel(
        sample_size=world.SIZE // 8, in_channels=LATENTS, out_channels=LATENTS,
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=(64, 128, 192), layers_per_block=1, cross_attention_dim=WIDTH,
        attention_head_dim=32, norm_num_groups=16,
    )  # fmt: skip


def new_scheduler() -> DDIMScheduler:
    """DDPM's linear schedule: at its end so little of the picture is left (6e-3) that the noise hides the place."""
    return DDIMScheduler(
        beta_start=1e-4, beta_end=0.02, beta_schedule="linear", clip_sample=False, set_alpha_to_one=False,
        timestep_spacing="trailing", steps_offset=0, prediction_type="epsilon",
    )  # fmt: skip


@torch.no_grad()
def latent_pool(vae: AutoencoderTiny, rng: random.Random, count: int, bank: Tensor) -> tuple[Tensor, list[str]]:
    """Encoded random clips (count, LATENTS, F, h, w) in half precision, with their captions."""
    parts, captions = [], []
    while len(captions) < count:
        video, words = drawn(rng, min(256, count - len(captions)), bank)
        with torch.autocast(bank.device.type, dtype=torch.bfloat16):
            frames = video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            latents = vae.encode(frames).latents * vae.config.scaling_factor
        parts.append(latents.unflatten(0, video.shape[:2]).transpose(1, 2).half())
        captions += words
    return torch.cat(parts), captions


class Average:
    """Exponential moving average of parameters, slow once it has settled."""

    def __init__(self, *modules: torch.nn.Module) -> None:
        self.live = [p for m in modules for p in m.parameters()]
        self.mean = [p.detach().clone() for p in self.live]
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        decay = min(0.9995, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.mean, self.live, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Put the average in the place of the live values, or back."""
        for mean, live in zip(self.mean, self.live, strict=True):
            kept = live.detach().clone()
            live.copy_(mean)
            mean.copy_(kept)


def train_unet(
    vae: AutoencoderTiny,
    tokenizer: CLIPTokenizer,
    *,
    steps: int,
    batch: int,
    pool: int,
    device: str,
    seed: int,
    seconds: float = float("inf"),
    rate: float = 5e-4,
    compiled: bool = False,
    log: Callable[[str], None] = print,
    every: int = 1000,
    report: Callable[[UNet3DConditionModel, CLIPTextModel, int], None] | None = None,
) -> tuple[UNet3DConditionModel, CLIPTextModel]:
    """Text encoder and denoiser from nothing: noise prediction with min-SNR weights.

    The first sixth of the steps sees single frames, later a tenth does, so that both images and clips work.
    Learning ends after `steps` or `seconds`, whichever comes first; the rate falls to zero by then.
    """
    torch.manual_seed(seed)
    rng, host = random.Random(seed), np.random.default_rng(seed)
    unet, text = new_unet().to(device), new_text_encoder(tokenizer).to(device)
    bank = place_bank(64).to(device)
    vae = vae.to(device).to(memory_format=torch.channels_last)
    started = time.time()
    latents, captions = latent_pool(vae, rng, pool, bank)
    tokens = torch.tensor(tokenizer(captions, padding="max_length", truncation=True)["input_ids"], device=device)
    empty = torch.tensor(tokenizer([""], padding="max_length")["input_ids"], device=device)
    log(f"drew {pool} clips in {time.time() - started:.0f} s")
    alphas = new_scheduler().alphas_cumprod.to(device)
    weights = torch.clamp(alphas / (1 - alphas), max=5.0) / (alphas / (1 - alphas))  # min-SNR, gamma 5
    average = Average(unet, text)
    parameters = [*unet.parameters(), *text.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=rate, weight_decay=0.01, betas=(0.9, 0.99), fused=device != "cpu"
    )
    denoise: Any = torch.compile(unet) if compiled else unet
    losses = torch.zeros((), device=device)
    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 500) * 0.5 * (1 + math.cos(math.pi * done))
        single = done < 1 / 6 or host.random() < 0.1
        rows = torch.from_numpy(host.integers(0, pool, batch * 4 if single else batch)).to(device)
        clean = latents[rows].float()
        if single:
            moments = torch.randint(0, world.FRAMES, (len(rows),), device=device)
            clean = clean[torch.arange(len(rows), device=device), :, moments][:, :, None]
        words = torch.where(torch.rand(len(rows), 1, device=device) < 0.1, empty, tokens[rows])
        times = torch.randint(0, len(alphas), (len(rows),), device=device)
        level = alphas[times].view(-1, 1, 1, 1, 1)
        noise = torch.randn_like(clean)
        noisy = level.sqrt() * clean + (1 - level).sqrt() * noise
        with torch.autocast(device, dtype=torch.bfloat16):
            embedding = text(words).last_hidden_state
            predicted = denoise(noisy, times, embedding).sample
        error = (predicted.float() - noise).pow(2).mean((1, 2, 3, 4))
        loss = (error * weights[times]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update()
        losses += loss.detach()
        if (step + 1) % 200 == 0:
            log(f"unet {step + 1} loss {losses.item() / 200:.4f} seconds {time.time() - started:.0f}")
            losses.zero_()
        if report and (step + 1) % every == 0:
            average.swap()
            report(unet.eval(), text.eval(), step + 1)
            unet.train(), text.train()
            average.swap()
    average.swap()
    return unet.eval(), text.eval()


def save(folder: Path, **parts: Any) -> None:
    """Write each part to its subfolder, in half precision."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            part = copy.deepcopy(part).half().to("cpu")  # noqa: PLW2901
        part.save_pretrained(folder / name)
