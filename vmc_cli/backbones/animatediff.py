"""The family of AnimateDiff: a Stable Diffusion 1.5 with a motion adapter between its layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor

from vmc_cli.backbones import Spec, config, framewise, parts, places
from vmc_cli.backbones.framewise import FrameBackbone
from vmc_cli.device import choose_device, compute_dtype
from vmc_cli.errors import IncompatibleError

ROLES: framewise.Roles = (*framewise.temporal("motion_modules"), *framewise.SPATIAL)

_BETAS = {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012, "trained_betas": None}
"""Motion adapters were trained with these (AnimateDiff, arXiv 2307.04725), whatever the checkpoint was."""


class AnimateDiff(FrameBackbone):
    """A UNetMotionModel with the text encoder and the autoencoder of its Stable Diffusion."""

    roles = ROLES

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for module in self.network.modules():
            if isinstance(module, AnimateDiffTransformer3D):
                framewise.densify(module.proj_in)

    def predict(self, latents: Tensor, t: Tensor | int, embedding: Tensor) -> Tensor:
        """See `Backbone.predict`. This network wants a prompt for each frame."""
        return super().predict(latents, t, embedding.repeat_interleave(latents.shape[2], dim=0))


def load(folders: Sequence[Path], spec: Spec, revision: str, device: str | None) -> AnimateDiff:
    """The Stable Diffusion in the first of ``folders`` with the motion adapter in the second.

    Raises `IncompatibleError` when a part is not there, incomplete, or of another kind.
    """
    chosen = choose_device(device)
    checkpoint, adapter = folders
    dtype = compute_dtype(chosen)
    with parts.loading(adapter):
        motion = parts.load_part(MotionAdapter, adapter, torch_dtype=dtype)
        longest = motion.config.motion_max_seq_length
        if spec.frames > longest:
            raise IncompatibleError(f"The motion adapter in {adapter} makes {longest} frames at most.")
    with parts.loading(checkpoint):
        images = parts.load_part(UNet2DConditionModel, checkpoint / "unet", torch_dtype=dtype)
        if list(images.config.block_out_channels) != list(motion.config.block_out_channels):
            raise IncompatibleError(f"The motion adapter in {adapter} was not made for {checkpoint}.")
        return AnimateDiff(
            spec=spec,
            revision=revision,
            network=UNetMotionModel.from_unet2d(images, motion).to(dtype),
            device=chosen,
            **parts.load_surroundings(checkpoint, **_BETAS),
        )


def blueprint(spec: Spec, dtype: torch.dtype) -> AnimateDiff:
    """See `backbones.blueprint`."""
    checkpoint, adapter = spec.sources
    with parts.loading(places(spec)[0]), torch.device("meta"):
        images = UNet2DConditionModel.from_config(config(checkpoint, "unet"))
        motion = MotionAdapter.from_config(config(adapter, "."))
        network = UNetMotionModel.from_unet2d(images, motion, load_weights=False).to(dtype)
        return AnimateDiff(spec=spec, network=network, **parts.blueprint_surroundings(checkpoint))
