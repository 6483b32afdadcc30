import math

import pytest
import torch

from vmc_cli.backbones.base import CLEAN, Schedule
from vmc_cli.errors import IncompatibleError, UsageError

BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ALPHAS = torch.cumprod(1 - BETAS, 0)


def schedule(kind="epsilon", final=1.0):
    return Schedule(ALPHAS, torch.tensor(final), kind)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_noising_and_targets_are_those_of_diffusers(kind):
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(trained_betas=BETAS.float().numpy(), prediction_type=kind)
    ours = Schedule(theirs.alphas_cumprod, theirs.final_alpha_cumprod, kind)
    clean, eps, t = torch.randn(3, 4, 2, 5, 5), torch.randn(3, 4, 2, 5, 5), torch.tensor([0, 500, 999])
    torch.testing.assert_close(ours.noised(clean, eps, t), theirs.add_noise(clean, eps, t))
    target = eps if kind == "epsilon" else theirs.get_velocity(clean, eps, t)
    torch.testing.assert_close(ours.target(clean, eps, t), target)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_a_renewal_is_a_step_of_diffusers_ddim_with_fresh_noise(kind, eta):
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(
        trained_betas=BETAS.float().numpy(),
        prediction_type=kind,
        clip_sample=False,
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(50)
    ours = Schedule(theirs.alphas_cumprod, theirs.final_alpha_cumprod, kind)
    grid = ours.grid(50)
    assert grid == theirs.timesteps.tolist()
    noisy, prediction = torch.randn(1, 4, 2, 5, 5), torch.randn(1, 4, 2, 5, 5)
    fresh = torch.randn(noisy.shape)
    for t, to in zip(grid, [*grid[1:], CLEAN], strict=True):
        scale, share, added = ours.renewal(t, to, eta)
        expected = theirs.step(prediction, t, noisy, eta=eta, variance_noise=fresh).prev_sample
        found = scale * noisy + share * prediction + added * fresh
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_transfer_is_a_renewal_without_fresh_noise_also_to_more_noise():
    ours = schedule()
    for to in (CLEAN, 10, 500, 999):
        scale, share, added = ours.renewal(500, to, 0.0)
        assert (scale, share) == ours.transfer(500, to)
        assert added == 0


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_perfect_prediction_is_carried_to_any_noise_level(kind):
    ours = schedule(kind)
    clean, eps = torch.randn(2, 1, 4, 2, 5, 5, dtype=torch.float64)
    t = torch.tensor([700])
    noisy, target = ours.noised(clean, eps, t), ours.target(clean, eps, t)
    for to in (999, 300, 0, CLEAN):
        scale, share = ours.transfer(700, to)
        there = ours.signal[to] * clean + ours.noise[to] * eps
        torch.testing.assert_close(scale * noisy + share * target, there)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 50, 75, 333, 999, 1000])
def test_every_grid_begins_at_the_last_timestep_and_goes_down_evenly(steps):
    grid = schedule().grid(steps)
    assert len(grid) == steps
    assert grid[0] == 999
    gaps = [a - b for a, b in zip(grid, [*grid[1:], -1], strict=True)]
    assert max(gaps) - min(gaps) <= 1
    assert min(gaps) >= 1


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_an_impossible_number_of_steps_is_refused(steps):
    with pytest.raises(UsageError, match="from 1 to 1000"):
        schedule().grid(steps)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_weight_is_how_an_error_shows_in_the_clean_video(kind):
    ours = schedule(kind)
    for number in (1, 400, 999):
        abar = float(ALPHAS[number])
        found = float(ours.weight(torch.tensor([number])))
        assert found == pytest.approx((1 - abar) / abar if kind == "epsilon" else 1 - abar, rel=1e-5)
        noisy, prediction = torch.randn(2, 8, dtype=torch.float64)
        scale, share = ours.transfer(number, CLEAN)
        clean = [scale * noisy + share * each for each in (prediction, prediction + 0.1)]
        assert float((clean[1] - clean[0]).square().mean()) == pytest.approx(found * 0.01, rel=1e-6)


def test_the_last_step_can_end_above_the_clean_end():
    final = float(ALPHAS[0])
    assert float(schedule(final=final).signal[CLEAN]) == pytest.approx(math.sqrt(final))
    assert float(schedule().noise[CLEAN]) == 0


def test_a_schedule_that_ends_in_pure_noise_needs_v_prediction():
    alphas = torch.linspace(0.999, 0, 1000, dtype=torch.float64)
    ours = Schedule(alphas, torch.tensor(1.0), "v_prediction")
    scale, share = ours.transfer(999, 500)
    assert math.isfinite(scale)
    assert math.isfinite(share)
    assert scale != 0
    with pytest.raises(IncompatibleError, match="nothing but noise"):
        Schedule(alphas, torch.tensor(1.0), "epsilon")


def test_a_parametrisation_that_is_not_known_is_refused():
    with pytest.raises(IncompatibleError, match="'sample'"):
        schedule("sample")


def test_sites_for_takes_exactly_what_a_recipe_names(tiny_backbone):
    sites = tiny_backbone.sites_for(["temporal-attention/to_q", "spatial-cross-attention/to_k"])
    assert {site.key for site in sites} == {"temporal-attention/to_q", "spatial-cross-attention/to_k"}
    assert len(sites) == len({site.name for site in sites})
    with pytest.raises(IncompatibleError, match="no temporal-attention/to_z to train"):
        tiny_backbone.sites_for(["temporal-attention/to_q", "temporal-attention/to_z"])
