"""The oracle is right on what the world itself has drawn."""

from __future__ import annotations

import random

import numpy as np
import pytest

from vmc_cli.backbones.sprites import world
from vmc_cli.backbones.sprites.drawing import render
from vmc_cli.backbones.sprites.wandering import wanderers
from vmc_cli.evaluation import oracle

WAY = [(0.3 + 0.05 * i, 0.4 + 0.02 * i) for i in range(world.FRAMES)]


@pytest.mark.parametrize("name", ["penguin", "car", "tiger", "robot"])
def test_a_sprite_is_followed_to_within_two_pixels(name: str) -> None:
    video = render(world.Scene("grass", 4, (world.actor(name, WAY, 0.4),)))
    found = np.array([(s.x, s.y) for s in oracle.track(video, name)])
    assert np.abs(found - np.array(WAY)).max() * world.SIZE < 2


@pytest.mark.parametrize("name", ["penguin", "airplane", "tiger"])
def test_a_sprite_is_followed_while_it_turns(name: str) -> None:
    angles = [0.8 * i for i in range(world.FRAMES)]
    video = render(world.Scene("volcano", 4, (world.actor(name, WAY, 0.4, angles=angles),)))
    found = np.array([(s.x, s.y) for s in oracle.track(video, name)])
    assert np.abs(found - np.array(WAY)).max() * world.SIZE < 2


@pytest.mark.parametrize("name", ["penguin", "ball", "airplane", "ladybug"])
def test_a_sprite_is_told_from_all_others(name: str) -> None:
    video = render(world.Scene("forest", 2, (world.actor(name, WAY, 0.38),)))
    assert oracle.subject(video) == name
    assert min(each.share for each in oracle.track(video, name)) > 0.5


def test_where_no_sprite_is_nobody_is_told() -> None:
    for place in ("sea", "forest", "sky"):
        assert oracle.cast(render(world.Scene(place, 3, ()))) == {}


def test_all_who_are_there_are_told_and_nobody_else() -> None:
    ways = [[(x, 0.3 + 0.04 * i) for i in range(world.FRAMES)] for x in (0.25, 0.75)]
    for names, place in ((("robot", "penguin"), "grass"), (("tiger", "teapot"), "forest")):
        actors = tuple(world.actor(name, way, 0.36) for name, way in zip(names, ways, strict=True))
        cast = oracle.cast(render(world.Scene(place, 5, actors)))
        assert set(cast) == set(names)
        for name, way in zip(names, ways, strict=True):
            assert np.allclose([(seen.x, seen.y) for seen in cast[name]], way, atol=2 / world.SIZE)
        assert set(oracle.cast(render(world.Scene(place, 5, actors[:1])))) == {names[0]}


def test_every_place_is_recognised_behind_a_sprite() -> None:
    rng = random.Random(0)
    for place in world.PLACES:
        for variant in range(3):
            actor = world.base_actor(rng.choice(list(world.SUBJECTS)), "left", "normal", 0.4)
            assert oracle.place(render(world.Scene(place, variant, (actor,)))) == place


def test_the_cosine_tells_a_way_from_its_reverse_and_from_rest() -> None:
    back = [(-x, -y) for x, y in WAY]
    assert oracle.displacement_cosine(WAY, WAY) == pytest.approx(1)
    assert oracle.displacement_cosine(WAY, back) == pytest.approx(-1)
    assert oracle.displacement_cosine(WAY, [(0.5, 0.5)] * len(WAY)) == 0


def test_rests_are_a_part_of_a_way() -> None:
    stops = [(0.2 + 0.1 * step, 0.5) for step in (0, 1, 2, 2, 2, 3, 4, 4)]
    trembling = [(x + 0.5 / world.SIZE * (i % 2), y) for i, (x, y) in enumerate(stops)]
    steady = [(0.2 + 0.06 * i, 0.5) for i in range(8)]
    assert oracle.displacement_cosine(stops, trembling) > 0.99
    assert oracle.displacement_cosine(stops, steady) == pytest.approx(4 / 7)
    late = [(0.5, 0.5)] * 7 + [(0.6, 0.5)]
    assert oracle.displacement_cosine(steady, late) == pytest.approx(1 / 7)


@pytest.mark.parametrize("turn", [-2.0, 1.2, 3.0])
def test_a_turning_sprite_is_seen_to_turn(turn: float) -> None:
    angles = [turn * i / (world.FRAMES - 1) for i in range(world.FRAMES)]
    actor = world.actor("tiger", [(0.5, 0.5)] * world.FRAMES, 0.4, angles=angles)
    video = render(world.Scene("city", 1, (actor,)))
    assert oracle.turned(video, "tiger", oracle.track(video, "tiger")) == pytest.approx(turn, abs=0.3)


def test_a_sprite_that_moves_or_grows_does_not_turn() -> None:
    scales = [0.7 + 0.08 * i for i in range(world.FRAMES)]
    for actor in (world.actor("tiger", WAY, 0.4), world.actor("tiger", WAY, 0.4, scales=scales)):
        video = render(world.Scene("city", 1, (actor,)))
        assert oracle.turned(video, "tiger", oracle.track(video, "tiger")) == 0


def test_a_horizon_behind_a_sprite_is_not_taken_for_another() -> None:
    for name, place in (("bus", "beach"), ("cow", "snow"), ("giraffe", "city")):
        video = render(world.Scene(place, 7, (world.actor(name, WAY, 0.42),)))
        assert oracle.subject(video) == name


def test_a_second_one_of_a_sprite_is_seen_and_another_sprite_is_not_taken_for_it() -> None:
    rng = random.Random(2)
    for name, place in (("penguin", "desert"), ("airplane", "sky"), ("snake", "grass"), ("ball", "snow")):
        one, two = (
            world.base_actor(name, "still", "normal", 0.4, box)
            for box in ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
        )
        other = world.base_actor("pumpkin", "still", "normal", 0.4, (0.5, 0.0, 1.0, 1.0))
        alone = wanderers([name], 0.4, rng)[0]
        twice = [
            oracle.doubled(render(world.Scene(place, 3, cast)), name)
            for cast in ((one, two), (one, other), (alone,))
        ]
        assert twice == [1, 0, 0]
