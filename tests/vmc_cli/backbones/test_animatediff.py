import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.vmc_cli.conftest import tiny_spec, write_tiny_animatediff
from vmc_cli import backbones
from vmc_cli.errors import IncompatibleError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("animatediff")
    write_tiny_animatediff(folder)
    return folder


@pytest.fixture
def copied(whole, tmp_path):
    """A model on disk that a test may break."""
    return shutil.copytree(whole, tmp_path / "model")


def load(folder, **changes):
    return backbones.load(replace(tiny_spec(folder, "animatediff"), **changes), "cpu")


def test_it_computes_what_diffusers_does(whole, monkeypatch):
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    from vmc_cli.backbones import animatediff

    monkeypatch.setattr(animatediff, "compute_dtype", lambda device: torch.float32)
    ours = load(whole)
    images = UNet2DConditionModel.from_pretrained(whole / "unet")
    stock = UNetMotionModel.from_unet2d(
        images, MotionAdapter.from_pretrained(whole / "motion_adapter")
    ).eval()
    latents = torch.randn(2, *ours.latent_shape)
    prompts = ours.embed(["a cat", "a bird"])
    with torch.no_grad():
        found = ours.predict(latents, 300, prompts)
        wanted = stock(latents, 300, prompts.repeat_interleave(latents.shape[2], dim=0)).sample
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_projection_of_a_temporal_layer_gets_one_dense_matrix(whole):
    ours, seen = load(whole), []

    def look(module, inputs, named, output):
        seen.extend(each.is_contiguous() for each in (*inputs, *named.values()))

    layer = ours.network.down_blocks[0].motion_modules[0].proj_in
    layer.register_forward_hook(look, with_kwargs=True)
    with torch.no_grad():
        ours.predict(torch.randn(1, *ours.latent_shape), 5, ours.embed(["a"]))
    assert seen == [True]


def test_noise_is_added_as_when_the_adapter_was_trained(whole):
    betas = torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64)
    torch.testing.assert_close(
        load(whole).schedule.signal[:-1].square(), torch.cumprod(1 - betas, 0), rtol=1e-4, atol=1e-6
    )


def test_more_frames_than_the_adapter_knows_are_refused(whole):
    with pytest.raises(IncompatibleError, match="makes 32 frames at most"):
        load(whole, frames=33)


def test_an_adapter_for_another_network_is_refused(copied):
    from diffusers import MotionAdapter

    other = MotionAdapter(
        block_out_channels=(16, 16, 32), motion_layers_per_block=1, motion_norm_num_groups=8
    )
    other.save_pretrained(copied / "motion_adapter")
    with pytest.raises(IncompatibleError, match="was not made for"):
        load(copied)


@pytest.mark.parametrize("part", ["unet", "motion_adapter"])
def test_missing_weights_are_an_error_and_never_random(copied, part):
    [path] = (copied / part).glob("*.safetensors")
    weights = load_file(path)
    weights.pop(sorted(weights)[3])
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(IncompatibleError, match="lacks 1 weights"):
        load(copied)


def test_the_adapter_counts_for_the_revision(copied):
    spec = tiny_spec(copied, "animatediff")
    before = backbones.revision(spec)
    moved = copied.with_name("moved")
    shutil.copytree(copied, moved)
    [path] = (moved / "motion_adapter").glob("*.safetensors")
    elsewhere = replace(spec, sources=(copied, shutil.copytree(copied / "motion_adapter", moved / "other")))
    assert backbones.revision(elsewhere) == before
    path.write_bytes(path.read_bytes() + b"\0")
    assert backbones.revision(replace(spec, sources=(copied, moved / "motion_adapter"))) != before
