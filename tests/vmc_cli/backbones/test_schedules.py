"""The noise schedules of users' own checkpoints: predict and target as diffusers' schedulers have them."""

import json

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)

from vmc_cli.backbones import parts
from vmc_cli.backbones.base import CLEAN
from vmc_cli.errors import IncompatibleError

BETAS = {"beta_start": 0.00085, "beta_end": 0.012}


def written(folder, scheduler, **changes):
    scheduler.save_pretrained(folder)
    path = folder / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize(
    ("kind", "zero"), [("epsilon", False), ("v_prediction", False), ("v_prediction", True)]
)
@pytest.mark.parametrize("theirs", [DDIMScheduler, PNDMScheduler, EulerDiscreteScheduler])
def test_noise_targets_and_steps_are_those_of_the_checkpoint(theirs, kind, zero, betas, tmp_path):
    config = {**BETAS, "beta_schedule": betas, "prediction_type": kind}
    folder = written(tmp_path, theirs(), **config, rescale_betas_zero_snr=zero, clip_sample=False)
    ours = parts.load_schedule(folder)
    noisier = DDPMScheduler(**config, rescale_betas_zero_snr=zero)
    generator = torch.Generator().manual_seed(0)
    clean, eps = (torch.randn(3, 4, 2, 5, 5, generator=generator) for _ in range(2))
    t = torch.tensor([0, 500, 999])
    torch.testing.assert_close(
        ours.noised(clean, eps, t), noisier.add_noise(clean, eps, t), rtol=1e-4, atol=1e-4
    )
    target = eps if kind == "epsilon" else noisier.get_velocity(clean, eps, t)
    torch.testing.assert_close(ours.target(clean, eps, t), target, rtol=1e-4, atol=1e-4)
    reference = DDIMScheduler(
        **config,
        rescale_betas_zero_snr=zero,
        clip_sample=False,
        timestep_spacing="trailing",
        set_alpha_to_one=theirs is not PNDMScheduler,  # its default is False
    )
    reference.set_timesteps(20)
    assert ours.grid(20) == reference.timesteps.tolist()
    for now, to in zip(ours.grid(20), [*ours.grid(20)[1:], CLEAN], strict=True):
        scale, share = ours.transfer(now, to)
        wanted = reference.step(eps[:1], now, clean[:1]).prev_sample
        torch.testing.assert_close(scale * clean[:1] + share * eps[:1], wanted, rtol=1e-3, atol=1e-3)
    if zero:
        assert float(ours.signal[999]) == 0


def test_betas_that_were_written_out_are_taken(tmp_path):
    betas = torch.linspace(1e-4, 0.02, 300).tolist()
    ours = parts.load_schedule(written(tmp_path, DDIMScheduler(), trained_betas=betas, beta_schedule=None))
    assert ours.train_timesteps == 300
    alphas = torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), 0)
    torch.testing.assert_close(ours.signal[:-1].square(), alphas, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("scheduler", "changes", "sentence"),
    [
        (FlowMatchEulerDiscreteScheduler, {}, "does not add noise by betas"),
        (DPMSolverMultistepScheduler, {"use_flow_sigmas": True}, "does not add noise by betas"),
        (DDIMScheduler, {"rescale_betas_zero_snr": True}, "nothing but noise"),
        (DDIMScheduler, {"prediction_type": "sample"}, "'sample'"),
        (DDIMScheduler, {"beta_schedule": "sigmoid"}, "whole model"),
    ],
)
def test_what_cannot_be_honoured_is_refused_and_never_guessed(scheduler, changes, sentence, tmp_path):
    folder = written(tmp_path, scheduler(), **changes)
    with pytest.raises(IncompatibleError, match=sentence), parts.loading(tmp_path):
        parts.load_schedule(folder)
