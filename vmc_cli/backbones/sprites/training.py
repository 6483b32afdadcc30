"""How the embedded model is made, once it has an autoencoder: the text encoder and the denoiser together.

Everything is drawn on the way, nothing is downloaded. How long it takes is given in time, not
steps: the longer the better, and a machine twice as fast gives a better model, not an earlier end.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderDC, DDIMScheduler, UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from vmc_cli.backbones import attention
from vmc_cli.backbones.unet3d import quicken

from . import lessons, scenes, world
from .autoencoder import LATENTS
from .averaging import Average
from .batches import drawn, place_bank
from .guesses import Guesses

TOKENS = 32
WIDTH = 128  # of the text embedding


def new_tokenizer() -> CLIPTokenizer:
    """Byte pairs over the world's captions: each of its words is one token, any other word is spelt out."""
    rng = random.Random(0)
    captions = [scenes.draw(rng)[1] for _ in range(40_000)]
    for name, (_, *others) in world.SUBJECTS.items():
        captions += [f"{word} {world.plural(word)}" for word in (name, *others)] * 20
    clip = CLIPTokenizer().backend_tokenizer
    pairs = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    pairs.normalizer, pairs.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=2,
        end_of_word_suffix="</w>",
        show_progress=False,
        initial_alphabet=letters,
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
            vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=3,
            num_attention_heads=4, max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def new_unet() -> UNet3DConditionModel:
    """ZeroScope's architecture, small: 14 million parameters. Its temporal layers start as identities."""
    unet = UNet3DConditionModel(
        sample_size=world.SIZE // 4, in_channels=LATENTS, out_channels=LATENTS,
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "UpBlock3D"),
        block_out_channels=(64, 128, 160), layers_per_block=1, cross_attention_dim=WIDTH,
        attention_head_dim=16, norm_num_groups=8,
    )  # fmt: skip
    for module in unet.modules():
        if isinstance(module, TransformerTemporalModel):
            torch.nn.init.zeros_(module.proj_out.weight)
            torch.nn.init.zeros_(module.proj_out.bias)
    return unet


@contextmanager
def frame_by_frame(unet: UNet3DConditionModel) -> Iterator[None]:
    """Pass the temporal layers by: single frames cost half as much without them."""
    layers = [m for m in unet.modules() if isinstance(m, TransformerTemporalModel | TemporalConvLayer)]
    for layer in layers:
        passed = isinstance(layer, TransformerTemporalModel)
        layer.forward = lambda video, *_, passed=passed, **__: (video,) if passed else video
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def new_scheduler() -> DDIMScheduler:
    """DDPM's linear schedule: at its end so little of the picture is left (6e-3) that noise hides the place.

    It asks for v: to predict noise there, the network would have to copy its input to a part in a thousand.
    """
    return DDIMScheduler(
        beta_start=1e-4, beta_end=0.02, beta_schedule="linear", clip_sample=False, set_alpha_to_one=False,
        timestep_spacing="trailing", steps_offset=0, prediction_type="v_prediction",
    )  # fmt: skip


@torch.no_grad()
def latent_pool(
    vae: AutoencoderDC, rng: random.Random, count: int, bank: Tensor
) -> tuple[Tensor, list[str], Tensor]:
    """Encoded random clips (count, LATENTS, F, h, w) in half precision, their captions, where someone is.

    The last, (count, 1, F, h, w), is the share of each latent's pixels that differ from the empty place.
    """
    parts, captions, filled = [], [], []
    while len(captions) < count:
        video, words, places = drawn(rng, min(256, count - len(captions)), bank)
        with torch.autocast(bank.device.type, dtype=torch.bfloat16):
            frames = video.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            latents = vae.encode(frames).latent * vae.config.scaling_factor
        parts.append(latents.unflatten(0, video.shape[:2]).transpose(1, 2).half())
        captions += words
        differs = (video - places[:, None]).abs().amax(2, keepdim=True) > 0.1
        filled.append(F.avg_pool3d(differs.float(), (1, 4, 4)).transpose(1, 2))
    return torch.cat(parts), captions, torch.cat(filled)


