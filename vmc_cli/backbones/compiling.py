"""Faster steps after a slow first one: the layers that repeat are compiled for the sizes that they meet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from registry import home
from vmc_cli.backbones.checkpointing import LAYERS
from vmc_cli.errors import IncompatibleError

_PLACE = "TORCHINDUCTOR_CACHE_DIR"
BACKEND = "inductor"
VARIANTS = 128
"""Of sizes and hooks, for layers of one class. PyTorch stops compiling after 8: networks have more."""


@contextmanager
def compiled(network: nn.Module) -> Iterator[None]:
    """Compute the layers of ``network`` that repeat by `torch.compile` while inside.

    Whatever acts on it besides (hooks, other weights) acts on. Its results differ by rounding. What was made
    is kept on the disk, and made faster the next time.
    """
    from torch._dynamo import config  # takes a second

    layers = [module for module in network.modules() if isinstance(module, LAYERS)]
    # By default, what was compiled is used even where hooks came or went.
    with config.patch(recompile_limit=VARIANTS, skip_nnmodule_hook_guards=False), _kept():
        for layer in layers:
            # A plan that fits all sizes would be slower, and there are but one or two for each layer.
            made = torch.compile(layer.forward, dynamic=False, backend=BACKEND)
            layer.forward = partial(_called, made)
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward
            torch.compiler.reset()


@contextmanager
def _kept() -> Iterator[None]:
    """Keep what is made where vmc keeps all else: PyTorch's place is one that other users may write to."""
    before = os.environ.get(_PLACE)  # PyTorch itself writes its own choice there
    os.environ[_PLACE] = str(home.cache_dir() / "compiled")
    try:
        yield
    finally:
        del os.environ[_PLACE]
        if before is not None:
            os.environ[_PLACE] = before


def _called(forward: Callable[..., Tensor], *inputs: Any, **named: Any) -> Tensor:
    from torch._dynamo.exc import TorchDynamoException

    try:
        return forward(*inputs, **named)
    except TorchDynamoException as error:
        cause = getattr(error, "inner_exception", error)
        reason = str(cause).strip().partition("\n")[0].rstrip(".")
        raise IncompatibleError(
            f"The network cannot be compiled here: {reason}.", "Leave out --compile."
        ) from error
