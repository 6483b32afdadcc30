"""Frames are chosen by the time they are on screen, evenly, and never made up."""

from __future__ import annotations

from itertools import accumulate, pairwise
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmc_cli.decoding.timeline import Wish, choose
from vmc_cli.errors import ClipError

rates = st.sampled_from([1, 7.5, 10, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 187.4, 240, 1000])


def wish(
    frames: int = 8,
    trim: tuple[float | None, float | None] | None = None,
    sample_fps: float | None = None,
) -> Wish:
    return Wish("clip.mp4", frames, 64, 64, trim, sample_fps)


def steady(count: int, fps: float = 10, origin: float = 0) -> tuple[list[float], float]:
    return [origin + number / fps for number in range(count)], origin + count / fps


@given(count=st.integers(2, 80), fps=rates, origin=st.floats(0, 1e4))
def test_all_frames_are_taken_when_all_are_asked_for(count: int, fps: float, origin: float) -> None:
    times, end = steady(count, fps, origin)
    assert choose(times, end, wish(count))[0] == list(range(count))


@given(count=st.integers(2, 80), fps=st.sampled_from([10, 24, 25, 29.97, 30, 60]))
def test_timestamps_rounded_to_milliseconds_change_nothing(count: int, fps: float) -> None:
    times, end = steady(count, fps)
    assert choose([round(time, 3) for time in times], round(end, 3), wish(count))[0] == list(range(count))


@pytest.mark.parametrize(
    ("count", "taken"), [(24, [0, 3, 6, 9, 12, 15, 18, 21]), (16, list(range(0, 16, 2)))]
)
def test_a_longer_clip_is_spread_evenly(count: int, taken: list[int]) -> None:
    chosen, fps = choose(*steady(count), wish())
    assert chosen == taken
    assert fps == pytest.approx(8 / (count / 10))


@given(count=st.integers(2, 400), wanted=st.integers(2, 64), fps=rates)
def test_frames_are_taken_once_when_the_rate_is_steady(count: int, wanted: int, fps: float) -> None:
    if wanted > count:
        with pytest.raises(ClipError, match=f"{count} frames; {wanted} are needed"):
            choose(*steady(count, fps), wish(wanted))
        return
    chosen, _ = choose(*steady(count, fps), wish(wanted))
    assert len(set(chosen)) == wanted
    assert chosen == sorted(chosen)


@given(st.lists(st.integers(1, 2000), min_size=8, max_size=60), st.integers(2, 8))
def test_what_is_on_screen_is_taken_within_half_a_frame(steps: list[int], wanted: int) -> None:
    times = [time / 1000 for time in accumulate([0, *steps])]
    ends = [*times[1:], times[-1] + steps[-1] / 1000]
    chosen, fps = choose(times, ends[-1], wish(wanted))
    late = median(later - sooner for sooner, later in pairwise(times)) / 2
    for number, index in enumerate(chosen):
        moment = min(number / fps + late, times[-1])
        assert times[index] <= moment + 1e-9
        assert moment < ends[index] + 1e-9


def test_a_frame_that_stays_is_taken_as_long_as_it_stays() -> None:
    times = [0.0, 0.1, 0.2, 0.3, 1.3, 1.4, 1.5, 1.6]
    assert choose(times, 1.7, wish(8))[0] == [0, 2, 3, 3, 3, 3, 4, 6]


def test_a_hasty_beginning_counts_whole() -> None:
    times = [0.0, 0.01, 0.02, 1, 2, 3, 4, 5, 6]
    assert len(choose(times, 7, wish(9))[0]) == 9


@pytest.mark.parametrize(
    ("trim", "taken"),
    [
        ((0.0, 0.8), [0, 1, 2, 3, 4, 5, 6, 7]),
        ((1.0, 1.8), [10, 11, 12, 13, 14, 15, 16, 17]),
        ((None, 1.6), [0, 2, 4, 6, 8, 10, 12, 14]),
        ((0.8, None), [8, 10, 12, 14, 16, 18, 20, 22]),
        ((0.8, 99.0), [8, 10, 12, 14, 16, 18, 20, 22]),
    ],
)
def test_only_the_chosen_part_is_read(trim: tuple[float | None, float | None], taken: list[int]) -> None:
    assert choose(*steady(24, origin=5.0), wish(8, trim))[0] == taken


def test_a_rate_of_its_own_starts_at_the_beginning_of_the_part() -> None:
    chosen, fps = choose(*steady(60, 30), wish(8, (0.5, None), sample_fps=10))
    assert chosen == [15, 18, 21, 24, 27, 30, 33, 36]
    assert fps == pytest.approx(10)


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        (wish(25), "clip.mp4 has 24 frames; 25 are needed", "longer clip"),
        (wish(8, (1.0, 1.5)), "That part of clip.mp4 has 5 frames; 8 are needed", "the whole clip has 24"),
        (wish(8, (1.0, 1.1)), "That part of clip.mp4 has 1 frame; 8 are needed", "Widen --trim"),
        (wish(8, (3.0, None)), "lasts 2.40 seconds, so there is nothing from 3 on", "between 0 and 2.40"),
        (wish(8, (2.0, 1.0)), "2:1 is no part", "--trim FROM:TO"),
        (wish(8, (-1.0, 1.0)), "-1:1 is no part", "--trim FROM:TO"),
        (wish(8, (-1.0, None)), "-1: is no part", "--trim FROM:TO"),
        (wish(8, (float("nan"), None)), "nan: is no part", "--trim FROM:TO"),
        (wish(8, None, 2), "8 frames at 2 a second last 4.00 seconds; clip.mp4 has 2.40", "--sample-fps"),
        (wish(8, None, 30), "has only 3 frames in 0.27 seconds, too few for 30 a second", "--sample-fps"),
    ],
)
def test_too_little_is_refused_with_the_way_out(asked: Wish, message: str, hint: str) -> None:
    with pytest.raises(ClipError) as caught:
        choose(*steady(24), asked)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(("count", "message"), [(0, "no frames"), (1, "one frame")])
def test_a_single_frame_is_no_clip(count: int, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        choose(*steady(count), wish())
