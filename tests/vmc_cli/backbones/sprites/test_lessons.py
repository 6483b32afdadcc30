"""What a step of training sees."""

from __future__ import annotations

import pytest
import torch

from vmc_cli.backbones.sprites import lessons
from vmc_cli.backbones.sprites.lessons import Lesson

PLAN = lessons.Plan(looks=0.3, where=0.1)


def seen(done: float) -> list[Lesson]:
    host = torch.Generator().manual_seed(0)
    return [PLAN.lesson(done, host) for _ in range(400)]


def test_single_frames_come_before_clips_and_come_back():
    for done in (0.0, 0.2, 0.35):
        assert PLAN.stills(done)
        assert all(lesson.single for lesson in seen(done))
    for done, share in ((0.45, 0.08), (0.9, 0.2)):
        assert not PLAN.stills(done)
        assert sum(lesson.single for lesson in seen(done)) / 400 == pytest.approx(share, abs=0.06)


def test_close_ups_are_of_single_frames_and_show_nothing_of_where():
    for done in (0.1, 0.35, 0.45, 0.9):
        assert all(lesson.single and not lesson.noisy for lesson in seen(done) if lesson.close)
    close = Lesson(single=True, close=True, noisy=0.0)
    assert drawn(close).max() <= 1000 * lessons.DECIDED


def test_the_rate_ends_at_zero_and_temporal_layers_wait_for_clips():
    assert PLAN.shares(0.0) == (1.0, 0.0)
    assert PLAN.shares(0.4) == (1.0, 1.0)
    assert PLAN.shares(1.0) == (0.0, 0.0)


def test_most_timesteps_lie_where_shapes_are_decided():
    times = drawn(Lesson(single=False, close=False, noisy=0.0))
    assert 0 <= int(times.min()) < int(times.max()) <= 999
    assert 0.6 < ((times > 220) & (times < 620)).float().mean() < 0.9
    assert (times > 900).float().mean() > 0.02


def test_words_are_learned_where_nothing_else_tells():
    times = drawn(Lesson(single=False, close=False, noisy=0.7))
    assert 0.7 < (times >= 1000 * lessons.DECIDED).float().mean() < 0.85


def drawn(lesson: Lesson) -> torch.Tensor:
    return lessons.draw_times(20_000, lesson, torch.Generator().manual_seed(0))


def test_a_cut_out_shows_the_subject_and_what_surrounds_it():
    subject = torch.zeros(3, 1, 1, 16, 16)
    for each, (y, x) in zip(subject, [(0, 0), (5, 7), (10, 10)], strict=True):
        each[..., y : y + 6, x : x + 6] = 1
    clean = subject + torch.arange(256).reshape(16, 16) * 2
    near, there = lessons.around_subject(clean, subject, 8, torch.Generator().manual_seed(0))
    assert near.shape == there.shape == (3, 1, 1, 8, 8)
    assert (there.sum((1, 2, 3, 4)) >= 0.8 * 36).all()
    assert torch.equal(near % 2, there)
    again, _ = lessons.around_subject(clean, subject, 8, torch.Generator().manual_seed(1))
    assert not torch.equal(again, near)
