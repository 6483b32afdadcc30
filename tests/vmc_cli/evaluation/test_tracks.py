"""Motion fidelity on what the world itself has drawn: it goes by the way alone."""

from __future__ import annotations

from math import cos, pi, sin

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmc_cli.backbones.sprites import world
from vmc_cli.backbones.sprites.drawing import render
from vmc_cli.evaluation import oracle, tracks

N = world.FRAMES
WAYS = {
    "circle": [(0.5 + 0.22 * cos(2 * pi * i / N), 0.5 + 0.22 * sin(2 * pi * i / N)) for i in range(N)],
    "zigzag": [(0.24 + 0.07 * i, 0.64 if i % 4 in (0, 3) else 0.36) for i in range(N)],
    "to and fro": [(0.5 - 0.25 * cos(2 * pi * i / (N - 1)), 0.5) for i in range(N)],
    "stop and go": [(0.26 + 0.12 * step, 0.6) for step in (0, 1, 2, 2, 2, 3, 4, 4)],
}


def video(way, subject="ladybug", place="grass"):
    return render(world.Scene(place, 5, (world.actor(subject, way, 0.4),)))


def fidelity(one, other):
    return tracks.fidelity(tracks.follow(one), tracks.follow(other))


@pytest.fixture(scope="module")
def drawn():
    return {name: video(way) for name, way in WAYS.items()}


@pytest.mark.parametrize("name", WAYS)
def test_a_video_agrees_with_itself(drawn, name):
    assert fidelity(drawn[name], drawn[name]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", WAYS)
def test_the_opposite_motion_is_minus_one(drawn, name):
    opposite = video([(1 - x, 1 - y) for x, y in WAYS[name]])
    assert fidelity(drawn[name], opposite) < -0.9


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize(("subject", "place"), [("penguin", "desert"), ("car", "sea")])
def test_another_appearance_changes_nothing(drawn, name, subject, place):
    assert fidelity(drawn[name], video(WAYS[name], subject, place)) > 0.95


@pytest.mark.parametrize("one", WAYS)
@pytest.mark.parametrize("other", WAYS)
def test_it_is_the_cosine_of_the_true_ways(drawn, one, other):
    true = oracle.displacement_cosine(WAYS[one], WAYS[other])
    assert fidelity(drawn[one], video(WAYS[other], "penguin", "desert")) == pytest.approx(true, abs=0.15)


def test_where_nothing_moves_it_is_nothing(drawn):
    still = video([(0.5, 0.5)] * N, "cat")
    assert fidelity(drawn["circle"], still) == 0
    assert fidelity(still, still) == 0


@pytest.mark.parametrize(
    ("name", "subject", "place", "unrest"),
    [("circle", "tiger", "grass", 80), ("zigzag", "penguin", "desert", 160)],
)
def test_what_is_drawn_softly_and_differently_in_every_frame_is_followed(drawn, name, subject, place, unrest):
    rng = np.random.default_rng(0)
    changes = [cv2.GaussianBlur(rng.normal(0, unrest, (64, 64, 3)), (0, 0), 1.5) for _ in range(N)]
    blurred = [cv2.GaussianBlur(frame, (0, 0), 0.8) for frame in video(WAYS[name], subject, place)]
    soft = (np.array(blurred) + np.array(changes)).clip(0, 255).astype(np.uint8)
    assert fidelity(drawn[name], soft) > 0.9


def test_a_slow_motion_in_many_frames_is_no_rest():
    slow = np.stack(
        [np.stack([np.linspace(0.3, 0.4, 24), np.full(24, y)], -1) for y in np.linspace(0, 1, 12)]
    )
    assert tracks.fidelity(slow, slow) == pytest.approx(1)
    assert tracks.fidelity(slow, slow[:, ::-1]) == pytest.approx(-1)


def test_a_picture_without_corners_has_no_tracks():
    assert tracks.follow(np.full((4, 32, 48, 3), 90, np.uint8)).shape == (0, 4, 2)


def test_a_lone_track_is_not_believed():
    right = np.stack([np.stack([np.linspace(0, 0.5, 6), np.full(6, y)], -1) for y in np.linspace(0, 1, 12)])
    wrong = right[:1, :, ::-1] - 0.1
    assert len(tracks.moving(np.concatenate([right, wrong]))) == len(right)


ways = st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=5, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(ways, max_size=6), st.lists(ways, max_size=6))
def test_it_is_symmetric_and_bounded(first, second):
    one = np.repeat(np.array(first, float).reshape(-1, 5, 2), 3, axis=0)
    other = np.repeat(np.array(second, float).reshape(-1, 5, 2), 3, axis=0)
    found = tracks.fidelity(one, other)
    assert -1 - 1e-9 <= found <= 1 + 1e-9
    assert found == pytest.approx(tracks.fidelity(other, one))
