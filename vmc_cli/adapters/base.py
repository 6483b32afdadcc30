"""What every way of changing a network promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, nn

from vmc_cli.backbones.base import Backbone
from vmc_cli.recipe import RESIZABLE, Adaptation, Span

A = TypeVar("A", bound="Adapter")
Acting = tuple[A, Mapping[str, Tensor], float, Span]
"""An adapter, a motion's tensors as they lie in its file, how strongly they act (not 0), and where."""

Acts = Callable[[float], AbstractContextManager[None]]
"""Given the share of the noising that is left: inside, what changes the network acts as it does there.

Outside it acts as at the very start.
"""


def all_along(left: float) -> AbstractContextManager[None]:
    """Of what acts everywhere alike, or of nothing."""
    return nullcontext()


@contextmanager
def together(each: Sequence[Acts], left: float) -> Iterator[None]:
    """Let several kinds act as they do where the share ``left`` is left."""
    with ExitStack() as stack:
        for acts in each:
            stack.enter_context(acts(left))
        yield


class Trainable:
    """The parameters in training, all float32, by their keys in a file."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], frozen: Mapping[str, Tensor]) -> None:
        self.parameters = dict(parameters)
        self._frozen = frozen

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """What is computed inside gives these parameters no gradient."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.parameters.values():
                parameter.requires_grad_(True)

    def acting(self, span: Span, left: float) -> AbstractContextManager[None]:
        """Inside they act as at the share ``left`` of the noising: not unless ``span`` holds it."""
        return nullcontext() if span.holds(left) else self.resting()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """The network computes as the frozen one inside, and learns nothing there."""
        learned = {key: parameter.data for key, parameter in self.parameters.items()}
        try:
            for key, parameter in self.parameters.items():
                frozen = self._frozen.get(key)
                parameter.data = torch.zeros_like(parameter) if frozen is None else frozen.float()
            yield
        finally:
            for key, parameter in self.parameters.items():
                parameter.data = learned[key]

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, or how it differs from what was frozen. Detached, float32."""
        with torch.no_grad():
            return {
                key: parameter - self._frozen[key] if key in self._frozen else parameter.clone()
                for key, parameter in self.parameters.items()
            }


class Adapter(ABC):
    """One way of changing a network, at the sites of one backbone that ``adaptation`` names.

    ``learned_shape`` is (C, F, h, w) of the latents that were, or will be, learned from.
    Raises `IncompatibleError` when the backbone has no such sites.
    """

    def __init__(self, backbone: Backbone, adaptation: Adaptation, learned_shape: tuple[int, ...]) -> None:
        self.backbone = backbone
        self.adaptation = adaptation
        self.learned_shape = learned_shape if adaptation.adapter in RESIZABLE else backbone.latent_shape
        self.sites = backbone.sites_for(adaptation.trains, adaptation.blocks)

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every key that a motion's file must hold, with the tensor's shape."""

    @abstractmethod
    def acts(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether these tensors, complete and of the right shapes, change anything."""

    @abstractmethod
    def trained(self, generator: Generator, *, beside: bool = False) -> AbstractContextManager[Trainable]:
        """Make the sites trainable while inside; the network is bit for bit as before afterwards.

        It starts as the frozen network. ``generator``, on the CPU, draws what has to start at random.
        ``beside``: meanwhile others, attached before, act on the network for a part of the way.
        """

    @staticmethod
    @abstractmethod
    def attached(acting: Sequence[Acting[Any]]) -> AbstractContextManager[Acts]:
        """Let motions of this kind act together while inside; the network is as before afterwards.

        Yields what lets each act where it does, and nowhere else.
        """
