"""Likeness of pictures and words by CLIP: alignment with a text, consistency of frames, copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPProcessor

from vmc_cli.device import choose_device
from vmc_cli.evaluation import judges, pretrained

Frames = NDArray[np.uint8]
"""(F, H, W, 3)."""


class Likeness:
    """A CLIP model, read from a folder in transformers layout. Nothing is fetched, no code is run.

    Raises:
        IncompatibleError: the folder does not hold a whole CLIP model as safetensors.
    """

    def __init__(self, folder: Path, device: str | None = None) -> None:
        self._device = choose_device(device)
        judges.require_clip(folder / judges.CONFIG, str(folder))
        with pretrained.reading(folder, "CLIP model"):
            model, _ = pretrained.model(CLIPModel, folder)
            self._processor = pretrained.processor(CLIPProcessor, folder)
        self._model = model.to(self._device)

    def pictures(self, frames: Frames) -> Tensor:
        """Unit vectors (F, D) of frames."""
        pixels = self._processor(images=[Image.fromarray(each) for each in frames], return_tensors="pt")
        vision = self._model.vision_model(pixels.pixel_values.to(self._device)).pooler_output
        return torch.nn.functional.normalize(self._model.visual_projection(vision), dim=-1).cpu()

    def words(self, text: str) -> Tensor:
        """The unit vector (D,) of a text; what does not fit into the model is cut off."""
        tokens = self._processor(text=[text], return_tensors="pt", truncation=True).to(self._device)
        pooled = self._model.text_model(**tokens).pooler_output
        return torch.nn.functional.normalize(self._model.text_projection(pooled), dim=-1)[0].cpu()


def alignment(pictures: Tensor, words: Tensor) -> float:
    """Mean cosine of frames (F, D) and a text (D,), both unit vectors (VMC's text alignment)."""
    return float((pictures @ words).mean())


def consistency(pictures: Tensor) -> float:
    """Mean cosine over all pairs of frames (F, D), unit vectors (VMC's frame consistency); 1 for one."""
    count = len(pictures)
    if count < 2:
        return 1.0
    return float(((pictures @ pictures.T).sum() - count) / (count * (count - 1)))


def copying(pictures: Tensor, learned: Tensor) -> float:
    """The highest cosine between a frame (F, D) and a learned frame (N, D)."""
    return float((pictures @ learned.T).max())
