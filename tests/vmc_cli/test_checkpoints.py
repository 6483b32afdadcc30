import dataclasses
import os
from types import SimpleNamespace

import pytest

from registry.errors import Damaged, DiskError
from registry.header import RawTensor
from vmc_cli import checkpoints
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.errors import IncompatibleError

STATE = {
    "weights": RawTensor("F32", (2, 2), bytes(range(16))),
    "step": RawTensor("F32", (), bytes(4)),
    "generator": RawTensor("U8", (5,), b"abcde"),
}


def state(value):
    return {**STATE, "generator": RawTensor("U8", (1,), bytes([value]))}


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "walk", about="this run")


def test_a_state_comes_back_to_the_bit(checkpoint):
    checkpoint.save(50, STATE)
    assert checkpoint.load() == (50, STATE)


def test_the_newest_state_counts_and_the_last_two_are_kept(checkpoint):
    for done in (50, 100, 150, 1000):
        checkpoint.save(done, state(done % 256))
    assert checkpoint.load() == (1000, state(1000 % 256))
    assert checkpoint.done == 1000
    assert len(list(checkpoint.folder.iterdir())) == 2


def test_the_same_step_can_be_saved_again(checkpoint):
    checkpoint.save(50, state(1))
    checkpoint.save(50, state(2))
    assert checkpoint.load() == (50, state(2))


def test_without_a_state_there_is_nothing_done(checkpoint):
    assert checkpoint.load() == (0, {})
    checkpoint.clear()
    assert checkpoint.load() == (0, {})


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_newest_state_gives_way_to_the_one_before(checkpoint, damage):
    checkpoint.save(50, state(1))
    checkpoint.save(100, state(2))
    newest = max(checkpoint.folder.iterdir())
    content = newest.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    newest.write_bytes({"cut": content[:-1], "flipped": flipped, "empty": b"", "other": b"x" * 99}[damage])
    assert checkpoint.load() == (50, state(1))


def test_every_single_flipped_bit_of_data_is_noticed(checkpoint):
    checkpoint.save(50, STATE)
    [path] = checkpoint.folder.iterdir()
    content = path.read_bytes()
    for place in range(len(content) - 25, len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            assert checkpoint.load() == (0, {})


@pytest.mark.parametrize(("was", "is_now"), [(b'"weights"', b'"weighty"'), (b"[2,2]", b"[4,1]")])
def test_a_changed_name_or_shape_is_noticed_too(checkpoint, was, is_now):
    checkpoint.save(50, STATE)
    [path] = checkpoint.folder.iterdir()
    content = path.read_bytes()
    assert content.count(was) == 1
    path.write_bytes(content.replace(was, is_now))
    assert checkpoint.load() == (0, {})


def test_a_place_that_cannot_be_written_to_is_told_before_the_work(checkpoint):
    checkpoint.require_writable()
    checkpoint.folder.parent.mkdir(exist_ok=True)
    checkpoint.folder.touch()
    with pytest.raises(DiskError):
        checkpoint.require_writable()


def test_a_state_of_another_run_is_refused(checkpoint):
    checkpoint.save(50, STATE)
    with pytest.raises(IncompatibleError, match="another clip") as caught:
        dataclasses.replace(checkpoint, about="that run").load()
    assert "--resume" in caught.value.hint


def test_room_is_asked_for_what_is_still_to_be_written(checkpoint, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=3, f_frsize=100))
    checkpoint.require_space(100)
    with pytest.raises(DiskError, match="300 bytes free, and 303 are needed"):
        checkpoint.require_space(101)
    checkpoint.save(50, STATE)
    checkpoint.save(100, STATE)
    checkpoint.require_space(300)


def test_a_state_may_be_larger_than_a_motion_and_has_a_bound_of_its_own(checkpoint, monkeypatch):
    v_star_at_full_rank = 500_000_000
    assert 12 * v_star_at_full_rank < checkpoints.LARGEST, "weights and two moments, in float32"
    checkpoint.save(50, STATE)
    [path] = checkpoint.folder.iterdir()
    monkeypatch.setattr(checkpoints, "LARGEST", path.stat().st_size)
    checkpoint.save(50, STATE)
    assert checkpoint.load() == (50, STATE)
    monkeypatch.setattr(checkpoints, "LARGEST", path.stat().st_size - 1)
    assert checkpoint.load() == (0, {})
    with pytest.raises(Damaged, match="too large"):
        checkpoint.save(100, STATE)
    assert list(checkpoint.folder.iterdir()) == [path]


def test_a_cleared_run_is_gone(checkpoint):
    checkpoint.save(50, STATE)
    checkpoint.clear()
    assert not checkpoint.folder.exists()
    assert checkpoint.load() == (0, {})
