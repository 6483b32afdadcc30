"""Spatial paths learn the looks of their own clip, and nothing of them stays."""

from __future__ import annotations

import pytest
import torch

from tests.vmc_cli.conftest import fingerprint
from tests.vmc_cli.training.conftest import same
from vmc_cli import adapters
from vmc_cli.device import generator
from vmc_cli.recipes import RECIPES
from vmc_cli.training import Lesson, train

RECIPE = RECIPES["director"].adjusted({"steps": 4, "rank": 2})


@pytest.fixture
def clips(tiny_backbone):
    source = generator(11)
    return [torch.randn(1, *tiny_backbone.latent_shape, generator=source) for _ in range(2)]


def predicted(backbone):
    latents = torch.randn(1, *backbone.latent_shape, generator=generator(0))
    return backbone.predict(latents, 500, backbone.embed(["a cat"]))


def test_a_path_is_a_low_rank_product_beside_each_spatial_layer(exact_backbone):
    paths = adapters.Paths(exact_backbone, RECIPE.aside, 2, generator(0))
    sites = exact_backbone.sites_for(RECIPE.aside)
    assert {site.role for site in sites} == {"spatial-self-attention", "spatial-feed-forward"}
    before, parameters = fingerprint(exact_backbone.network), paths.parameters
    with torch.no_grad():
        bare = predicted(exact_backbone)
        with paths.beside(1, learning=True):
            torch.testing.assert_close(predicted(exact_backbone), bare)
        for number, parameter in enumerate(parameters.values()):
            parameter.add_(torch.randn(parameter.shape, generator=generator(number)), alpha=0.1)
        with paths.beside(1, learning=True):
            found = predicted(exact_backbone)
        weights = [site.layer.weight for site in sites]
        for site in sites:
            down, up = (parameters[f"path.1.{site.name}.{side}"] for side in "AB")
            merged = (site.layer.weight.double() + up.double() @ down.double()).float()
            site.layer.weight = torch.nn.Parameter(merged, requires_grad=False)
        wanted = predicted(exact_backbone)
        for site, weight in zip(sites, weights, strict=True):
            site.layer.weight = weight
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(found, bare, atol=1e-2)
    assert fingerprint(exact_backbone.network) == before


@pytest.mark.parametrize("objective", ["motion", "looks"])
def test_motion_teaches_the_temporal_layers_and_looks_teach_the_path_of_their_clip(
    tiny_backbone, clips, objective
):
    before = fingerprint(tiny_backbone.network)
    adapter, source = adapters.place(tiny_backbone, RECIPE.adaptation), generator(0)
    with adapter.trained(source) as trainable:
        paths = adapters.Paths(tiny_backbone, RECIPE.aside, 2, source)
        for parameter in (*trainable.parameters.values(), *paths.parameters.values()):
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
        embedding = tiny_backbone.embed(["a cat"])
        examples = [(clip, lambda: embedding) for clip in clips]
        lesson = Lesson(tiny_backbone, examples, RECIPE, trainable, paths, source, torch.Tensor.backward)
        getattr(lesson, objective)([1] if objective == "motion" else 1)
        taught = {
            key
            for key, parameter in {**trainable.parameters, **paths.parameters}.items()
            if parameter.grad is not None and parameter.grad.any()
        }
        # One pixel is left in the middle of this model: nothing to choose, so Q and K learn nothing.
        asking = ("mid_block", ".attn1.to_q.", ".attn1.to_k.")
        own = {key for key in paths.parameters if key.startswith("path.1.")}
        own = {key for key in own if not (asking[0] in key and (asking[1] in key or asking[2] in key))}
        assert taught == (set(trainable.parameters) if objective == "motion" else own)
    assert fingerprint(tiny_backbone.network) == before


def test_the_path_is_there_while_the_motion_is_learned(tiny_backbone, clips):
    embedding = tiny_backbone.embed(["a cat"])
    # One objective draws more numbers than the other, so only the path's weight may make a difference.
    both = train(tiny_backbone, clips[:1], embedding, RECIPE, seed=0)
    again = train(tiny_backbone, clips[:1], embedding, RECIPE, seed=0)
    assert same(both, again)
    assert not any(key.startswith("path") for key in both.tensors)

    class Bare(adapters.Paths):
        def beside(self, number, *, learning):
            return super().beside(number, learning=True) if learning else torch.enable_grad()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapters, "Paths", Bare)
        assert not same(both, train(tiny_backbone, clips[:1], embedding, RECIPE, seed=0))
