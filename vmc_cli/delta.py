"""Delta: a motion or subject in memory, card and tensors; how it is loaded, saved and put into a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from registry.card import Card
from registry.errors import Damaged
from registry.header import RawTensor
from registry.store import Slot, Store
from vmc_cli import adapters, tokens
from vmc_cli.adapters import Acts, Adapter
from vmc_cli.adapters.weights import added, product
from vmc_cli.adapters.words import KEY
from vmc_cli.backbones import require_match
from vmc_cli.backbones.base import Backbone
from vmc_cli.clip import Clip
from vmc_cli.errors import IncompatibleError, NotFoundError
from vmc_cli.lora import Factors, Lora
from vmc_cli.recipe import (
    ADAPTERS,
    ALL_ALONG,
    BLOCKS,
    DEFAULT_NOISE,
    LARGEST_RANK,
    LEARNS,
    NOISES,
    SUBJECT,
    VALUES,
    Adaptation,
    Span,
)

LARGEST_WEIGHT = 1e3

COLOURED = 6  # dimensions of start noise that there is for several colourings

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def to_raw(tensor: Tensor) -> RawTensor:
    """A tensor as the registry writes it."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return RawTensor(_NAMES[tensor.dtype], tuple(tensor.shape), flat.numpy().tobytes())


def from_raw(raw: RawTensor) -> Tensor:
    """A tensor of its own, on the CPU, from what the registry read."""
    return torch.frombuffer(bytearray(raw.data), dtype=_DTYPES[raw.dtype]).reshape(raw.shape)


def by_colouring(noise: Tensor) -> Tensor:
    """Start noise as a file holds it, with a dimension for its colourings, if there are several or not."""
    return noise if noise.ndim == COLOURED else noise[:, None]


