"""Copies of learned frames, by the features of an image encoder that is made to find them, or fit for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoImageProcessor, AutoModel

from vmc_cli.device import choose_device
from vmc_cli.errors import IncompatibleError
from vmc_cli.evaluation import judges, pretrained

_POOLER = "pooler."
_HINT = "Name an image encoder of transformers, like facebook/dinov2-base."


def require_encoder(config: Path, name: str) -> None:
    """Raise IncompatibleError unless ``config`` is that of an image encoder, which is called ``name``."""
    kind = judges.kind_of(config)
    if not kind:
        raise IncompatibleError(f"{name} does not hold a model of transformers.", _HINT)
    if kind == "clip":
        raise IncompatibleError(
            f"{name} holds a CLIP model, which is no copy-detection model.", "Give it as --clip-model."
        )
    if kind not in CONFIG_MAPPING:
        raise IncompatibleError(
            f"{name} holds a model of the kind {kind}, which this version of transformers does not know.",
            f"Code that comes with a model is never run. {_HINT}",
        )
    known = MODEL_MAPPING.get(CONFIG_MAPPING[kind], None)
    if getattr(known, "main_input_name", "") != "pixel_values":
        raise IncompatibleError(f"{name} holds a model of the kind {kind}, no image encoder.", _HINT)


class Encoder:
    """An image encoder, read from a folder in transformers layout: any that AutoModel knows (DINOv2, ViT).

    Its features are the pooled output, or the class token where the files hold no pooler.

    Raises:
        IncompatibleError: the folder does not hold a whole one as safetensors, or it gives no such features.
    """

    def __init__(self, folder: Path, device: str | None = None) -> None:
        self._device = choose_device(device)
        with pretrained.reading(folder, "image encoder"):
            model, missing = pretrained.model(AutoModel, folder, optional=(_POOLER,))
            self._processor = pretrained.processor(AutoImageProcessor, folder)
        self._pooled = not missing
        self._model = model.to(self._device)
        with pretrained.reading(folder, "image encoder"):
            features = self._features(np.zeros((1, 32, 32, 3), np.uint8))
        if features is None:
            raise IncompatibleError(f"The model in {folder} gives no features of whole pictures.", _HINT)

    def pictures(self, frames: NDArray[np.uint8]) -> Tensor:
        """Unit vectors (F, D) of frames (F, H, W, 3)."""
        return torch.nn.functional.normalize(self._features(frames).flatten(1), dim=-1).cpu()

    def _features(self, frames: NDArray[np.uint8]) -> Any:
        pixels = self._processor(images=[Image.fromarray(each) for each in frames], return_tensors="pt")
        seen = self._model(pixels.pixel_values.to(self._device))
        return getattr(seen, "pooler_output", None) if self._pooled else seen.last_hidden_state[:, 0]
