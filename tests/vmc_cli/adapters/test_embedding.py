"""Motion embeddings are what Motion Inversion's eq. 1 says, whichever kernel computes the attention."""

from __future__ import annotations

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch

from tests.vmc_cli.conftest import tiny_spec
from vmc_cli import adapters, backbones
from vmc_cli.adapters import embedding
from vmc_cli.adapters.embedding import VALUES, fitted
from vmc_cli.backbones import framewise, unet3d
from vmc_cli.device import generator
from vmc_cli.recipe import ALL_ALONG, Span
from vmc_cli.recipes import RECIPES

ADAPTATION = replace(RECIPES["inversion"].adaptation, blocks="all", values="kept")


def place(backbone, shape=None, **changes):
    return adapters.place(backbone, replace(ADAPTATION, **changes), shape)


def tables(adapter, seed=0):
    source = generator(seed)
    return {key: torch.randn(shape, generator=source) for key, shape in adapter.shapes().items()}


def predicted(backbone, batch=1, frames=None):
    channels, own, *sides = backbone.latent_shape
    latents = torch.randn(batch, channels, frames or own, *sides, generator=generator(0))
    with torch.no_grad():
        return backbone.predict(latents, 500, backbone.embed(["a cat"] * batch))


@pytest.mark.parametrize("block", ["down_blocks.0.temp_attentions.0", "up_blocks.1.temp_attentions.1"])
@pytest.mark.parametrize("number", [1, 2])
def test_attention_is_equation_1_with_a_plain_softmax(exact_backbone, block, number):
    adapter, strength, seen = place(exact_backbone), 0.7, {}
    learned = tables(adapter)
    path = f"{block}.transformer_blocks.0"
    attention = exact_backbone.network.get_submodule(f"{path}.attn{number}")
    handle = attention.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0], y=output))
    try:
        with type(adapter).attached([(adapter, learned, strength, ALL_ALONG)]):
            predicted(exact_backbone, batch=2)
    finally:
        handle.remove()
    x = seen["x"].double().numpy()  # (2*h*w, F, C)
    m_qk = strength * learned[f"unet.{path}.m_qk"].double().numpy()
    m_v = strength * learned[f"unet.{path}.attn{number}.m_v"].double().numpy()
    q, k, v = (getattr(attention, name).weight.detach().double().numpy() for name in ("to_q", "to_k", "to_v"))
    out, bias = (getattr(attention.to_out[0], name).detach().double().numpy() for name in ("weight", "bias"))
    size = q.shape[0] // attention.heads
    pixels = len(m_v)
    assert len(x) == 2 * pixels
    wanted = np.zeros_like(x)
    for row in range(len(x)):
        query, key = ((x[row] + m_qk[0]) @ matrix.T for matrix in (q, k))
        value = (x[row] + m_v[row % pixels]) @ v.T
        heads = []
        for head in range(attention.heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / size**0.5
            weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            heads.append(weights @ value[:, part])
        wanted[row] = np.concatenate(heads, axis=1) @ out.T + bias
    np.testing.assert_allclose(seen["y"].numpy(), wanted, rtol=1e-3, atol=1e-4)


def test_one_table_serves_queries_and_keys_of_a_block_and_each_attention_has_its_values(tiny_backbone):
    block = "unet.down_blocks.1.temp_attentions.0.transformer_blocks.0"
    mine = {key: shape for key, shape in place(tiny_backbone).shapes().items() if key.startswith(block)}
    assert mine == {
        f"{block}.m_qk": (1, 4, 32),
        f"{block}.attn1.m_v": (4, 4, 32),
        f"{block}.attn2.m_v": (4, 4, 32),
    }


@pytest.mark.parametrize(
    ("blocks", "down", "up", "mid"), [("widest", 2, 3, 0), ("outer", 6, 9, 0), ("all", 6, 9, 1)]
)
def test_the_sets_of_blocks_are_those_of_the_paper_on_its_architecture(blocks, down, up, mid):
    with torch.device("meta"):
        network = diffusers.UNet3DConditionModel()  # the defaults are ModelScope's
    sites = [site for site in framewise.find_sites(network, unet3d.ROLES) if site.key in ADAPTATION.trains]

    class Bare(unet3d.UNet3D):
        def __init__(self):
            self.latent_shape = (4, 32, 40, 72)

        def sites(self):
            return sites

    adapter = place(Bare(), blocks=blocks)
    found = {site.block for site in adapter.sites}
    assert [sum(each.startswith(part) for each in found) for part in ("down", "up", "mid")] == [down, up, mid]
    if blocks == "widest":
        assert {site.channels for site in adapter.sites} == {1280}
        parameters = sum(np.prod(shape) for shape in adapter.shapes().values())
        assert parameters == 73_932_800  # 73.9 M at 576x320 with the 32 frames of the released code


def test_values_are_dropped_or_replaced_by_their_differences():
    table = torch.randn(6, 4, 3, generator=generator(1))
    assert not VALUES["none"](table).any()
    assert VALUES["kept"](table) is table
    changed = VALUES["difference"](table)
    for pixel in range(6):
        assert torch.equal(changed[pixel, 0], table[pixel, 0])
        for frame in range(1, 4):
            assert torch.equal(changed[pixel, frame], table[pixel, frame] - table[pixel, frame - 1])


@pytest.mark.parametrize("values", ["none", "difference"])
def test_values_are_changed_when_generating_only(exact_backbone, values):
    adapter = place(exact_backbone, values=values)
    learned = tables(adapter)
    with adapter.trained(generator(0)) as trainable, torch.no_grad():
        for key, parameter in trainable.parameters.items():
            parameter.copy_(learned[key])
        learning = predicted(exact_backbone)
    with type(adapter).attached([(adapter, learned, 1.0, ALL_ALONG)]):
        generating = predicted(exact_backbone)
    kept = place(exact_backbone)
    with type(kept).attached([(kept, learned, 1.0, ALL_ALONG)]):
        torch.testing.assert_close(predicted(exact_backbone), learning)
    used = {key: VALUES[values](table) if key.endswith("m_v") else table for key, table in learned.items()}
    with type(kept).attached([(kept, used, 1.0, ALL_ALONG)]):
        torch.testing.assert_close(predicted(exact_backbone), generating)
    assert not torch.allclose(learning, generating, atol=1e-3)


def test_the_kernel_stays_in_use(tiny_backbone, monkeypatch):
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *args, **options: calls.append(1) or original(*args, **options),
    )
    predicted(tiny_backbone)
    bare = len(calls)
    adapter = place(tiny_backbone)
    with type(adapter).attached([(adapter, tables(adapter), 1.0, ALL_ALONG)]):
        predicted(tiny_backbone)
    assert bare > 0
    assert len(calls) == 2 * bare