@dataclass(frozen=True)
class Delta:
    """A motion, or a subject. ``tensors`` holds, on the CPU:

    * the weights, keyed as `Adapter.shapes` tells, float16;
    * ``start_noise`` (K, C, F, h, w) float16: the inverted latents of each of the K clips; where these were
      learned from in other colours, too, (K, N, C, F, h, w): of each in N colourings, its own first;
    * ``start_latents`` of that shape: the clips in these colourings, where there are several;
    * ``latents`` (K, C, F, h, w) float16: the clips themselves, to learn from again; may be missing;
    * ``token`` (n, D) float16: the vectors of the token's word, where they were learned;
    * ``preview`` (K * F, h, w, 3) uint8: the clips, small, one after the other. Early motions hold the first
      clip alone, and blends what their first motion holds.

    A subject has no noise and no latents, and its ``preview`` shows a picture in each frame.
    """

    card: Card
    tensors: dict[str, Tensor]

    @classmethod
    def load(cls, store: Store, name: str) -> Delta:
        """The motion ``name``, read whole into memory. Raises as `Store.load` does."""
        card, raw = store.load(name)
        delta = cls(card, {key: from_raw(value) for key, value in raw.items()})
        delta._require_parts()
        return delta

    def save(self, slot: Slot) -> Path:
        """Publish the motion in ``slot``. Raises as `Slot.publish` does."""
        return slot.publish(self.card, {key: to_raw(value) for key, value in self.tensors.items()})

    @property
    def weights(self) -> dict[str, Tensor]:
        """The tensors that go into the network."""
        return {key: value for key, value in self.tensors.items() if key.startswith("unet.")}

    @property
    def start_noise(self) -> Tensor:
        """(K, N, C, F, h, w) float32: of each clip in each of its colourings."""
        return by_colouring(self.tensors["start_noise"]).float()

    @property
    def start_latents(self) -> Tensor | None:
        """What `start_noise` was made from, if there are several colourings."""
        latents = self.tensors.get("start_latents")
        return None if latents is None else latents.float()

    @property
    def latents(self) -> Tensor:
        """(K, C, F, h, w) float32. Raises `NotFoundError` for a motion that was saved without them."""
        if "latents" not in self.tensors:
            raise NotFoundError(
                f"The motion {self.card.name} does not hold the clips that it was learned from.",
                "Learn it again from its clips.",
            )
        return self.tensors["latents"].float()

    @property
    def previews(self) -> list[Clip]:
        """The clips that it was learned from, small; the pictures of a subject are one."""
        frames = self.tensors["preview"].numpy()
        clips = 1 if self.card.kind == SUBJECT else len(frames) // self.card.frames
        return [Clip(each, self.card.fps) for each in np.split(frames, clips)]

    @property
    def noise(self) -> str:
        """What generation starts from unless it is told: the method's own choice."""
        told = self.card.recipe
        noise = (len(self.tensors["start_noise"]) > 1 and told.get("noise_of_several")) or told.get("noise")
        return noise if noise in NOISES else DEFAULT_NOISE

    @property
    def span(self) -> Span:
        """Where it acts. Raises `Damaged`."""
        if (told := Span.told(self.card.recipe)) is None:
            raise self._damaged("its recipe does not say where it acts")
        return told

    def adapter(self, backbone: Backbone) -> Adapter:
        """What puts the tensors into the network. Checks all on the way: no wrong file does half of its work.

        Raises:
            IncompatibleError: learned on another backbone, or by a method of a newer vmc.
            Damaged: not exactly the tensors that the recipe asks for, or one that cannot be right.
        """
        require_match(backbone.spec, self.card)
        noise = self.tensors.get("start_noise", torch.empty(0))
        adapter = adapters.place(backbone, self._adaptation(), tuple(noise.shape[-4:]))
        self._check_shapes({**adapter.shapes(), **self._vector_shapes(backbone)}, adapter.learned_shape)
        for key, value in self.tensors.items():
            if value.is_floating_point() and not (value.abs().amax() <= LARGEST_WEIGHT):  # false for NaN too
                raise self._damaged(f"its tensor {key} holds numbers that are not finite or far too large")
        if not adapter.acts(self.tensors):
            raise self._damaged("all its weights are zero, so it does nothing")
        return adapter

    def vectors(self, backbone: Backbone, strength: float) -> dict[str, Tensor]:
        """The learned vectors of its token's word, as far from the model's own as ``strength`` says."""
        token = tokens.of(self.card)
        if token is None or KEY not in self.tensors or not strength:
            return {}
        own = backbone.word_vectors(token.word)
        return {token.word: own + strength * (self.tensors[KEY].to(own) - own)}

    def _vector_shapes(self, backbone: Backbone) -> dict[str, tuple[int, ...]]:
        if self.card.recipe.get("trains_token") is not True:
            return {}
        if (token := tokens.of(self.card)) is None:
            raise self._damaged("its card does not tell its token")
        return {KEY: tuple(backbone.word_vectors(token.word).shape)}

    def _adaptation(self) -> Adaptation:
        told = self.card.recipe
        trains, rank = told.get("trains"), told.get("rank")
        if not isinstance(trains, list) or not trains or not all(isinstance(key, str) for key in trains):
            raise self._damaged("its recipe does not say what was trained")
        if rank is not None and not (type(rank) is int and 1 <= rank <= LARGEST_RANK):
            raise self._damaged("the rank in its recipe is not possible")
        ways = {"adapter": ADAPTERS, "blocks": BLOCKS, "values": VALUES}
        chosen = {key: told.get(key, known[0]) for key, known in ways.items()}
        if unknown := [key for key, known in ways.items() if chosen[key] not in known]:
            what = f"{unknown[0]} {chosen[unknown[0]]!r}"
            message = f"The motion {self.card.name} has {what}, which this vmc does not know."
            raise IncompatibleError(message, "pip install -U vmc")
        if self.card.kind not in LEARNS:
            message = f"{self.card.name} is a {self.card.kind}, which this vmc does not know."
            raise IncompatibleError(message, "pip install -U vmc")
        return Adaptation(tuple(trains), rank, **chosen)

    def _require_parts(self) -> None:
        """Raise `Damaged` unless there is what every motion and subject has beside its weights."""
        preview = self.tensors.get("preview", torch.empty(0))
        if preview.dtype is not torch.uint8 or preview.ndim != 4 or preview.shape[-1] != 3:
            raise self._damaged("its preview is missing or of the wrong size")
        if self.card.kind == SUBJECT:
            return
        if len(preview) % self.card.frames:
            raise self._damaged(f"its preview has {len(preview)} frames, where a clip has {self.card.frames}")
        noise = self.tensors.get("start_noise", torch.empty(0))
        if not noise.is_floating_point() or noise.ndim not in (5, COLOURED) or not noise.numel():
            raise self._damaged("its start noise is missing or of the wrong size")

    def _check_shapes(self, weights: dict[str, tuple[int, ...]], latents: tuple[int, ...]) -> None:
        self._require_parts()
        found = {key: tuple(value.shape) for key, value in self.tensors.items() if key != "preview"}
        if self.card.kind != SUBJECT:
            noise = found.pop("start_noise", ())
            coloured = noise if len(noise) == COLOURED else None
            if found.pop("latents", (*noise[:1], *latents)) != (*noise[:1], *latents):
                raise self._damaged("its latents have another size than its start noise")
            if found.pop("start_latents", None) != coloured:
                raise self._damaged("it does not show what its start noise was made from")
            if noise[-4:] != latents:
                raise self._damaged("its start noise is missing or of the wrong size")
        if differing := weights.keys() ^ found.keys():
            fault = "unexpected" if min(differing) in found else "missing"
            raise self._damaged(
                f"{len(differing)} tensors are {fault} or misnamed, {min(differing)} among them"
            )
        if wrong := sorted(key for key, shape in weights.items() if found[key] != shape):
            raise self._damaged(f"its tensor {wrong[0]} is {found[wrong[0]]}, not {weights[wrong[0]]}")

    def _damaged(self, problem: str) -> Damaged:
        return Damaged(f"The {self.card.kind} {self.card.name} cannot be used: {problem}.", "Learn it again.")


