"""ZeroScope in its full size, with random weights on the disk: it runs on a CPU, in little memory."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.vmc_cli.commands.conftest import draw
from tests.vmc_cli.conftest import write_surroundings

GIB = 24
WIDTH, HEIGHT, FRAMES = 128, 64, 4


def write_zeroscope(folder: Path) -> None:
    """The published network and text encoder in half precision, around a small autoencoder of its kind."""
    import torch
    from diffusers import UNet3DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from vmc_cli import backbones

    write_surroundings(folder, "AutoencoderKL", "epsilon")
    published = backbones.config(backbones.find("zeroscope").origins[0], "text_encoder")
    torch.manual_seed(0)
    UNet3DConditionModel().half().save_pretrained(folder / "unet")
    CLIPTextModel(CLIPTextConfig.from_dict(published)).half().save_pretrained(folder / "text_encoder")
    sizes = {"frames": FRAMES, "width": WIDTH, "height": HEIGHT, "fps": 8}
    (folder / "vmc.json").write_text(json.dumps(sizes))


@pytest.mark.stress
def test_zeroscope_learns_and_draws_two_steps_on_a_cpu(vmc: Callable[..., Ran], tmp_path: Path) -> None:
    write_zeroscope(tmp_path / "zeroscope")
    clip = draw(tmp_path / "clip", frames=FRAMES, step=4)
    (tmp_path / "short.toml").write_text('like = "vmc"\ninversion_steps = 2\nsteps = 2\n')
    asked = ("learn", clip, "--prompt", "a seagull is walking", "--backbone", tmp_path / "zeroscope")
    learned = vmc(*asked, "--method", tmp_path / "short.toml", "--json")
    assert learned.rc == 0, learned.stderr
    told = json.loads(learned.stdout)
    assert told["steps"] == 2
    assert 0 < told["loss"] < 2
    asked = ("generate", "a duck", "--motion", told["name"], "--backbone", tmp_path / "zeroscope")
    made = vmc(*asked, "--steps", "2", "--out", tmp_path / "duck.mp4")
    assert made.rc == 0, made.stderr
    assert (tmp_path / "duck.mp4").is_file()
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert largest < GIB * 2**30
    print(f"{largest / 2**30:.1f} GiB at the peak, {told['seconds']:.0f} s")