@pytest.mark.parametrize("wanted", [(4, 2, 3), (7, 2, 3), (4, 3, 2), (5, 4, 5), (2, 1, 1)])
def test_tables_are_interpolated_linearly(wanted):
    learned = (4, 2, 3)
    table = torch.randn(6, 4, 5, generator=generator(2))
    found = fitted(table, learned, wanted)
    assert found.shape == (wanted[1] * wanted[2], wanted[0], 5)
    places = [
        np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
        for old, new in zip(learned, wanted, strict=True)
    ]
    axes = [np.arange(old) for old in learned]
    values = table.double().numpy().reshape(2, 3, 4, 5)
    for axis, grid, place_ in ((0, axes[1], places[1]), (1, axes[2], places[2]), (2, axes[0], places[0])):
        values = np.apply_along_axis(lambda line, g=grid, p=place_: np.interp(p, g, line), axis, values)
    np.testing.assert_allclose(found.numpy(), values.reshape(found.shape), rtol=1e-4, atol=1e-5)


def test_a_table_for_all_pixels_is_interpolated_along_frames_alone():
    table = torch.tensor([[[0.0], [1.0], [4.0]]])
    assert fitted(table, (3, 2, 2), (5, 9, 9)).flatten().tolist() == [0, 0.5, 1, 2.5, 4]


def test_a_motion_of_another_length_and_size_acts(tiny_backbone, tiny_folder):
    learned = place(tiny_backbone)
    tensors = tables(learned)
    longer = backbones.load(replace(tiny_spec(tiny_folder), frames=6, height=64, width=48), "cpu")
    adapter = place(longer, tiny_backbone.latent_shape)
    assert adapter.shapes() == learned.shapes()
    bare = predicted(longer)
    with type(adapter).attached([(adapter, tensors, 1.0, ALL_ALONG)]):
        assert not torch.allclose(predicted(longer), bare)


def test_embeddings_act_where_they_are_told_to(tiny_backbone):
    adapter, plain = place(tiny_backbone), predicted(tiny_backbone)
    with type(adapter).attached([(adapter, tables(adapter), 1.0, Span(until=0.5))]) as acts:
        acting = predicted(tiny_backbone)
        with acts(0.5):
            assert torch.equal(predicted(tiny_backbone), plain)
        with acts(0.6):
            assert torch.equal(predicted(tiny_backbone), acting)
        assert torch.equal(predicted(tiny_backbone), acting)
    assert torch.equal(predicted(tiny_backbone), plain)
    assert not torch.equal(acting, plain)


def test_every_scale_is_that_of_the_grid_which_arrives(tiny_backbone, monkeypatch):
    seen, handles = {}, []
    adapter = place(tiny_backbone)
    for site in adapter.sites:
        handles.append(
            site.layer.register_forward_pre_hook(
                lambda _, inputs, name=site.name: seen.update({name: inputs[0].shape})
            )
        )
    predicted(tiny_backbone)
    for handle in handles:
        handle.remove()
    for site in adapter.sites:
        frames, height, width = embedding._grid(tiny_backbone.latent_shape, site)
        assert seen[site.name] == (height * width, frames, site.channels)
