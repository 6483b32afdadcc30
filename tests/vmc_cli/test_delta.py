import dataclasses

import pytest
import torch

from registry.errors import Damaged
from registry.store import Store
from tests.vmc_cli.backbones.test_rows import card
from tests.vmc_cli.conftest import fingerprint
from vmc_cli import adapters
from vmc_cli.delta import Delta, attached, from_raw, to_raw
from vmc_cli.device import generator
from vmc_cli.errors import IncompatibleError
from vmc_cli.recipes import RECIPES


def make(backbone, rank=2, seed=0, scale=0.1):
    recipe = RECIPES["vmc"].adjusted({"rank": rank})
    source = generator(seed)
    sites = backbone.sites_for(recipe.trains)
    tensors = {
        key: (scale * torch.randn(shape, generator=source)).half()
        for key, shape in adapters.shapes(sites, rank).items()
    }
    tensors["start_noise"] = torch.randn(1, *backbone.latent_shape, generator=source).half()
    tensors["preview"] = torch.zeros(4, 8, 8, 3, dtype=torch.uint8)
    return Delta(card(backbone.spec, recipe=recipe.to_card()), tensors)


def predicted(backbone):
    latents = torch.randn(1, *backbone.latent_shape, generator=generator(0))
    with torch.no_grad():
        return backbone.predict(latents, 500, backbone.embed(["a cat"]))


@pytest.fixture(params=[2, None], ids=["low-rank", "full"])
def delta(request, tiny_backbone):
    return make(tiny_backbone, request.param)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (3, 2), (2, 1, 3)])
def test_tensors_survive_the_registrys_form_to_the_bit(dtype, shape):
    tensor = torch.randn(shape).to(dtype)
    back = from_raw(to_raw(tensor))
    assert back.dtype is dtype
    assert back.shape == shape
    assert torch.equal(back, tensor)
    transposed = torch.randn(4, 3).to(dtype).T
    assert torch.equal(from_raw(to_raw(transposed)), transposed)


def test_bytes_survive_too():
    tensor = torch.arange(24, dtype=torch.uint8).reshape(1, 2, 4, 3)
    assert torch.equal(from_raw(to_raw(tensor)), tensor)


def test_a_motion_survives_the_store_to_the_bit(delta, tmp_path):
    store = Store(tmp_path)
    with store.writing("walk") as slot:
        delta.save(slot)
    back = Delta.load(store, "walk")
    assert back.card == delta.card
    assert back.tensors.keys() == delta.tensors.keys()
    for key, value in delta.tensors.items():
        assert back.tensors[key].dtype is value.dtype
        assert torch.equal(back.tensors[key], value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("preview", None),
        ("preview", torch.zeros(4, 8, 8, 3)),
        ("preview", torch.zeros(6, 8, 8, 3, dtype=torch.uint8)),
        ("preview", torch.zeros(4, 8, 8, dtype=torch.uint8)),
        ("preview", torch.zeros(4, 8, 8, 1, dtype=torch.uint8)),
        ("start_noise", None),
        ("start_noise", torch.zeros(4, 8, 8)),
        ("start_noise", torch.zeros(1, 4, 4, 4, 4, dtype=torch.uint8)),
    ],
)
def test_a_stranger_without_what_all_motions_have_is_damaged_when_loaded(
    tiny_backbone, delta, tmp_path, key, value
):
    tensors = {name: tensor for name, tensor in delta.tensors.items() if name != key}
    if value is not None:
        tensors[key] = value
    store = Store(tmp_path)
    with store.writing("walk") as slot:
        Delta(delta.card, tensors).save(slot)
    with pytest.raises(Damaged, match=key.replace("_", " ")):
        Delta.load(store, "walk")


def test_attached_changes_the_prediction_and_leaves_no_trace(tiny_backbone, delta):
    before, plain = fingerprint(tiny_backbone.network), predicted(tiny_backbone)
    with attached(tiny_backbone, [(delta, 1.0)]):
        assert not torch.allclose(predicted(tiny_backbone), plain)
        assert not any(p.requires_grad for p in tiny_backbone.network.parameters())
    assert fingerprint(tiny_backbone.network) == before
    assert torch.equal(predicted(tiny_backbone), plain)


def test_attached_leaves_no_trace_after_an_exception(tiny_backbone, delta):
    before = fingerprint(tiny_backbone.network)
    with pytest.raises(KeyboardInterrupt), attached(tiny_backbone, [(delta, 1.0)]):
        raise KeyboardInterrupt
    assert fingerprint(tiny_backbone.network) == before


