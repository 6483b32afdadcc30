"""The family of UNet3DConditionModel: 2D layers on each frame, temporal layers on each pixel, CLIP text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet3DConditionModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn

from vmc_cli.backbones import Spec, config, framewise, parts, places
from vmc_cli.backbones.framewise import FrameBackbone
from vmc_cli.device import choose_device, compute_dtype

# What VMC trains is in the blocks, so the temporal transformer before them has a role of its own.
_INPUT = r"transformer_in\.(?:transformer_blocks\.0\.)?"
ROLES: framewise.Roles = (
    *framewise.temporal("temp_attentions"),
    (r".+\.temp_convs\.\d+\.(conv1\.2|conv[234]\.3)", "temporal-convolution", "out_channels"),
    (_INPUT + rf"(attn[12]\.{framewise.MATRIX}|ff\.net\.2|proj_in)", "temporal-input", "out_features"),
    (_INPUT + r"(ff\.net\.0\.proj|proj_out)", "temporal-input", "in_features"),
    *framewise.SPATIAL,
)


class TemporalConvolution(nn.Conv3d):
    """A convolution along time, kernel (k, 1, 1), computed as the same in 2D over (time, pixels): faster."""

    def forward(self, video: Tensor) -> Tensor:
        """(B, C, F, h, w) -> (B, C', F, h, w)."""
        flat = F.conv2d(video.flatten(3), self.weight.squeeze(-1), self.bias, padding=self.padding[:2])
        return flat.reshape(*flat.shape[:3], *video.shape[3:])


def quicken(network: UNet3DConditionModel) -> None:
    """Compute the same with faster kernels; parameters and their names stay as they are."""
    for module in network.modules():
        if type(module) is nn.Conv3d and module.kernel_size == (3, 1, 1):
            module.__class__ = TemporalConvolution
        if isinstance(module, TransformerTemporalModel):
            framewise.densify(module.proj_in)


class UNet3D(FrameBackbone):
    """A UNet3DConditionModel with its text encoder and its autoencoder."""

    roles = ROLES

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        quicken(self.network)


def load(folders: Sequence[Path], spec: Spec, revision: str, device: str | None) -> UNet3D:
    """The model in the one folder of ``folders``: unet, vae, text_encoder, tokenizer and scheduler.

    Raises `IncompatibleError` when a part is not there, incomplete, or of another kind.
    """
    chosen = choose_device(device)
    [folder] = folders
    with parts.loading(folder):
        return UNet3D(
            spec=spec,
            revision=revision,
            network=parts.load_part(UNet3DConditionModel, folder / "unet", torch_dtype=compute_dtype(chosen)),
            device=chosen,
            **parts.load_surroundings(folder),
        )


def blueprint(spec: Spec, dtype: torch.dtype) -> UNet3D:
    """See `backbones.blueprint`."""
    [source] = spec.sources
    with parts.loading(places(spec)[0]), torch.device("meta"):
        network = UNet3DConditionModel.from_config(config(source, "unet")).to(dtype)
        return UNet3D(spec=spec, network=network, **parts.blueprint_surroundings(source))
