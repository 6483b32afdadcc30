"""The vectors of a token, for methods that learn them beside the layers."""

from __future__ import annotations

from torch import Tensor, nn

from vmc_cli.backbones.base import Backbone

KEY = "token"
"""Of the vectors in a motion's file: (n, D), one for each piece that the tokenizer makes of the word."""


class Words:
    """The word of a token as a parameter, float32, and the embeddings of prompts that say it."""

    def __init__(self, backbone: Backbone, prompt: str, word: str) -> None:
        self._backbone, self._prompt, self._word = backbone, prompt, word
        self.parameters = {KEY: nn.Parameter(backbone.word_vectors(word))}

    def embedding(self) -> Tensor:
        """That of the prompt, (1, L, D); gradients reach the parameter."""
        return self.embedding_of(self._prompt)

    def embedding_of(self, prompt: str) -> Tensor:
        """That of another prompt, (1, L, D)."""
        return self._backbone.embed_with([prompt], {self._word: self.parameters[KEY]})

    def tensors(self) -> dict[str, Tensor]:
        """What was learned. Detached, float32."""
        return {key: parameter.detach().clone() for key, parameter in self.parameters.items()}
