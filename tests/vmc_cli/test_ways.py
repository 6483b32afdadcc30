"""The way of what moves, found in what the world draws: whoever goes it, wherever."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmc_cli.backbones.sprites import world
from vmc_cli.backbones.sprites.drawing import render
from vmc_cli.evaluation import oracle
from vmc_cli.ways import cut_out, way

N = world.FRAMES
WAYS = {
    "circle": [(0.5 + 0.22 * math.cos(0.8 * i), 0.5 + 0.22 * math.sin(0.8 * i)) for i in range(N)],
    "zigzag": [(0.24 + 0.07 * i, 0.64 if i % 4 in {0, 3} else 0.36) for i in range(N)],
    "stop and go": [(0.26 + 0.12 * step, 0.6) for step in (0, 1, 2, 2, 2, 3, 4, 4)],
    "shake": [(0.5 + 0.1 * (-1) ** i, 0.5) for i in range(N)],
}


def drawn(*actors: world.Actor, place: str = "grass"):
    return render(world.Scene(place, 5, actors))


def alike(found, wanted) -> float:
    """From -1 to 1; which point of a thing is meant is open."""
    return oracle.displacement_cosine(wanted, found)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(WAYS)), st.sampled_from(("taxi", "robot", "turtle", "cow", "fox")))
def test_the_way_is_found_whoever_goes_it(name, subject):
    found = way(drawn(world.actor(subject, WAYS[name], 0.4)))
    assert alike(found.centres, WAYS[name]) > 0.95


def test_what_neither_swells_nor_turns_is_told_so():
    found = way(drawn(world.actor("taxi", WAYS["circle"], 0.4)))
    assert found.scales == (1.0,) * N
    assert found.angles == (0.0,) * N


@pytest.mark.parametrize("place", ["city", "desert", "forest", "space", "snow"])
def test_the_way_is_found_wherever_it_is_gone(place):
    found = way(drawn(world.actor("ladybug", WAYS["circle"], 0.4), place=place))
    assert alike(found.centres, WAYS["circle"]) > 0.95
    assert np.abs(np.array(found.centres) - WAYS["circle"]).max() < 0.05


def test_what_swells_is_told():
    scales = tuple(1 + 0.6 * i / (N - 1) for i in range(N))
    centres = [(0.25 + 0.07 * i, 0.5) for i in range(N)]
    found = way(drawn(world.actor("swan", centres, 0.3, scales=scales), place="sea"))
    told = np.array(found.scales) / found.scales[0]
    assert np.abs(told - scales).max() < 0.15


def test_what_turns_is_told():
    angles = tuple(2 * math.pi * i / N for i in range(N))
    centres = [(0.5, 0.7 - 0.05 * i) for i in range(N)]
    found = way(drawn(world.actor("mushroom", centres, 0.4, angles=angles), place="sea"))
    assert found.angles == pytest.approx(angles, abs=0.27)


def test_of_two_things_there_is_no_one_way():
    one, other = ([(x, 0.3 + 0.05 * i) for i in range(N)] for x in (0.25, 0.75))
    assert way(drawn(world.actor("taxi", one, 0.3), world.actor("robot", other, 0.3))) is None


def test_where_nothing_moves_there_is_no_way():
    assert way(drawn(world.actor("taxi", [(0.5, 0.5)] * N, 0.4))) is None
    assert way(drawn()) is None


def test_where_the_camera_moves_there_is_no_way():
    wide = np.concatenate([drawn(place=place)[0] for place in ("city", "room", "forest")], axis=1)
    assert way(np.stack([wide[:, 9 * i : 9 * i + 64] for i in range(N)])) is None


def test_noise_has_no_way():
    assert way(np.random.default_rng(0).integers(0, 256, (N, 64, 64, 3), dtype=np.uint8)) is None


def test_what_is_cut_out_is_the_thing_alone():
    frames = drawn(world.actor("taxi", WAYS["circle"], 0.4), place="beach")
    empty = drawn(place="beach")
    differs = np.abs(frames.astype(int) - empty).max(axis=-1) > 60
    masks = cut_out(frames)
    overlap = (masks & differs).sum(axis=(1, 2)) / differs.sum(axis=(1, 2))
    assert overlap.min() > 0.9
    assert (masks.sum(axis=(1, 2)) < 2.2 * differs.sum(axis=(1, 2))).all()
