import re
import weakref
from functools import partial

import pytest
import torch

from tests.vmc_cli.conftest import fingerprint
from vmc_cli import adapters
from vmc_cli.adapters import weights
from vmc_cli.device import generator
from vmc_cli.recipe import ALL_ALONG
from vmc_cli.recipes import RECIPES

RANKS = [2, None]


@pytest.fixture
def sites(tiny_backbone):
    return tiny_backbone.sites_for(RECIPES["vmc"].trains)


def predicted(backbone, context="a cat"):
    latents = torch.randn(1, *backbone.latent_shape, generator=generator(0))
    return backbone.predict(latents, 500, backbone.embed([context]))


@pytest.mark.parametrize("rank", RANKS)
def test_exactly_the_named_matrices_receive_a_gradient(tiny_backbone, sites, rank):
    names = {site.name for site in sites}
    with adapters.trained(tiny_backbone.network, sites, rank, generator(0)) as trainable:
        for key, parameter in trainable.parameters.items():
            if key.endswith("lora_B.weight"):  # from zero, no gradient reaches A
                torch.nn.init.normal_(parameter, std=0.1)
        predicted(tiny_backbone).square().sum().backward()
        moved = {
            re.sub(r"(\.lora_[AB]\.vmc)?(\.parametrizations)?\.weight(\.original)?", "", name)
            for name, parameter in tiny_backbone.network.named_parameters()
            if parameter.grad is not None
        }
        assert moved == names
        assert all(parameter.grad.any() for parameter in trainable.parameters.values())
        assert all(parameter.dtype is torch.float32 for parameter in trainable.parameters.values())
        ours = {id(parameter) for parameter in trainable.parameters.values()}
        required = {id(p) for p in tiny_backbone.network.parameters() if p.requires_grad}
        assert required == ours


def test_vmc_names_the_projections_of_both_attentions_of_every_temporal_block(sites):
    blocks = r"(down_blocks\.\d|mid_block|up_blocks\.\d)\.temp_attentions\.\d\.transformer_blocks\.0"
    assert all(re.fullmatch(blocks + r"\.attn[12]\.to_[qkv]", site.name) for site in sites)
    assert len(sites) == 7 * 2 * 3  # blocks with attention: 2 down, 1 mid, 4 up


@pytest.mark.parametrize("rank", RANKS)
def test_the_network_starts_as_it_was_and_ends_as_it_was(tiny_backbone, sites, rank):
    network = tiny_backbone.network
    before, random_state = fingerprint(network), torch.get_rng_state()
    with torch.no_grad():
        frozen = predicted(tiny_backbone)
        with adapters.trained(network, sites, rank, generator(0)) as trainable:
            torch.testing.assert_close(predicted(tiny_backbone), frozen)
            for parameter in trainable.parameters.values():
                parameter.add_(0.1)
            assert not torch.allclose(predicted(tiny_backbone), frozen)
        assert torch.equal(predicted(tiny_backbone), frozen)
    assert fingerprint(network) == before
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("rank", RANKS)
def test_in_training_it_can_rest_and_has_lost_nothing(tiny_backbone, sites, rank):
    network = tiny_backbone.network
    with torch.no_grad(), adapters.trained(network, sites, rank, generator(0)) as trainable:
        frozen = predicted(tiny_backbone)
        for parameter in trainable.parameters.values():
            parameter.add_(0.1)
        acting = predicted(tiny_backbone)
        with trainable.resting():
            assert torch.equal(predicted(tiny_backbone), frozen)
        assert torch.equal(predicted(tiny_backbone), acting)
        assert not torch.equal(acting, frozen)


def test_what_is_trained_beside_others_is_added_starts_as_nothing_and_can_rest(tiny_backbone, sites):
    network = tiny_backbone.network
    before = fingerprint(network)
    with torch.no_grad():
        frozen = predicted(tiny_backbone)
        with adapters.trained(network, sites, None, generator(0), beside=True) as trainable:
            assert torch.equal(predicted(tiny_backbone), frozen)
            for parameter in trainable.parameters.values():
                parameter.add_(0.1)
            assert not torch.allclose(predicted(tiny_backbone), frozen)
            with trainable.resting():
                assert torch.equal(predicted(tiny_backbone), frozen)
            tensors = trainable.tensors()
    assert fingerprint(network) == before
    assert {key: tuple(value.shape) for key, value in tensors.items()} == adapters.shapes(sites, None)
    assert all(torch.equal(value, torch.full_like(value, 0.1)) for value in tensors.values())


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_network_is_as_before_after_an_exception(tiny_backbone, sites, rank, error):
    def fails():
        with adapters.trained(tiny_backbone.network, sites, rank, generator(0)) as trainable:
            predicted(tiny_backbone).sum().backward()
            next(iter(trainable.parameters.values())).data.add_(1)
            raise error

    before = fingerprint(tiny_backbone.network)
    with pytest.raises(error):
        fails()
    assert fingerprint(tiny_backbone.network) == before