@contextmanager
def worn(backbone: Backbone, subjects: Sequence[tuple[Lora, float]]) -> Iterator[None]:
    """Add matched LoRA files, times their strength, to the network while inside; afterwards it is as before.

    Raises `Damaged` for numbers that cannot be right.
    """

    def change(lora: Lora, factors: Factors, layer: nn.Module, strength: float) -> Tensor:
        down, up = (
            from_raw(raw).to(layer.weight.device, torch.float32) for raw in (factors.down, factors.up)
        )
        found = factors.scale * product(down, up)
        if not found.abs().amax() <= LARGEST_WEIGHT:  # false for NaN too
            raise Damaged(f"{lora.name} holds numbers that are not finite or far too large.")
        return strength * found

    layers = backbone.network.get_submodule
    changes = [
        (layers(module), ALL_ALONG, partial(change, lora, factors, layers(module), strength))
        for lora, strength in subjects
        if strength
        for module, factors in lora.factors.items()
    ]
    with added(changes):
        yield


@contextmanager
def attached(backbone: Backbone, deltas: Sequence[tuple[Delta, float]]) -> Iterator[Acts]:
    """Let each delta act on the network, times its strength, while inside.

    Yields what lets each act where its recipe says. Afterwards the network is bit for bit as before. A
    strength of 0 changes nothing. Raises as `Delta.adapter` does, before anything is changed.
    """
    placed = [(delta.adapter(backbone), delta.tensors, strength, delta.span) for delta, strength in deltas]
    with ExitStack() as stack:
        each = [
            stack.enter_context(kind.attached([one for one in placed if type(one[0]) is kind and one[2]]))
            for kind in adapters.ADAPTERS.values()
        ]
        partly = [acts for acts in each if acts is not adapters.all_along]
        yield partial(adapters.together, partly) if partly else adapters.all_along
