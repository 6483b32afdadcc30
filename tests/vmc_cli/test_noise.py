import math

import pytest
import torch

from vmc_cli import noise, recipe
from vmc_cli.errors import UsageError
from vmc_cli.recipe import Span

SHAPE = (1, 4, 8, 16, 16)
MIXED = [kind for kind in recipe.NOISES if kind not in ("inverted", "random")]


@pytest.fixture
def inverted():
    """Half of its variance is the same in all frames, as inverted clips have it."""
    generator = torch.Generator().manual_seed(1)
    still = torch.randn(1, 4, 1, 16, 16, generator=generator)
    return (torch.randn(SHAPE, generator=generator) + still) / 2**0.5


@pytest.fixture
def random():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))


def test_inverted_and_random_are_handed_through(inverted, random):
    assert torch.equal(noise.start_noise("inverted", inverted, random), inverted)
    assert torch.equal(noise.start_noise("random", inverted, random), random)
    assert torch.equal(noise.start_noise("random", None, random), random)


@pytest.mark.parametrize("kind", MIXED)
def test_mixtures_keep_unit_variance(inverted, random, kind):
    mixed = noise.start_noise(kind, inverted, random)
    assert mixed.shape == SHAPE
    assert float(mixed.std()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", ["blend", "motion"])
def test_mixtures_take_from_both(inverted, random, kind):
    mixed = noise.start_noise(kind, inverted, random)
    for part in (inverted, random):
        assert abs(float(torch.corrcoef(torch.stack([mixed.flatten(), part.flatten()]))[0, 1])) > 0.1


def test_blend_is_half_of_the_variance_of_each(inverted, random):
    mixed = noise.start_noise("blend", inverted, random)
    for place in [(0, 0, 0, 0, 0), (0, 3, 7, 15, 15), (0, 1, 2, 3, 4)]:
        expected = math.sqrt(0.5) * float(inverted[place]) + math.sqrt(0.5) * float(random[place])
        assert float(mixed[place]) == pytest.approx(expected, rel=1e-5)


def test_motion_noise_is_the_deviation_from_the_mean_frame(inverted, random):
    frames = SHAPE[2]
    raw = torch.empty(SHAPE, dtype=torch.float64)
    for number in range(frames):
        mean = sum(inverted[:, :, n].double() for n in range(frames)) / frames
        fresh = sum(random[:, :, n].double() for n in range(frames)) / frames
        raw[:, :, number] = inverted[:, :, number].double() - mean + fresh
    values = raw.flatten().tolist()
    centre = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))
    torch.testing.assert_close(
        noise.start_noise("motion", inverted, random), (raw / deviation).float(), rtol=1e-4, atol=1e-5
    )


def test_motion_noise_holds_nothing_of_what_stays_the_same(inverted, random):
    other = inverted + torch.randn(1, 4, 1, 16, 16)
    a, b = (noise.start_noise("motion", each, random) for each in (inverted, other))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_low_frequencies_come_from_the_clip_and_high_ones_do_not(inverted, random):
    mixed = noise.start_noise("low-frequency", inverted, random)
    rows = torch.arange(16)
    checkerboard = ((rows[:, None] + rows) % 2 * 2 - 1).float()
    # What changes from pixel to pixel vanishes below the cut; what is constant passes.
    rough = noise.start_noise("low-frequency", inverted + 5 * checkerboard, random)
    assert torch.allclose(rough, mixed, atol=1e-4)
    means = [each.mean(dim=(3, 4)).flatten() for each in (mixed, inverted, random)]
    correlation = torch.corrcoef(torch.stack(means))[0]
    assert correlation[1] > 0.95
    assert abs(correlation[2]) < 0.6


def test_a_size_that_does_not_divide_by_four_works():
    video = torch.randn(1, 4, 2, 5, 3)
    assert noise.start_noise("low-frequency", video, torch.randn_like(video)).shape == video.shape


def test_every_noise_that_a_command_may_name_exists(inverted, random):
    for kind in recipe.NOISES:
        assert noise.start_noise(kind, inverted, random).shape == SHAPE
    with pytest.raises(UsageError, match="No start noise"):
        noise.start_noise("pink", inverted, random)


@pytest.mark.parametrize("kind", [kind for kind in recipe.NOISES if kind != "random"])
def test_a_clips_noise_without_a_clip_is_refused(random, kind):
    with pytest.raises(UsageError, match="made from a motion"):
        noise.start_noise(kind, None, random)


def test_uniform_timesteps_hit_every_timestep_alike():
    drawn = noise.draw_timesteps("uniform", 100_000, 10, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=10)
    assert len(counts) == 10
    assert counts.min() > 9_600
    assert counts.max() < 10_400


def test_timesteps_depend_on_the_generator_alone():
    draws = [noise.draw_timesteps("uniform", 20, 1000, torch.Generator().manual_seed(s)) for s in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_early_timesteps_have_the_density_of_the_paper(alpha):
    count, bins = 100_000, 20
    drawn = noise.draw_timesteps("early", count, 1000, torch.Generator().manual_seed(3), alpha=alpha)
    assert (int(drawn.min()) >= 0, int(drawn.max()) < 1000, drawn.dtype) == (True, True, torch.int64)
    found = torch.bincount(drawn // 50, minlength=bins).tolist()

    def below(share):  # the integral of f(t) = (1 - alpha cos(pi t / T)) / T up to share * T
        return share - alpha * math.sin(math.pi * share) / math.pi

    surprise = 0.0
    for number, seen in enumerate(found):
        expected = count * (below((number + 1) / bins) - below(number / bins))
        surprise += (seen - expected) ** 2 / expected
    assert surprise < 44  # chi square with 19 degrees of freedom: 1 in 1,000 is larger


@pytest.mark.parametrize("kind", ["uniform", "early"])
def test_timesteps_can_be_kept_to_where_much_is_left(kind):
    source = torch.Generator().manual_seed(0)
    drawn = noise.draw_timesteps(kind, 20_000, 10, source, alpha=0.5, span=Span(until=0.7))
    assert sorted(set(drawn.tolist())) == [8, 9]
    share = float((drawn == 9).float().mean())
    assert share > 0.505 if kind == "early" else abs(share - 0.5) < 0.015
    last = noise.draw_timesteps(kind, 5, 10, source, alpha=0.5, span=Span(until=0.95))
    assert last.tolist() == [9] * 5


@pytest.mark.parametrize("kind", ["uniform", "early"])
def test_timesteps_can_be_kept_to_where_little_is_left(kind):
    source, span = torch.Generator().manual_seed(0), Span(since=0.2)
    drawn = noise.draw_timesteps(kind, 20_000, 10, source, alpha=1.0, span=span)
    assert sorted(set(drawn.tolist())) == [0, 1, 2]
    share = float((drawn == 2).float().mean())
    density = [1 - math.cos(math.pi * (t + 0.5) / 10) if kind == "early" else 1.0 for t in range(3)]
    assert abs(share - density[2] / sum(density)) < 0.015


def test_uniform_timesteps_do_not_care_for_alpha():
    one, two = (
        noise.draw_timesteps("uniform", 9, 1000, torch.Generator().manual_seed(3), alpha=alpha)
        for alpha in (0, 1)
    )
    assert torch.equal(one, two)
