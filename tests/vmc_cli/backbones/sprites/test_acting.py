"""Others go the way of a clip, as it was gone."""

import numpy as np

from vmc_cli.backbones import sprites
from vmc_cli.backbones.sprites import world
from vmc_cli.evaluation import oracle
from vmc_cli.ways import Way, way

N = world.FRAMES
CENTRES = tuple((0.25 + 0.07 * i, 0.64 if i % 4 in {0, 3} else 0.36) for i in range(N))
FLAT = Way(CENTRES, (1.0,) * N, (0.0,) * N)


def test_each_actor_goes_the_way_in_a_place_of_its_own():
    clips = sprites.acted(FLAT, 6)
    cast = [oracle.subject(clip.frames) for clip in clips]
    assert len({*cast}) == len({oracle.place(clip.frames) for clip in clips}) == 6
    assert {*cast} <= world.SUBJECTS.keys()  # what the model knows
    for clip, subject in zip(clips, cast, strict=True):
        spots = [(each.x, each.y) for each in oracle.track(clip.frames, subject)]
        assert oracle.displacement_cosine(CENTRES, spots) > 0.95


def test_the_same_way_is_acted_alike_each_time():
    one, other = sprites.acted(FLAT, 3), sprites.acted(FLAT, 3)
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(one, other, strict=True))


def test_nobody_comes_twice_before_all_came():
    count = len(world.SUBJECTS)
    cast = [oracle.subject(clip.frames[:1]) for clip in sprites.acted(FLAT, count)]
    assert len({*cast}) > 0.9 * count  # all but those that the oracle takes for another


def test_actors_swell_and_turn_as_the_way_tells():
    scales = tuple(1 + 0.6 * i / (N - 1) for i in range(N))
    angles = tuple(2 * np.pi * i / N for i in range(N))
    (clip,) = sprites.acted(Way(CENTRES, scales, angles), 1)
    found = way(clip.frames)
    assert found.scales[-1] / found.scales[0] > 1.2
    assert len({*found.angles}) > N / 2
