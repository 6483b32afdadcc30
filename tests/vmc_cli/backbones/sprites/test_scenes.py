"""Random scenes: what is drawn is what is said, and it stays in the picture."""

from __future__ import annotations

import random

import numpy as np

from vmc_cli.backbones.sprites import scenes, world
from vmc_cli.backbones.sprites.drawing import render


def some(count: int) -> list[tuple[world.Scene, str]]:
    rng = random.Random(3)
    return [scenes.draw(rng) for _ in range(count)]


def test_every_sprite_stays_inside_the_frame() -> None:
    for scene, caption in some(2000):
        for actor in scene.actors:
            for (x, y), diameter in zip(actor.centres, actor.diameters, strict=True):
                reach = diameter / 2 - world.GRID / world.SIZE
                assert reach <= x <= 1 - reach, caption
                assert reach <= y <= 1 - reach, caption


def test_a_caption_names_the_subject_or_another_word_for_it() -> None:
    for scene, caption in some(500):
        for actor in scene.actors:
            words = [actor.subject, *world.SUBJECTS[actor.subject][1:]]
            assert any(word in caption or world.plural(word) in caption for word in words), caption


def test_there_are_two_who_wander_and_some_who_do_something_else_as_well() -> None:
    seen = some(3000)
    ways = [
        [np.diff(np.array(actor.centres), axis=0) for actor in scene.actors]
        for scene, _ in seen
        if len(scene.actors) == 2
    ]
    bent = [way for way in ways if np.abs(np.diff(way[0], axis=0)).max() > 0.1]
    assert len(bent) > 30
    assert any(" and growing" in caption or " and turning" in caption for _, caption in seen)


def test_the_same_scene_is_drawn_the_same() -> None:
    scene, _ = some(1)[0]
    assert np.array_equal(render(scene), render(scene))


def test_sprites_stand_on_a_grid_and_have_few_sizes() -> None:
    for scene, _ in some(300):
        for actor in scene.actors:
            lengths = np.array([*actor.centres, *zip(actor.diameters, actor.diameters, strict=True)])
            steps = lengths * world.SIZE / world.GRID
            assert np.abs(steps - steps.round()).max() < 1e-9


def test_strangers_are_not_in_any_caption() -> None:
    assert not world.SUBJECTS.keys() & world.STRANGERS.keys()
    text = " ".join(caption for _, caption in some(2000)).split()
    assert not set(text) & (world.STRANGERS.keys() - {"flower"})


def test_made_up_words_leave_the_rest_of_a_caption_alone() -> None:
    rng = random.Random(0)
    for _ in range(300):
        told = iter(scenes.beside_strange_words("a cat is moving left in the city", rng).split())
        assert all(word in told for word in ["a", "cat", "is", "moving", "left", "in", "the", "city"])
