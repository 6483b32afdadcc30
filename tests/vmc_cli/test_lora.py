"""Every key of a foreign LoRA file is accounted for, and what fits is added as its makers mean it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from registry.errors import Damaged
from tests.vmc_cli.conftest import fingerprint, tiny_spec
from tests.vmc_cli.test_delta import predicted
from vmc_cli import backbones, lora
from vmc_cli.delta import worn
from vmc_cli.device import generator
from vmc_cli.errors import IncompatibleError, NotFoundError, UsageError

MODULES = {
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k": (16, 16),
    "up_blocks.1.attentions.0.transformer_blocks.0.ff.net.2": (32, 128),
    "down_blocks.0.resnets.0.conv1": (16, 16, 3, 3),
}
STYLES = {
    "diffusers": "unet.{}.lora_{}.weight",
    "peft": "base_model.model.{}.lora_{}.weight",
    "bare": "{}.lora_{}.weight",
    "old diffusers": "unet.{}.lora.{}.weight",
    "kohya names": "{}.lora_{}.weight",
    "kohya": "lora_unet_{}.lora_{}.weight",
}


def pairs(style, seed=0, rank=2):
    source, found = generator(seed), {}
    sides = ("down", "up") if style in ("old diffusers", "kohya names", "kohya") else ("A", "B")
    for module, (outputs, inputs, *kernel) in MODULES.items():
        ones, path = [1] * len(kernel), module.replace(".", "_") if style == "kohya" else module
        found[STYLES[style].format(path, sides[0])] = torch.randn(rank, inputs, *kernel, generator=source)
        found[STYLES[style].format(path, sides[1])] = torch.randn(outputs, rank, *ones, generator=source)
    return {key: value / 3 for key, value in found.items()}


def written(folder, tensors, metadata=None):
    path = folder / "dog.safetensors"
    save_file(tensors, path, metadata)
    return path


@pytest.fixture
def shapes(tiny_folder):
    return backbones.weight_shapes(tiny_spec(tiny_folder))


def test_shapes_are_those_of_the_loaded_network(tiny_backbone, shapes):
    assert shapes == {name: tuple(each.shape) for name, each in tiny_backbone.network.named_parameters()}


@pytest.mark.parametrize("style", STYLES)
def test_what_is_added_is_b_times_a(exact_backbone, shapes, tmp_path, style):
    tensors = pairs(style)
    found = lora.read(written(tmp_path, tensors)).matched(shapes)
    assert (found.factors.keys(), found.others) == (MODULES.keys(), ())
    before, bare = fingerprint(exact_backbone.network), predicted(exact_backbone)
    values = list(tensors.values())
    with worn(exact_backbone, [(found, 0.5)]):
        for number, module in enumerate(MODULES):
            down, up = (each.double() for each in values[2 * number : 2 * number + 2])
            frozen = dict(zip(before, before.values(), strict=True))[f"{module}.weight"]
            weight = exact_backbone.network.get_submodule(module).weight
            old = torch.frombuffer(bytearray(frozen[-1]), dtype=torch.float32).reshape(weight.shape)
            wanted = old.double() + 0.5 * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
            torch.testing.assert_close(weight.double(), wanted, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(predicted(exact_backbone), bare, atol=1e-3)
    assert fingerprint(exact_backbone.network) == before
    with worn(exact_backbone, [(found, 0.0)]):
        assert fingerprint(exact_backbone.network) == before


@pytest.mark.parametrize(
    ("metadata", "alpha", "scale"),
    [
        ({}, None, 1),
        ({}, 6.0, 3),
        ({"unet.lora_alpha": 8, "unet.r": 2}, None, 4),
        ({"unet.lora_alpha": 8, "unet.use_rslora": True}, None, 8 / 2**0.5),
        ({"lora_alpha": 8, "alpha_pattern": {next(iter(MODULES)): 1}}, None, 0.5),
        ({"unet.lora_alpha": "much"}, None, 1),
    ],
)
def test_alpha_scales_by_rank(tmp_path, metadata, alpha, scale):
    module, tensors = next(iter(MODULES)), pairs("diffusers")
    if alpha:
        tensors[f"unet.{module}.alpha"] = torch.tensor(alpha)
    path = written(tmp_path, tensors, {"lora_adapter_metadata": json.dumps(metadata)})
    found = lora.read(path)
    assert found.factors[module].scale == pytest.approx(scale)
    assert found.others == ()


def test_kohyas_own_alphas_count_and_what_is_for_the_text_encoder_is_told(tmp_path, shapes):
    module = next(iter(MODULES))
    tensors = {**pairs("kohya"), f"lora_unet_{module.replace('.', '_')}.alpha": torch.tensor(1.0)}
    tensors |= {f"lora_te_text_model_q_proj.lora_{side}.weight": torch.ones(2, 2) for side in ("up", "down")}
    found = lora.read(written(tmp_path, tensors)).matched(shapes)
    assert found.factors.keys() == MODULES.keys()
    assert [found.factors[each].scale for each in MODULES] == [0.5, 1, 1]
    assert found.others == ("lora_te_text_model_q_proj",)


def test_keys_that_do_not_fit_are_told(tmp_path, shapes):
    tensors = pairs("diffusers")
    tensors["unet.mid_block.nothing.lora_A.weight"] = torch.ones(2, 4)
    tensors["unet.mid_block.nothing.lora_B.weight"] = torch.ones(4, 2)
    tensors["text_encoder.layer.lora_A.weight"] = torch.ones(2, 4)
    tensors["unet.x.dora_scale"] = torch.ones(2)
    found = lora.read(written(tmp_path, tensors)).matched(shapes)
    assert found.factors.keys() == MODULES.keys()
    assert set(found.others) == {"mid_block.nothing", "text_encoder.layer.lora_A.weight", "unet.x.dora_scale"}


def test_files_that_are_for_nothing_here_are_refused(tmp_path, shapes):
    nothing = {"unet.a.lora_A.weight": torch.ones(2, 4), "unet.a.lora_B.weight": torch.ones(4, 2)}
    with pytest.raises(IncompatibleError, match="Nothing in dog"):
        lora.read(written(tmp_path, nothing)).matched(shapes)
    other = pairs("diffusers")
    other["unet.down_blocks.0.resnets.0.conv1.lora_B.weight"] = torch.ones(320, 2, 1, 1)
    with pytest.raises(IncompatibleError, match=r"made for another model: .*320"):
        lora.read(written(tmp_path, other)).matched(shapes)
    with pytest.raises(UsageError, match="no LoRA file"):
        lora.read(written(tmp_path, {"weight": torch.ones(2)}))
    with pytest.raises(NotFoundError, match="no file"):
        lora.read(tmp_path / "cat.safetensors")
    (tmp_path / "cat.safetensors").write_bytes(b"pickle")
    with pytest.raises(Damaged, match=r"cat\.safetensors"):
        lora.read(tmp_path / "cat.safetensors")


@pytest.mark.parametrize("wrong", [float("nan"), 1e9])
def test_impossible_numbers_are_refused_before_anything_changes(tiny_backbone, shapes, tmp_path, wrong):
    tensors = pairs("diffusers")
    tensors[max(tensors)].view(-1)[0] = wrong
    found = lora.read(written(tmp_path, tensors)).matched(shapes)
    with pytest.raises(Damaged, match="finite"), worn(tiny_backbone, [(found, 1.0)]):
        pytest.fail("it was worn")
