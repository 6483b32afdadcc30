"""Which kernel computes attention, and that they agree; xformers itself is replaced at the seam."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from vmc_cli import terminal
from vmc_cli.backbones import attention
from vmc_cli.backbones.base import Backbone
from vmc_cli.device import generator
from vmc_cli.errors import UsageError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class StandIn:
    """What xformers promises of memory_efficient_attention: (B, N, heads, d), and which shapes it refuses."""

    def __init__(self, refuses: tuple[int, ...] = ()) -> None:
        self.refuses, self.shapes = refuses, []

    def memory_efficient_attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if query.shape[-1] in self.refuses:
            raise NotImplementedError("No operator found")
        self.shapes.append(tuple(query.shape))
        scores = torch.einsum("bnhd,blhd->bhnl", query.double(), key.double()) / query.shape[-1] ** 0.5
        return torch.einsum("bhnl,blhd->bnhd", scores.softmax(-1), value.double()).to(query.dtype)


def projected(batch: int = 2, heads: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    source = generator(0)
    shapes = [(batch, heads, 5, 8), (batch, heads, 7, 8), (batch, heads, 7, 8)]
    query, key, value = (torch.randn(shape, generator=source) for shape in shapes)
    return query, key, value


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query.double() @ key.double().mT / query.shape[-1] ** 0.5
    return (scores.softmax(-1) @ value.double()).float()


@pytest.fixture
def xformers(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(attention, "_xformers", lambda: stand_in)
    return stand_in


@pytest.mark.parametrize(
    "kernel", [attention.sdpa, attention.float32, attention.Xformers(StandIn())], ids=["sdpa", "f32", "xf"]
)
def test_every_kernel_is_softmax_attention(kernel: attention.Kernel) -> None:
    torch.testing.assert_close(kernel(*projected(), None), plain(*projected()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("most", [attention.MOST_SCORES, 1])
def test_with_gradients_on_a_cpu_few_scores_are_computed_as_written_down(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "MOST_SCORES", most)
    query, key, value = (each.requires_grad_() for each in projected())
    found, wanted = attention.float32(query, key, value), plain(query, key, value)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert ("Attention" in str(found.grad_fn)) is (most == 1)
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), (query, key, value)),
        torch.autograd.grad(wanted.square().sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [attention.sdpa, attention.Xformers(StandIn())], ids=["sdpa", "xformers"])
def test_more_heads_than_a_grid_has_are_computed_in_parts(
    kernel: attention.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watched(*given: Any) -> Tensor:
        seen.append(len(given[0]))
        return kernel(*given)

    monkeypatch.setattr(attention, "LARGEST_GRID", 20)
    query, key, value = projected(batch=14)
    found = attention.chunked(watched, query, key, value, None)
    assert seen == [6, 6, 2]  # of 3 heads each
    torch.testing.assert_close(found, plain(query, key, value), rtol=1e-5, atol=1e-5)


def test_the_limit_is_that_of_a_cuda_grid() -> None:
    sizes = []

    def watched(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        sizes.append(query.shape[0] * query.shape[1])
        return query

    for batch, parts in ((65_535 // 5, 1), (65_535 // 5 + 1, 2)):
        sizes.clear()
        tokens = torch.empty(batch, 5, 1, 1)
        assert attention.chunked(watched, tokens, tokens, tokens, None).shape == tokens.shape
        assert len(sizes) == parts
        assert max(sizes) <= 65_535


def test_auto_is_xformers_on_cuda_where_it_is_and_float32_on_a_cpu(
    xformers: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attention.chosen("auto", CUDA)[0] == "xformers"
    assert attention.chosen("xformers", CUDA)[0] == "xformers"
    assert attention.chosen("sdpa", CUDA)[0] == "sdpa"
    assert attention.chosen("auto", CPU)[0] == "float32"
    assert attention.chosen("sdpa", CPU)[0] == "sdpa"
    monkeypatch.setattr(attention, "_xformers", lambda: None)
    assert attention.chosen("auto", CUDA)[0] == "sdpa"


@pytest.mark.parametrize(("device", "reason"), [(CPU, "NVIDIA"), (CUDA, "not installed")])
def test_xformers_that_cannot_be_had_is_one_sentence(
    device: torch.device, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_xformers", lambda: None)
    with pytest.raises(UsageError, match=reason) as caught:
        attention.chosen("xformers", device)
    assert "--attention auto" in caught.value.hint


@pytest.mark.parametrize("error", [ImportError, OSError, AttributeError])
def test_an_xformers_for_another_pytorch_counts_as_none(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(attention.kernels, "xformers", fails)
    assert attention.chosen("auto", CUDA)[0] == "sdpa"


def test_shapes_that_xformers_has_no_kernel_for_go_to_pytorch_and_that_is_said_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    terminal.prepare()
    stand_in = StandIn(refuses=(8,))
    kernel = attention.Xformers(stand_in)
    for _ in range(3):
        torch.testing.assert_close(kernel(*projected()), plain(*projected()), rtol=1e-5, atol=1e-5)
    assert not stand_in.shapes
    assert capfd.readouterr().err.count("xformers") == 1
    wide = [torch.cat([each, each], dim=-1) for each in projected()]
    kernel(*wide)
    assert stand_in.shapes == [(2, 5, 3, 16)]


def test_a_mask_goes_to_pytorch() -> None:
    stand_in = StandIn()
    mask = torch.zeros(5, 7)
    mask[:, 3:] = -torch.inf
    query, key, value = projected()
    wanted = plain(query, key[:, :, :3], value[:, :, :3])
    found = attention.Xformers(stand_in)(query, key, value, mask)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert not stand_in.shapes


def test_the_whole_network_computes_the_same_by_each_kernel(
    exact_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = torch.randn(1, *exact_backbone.latent_shape, generator=generator(0))
    stand_in = SimpleNamespace(memory_efficient_attention=StandIn().memory_efficient_attention)
    kernels = [attention.float32, attention.sdpa, attention.Xformers(stand_in)]
    found = []
    try:
        for kernel in kernels:
            exact_backbone._attend(kernel)
            asked = exact_backbone.embed(["a cat"])
            noisy = latents.clone().requires_grad_()
            prediction = exact_backbone.predict(noisy, 500, asked)
            found.append((prediction, torch.autograd.grad(prediction.square().sum(), noisy)[0]))
    finally:
        assert exact_backbone.attend_by("auto") == attention.NAMES["float32"]
    for prediction, gradient in found[1:]:
        torch.testing.assert_close(prediction, found[0][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-3, atol=1e-4)
