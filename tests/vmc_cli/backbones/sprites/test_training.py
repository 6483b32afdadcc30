"""How the embedded model is taught: what it is shown, and that it can be made from nothing."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vmc_cli import backbones, motions
from vmc_cli.backbones import unet3d
from vmc_cli.backbones.sprites import autoencoder, batches, guesses, training, world
from vmc_cli.course import Course


def test_guesses_are_wrong_before_and_right_after_learning():
    unet = training.new_unet()
    heads = guesses.Guesses(unet)
    noisy = torch.randn(1, training.LATENTS, world.FRAMES, 16, 16, generator=torch.Generator().manual_seed(0))
    covered = torch.zeros(1, 1, world.FRAMES, 16, 16)
    covered[..., 4:9, 4:9] = 1
    optimizer = torch.optim.Adam([*unet.parameters(), *heads.parameters()], lr=1e-3)
    errors = []
    for _ in range(12):
        with heads.listening():
            unet(noisy, 500, torch.zeros(1, 4, training.WIDTH))
        error = heads.error(covered)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.7 * errors[0]


def test_the_same_seed_draws_the_same_clips():
    bank = batches.place_bank(2)
    first, captions, _ = batches.drawn(random.Random(3), 4, bank)
    again, same, _ = batches.drawn(random.Random(3), 4, bank)
    other, _, _ = batches.drawn(random.Random(4), 4, bank)
    assert torch.equal(first, again)
    assert captions == same
    assert not torch.equal(first, other)


def test_where_someone_is_counts_more_than_the_empty_place():
    bank, vae = batches.place_bank(2), autoencoder.new_vae()
    latents, captions, filled = training.latent_pool(vae, random.Random(1), 12, bank)
    size = world.SIZE // 4
    assert latents.shape == (12, training.LATENTS, world.FRAMES, size, size)
    assert filled.shape == (12, 1, world.FRAMES, size, size)
    assert 0 <= filled.min() < filled.max() <= 1
    assert 0.03 < filled.mean() < 0.5
    assert len(captions) == 12


@pytest.mark.stress
def test_it_can_be_made_from_nothing(tmp_path: Path):
    arguments = ["--vae-minutes", "0.1", "--minutes", "0.5", "--batch", "1", "--seed", "3"]
    module = "vmc_cli.backbones.sprites"
    subprocess.run([sys.executable, "-m", module, str(tmp_path), *arguments], check=True, timeout=600)
    spec = replace(backbones.find("sprites"), sources=(tmp_path,))
    backbone = unet3d.load([tmp_path], spec, "new", "cpu")
    video = motions.generate(backbone, "a cat on the grass", course=Course(2))
    assert video.frames.shape == (world.FRAMES, world.SIZE, world.SIZE, 3)
