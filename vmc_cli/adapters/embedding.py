"""Motion embeddings: tables that are added to what temporal attention sees (Motion Inversion, eq. 1).

    attention = softmax(Wq(x + m_QK) Wk(x + m_QK)^T / sqrt(d)) Wv(x + gamma m_V)

They are added before the projections, so the attention itself is computed by whichever kernel is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.utils.hooks import RemovableHandle

from vmc_cli.adapters.base import Acting, Acts, Adapter, Trainable, all_along
from vmc_cli.backbones.base import Site
from vmc_cli.recipe import ALL_ALONG, Span

Grid = tuple[int, ...]
"""Frames, rows and columns."""


class Embedding(Adapter):
    """m_QK (1, F, C), one for the attentions of a block, and m_V (h*w, F, C), one for each attention."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Adapter.shapes`. Keys are ``unet.<block>.m_qk`` and ``unet.<attention>.m_v``."""
        return {_key(site): self._shape(site) for site in self.sites}

    def acts(self, tensors: Mapping[str, Tensor]) -> bool:
        """See `Adapter.acts`."""
        return any(bool(tensors[key].any()) for key in self.shapes())

    @contextmanager
    def trained(self, generator: Generator, *, beside: bool = False) -> Iterator[Trainable]:
        """See `Adapter.trained`. Tables start as zero; gamma is 1 and values are kept while learning."""
        device = self.backbone.device
        tables = {
            key: nn.Parameter(torch.zeros(shape, device=device)) for key, shape in self.shapes().items()
        }
        with _added([(site, tables[_key(site)], ALL_ALONG) for site in self.sites]):
            yield Trainable(tables, {})

    @staticmethod
    def attached(acting: Sequence[Acting[Embedding]]) -> AbstractContextManager[Acts]:
        """See `Adapter.attached`. Values are used as the recipe says (`VALUES`)."""
        added = []
        for adapter, tensors, strength, span in acting:
            tables = adapter._ready(tensors)
            added += [(site, strength * tables[_key(site)], span) for site in adapter.sites]
        return _added(added)

    def _ready(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        use, found = VALUES[self.adaptation.values], {}
        for site in self.sites:
            table = tensors[_key(site)].to(self.backbone.device, torch.float32)
            used = use(table) if _is_value(site) else table
            found[_key(site)] = fitted(
                used, _grid(self.learned_shape, site), _grid(self.backbone.latent_shape, site)
            )
        return found

    def _shape(self, site: Site) -> tuple[int, ...]:
        frames, height, width = _grid(self.learned_shape, site)
        return height * width if _is_value(site) else 1, frames, site.channels


def _none(table: Tensor) -> Tensor:
    """gamma = 0, for camera motion: nothing ties the video to places of the clip."""
    return torch.zeros_like(table)


def _difference(table: Tensor) -> Tensor:
    """What changes from frame to frame, for objects; the first frame is kept."""
    return torch.cat([table[:, :1], table.diff(dim=1)], dim=1)


def _kept(table: Tensor) -> Tensor:
    return table


VALUES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"kept": _kept, "none": _none, "difference": _difference}
)
"""What generation makes of m_V (h*w, F, C); never while learning."""


def fitted(table: Tensor, learned: Grid, wanted: Grid) -> Tensor:
    """A table (h*w, F, C) or (1, F, C) of one grid for another: linear along frames, bilinear over pixels."""
    if learned[1:] != wanted[1:] and len(table) > 1:
        maps = table.permute(1, 2, 0).unflatten(-1, learned[1:])
        maps = F.interpolate(maps, wanted[1:], mode="bilinear", align_corners=True)
        table = maps.flatten(2).permute(2, 0, 1)
    if learned[0] != wanted[0]:
        table = F.interpolate(table.mT, wanted[0], mode="linear", align_corners=True).mT
    return table


@contextmanager
def _added(tables: Sequence[tuple[Site, Tensor, Span]]) -> Iterator[Acts]:
    """Add a table to the input of each site's layer while inside, where it acts."""
    handles = _hooked(tables, 1.0)

    @contextmanager
    def at(left: float) -> Iterator[None]:
        nonlocal handles
        _unhook(handles)
        handles = _hooked(tables, left)
        try:
            yield
        finally:
            _unhook(handles)
            handles = _hooked(tables, 1.0)

    try:
        yield at if any(span != ALL_ALONG for _, _, span in tables) else all_along
    finally:
        _unhook(handles)


def _hooked(tables: Sequence[tuple[Site, Tensor, Span]], left: float) -> list[RemovableHandle]:
    return [
        site.layer.register_forward_pre_hook(_adding(table))
        for site, table, span in tables
        if span.holds(left)
    ]


def _unhook(handles: Sequence[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()


def _adding(table: Tensor) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def add(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, *others = inputs  # (B*h*w, F, C): all pixels of the first video, then of the next
        videos = tokens.unflatten(0, (-1, len(table)))
        return ((videos + table.to(tokens.dtype)).flatten(0, 1), *others)

    return add


def _grid(latents: tuple[int, ...], site: Site) -> Grid:
    """What of latents (C, F, h, w) arrives at a site."""
    _, frames, *sides = latents
    return (frames, *(-(-side // site.scale) for side in sides))


def _is_value(site: Site) -> bool:
    return site.projection == "to_v"


def _key(site: Site) -> str:
    attention = site.name.rpartition(".")[0]
    return f"unet.{attention}.m_v" if _is_value(site) else f"unet.{site.block}.m_qk"
