"""A blend adds to a network what its motions add together."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from registry.card import Source
from registry.errors import Damaged
from tests.vmc_cli.test_delta import acting, make
from vmc_cli import adapters
from vmc_cli.blending import blended
from vmc_cli.delta import Delta, attached
from vmc_cli.errors import IncompatibleError, UsageError


def named(delta, name):
    sources = (Source(f"{name}.mp4", "0" * 64), Source("both.mp4", "1" * 64))
    return Delta(dataclasses.replace(delta.card, name=name, sources=sources, steps=5), delta.tensors)


def weights_with(backbone, parts):
    sites = backbone.sites()
    with attached(backbone, parts):
        return {site.name: site.layer.weight.detach().clone() for site in sites}


@pytest.mark.parametrize("ranks", [(2, 3), (2, None), (None, 4), (None, None)])
def test_a_blend_is_the_sum_of_its_motions(exact_backbone, ranks):
    first, second = (named(make(exact_backbone, rank, seed=rank or 9), str(rank)) for rank in ranks)
    parts = [(first, 0.5), (second, -2.0)]
    blend = blended(parts, "both")
    assert blend.card.recipe["rank"] == (sum(ranks) if None not in ranks else None)
    wanted, found = weights_with(exact_backbone, parts), weights_with(exact_backbone, [(blend, 1.0)])
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-3)
    assert any((wanted[name] - weight).abs().max() > 0.01 for name, weight in _bare(exact_backbone).items())


def _bare(backbone):
    return {site.name: site.layer.weight.detach() for site in backbone.sites()}


def test_motions_of_other_layers_blend_too(exact_backbone):
    one = make(exact_backbone, 2, seed=1)
    trains = ("temporal-attention/to_q", "temporal-convolution/conv4.3")
    sites, source = exact_backbone.sites_for(trains), torch.Generator().manual_seed(5)
    weights = {
        key: torch.randn(shape, generator=source).half() / 10
        for key, shape in adapters.shapes(sites, 3).items()
    }
    recipe = {**one.card.recipe, "rank": 3, "trains": list(trains)}
    kept = {key: one.tensors[key] for key in ("start_noise", "preview")}
    other = Delta(dataclasses.replace(one.card, name="other", recipe=recipe), {**weights, **kept})
    parts = [(one, 1.0), (other, 1.0)]
    blend = blended(parts, "both")
    assert blend.card.recipe["rank"] == 5
    wanted, found = weights_with(exact_backbone, parts), weights_with(exact_backbone, [(blend, 1.0)])
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-3)


def test_the_rest_is_the_first_motions_and_the_card_says_so(tiny_backbone):
    first, second = (named(make(tiny_backbone, 2, seed=seed), name) for seed, name in enumerate("ab"))
    blend = blended([(first, 0.5), (second, 2)], "c")
    assert torch.equal(blend.tensors["start_noise"], first.tensors["start_noise"])
    assert (blend.card.name, blend.card.method, blend.card.prompt) == ("c", "blend", first.card.prompt)
    assert blend.card.extra == {"blend": "a:0.5 b:2"}
    assert [source.name for source in blend.card.sources] == ["a.mp4", "both.mp4", "b.mp4"]
    assert blend.card.steps == 10


def test_a_motion_that_is_not_whole_is_refused(tiny_backbone):
    good = make(tiny_backbone, 2)
    key = min(good.weights)
    for damage in (
        {other: value for other, value in good.tensors.items() if other != key},
        {**good.tensors, "unet.odd": torch.zeros(1)},
        {**good.tensors, key: good.tensors[key][:1]},
    ):
        with pytest.raises(Damaged, match="cannot be used"):
            blended([(good, 1.0), (Delta(good.card, damage), 1.0)], "c")


def test_strengths_beyond_what_can_be_stored_are_refused(tiny_backbone):
    with pytest.raises(UsageError, match="far too large"):
        blended([(make(tiny_backbone, 2), 1e6), (make(tiny_backbone, 2), 1.0)], "c")


@pytest.mark.parametrize("shares", [{"from": 0.6}, {"until": 0.5}])
def test_motions_that_act_elsewhere_are_not_one(tiny_backbone, shares):
    one, other = named(make(tiny_backbone, 2, seed=1), "one"), named(make(tiny_backbone, 2, seed=2), "other")
    with pytest.raises(IncompatibleError, match="one and other cannot be one: they differ in where they act"):
        blended([(one, 0.5), (acting(other, **shares), 0.5)], "both")
    assert blended([(acting(one, **shares), 0.5), (acting(other, **shares), 0.5)], "both").span == (
        acting(one, **shares).span
    )


def test_a_motion_of_a_time_when_all_acted_all_along_blends_with_a_new_one(tiny_backbone):
    new = named(make(tiny_backbone, 2, seed=1), "new")
    recipe = {key: value for key, value in new.card.recipe.items() if not key.startswith("acts_")}
    old = Delta(dataclasses.replace(new.card, name="old", recipe=recipe), new.tensors)
    for parts in ([(new, 1.0), (old, 1.0)], [(old, 1.0), (new, 1.0)]):
        assert blended(parts, "both").span == new.span
