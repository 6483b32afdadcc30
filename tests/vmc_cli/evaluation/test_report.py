"""A video is compared with every clip that a motion was learned from."""

from __future__ import annotations

import pytest

from tests.vmc_cli.evaluation.test_tracks import WAYS, video
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


def test_a_learned_clip_in_which_nothing_moves_does_not_count() -> None:
    still = Clip(video([(0.5, 0.5)] * 8), FPS)
    found = Comparison([still, clip("circle")], model=None, of_sprites=False).measured(clip("circle"), None)
    assert found.motion_fidelities == [None, pytest.approx(1)]
    assert found.motion_fidelity == pytest.approx(1)
    assert "motion_fidelity" not in found.reasons
    found = Comparison([still], model=None, of_sprites=False).measured(clip("circle"), None)
    assert (found.motion_fidelity, found.motion_fidelities) == (0, [None])
    assert "learned clip" in found.reasons["motion_fidelity"]
