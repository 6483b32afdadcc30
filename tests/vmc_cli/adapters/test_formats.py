"""What is trained is float32; all that the network computes has the format of its frozen weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.vmc_cli.conftest import fingerprint, tiny_spec
from vmc_cli import adapters, backbones
from vmc_cli.backbones import unet3d
from vmc_cli.device import generator
from vmc_cli.recipe import Recipe
from vmc_cli.recipes import RECIPES
from vmc_cli.training import Lesson

RECIPES_SEEN = {
    "low rank": RECIPES["vmc"].adjusted({"rank": 2}),
    "whole matrices": RECIPES["vmc"].adjusted({"rank": None}),
    "embeddings": RECIPES["inversion"],
    "paths": RECIPES["director"].adjusted({"rank": 2}),
    "convolutions": RECIPES["token"].adjusted({"rank": 2}),
    "whole convolutions": RECIPES["token"].adjusted({"rank": None}),
}


@pytest.fixture(scope="module", params=[torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def half(request: pytest.FixtureRequest, tiny_folder: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unet3d, "compute_dtype", lambda device: request.param)
        return backbones.load(tiny_spec(tiny_folder), "cpu")


@pytest.mark.parametrize("recipe", RECIPES_SEEN.values(), ids=RECIPES_SEEN)
def test_a_step_of_learning_keeps_to_its_formats(half: Any, recipe: Recipe) -> None:
    before, seen, source = fingerprint(half.network), {}, generator(0)

    def look(name: str) -> Any:
        def remember(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                seen[name] = output.dtype

        return remember

    clip, told = torch.randn(1, *half.latent_shape, generator=source), half.embed(["a cat"])
    adapter = adapters.place(half, recipe.adaptation)
    with adapter.trained(source) as trainable:
        paths = adapters.Paths(half, recipe.aside, 1, source)
        modules = [(name, module) for name, module in half.network.named_modules() if "param" not in name]
        hooks = [module.register_forward_hook(look(name)) for name, module in modules]
        Lesson(half, [(clip, lambda: told)], recipe, trainable, paths, source, Tensor.backward).learn([0])
        for hook in hooks:
            hook.remove()
        learned = [*trainable.parameters.values(), *paths.parameters.values()]
        assert {parameter.dtype for parameter in learned} == {torch.float32}
        assert {each.grad.dtype for each in learned if each.grad is not None} == {torch.float32}
    seen.pop("time_proj")  # sines of the timestep, before the network's own first layer
    assert len(seen) > 100
    assert {name for name, dtype in seen.items() if dtype is not half.dtype} == set()
    assert fingerprint(half.network) == before
