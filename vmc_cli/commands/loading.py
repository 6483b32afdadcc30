"""The model, as learning and generating want it loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmc_cli import backbones, terminal
from vmc_cli.backbones import Spec

if TYPE_CHECKING:
    from vmc_cli.backbones.base import Backbone


def loaded(spec: Spec, attention: str, *, to_compile: bool = False) -> Backbone:
    """The model, which computes attention as asked; says by what where that is not a matter of course.

    `to_compile`: its attention is to be compiled with the rest, which kernels of others cannot be.

    Raises UsageError before anything is loaded when that cannot be, OutOfMemory, and as `backbones.load`.
    """
    from vmc_cli import memory
    from vmc_cli.backbones.attention import chosen
    from vmc_cli.device import choose_device

    device = choose_device()
    if to_compile and attention == "auto" and device.type == "cuda":
        attention = "sdpa"
    chosen(attention, device)
    with memory.loading(spec):
        backbone = backbones.load(spec)
    used = backbone.attend_by(attention)
    if attention != "auto" or backbone.device.type != "cpu":
        terminal.say(f"Attention is computed by {used}.")
    return backbone