def test_the_network_is_as_before_when_it_cannot_be_made_trainable(tiny_backbone, sites, monkeypatch):
    import peft.tuners.lora.layer

    before = fingerprint(tiny_backbone.network)
    original, calls = peft.tuners.lora.layer.Linear.update_layer, []

    def fails_late(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 5:
            raise MemoryError
        return original(self, *args, **kwargs)

    monkeypatch.setattr(peft.tuners.lora.layer.Linear, "update_layer", fails_late)
    with pytest.raises(MemoryError), adapters.trained(tiny_backbone.network, sites, 2, generator(0)):
        pass
    assert len(calls) == 5
    assert fingerprint(tiny_backbone.network) == before


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("trains", [RECIPES["vmc"].trains, ("temporal-convolution/conv4.3",)])
def test_what_was_learned_merged_into_the_weights_predicts_the_same(exact_backbone, rank, trains):
    sites = exact_backbone.sites_for(trains)
    with torch.no_grad():
        plain = predicted(exact_backbone)
        with adapters.trained(exact_backbone.network, sites, rank, generator(0)) as trainable:
            for parameter in trainable.parameters.values():
                parameter.add_(torch.randn(parameter.shape, generator=generator(3)), alpha=0.1)
            wanted = predicted(exact_backbone)
            tensors = trainable.tensors()
        assert {key: tuple(value.shape) for key, value in tensors.items()} == adapters.shapes(sites, rank)
        before = [site.layer.weight for site in sites]
        for site in sites:
            merged = site.layer.weight + adapters.difference(site, tensors)
            site.layer.weight = torch.nn.Parameter(merged, requires_grad=False)
        found = predicted(exact_backbone)
        for site, weight in zip(sites, before, strict=True):
            site.layer.weight = weight
    assert (wanted - plain).abs().max() > 1e-2
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_of_what_is_added_nothing_is_kept_and_one_layer_has_it_at_a_time():
    layers, made = [torch.nn.Linear(2, 2) for _ in range(3)], []

    def change(layer):
        assert all(each() is None for each in made)
        ones = torch.ones_like(layer.weight, requires_grad=False)
        made.append(weakref.ref(ones))
        return ones

    before = [layer.weight.clone() for layer in layers]
    with weights.added([(layer, ALL_ALONG, partial(change, layer)) for layer in layers]):
        assert all(each() is None for each in made)
        for layer, weight in zip(layers, before, strict=True):
            assert torch.equal(layer.weight, weight + 1)
    assert len(made) == 3


def test_low_rank_and_full_keys_are_those_of_peft(sites):
    site = sites[0]
    assert adapters.shapes([site], 3) == {
        f"unet.{site.name}.lora_A.weight": (3, 16),
        f"unet.{site.name}.lora_B.weight": (16, 3),
    }
    assert adapters.shapes([site], None) == {f"unet.{site.name}.diff": (16, 16)}


@pytest.mark.parametrize("rank", RANKS)
def test_what_was_learned_so_far_is_not_changed_by_what_comes_later(tiny_backbone, sites, rank):
    with adapters.trained(tiny_backbone.network, sites, rank, generator(0)) as trainable:
        tensors = trainable.tensors()
        before = {key: value.clone() for key, value in tensors.items()}
        for parameter in trainable.parameters.values():
            parameter.data.add_(1)
    assert all(torch.equal(tensors[key], before[key]) for key in before)
    assert not any(value.requires_grad for value in tensors.values())


def test_low_rank_training_starts_from_zero_and_from_what_a_linear_layer_starts_from(tiny_backbone):
    sites = tiny_backbone.sites_for((*RECIPES["vmc"].trains, "temporal-convolution/conv4.3"))
    with adapters.trained(tiny_backbone.network, sites, 8, generator(0)) as trainable:
        for key, value in trainable.tensors().items():
            if key.endswith("lora_B.weight"):
                assert not value.any()
            else:
                bound = value[0].numel() ** -0.5  # uniform, nn.Linear's own
                assert 0.8 * bound < value.abs().max() <= bound


def test_a_seed_decides_where_low_rank_training_starts(tiny_backbone, sites):
    starts = []
    for seed in (1, 1, 2):
        with adapters.trained(tiny_backbone.network, sites, 2, generator(seed)) as trainable:
            starts.append(torch.cat([value.flatten() for value in trainable.tensors().values()]))
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