def train_unet(  # noqa: PLR0915
    unet: UNet3DConditionModel,
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    vae: AutoencoderDC,
    *,
    seconds: float,
    batch: int,
    pool: int,
    rate: float,
    plan: lessons.Plan,
    seed: int,
    keep: Callable[[UNet3DConditionModel, CLIPTextModel], None],
) -> None:
    """Teach text encoder and denoiser together, in place: v-prediction with min-SNR weights.

    What is seen when is up to ``plan``; before clips come, the temporal layers are passed by. Where the
    picture tells where subjects are, they count more than the place, less and less so: they are small, and
    learnt last. `keep` gets the averaged networks now and then.
    """
    device = next(unet.parameters()).device
    torch.manual_seed(seed)
    rng, host = random.Random(seed), torch.Generator().manual_seed(seed)
    quicken(unet)
    unet.set_attn_processor(attention.FusedAttention(attention.chosen("auto", device)[1]))
    for module in (*unet.modules(), *text.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    unet.train(), text.train()
    bank = place_bank(48).to(device)
    vae = vae.to(device).to(memory_format=torch.channels_last)
    started = time.time()
    latents, captions, filled = latent_pool(vae, rng, pool, bank)
    print(f"drew {pool} clips in {time.time() - started:.0f} s")
    alphas = new_scheduler().alphas_cumprod.to(device)
    ratio = alphas / (1 - alphas)
    weights = ratio.clamp(1.0, 5.0) / (ratio + 1)  # min-SNR, but never near 0
    average, guesses = Average(unet, text), Guesses(unet).to(device)
    parameters = [*unet.parameters(), *text.parameters(), *guesses.parameters()]
    temporal = [p for name, p in unet.named_parameters() if "temp_" in name or "transformer_in" in name]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if all(p is not other for other in temporal)]},
            {"params": temporal},
        ],
        lr=rate,
        weight_decay=0.01,
        betas=(0.9, 0.99),
        fused=True,
    )
    losses = torch.zeros((), device=device)
    started = time.time()
    for step in itertools.count():
        done = (time.time() - started) / seconds
        if done >= 1:
            break
        if step % 8 == 0:  # a pool that changes slowly: the oldest clips give way
            count = min(batch, pool)
            first = step // 8 * count % (pool - count + 1)
            part = slice(first, first + count)
            latents[part], captions[part], filled[part] = latent_pool(vae, rng, count, bank)
        for group, share in zip(optimizer.param_groups, plan.shares(done), strict=True):
            group["lr"] = rate * min(1, (step + 1) / 100) * share
        lesson = plan.lesson(done, host)
        rows = torch.randint(0, pool, (batch * lesson.many,), generator=host)
        clean, subject = latents[rows.to(device)].float(), filled[rows.to(device)]
        if lesson.single:
            moments = torch.randint(0, world.FRAMES, (len(rows),), generator=host)
            each = torch.arange(len(rows))
            clean, subject = clean[each, :, moments][:, :, None], subject[each, :, moments][:, :, None]
        if lesson.close:
            clean, subject = lessons.around_subject(clean, subject, clean.shape[-1] // 2, host)
        chosen = ["" if torch.rand((), generator=host) < 0.1 else captions[row] for row in rows]
        words = tokenizer(chosen, padding="max_length", truncation=True, return_tensors="pt").input_ids
        times = lessons.draw_times(len(rows), lesson, host).to(device)
        level = alphas[times].view(-1, 1, 1, 1, 1)
        noise = torch.randn(clean.shape, generator=host).to(device)
        noisy = level.sqrt() * clean + (1 - level).sqrt() * noise
        passing = frame_by_frame(unet) if plan.stills(done) else nullcontext()
        with torch.autocast(device.type, dtype=torch.bfloat16), passing, guesses.listening():
            embedding = text(words.to(device)).last_hidden_state
            predicted = unet(noisy, times, embedding).sample
        wanted = level.sqrt() * noise - (1 - level).sqrt() * clean
        # Behind more noise, emphasis would teach to draw subjects a little wherever they may be.
        told = (times < 500).view(-1, 1, 1, 1, 1)
        emphasis = 1 + 4 * max(0.0, 1 - 1.3 * done) * told * subject
        error = (emphasis * (predicted.float() - wanted).pow(2)).mean((1, 2, 3, 4))
        loss = (error * weights[times]).mean() + guesses.error(subject)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update()
        losses += loss.detach()
        if (step + 1) % 50 == 0:
            print(f"unet {step + 1} loss {losses.item() / 50:.4f}, {done:.1%} done")
            losses.zero_()
        if (step + 1) % 250 == 0:
            average.swap()
            keep(unet, text)
            average.swap()
    average.swap()
    unet.eval(), text.eval()


def save(folder: Path, **parts: Any) -> None:
    """Write each part to its subfolder, in half precision."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            part = copy.deepcopy(part).half().to("cpu")  # noqa: PLW2901
        part.save_pretrained(folder / name)
    for file in folder.glob("*/config.json"):
        config = json.loads(file.read_text())
        config.pop("_name_or_path", None)  # where it was trained is nobody's business
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
