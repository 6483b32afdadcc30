"""Which kernel computes attention: one function each, of queries, keys and values split into heads."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor

from vmc_cli import terminal
from vmc_cli.backbones import kernels
from vmc_cli.errors import UsageError

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Queries (B, heads, N, d), keys and values (B, heads, L, d) and a mask, or None, to (B, heads, N, d)."""

MOST_SCORES = 2**22  # of one attention, 8 MB: above it a kernel that keeps them costs more than it saves
LARGEST_GRID = 65_535  # what CUDA's kernels count batch x heads with; pixels are the batch along time


class FusedAttention:
    """What diffusers calls a processor: the projections of an attention around a `Kernel`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, N, C) that look at ``encoder_hidden_states`` (B, L, D), or at each other."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        query, key, value = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in projected)
        attended = chunked(self._kernel, query, key, value, attention_mask)
        output = attended.transpose(1, 2).flatten(2).to(hidden_states.dtype)
        return attn.to_out[1](attn.to_out[0](output))


def chunked(kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """``kernel`` in parts of at most `LARGEST_GRID` heads. A ``mask`` goes to each part as it is."""
    batch, heads = query.shape[:2]
    if batch * heads <= LARGEST_GRID:
        return kernel(query, key, value, mask)
    parts = zip(*(x.split(LARGEST_GRID // heads) for x in (query, key, value)), strict=True)
    return torch.cat([kernel(*part, mask) for part in parts])


def sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """PyTorch's own kernels."""
    if query.is_meta and mask is None:
        # Without a device PyTorch would choose the one way that keeps all scores; every device has a better.
        attended: Tensor = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]
        return attended
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def float32(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """For CPUs, where the kernel for float32 runs twice as fast as that for bfloat16.

    With gradients, whose kernels are slow for either, few scores are computed as they are written down.
    """
    scores = query.shape[:-1].numel() * key.shape[-2]
    if query.requires_grad and mask is None and scores <= MOST_SCORES:
        return plain(query, key, value)
    with torch.autocast("cpu", enabled=False):
        return sdpa(query.float(), key.float(), value.float(), mask)


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Two products and a softmax, which keep all scores, in the format of what comes in."""
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return scores.softmax(dim=-1) @ value


class Xformers:
    """Kernels of xformers; PyTorch's own for what these do not support, which is said once."""

    def __init__(self, ops: Any) -> None:
        self._attend = ops.memory_efficient_attention
        self._unsupported: set[tuple[Any, ...]] = set()

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """See `Kernel`."""
        kind = (query.dtype, query.shape[-1], mask is None)
        if mask is None and kind not in self._unsupported:
            try:
                attended: Tensor = self._attend(*(x.transpose(1, 2) for x in (query, key, value)))
                return attended.transpose(1, 2)
            except NotImplementedError:  # raised before anything is computed
                if not self._unsupported:
                    terminal.say("Where xformers has no kernel, PyTorch's own computes attention.")
                self._unsupported.add(kind)
        return sdpa(query, key, value, mask)


NAMES = MappingProxyType(
    {"xformers": "xformers", "sdpa": "PyTorch's scaled dot product", "float32": "PyTorch in float32"}
)
"""The kernels, as people are told of them."""


def chosen(asked: str, device: torch.device) -> tuple[str, Kernel]:
    """Name (of `NAMES`) and kernel for ``asked``: "auto", "xformers" or "sdpa".

    "auto" takes xformers on CUDA where it can be imported, and float32 on a CPU.

    Raises:
        UsageError: xformers was asked for and is not here, or has no kernels for this device.
    """
    if asked == "sdpa":
        return asked, sdpa
    ops = _xformers() if device.type == "cuda" else None
    if ops is not None:
        return "xformers", Xformers(ops)
    if asked == "xformers":
        problem = "xformers is not installed" if device.type == "cuda" else "xformers needs an NVIDIA GPU"
        raise UsageError(f"Attention cannot be computed by xformers: {problem}.", "Use --attention auto.")
    return ("float32", float32) if device.type == "cpu" else ("sdpa", sdpa)


def _xformers() -> Any:
    """Its operators; None where it is not installed, or was built for another PyTorch."""
    try:
        return kernels.xformers()
    except (ImportError, OSError, AttributeError):
        return None
