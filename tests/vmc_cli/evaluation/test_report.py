"""A video is compared with every clip that a motion was learned from."""

from __future__ import annotations

import pytest

from tests.vmc_cli.evaluation.test_tracks import WAYS, video
from vmc_cli.backbones.sprites import world
from vmc_cli.backbones.sprites.drawing import render
from vmc_cli.backbones.sprites.world import FPS
from vmc_cli.clip import Clip
from vmc_cli.evaluation.report import Comparison


def clip(way: str, *looks: str) -> Clip:
    return Clip(video(WAYS[way], *looks), FPS)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """With a penguin that circles, and a car on the same ways."""
    learned = [clip("circle", "penguin", "sea"), clip("to and fro", "car", "sea")]
    return Comparison(learned, model=None, of_sprites=True)


def test_the_motion_kept_is_the_mean_over_the_clips(comparison: Comparison) -> None:
    found = comparison.measured(clip("circle"), None)
    same, other = found.motion_fidelities
    assert same > 0.95
    assert other < 0
    assert found.motion_fidelity == pytest.approx((same + other) / 2)
    assert found.oracle["displacement_cosine"] == pytest.approx(found.motion_fidelity, abs=0.15)


@pytest.mark.parametrize(("subject", "leaks"), [("penguin", True), ("car", True), ("panda", False)])
def test_the_own_sprite_of_any_clip_leaks(comparison: Comparison, subject: str, leaks: bool) -> None:
    seen = comparison.measured(clip("zigzag", subject, "desert"), None).oracle
    assert (seen["subject"], seen["leak"]) == (subject, leaks)
    assert seen["clip_subjects"] == ["penguin", "car"]
    assert seen["doubled"] == 0


def test_it_leaks_beside_another_sprite_too_and_never_when_it_is_asked_for(comparison: Comparison) -> None:
    ways = [[(x, 0.3 + 0.04 * i) for i in range(8)] for x in (0.25, 0.75)]
    actors = tuple(world.actor(name, way, 0.36) for name, way in zip(("robot", "penguin"), ways, strict=True))
    both = Clip(render(world.Scene("grass", 5, actors)), FPS)
    seen = comparison.measured(both, "a robot is falling").oracle
    assert (set(seen["sprites"]), seen["leak"]) == ({"robot", "penguin"}, True)
    assert not comparison.measured(both, "A robot and two penguins are falling").oracle["leak"]


def test_a_larger_video_is_compared_at_the_size_of_the_clips() -> None:
    learned = clip("circle", "penguin", "sea")
    large = Clip(learned.frames.repeat(4, axis=1).repeat(4, axis=2), FPS)
    alone = Comparison([learned], model=None, of_sprites=False)
    assert alone.measured(large, None).motion_fidelity == pytest.approx(1)


def test_in_a_mere_place_nobody_is_seen(comparison: Comparison) -> None:
    found = comparison.measured(Clip(render(world.Scene("sea", 3, ())), FPS), "a panda in the sea")
    assert (found.oracle["subject"], found.oracle["sprites"], found.oracle["leak"]) == (None, {}, False)
    assert found.oracle["place"] == "sea"
    assert found.oracle["displacement_cosine"] is None
    assert "displacement_cosine" in found.reasons


def test_a_learned_clip_in_which_nothing_moves_does_not_count() -> None:
    still = Clip(video([(0.5, 0.5)] * 8), FPS)
    found = Comparison([still, clip("circle")], model=None, of_sprites=False).measured(clip("circle"), None)
    assert found.motion_fidelities == [None, pytest.approx(1)]
    assert found.motion_fidelity == pytest.approx(1)
    assert "motion_fidelity" not in found.reasons
    found = Comparison([still], model=None, of_sprites=False).measured(clip("circle"), None)
    assert (found.motion_fidelity, found.motion_fidelities) == (0, [None])
    assert "learned clip" in found.reasons["motion_fidelity"]
