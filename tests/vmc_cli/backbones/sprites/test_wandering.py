"""Ways that words leave open."""

from __future__ import annotations

import random

import numpy as np

from vmc_cli.backbones.sprites.wandering import ANYHOW, wanderers
from vmc_cli.backbones.sprites.world import GRID, SIZE


def test_who_wanders_may_be_anywhere_and_takes_any_step() -> None:
    rng = random.Random(0)
    ways = np.array([wanderers(["cat"], 0.4, rng)[0].centres for _ in range(500)])
    assert ways.min() < 0.25
    assert ways.max() > 0.75
    steps = np.diff(ways, axis=1)
    assert np.abs(steps.mean((0, 1))).max() < 0.01
    turns = (steps[:, 1:] * steps[:, :-1]).sum(-1)
    assert 0.2 < (turns < 0).mean() < 0.6


def test_two_who_wander_do_it_together_and_apart_from_each_other() -> None:
    rng = random.Random(0)
    for _ in range(200):
        one, other = wanderers(["cat", "dog"], 0.28, rng)
        gaps = np.array(other.centres) - np.array(one.centres)
        assert np.abs(gaps - gaps[0]).max() < 2 * GRID / SIZE
        assert np.linalg.norm(gaps, axis=1).min() > 0.28 - 2 * GRID / SIZE


def test_who_wanders_slowly_or_fast_does_and_may_grow_meanwhile() -> None:
    rng = random.Random(0)

    def steps(speed: str) -> np.ndarray:
        ways = np.array([wanderers(["cat"], 0.4, rng, speed)[0].centres for _ in range(200)])
        return np.linalg.norm(np.diff(ways, axis=1), axis=-1).mean(-1)

    assert np.quantile(steps("slow"), 0.9) < np.quantile(steps("fast"), 0.1)
    (grows,) = wanderers(["cat"], 0.4, rng, also="growing")
    assert grows.diameters[-1] > 1.4 * grows.diameters[0]
    (turns,) = wanderers(["cat"], 0.4, rng, also="turning")
    assert turns.angles[-1] > 1


def test_some_pause_now_and_then() -> None:
    rng = random.Random(0)
    ways = np.array([wanderers(["cat"], 0.4, rng, "fast")[0].centres for _ in range(500)])
    pauses = (np.diff(ways, axis=1) == 0).all(-1)
    assert 0.15 < (pauses.sum(1) >= 2).mean() < 0.35


def test_sizes_and_angles_wander_too_where_anything_may_be() -> None:
    rng = random.Random(0)
    actors = [wanderers(["cat"], 0.4, rng, also=ANYHOW)[0] for _ in range(300)]
    sizes, angles = np.array([a.diameters for a in actors]), np.array([a.angles for a in actors])
    back_and_forth = [(np.diff(each) > 0).any(1) & (np.diff(each) < 0).any(1) for each in (sizes, angles)]
    assert all(each.mean() > 0.2 for each in back_and_forth)
    assert (np.ptp(sizes, axis=1) == 0).any()  # some turn only
    assert (np.ptp(angles, axis=1) == 0).any()
    reach = np.array([[abs(x - 0.5), abs(y - 0.5)] for a in actors for x, y in a.centres]).max(1)
    assert (reach + sizes.reshape(-1) / 2).max() < 0.5 + 2 * GRID / SIZE
