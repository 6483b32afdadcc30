"""Delta: a motion in memory, its card and its tensors; how it is loaded, saved and put into a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from registry.card import Card
from registry.errors import Damaged
from registry.header import RawTensor
from registry.store import Slot, Store
from vmc_cli import adapters
from vmc_cli.backbones import require_match
from vmc_cli.backbones.base import Backbone, Site
from vmc_cli.clip import Clip
from vmc_cli.errors import NotFoundError

LARGEST_WEIGHT = 1e3
LARGEST_RANK = 1024

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def to_raw(tensor: Tensor) -> RawTensor:
    """A tensor as the registry writes it."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return RawTensor(_NAMES[tensor.dtype], tuple(tensor.shape), flat.numpy().tobytes())


def from_raw(raw: RawTensor) -> Tensor:
    """A tensor of its own, on the CPU, from what the registry read."""
    return torch.frombuffer(bytearray(raw.data), dtype=_DTYPES[raw.dtype]).reshape(raw.shape)


@dataclass(frozen=True)
class Delta:
    """A motion. ``tensors`` holds, on the CPU:

    * the weights, keyed as in `adapters.shapes`, float16;
    * ``start_noise`` (K, C, F, h, w) float16: the inverted latents of each of the K clips;
    * ``latents`` of the same shape and format: the clips themselves, to learn from again; may be missing;
    * ``preview`` (F, h, w, 3) uint8: the first clip, small.
    """

    card: Card
    tensors: dict[str, Tensor]

    @classmethod
    def load(cls, store: Store, name: str) -> Delta:
        """The motion ``name``, read whole into memory. Raises as `Store.load` does."""
        card, raw = store.load(name)
        return cls(card, {key: from_raw(value) for key, value in raw.items()})

    def save(self, slot: Slot) -> Path:
        """Publish the motion in ``slot``. Raises as `Slot.publish` does."""
        return slot.publish(self.card, {key: to_raw(value) for key, value in self.tensors.items()})

    @property
    def weights(self) -> dict[str, Tensor]:
        """The tensors that go into the network."""
        return {key: value for key, value in self.tensors.items() if key.startswith("unet.")}

    @property
    def start_noise(self) -> Tensor:
        """(K, C, F, h, w) float32."""
        return self.tensors["start_noise"].float()

    @property
    def latents(self) -> Tensor:
        """(K, C, F, h, w) float32. Raises `NotFoundError` for a motion that was saved without them."""
        if "latents" not in self.tensors:
            raise NotFoundError(
                f"The motion {self.card.name} does not hold the clips that it was learned from.",
                "Name the clip itself instead of the motion.",
            )
        return self.tensors["latents"].float()

    @property
    def preview(self) -> Clip:
        """The first clip it was learned from, small."""
        return Clip(self.tensors["preview"].numpy(), self.card.fps)

    def sites(self, backbone: Backbone) -> list[Site]:
        """Where the weights belong. Checks everything on the way: no wrong file does half of its work.

        Raises:
            IncompatibleError: learned on another backbone.
            Damaged: not exactly the tensors that the recipe asks for, or one that cannot be right.
        """
        require_match(backbone.spec, self.card)
        sites = backbone.sites_for(self._trains())
        self._check_shapes(adapters.shapes(sites, self._rank()), backbone)
        for key, value in self.tensors.items():
            if value.is_floating_point() and not (value.abs().amax() <= LARGEST_WEIGHT):  # false for NaN too
                raise self._damaged(f"its tensor {key} holds numbers that are not finite or far too large")
        if not any(adapters.difference(site, self.tensors).any() for site in sites):
            raise self._damaged("all its weights are zero, so it does nothing")
        return sites

    def _trains(self) -> tuple[str, ...]:
        trains = self.card.recipe.get("trains")
        if not isinstance(trains, list) or not trains or not all(isinstance(key, str) for key in trains):
            raise self._damaged("its recipe does not say what was trained")
        return tuple(trains)

    def _rank(self) -> int | None:
        rank = self.card.recipe.get("rank")
        if rank is not None and not (type(rank) is int and 1 <= rank <= LARGEST_RANK):
            raise self._damaged("the rank in its recipe is not possible")
        return rank

    def _check_shapes(self, weights: dict[str, tuple[int, ...]], backbone: Backbone) -> None:
        found = {key: tuple(value.shape) for key, value in self.tensors.items()}
        noise, preview = found.pop("start_noise", ()), found.pop("preview", ())
        if found.pop("latents", noise) != noise:
            raise self._damaged("its latents have another size than its start noise")
        if noise[1:] != backbone.latent_shape or len(preview) != 4:
            raise self._damaged("its start noise or its preview is missing or of the wrong size")
        if differing := weights.keys() ^ found.keys():
            fault = "unexpected" if min(differing) in found else "missing"
            raise self._damaged(
                f"{len(differing)} tensors are {fault} or misnamed, {min(differing)} among them"
            )
        if wrong := sorted(key for key, shape in weights.items() if found[key] != shape):
            raise self._damaged(f"its tensor {wrong[0]} is {found[wrong[0]]}, not {weights[wrong[0]]}")

    def _damaged(self, problem: str) -> Damaged:
        return Damaged(f"The motion {self.card.name} cannot be used: {problem}.", "Learn it again.")


@contextmanager
def attached(backbone: Backbone, deltas: Sequence[tuple[Delta, float]]) -> Iterator[None]:
    """Add each delta, times its strength, to the network's weights while inside.

    The sums stand in new parameters and the old ones are put back: the network is bit for bit as before. A
    strength of 0 adds nothing. Raises as `Delta.sites` does, before anything is changed.
    """
    placed = [(delta, strength, delta.sites(backbone)) for delta, strength in deltas]
    added: dict[str, Tensor] = {}
    layers: dict[str, nn.Module] = {}
    for delta, strength, sites in placed:
        for site in sites if strength else ():
            change = strength * adapters.difference(site, delta.tensors)
            added[site.name] = added[site.name] + change if site.name in added else change
            layers[site.name] = site.layer
    before = {name: layer.weight for name, layer in layers.items()}
    try:
        for name, layer in layers.items():
            merged = (before[name].detach().float() + added.pop(name)).to(before[name].dtype)
            layer.weight = nn.Parameter(merged, requires_grad=False)
        yield
    finally:
        for name, weight in before.items():
            layers[name].weight = weight