def test_strength_zero_leaves_the_network_as_it_is(tiny_backbone, delta):
    before, plain = fingerprint(tiny_backbone.network), predicted(tiny_backbone)
    with attached(tiny_backbone, [(delta, 0.0)]):
        assert fingerprint(tiny_backbone.network) == before
        assert torch.equal(predicted(tiny_backbone), plain)


def test_the_weights_become_the_sum_of_all_motions_by_strength(tiny_backbone):
    first, second = make(tiny_backbone, 2, seed=1), make(tiny_backbone, None, seed=2)
    site = first.adapter(tiny_backbone).sites[7]
    weight = site.layer.weight.double()
    down = first.tensors[f"unet.{site.name}.lora_A.weight"].double()
    up = first.tensors[f"unet.{site.name}.lora_B.weight"].double()
    expected = weight.clone()
    for row in range(weight.shape[0]):
        for column in range(weight.shape[1]):
            expected[row, column] += 0.5 * sum(up[row, k] * down[k, column] for k in range(2))
    expected -= 2.0 * second.tensors[f"unet.{site.name}.diff"].double()
    with attached(tiny_backbone, [(first, 0.5), (second, -2.0)]):
        merged = site.layer.weight
        assert merged.dtype is tiny_backbone.dtype
        tolerance = 2**-8 if merged.dtype is torch.bfloat16 else 1e-5
        torch.testing.assert_close(merged.double(), expected, rtol=tolerance, atol=tolerance)


def acting(delta, **shares):
    recipe = {**delta.card.recipe, **{f"acts_{key}": share for key, share in shares.items()}}
    return Delta(dataclasses.replace(delta.card, recipe=recipe), delta.tensors)


@pytest.mark.parametrize("rank", [2, None])
def test_each_acts_where_its_recipe_says_whatever_the_others_do(tiny_backbone, rank):
    always, first, last = (make(tiny_backbone, rank, seed=seed) for seed in (1, 2, 3))
    plain, before = predicted(tiny_backbone), fingerprint(tiny_backbone.network)

    def alone(deltas):
        with attached(tiny_backbone, deltas):
            return predicted(tiny_backbone)

    one, two, three = (always, 1.0), (first, 0.5), (last, -1.0)
    placed = [one, (acting(first, until=0.3), 0.5), (acting(last, until=0.1, **{"from": 0.6}), -1.0)]
    wanted = {0.9: [one, two], 0.61: [one, two], 0.6: [one, two, three], 0.31: [one, two, three]}
    wanted |= {0.3: [one, three], 0.11: [one, three], 0.1: [one], 0.0: [one]}
    found = {}
    with attached(tiny_backbone, placed) as acts:
        for left in sorted(wanted):
            with acts(left):
                found[left] = predicted(tiny_backbone)
        again = predicted(tiny_backbone)
    assert fingerprint(tiny_backbone.network) == before
    assert torch.equal(again, found[0.9])
    for left, deltas in wanted.items():
        assert torch.equal(found[left], alone(deltas))
    assert len({float(each.sum()) for each in (plain, found[0.9], found[0.6], found[0.3], found[0.1])}) == 5


@pytest.mark.parametrize(("shares", "inside"), [({"until": 0.5}, 0.51), ({"from": 0.5}, 0.5)])
def test_where_a_motion_does_not_act_the_network_is_bit_for_bit_its_own(tiny_backbone, delta, shares, inside):
    before = fingerprint(tiny_backbone.network)
    with attached(tiny_backbone, [(acting(delta, **shares), 1.0)]) as acts:
        with acts(inside):
            assert fingerprint(tiny_backbone.network) != before
        with acts(1.01 - inside):
            assert fingerprint(tiny_backbone.network) == before
        assert (fingerprint(tiny_backbone.network) != before) is ("until" in shares)  # as at the start


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan"), "0.5", True, None])
def test_a_motion_that_does_not_tell_where_it_acts_is_damaged(tiny_backbone, delta, share):
    with (
        pytest.raises(Damaged, match="where it acts"),
        attached(tiny_backbone, [(acting(delta, until=share), 1.0)]),
    ):
        pass


@pytest.mark.parametrize("share", [0.0, 0.3, 1.1, float("nan"), "0.5", True, None])
def test_a_motion_that_does_not_tell_from_where_it_acts_is_damaged(tiny_backbone, delta, share):
    with (
        pytest.raises(Damaged, match="where it acts"),
        attached(tiny_backbone, [(acting(delta, until=0.3, **{"from": share}), 1.0)]),
    ):
        pass


