"""The world of the embedded model: names, pictures, places and base motions."""

from __future__ import annotations

import numpy as np
import pytest

from vmc_cli.backbones.sprites import world
from vmc_cli.backbones.sprites.drawing import glyphs, render
from vmc_cli.backbones.sprites.places import PAINTERS, paint


def test_it_knows_enough_subjects_places_and_motions() -> None:
    assert len(world.SUBJECTS) >= 32
    assert len(world.PLACES) >= 8
    assert {"still", "left", "right", "up", "down", "growing", "shrinking", "turning"} <= set(world.MOTIONS)


@pytest.mark.parametrize(("motion", "step"), [(m, world.DIRECTIONS[m]) for m in world.DIRECTIONS])
def test_a_base_motion_goes_where_its_name_says(motion: str, step: tuple[float, float]) -> None:
    actor = world.base_actor("cat", motion, "normal", 0.3)
    way = np.diff(np.array(actor.centres), axis=0)
    assert (way @ np.array(step) >= 0).all()
    assert way.sum(0) @ np.array(step) > 0.15


@pytest.mark.parametrize("motion", world.MOTIONS)
@pytest.mark.parametrize("speed", world.SPEEDS)
def test_what_words_tell_begins_in_the_middle_unless_the_way_is_longer(motion: str, speed: str) -> None:
    actor = world.base_actor("cat", motion, speed, 0.4)
    for at, last in zip(actor.centres[0], actor.centres[-1], strict=True):
        ends_at_the_edge = abs(last - 0.5) >= 0.28
        assert abs(at - 0.5) < 0.02 or ends_at_the_edge


def test_every_name_has_a_picture_and_every_place_a_painter() -> None:
    pictures = glyphs()
    assert len(pictures) == len(world.SUBJECTS) + len(world.STRANGERS)
    assert pictures[:, 3].flatten(1).mean(1).min() > 0.1
    assert set(PAINTERS) == set(world.PLACES)


def test_places_look_different_from_each_other_and_anew_for_every_variant() -> None:
    looks = {place: paint(place, 0) for place in world.PLACES}
    assert all(np.abs(looks[place] - paint(place, 1)).mean() > 0.005 for place in world.PLACES)
    means = np.array([look.reshape(3, 8, 8, 8, 8).mean((2, 4)).ravel() for look in looks.values()])
    gaps = np.abs(means[:, None] - means[None]).mean(-1) + np.eye(len(means))
    assert gaps.min() > 0.1


@pytest.mark.parametrize("style", world.STYLES)
def test_every_style_changes_the_picture(style: str) -> None:
    actor = world.base_actor("car", "left", "normal", 0.4)
    plain, styled = (render(world.Scene("city", 1, (actor,), s)).astype(int) for s in ("", style))
    assert np.abs(plain - styled).mean() > 8
