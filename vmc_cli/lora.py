"""Subjects from elsewhere: LoRA files of diffusers, peft and kohya, matched strictly against a model.

Such files load without complaint where nothing of them fits, and then do nothing. So every key is accounted
for; the names and shapes of a model's weights are enough for that, the model itself is not needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.header import ITEM_SIZE, RawTensor
from vmc_cli import foreign
from vmc_cli.errors import IncompatibleError, UsageError
from vmc_cli.foreign import File

_PREFIX = r"(?:base_model\.model\.)?(?:unet\.)?"
_FACTOR = re.compile(_PREFIX + r"(.+?)\.(lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up)\.weight")
_KOHYA = "lora_unet_"  # before a path whose dots are underscores
_DOWN = ("lora_A", "lora_down", "lora.down")


@dataclass(frozen=True)
class Factors:
    """B A times ``scale`` is added to a weight: ``down`` is A (r, inputs...), ``up`` is B (outputs, r...)."""

    down: RawTensor
    up: RawTensor
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""
        return (self.up.shape[0], *self.down.shape[1:])


@dataclass(frozen=True)
class Lora:
    """A file: what it adds, by the path of the module, and the keys in it that are nothing of the kind."""

    name: str
    factors: dict[str, Factors]
    others: tuple[str, ...]

    def matched(self, shapes: Mapping[str, tuple[int, ...]]) -> Lora:
        """Only what belongs to a model with these weights, the rest among ``others``.

        Raises IncompatibleError when nothing does, or a weight has another shape.
        """
        paths = {key.removesuffix(".weight") for key in shapes if key.endswith(".weight")}
        known = {
            **{path: path for path in paths},
            **{_KOHYA + path.replace(".", "_"): path for path in paths},
        }
        mine = {known[module]: each for module, each in self.factors.items() if module in known}
        if not mine:
            raise IncompatibleError(
                f"Nothing in {self.name} belongs to this backbone.", "It was made for another model."
            )
        for module, each in mine.items():
            if each.shape != (wanted := shapes[f"{module}.weight"]):
                raise IncompatibleError(
                    f"{self.name} was made for another model: {module} is {each.shape} there, {wanted} here."
                )
        return Lora(self.name, mine, (*self.others, *sorted(self.factors.keys() - known.keys())))


def read(path: Path) -> Lora:
    """The LoRA file at ``path``. Raises UsageError, and as `foreign.read` does."""
    return of(foreign.read(path))


def of(file: File) -> Lora:
    """The LoRA in a file. Raises UsageError where there is none."""
    name, tensors = file.name, file.tensors
    sides: dict[str, dict[bool, RawTensor]] = {}
    keys: dict[str, list[str]] = {}
    for key, tensor in tensors.items():
        if match := _FACTOR.fullmatch(key):
            sides.setdefault(match[1], {})[match[2] in _DOWN] = tensor
            keys.setdefault(match[1], []).append(key)
    alphas = _Alphas(file.metadata, tensors)
    factors = {}
    for module, pair in sides.items():
        if len(pair) == 2 and len(keys[module]) == 2 and _fit(pair[True], pair[False]):
            scale = alphas.scale(module, pair[True].shape[0])
            factors[module] = Factors(pair[True], pair[False], scale)
    if not factors:
        raise UsageError(f"{name} is no LoRA file: it holds no pair of factors.", "Choose another file.")
    used = {key for module in factors for key in keys[module]} | alphas.keys
    return Lora(name, factors, tuple(sorted(tensors.keys() - used)))


def _fit(down: RawTensor, up: RawTensor) -> bool:
    matrices = len(down.shape) >= 2 and len(up.shape) >= 2
    return matrices and down.shape[0] == up.shape[1] and all(side == 1 for side in up.shape[2:])


class _Alphas:
    """How strongly a file says that its factors act: alpha / rank; 1 where it says nothing.

    kohya keeps an alpha beside each pair; diffusers one for all, or by module, in the metadata.
    """

    def __init__(self, metadata: Mapping[str, str], tensors: Mapping[str, RawTensor]) -> None:
        self._own = {}
        self.keys = set()
        for key, tensor in tensors.items():
            if key.endswith(".alpha") and len(tensor.data) == ITEM_SIZE[tensor.dtype]:
                self._own[re.sub(f"^{_PREFIX}", "", key.removesuffix(".alpha"))] = foreign.numbers(tensor)[0]
                self.keys.add(key)
        try:
            told = json.loads(metadata.get("lora_adapter_metadata", "{}"))
        except (ValueError, RecursionError):
            told = {}
        self._told: dict[str, Any] = {}
        if isinstance(told, dict):
            self._told = {key.removeprefix("unet."): value for key, value in told.items()}

    def scale(self, module: str, rank: int) -> float:
        pattern = self._told.get("alpha_pattern")
        told = pattern.get(module) if isinstance(pattern, dict) else None
        alpha = self._own.get(module, told if told is not None else self._told.get("lora_alpha", rank))
        if not isinstance(alpha, int | float) or not abs(alpha) < 1e6:
            alpha = rank
        return alpha / (rank**0.5 if self._told.get("use_rslora") is True else rank)