def test_a_motion_of_another_backbone_is_refused(tiny_backbone, delta):
    other = Delta(dataclasses.replace(delta.card, backbone="zeroscope"), delta.tensors)
    with pytest.raises(IncompatibleError, match="zeroscope"), attached(tiny_backbone, [(other, 1.0)]):
        pass
    other = Delta(dataclasses.replace(delta.card, revision="f" * 64), delta.tensors)
    with pytest.raises(IncompatibleError, match="revision"), attached(tiny_backbone, [(other, 0.0)]):
        pass


def _without(tensors):
    del tensors[min(key for key in tensors if key.startswith("unet."))]


def _renamed(tensors):
    key = min(key for key in tensors if key.startswith("unet."))
    tensors[f"base_model.{key}"] = tensors.pop(key)


def _extra(tensors):
    tensors["unet.transformer_in.proj_in.diff"] = torch.ones(2, 2)


def _reshaped(tensors):
    key = min(key for key in tensors if key.startswith("unet."))
    tensors[key] = tensors[key].flatten()


def _nan(tensors):
    tensors[max(key for key in tensors if key.startswith("unet."))][0, 0] = float("nan")


def _infinite(tensors):
    tensors[max(key for key in tensors if key.startswith("unet."))][0, 0] = float("inf")


def _huge(tensors):
    tensors[max(key for key in tensors if key.startswith("unet."))][0, 0] = 2000


def _nan_noise(tensors):
    tensors["start_noise"][0, 0, 0, 0, 0] = float("nan")


def _zero(tensors):
    for key in tensors:
        if "lora_B" in key or "diff" in key:
            tensors[key] = torch.zeros_like(tensors[key])


def _no_noise(tensors):
    del tensors["start_noise"]


def _other_noise(tensors):
    tensors["start_noise"] = tensors["start_noise"][:, :, :3]


def _other_latents(tensors):
    tensors["latents"] = tensors["start_noise"][:, :2]


def _no_preview(tensors):
    del tensors["preview"]


@pytest.mark.parametrize(
    "damage",
    [
        _without,
        _renamed,
        _extra,
        _reshaped,
        _nan,
        _infinite,
        _huge,
        _nan_noise,
        _zero,
        _no_noise,
        _other_noise,
        _other_latents,
        _no_preview,
    ],
)
def test_what_is_not_exactly_right_is_refused_before_anything_changes(tiny_backbone, delta, damage):
    tensors = {key: value.clone() for key, value in delta.tensors.items()}
    damage(tensors)
    good = make(tiny_backbone, seed=5)
    with (
        pytest.raises(Damaged, match=r"The motion walk cannot be used: [^\n]+\.$"),
        attached(tiny_backbone, [(good, 1.0), (Delta(delta.card, tensors), 1.0)]),
    ):
        pytest.fail("it was attached")


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"trains": "temporal-attention/to_q"},
        {"trains": []},
        {"trains": [1]},
        {"rank": 0},
        {"rank": True},
        {"rank": "2"},
        {"rank": 10**9},
        {"rank": 3},
    ],
)
def test_a_card_that_does_not_fit_its_tensors_is_refused(tiny_backbone, recipe):
    delta = make(tiny_backbone)
    changed = {**delta.card.recipe, **recipe} if recipe else {}
    forged = Delta(dataclasses.replace(delta.card, recipe=changed), delta.tensors)
    with pytest.raises(Damaged), attached(tiny_backbone, [(forged, 1.0)]):
        pass


def test_the_start_noise_is_the_methods_choice_and_may_differ_for_several_clips(tiny_backbone):
    for told, several, wanted in (
        ({}, False, "motion"),
        ({"noise": "blend"}, False, "blend"),
        ({"noise": "blend"}, True, "blend"),
        ({"noise": "blend", "noise_of_several": "random"}, False, "blend"),
        ({"noise": "blend", "noise_of_several": "random"}, True, "random"),
        ({"noise": "not invented yet"}, False, "motion"),
    ):
        delta = make(tiny_backbone)
        noise = delta.tensors["start_noise"]
        tensors = {**delta.tensors, "start_noise": torch.cat([noise, noise]) if several else noise}
        recipe = {key: delta.card.recipe[key] for key in ("trains", "rank")}
        card = dataclasses.replace(delta.card, recipe={**recipe, **told})
        assert Delta(card, tensors).noise == wanted


def test_a_recipe_of_a_later_version_can_still_be_used(tiny_backbone):
    delta = make(tiny_backbone)
    recipe = {**delta.card.recipe, "loss": "not invented yet", "temperature": 3}
    with attached(
        tiny_backbone, [(Delta(dataclasses.replace(delta.card, recipe=recipe), delta.tensors), 1.0)]
    ):
        pass
