"""How much of a clip a network can draw at all."""

import numpy as np
import pytest
import torch

from tests.vmc_cli.motions.conftest import clip
from vmc_cli.clip import Clip
from vmc_cli.motions import reconstruction


def test_what_is_reconstructed_is_what_the_network_sees_behind_noise(tiny_backbone, monkeypatch):
    shown = clip()
    latents = tiny_backbone.encode(shown.frames)
    schedule, seen = tiny_backbone.schedule, []

    def right(self, noisy, t, embedding):
        t = torch.tensor([int(t)])
        noise = (noisy - schedule.signal[t].float() * latents) / schedule.noise[t].float()
        assert 0.5 < noise.std() < 2
        return self.target(latents, noise, t)

    monkeypatch.setattr(type(tiny_backbone), "predict", right)
    monkeypatch.setattr(type(tiny_backbone), "decode", lambda self, clean: seen.append(clean) or shown.frames)
    reconstruction(tiny_backbone, shown)
    torch.testing.assert_close(seen[0], latents, atol=1e-4, rtol=1e-4)


def test_reconstruction_is_a_psnr(tiny_backbone, monkeypatch):
    frames = clip().frames // 2
    monkeypatch.setattr(type(tiny_backbone), "decode", lambda self, latents: frames + 10)
    assert reconstruction(tiny_backbone, Clip(frames, 8.0)) == pytest.approx(20 * np.log10(255 / 10))
    monkeypatch.setattr(type(tiny_backbone), "decode", lambda self, latents: frames)
    assert reconstruction(tiny_backbone, Clip(frames, 8.0)) == float("inf")
