"""Words from elsewhere: textual-inversion embeddings, checked strictly against a model's text encoder.

Two forms are common, both one tensor of one or several vectors: diffusers calls it by its token, A1111
``emb_params`` and the file by the token. Pickled ones (.pt, .bin) are never read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from registry.errors import Damaged
from registry.header import RawTensor
from vmc_cli import foreign, tokens
from vmc_cli.errors import IncompatibleError, UsageError
from vmc_cli.foreign import File
from vmc_cli.tokens import Token

MOST_VECTORS = 64
LARGEST = 1e3

_A1111 = "emb_params"


@dataclass(frozen=True)
class TextualInversion:
    """``vectors`` (n, D) that stand for a token."""

    name: str
    token: Token
    vectors: RawTensor


def is_one(file: File) -> bool:
    """Whether a file holds vectors alone."""
    shapes = [tensor.shape for tensor in file.tensors.values()]
    return len(shapes) == 1 and 1 <= len(shapes[0]) <= 2


def of(file: File, width: int, taken: Iterable[Token]) -> TextualInversion:
    """The vectors in a file that `is_one`, for a text encoder of that ``width``.

    Their token is told to the model as a word that is not ``taken``. Raises IncompatibleError for another
    width, UsageError where the token cannot be said, Damaged for numbers that cannot be right.
    """
    [(key, tensor)] = file.tensors.items()
    if (own := tensor.shape[-1]) != width:
        raise IncompatibleError(
            f"{file.name} was made for another model: its vectors have {own} numbers, not {width}."
        )
    vectors = tensor if len(tensor.shape) == 2 else tensor._replace(shape=(1, *tensor.shape))
    fits = tensor.dtype != "U8" and vectors.shape[0] <= MOST_VECTORS
    if not fits or not all(abs(number) <= LARGEST for number in foreign.numbers(tensor)):  # false for NaN too
        raise Damaged(f"{file.name} holds vectors that cannot be right.", "Choose another file.")
    shown = Path(file.name).stem if key == _A1111 else key
    try:
        return TextualInversion(file.name, tokens.chosen(shown, taken), vectors)
    except UsageError as error:
        problem = f"{file.name} cannot be used: {error.message}"
        raise UsageError(problem, "Its token is the file's name, or the key in it.") from None
