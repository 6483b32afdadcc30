"""The world of the embedded model: what is drawn is what is said, and it stays in the picture."""

from __future__ import annotations

import random

import numpy as np
import pytest

from vmc_cli.backbones.sprites import world
from vmc_cli.backbones.sprites.drawing import glyphs, render
from vmc_cli.backbones.sprites.places import PAINTERS, paint


def scenes(count: int) -> list[tuple[world.Scene, str]]:
    rng = random.Random(3)
    return [world.draw(rng) for _ in range(count)]


def test_it_knows_enough_subjects_places_and_motions() -> None:
    assert len(world.SUBJECTS) >= 32
    assert len(world.PLACES) >= 8
    assert {"still", "left", "right", "up", "down", "growing", "shrinking", "turning"} <= set(world.MOTIONS)


def test_every_sprite_stays_inside_the_frame() -> None:
    for scene, caption in scenes(2000):
        for actor in scene.actors:
            for (x, y), diameter in zip(actor.centres, actor.diameters, strict=True):
                reach = diameter / 2 - world.GRID / world.SIZE
                assert reach <= x <= 1 - reach, caption
                assert reach <= y <= 1 - reach, caption


def test_a_caption_names_the_subject_or_another_word_for_it() -> None:
    for scene, caption in scenes(500):
        for actor in scene.actors:
            words = [actor.subject, *world.SUBJECTS[actor.subject][1:]]
            assert any(word in caption or world.plural(word) in caption for word in words), caption


def test_the_same_scene_is_drawn_the_same() -> None:
    scene, _ = scenes(1)[0]
    assert np.array_equal(render(scene), render(scene))


@pytest.mark.parametrize(("motion", "step"), [(m, world.DIRECTIONS[m]) for m in world.DIRECTIONS])
def test_a_base_motion_goes_where_its_name_says(motion: str, step: tuple[float, float]) -> None:
    actor = world.base_actor("cat", motion, "normal", 0.3, random.Random(0))
    way = np.diff(np.array(actor.centres), axis=0)
    assert (way @ np.array(step) >= 0).all()
    assert way.sum(0) @ np.array(step) > 0.15


def test_sprites_stand_on_a_grid_and_have_few_sizes() -> None:
    for scene, _ in scenes(300):
        for actor in scene.actors:
            lengths = np.array([*actor.centres, *zip(actor.diameters, actor.diameters, strict=True)])
            steps = lengths * world.SIZE / world.GRID
            assert np.abs(steps - steps.round()).max() < 1e-9


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
    actor = world.base_actor("car", "left", "normal", 0.4, random.Random(0))
    plain, styled = (render(world.Scene("city", 1, (actor,), s)).astype(int) for s in ("", style))
    assert np.abs(plain - styled).mean() > 8


def test_strangers_are_not_in_any_caption() -> None:
    assert not world.SUBJECTS.keys() & world.STRANGERS.keys()
    text = " ".join(caption for _, caption in scenes(2000)).split()
    assert not set(text) & (world.STRANGERS.keys() - {"flower"})


def test_made_up_words_leave_the_rest_of_a_caption_alone() -> None:
    rng = random.Random(0)
    for _ in range(300):
        told = iter(world.beside_strange_words("a cat is moving left in the city", rng).split())
        assert all(word in told for word in ["a", "cat", "is", "moving", "left", "in", "the", "city"])
