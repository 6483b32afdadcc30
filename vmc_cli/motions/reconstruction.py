"""Whether a backbone can draw a clip at all."""

from __future__ import annotations

import numpy as np
import torch

from vmc_cli import costs, device, memory
from vmc_cli.backbones.base import CLEAN, Backbone
from vmc_cli.clip import Clip

HIDDEN = 0.3  # of the noising: shapes can still be told, textures cannot


@torch.no_grad()
def reconstruction(backbone: Backbone, clip: Clip) -> float:
    """How well the backbone draws ``clip``: PSNR in dB of what it sees in it behind noise.

    A codec alone can copy what its network could never draw; so the network must fill in, without a prompt
    and in one step, what noise hides. Raises OutOfMemory.
    """

    def peak(level: str) -> int:
        model = backbone.blueprint
        return max(costs.encoding(model), costs.generating(model, "high", guided=False).peak)

    task = f"look at the clip with {backbone.spec.name}"
    with memory.explained(task, memory.usable(backbone), peak):
        return _reconstruction(backbone, clip)


def _reconstruction(backbone: Backbone, clip: Clip) -> float:
    latents = backbone.encode(clip.frames)
    t = round(HIDDEN * backbone.schedule.train_timesteps)
    noise = torch.randn(latents.shape, generator=device.generator(0)).to(latents.device)
    noisy = backbone.noised(latents, noise, torch.tensor([t]))
    scale, share = backbone.schedule.transfer(t, CLEAN)
    clean = scale * noisy + share * backbone.predict(noisy, t, backbone.embed([""]))
    error = np.square(backbone.decode(clean).astype(np.float64) - clip.frames).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")
