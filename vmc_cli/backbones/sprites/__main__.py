"""Rebuild the embedded model, or teach it further: python -m vmc_cli.backbones.sprites --help"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderDC, UNet3DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from . import WEIGHTS, autoencoder, lessons, training


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded model from nothing, with a fixed seed.")
    parser.add_argument("out", type=Path, help="folder for the weights, in diffusers layout")
    parser.add_argument("--vae-minutes", type=float, default=5, help="for the autoencoder")
    parser.add_argument("--minutes", type=float, default=110, help="for text encoder and denoiser")
    parser.add_argument("--further", action="store_true", help="start from the weights in this package")
    parser.add_argument("--batch", type=int, default=6, help="clips a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate")
    parser.add_argument("--looks", type=float, default=0.32, help="share of the time for looks, at first")
    parser.add_argument("--where", type=float, default=0.13, help="then for where words put things")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"

    torch.manual_seed(asked.seed)
    if asked.further:
        vae = AutoencoderDC.from_pretrained(WEIGHTS / "vae").float().eval()
        tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer")
        unet = UNet3DConditionModel.from_pretrained(WEIGHTS / "unet").float()
        text = CLIPTextModel.from_pretrained(WEIGHTS / "text_encoder").float()
    else:
        vae = autoencoder.train_vae(16, device, asked.seed, seconds=asked.vae_minutes * 60)
        tokenizer = training.new_tokenizer()
        unet, text = training.new_unet(), training.new_text_encoder(tokenizer)
    training.save(asked.out, vae=vae, tokenizer=tokenizer, scheduler=training.new_scheduler())
    training.train_unet(
        unet.to(device),
        text.to(device),
        tokenizer,
        vae,
        seconds=asked.minutes * 60,
        batch=asked.batch,
        pool=200 * asked.batch,
        rate=asked.rate,
        plan=lessons.Plan(asked.looks, asked.where),
        seed=asked.seed,
        keep=lambda unet, text: training.save(asked.out, unet=unet, text_encoder=text),
    )
    training.save(asked.out, unet=unet, text_encoder=text)


if __name__ == "__main__":
    main()
