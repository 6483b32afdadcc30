"""Which level of memory is chosen, and what happens when it is too much."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vmc_cli import backbones, memory, terminal
from vmc_cli.backbones import placement
from vmc_cli.backbones.base import Backbone
from vmc_cli.costs import LEVELS
from vmc_cli.errors import OutOfMemory

GIB = 2**30
PUBLISHED_TEXT_ENCODER, PUBLISHED_AUTOENCODER = 340_387_840, 83_653_863  # parameters
PEAKS = {"high": 18 * GIB, "medium": 7 * GIB, "low": 5 * GIB}


def run_out(above: int) -> tuple[list[str], Callable[[str], str]]:
    """Levels tried, and work that runs out of memory at all but the last so many levels."""
    tried = []

    def attempt(level: str) -> str:
        tried.append(level)
        if LEVELS.index(level) < above:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return f"done at {level}"

    return tried, attempt


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """free(gib): let this machine have so much left, and the model take next to nothing of it."""
    monkeypatch.setattr(memory, "PLENTY", 1e12)
    terminal.prepare()

    def set_free(gib: float) -> None:
        monkeypatch.setattr(memory, "available_memory", lambda device: gib * GIB)

    return set_free


@pytest.mark.parametrize(
    ("gib", "level"), [(80, "high"), (19, "medium"), (8, "medium"), (7.5, "low"), (5.6, "low"), (5, None)]
)
def test_the_highest_level_that_fits_with_a_margin_is_chosen(gib: float, level: str | None) -> None:
    assert memory.highest(PEAKS.__getitem__, gib * GIB) == level


@pytest.mark.parametrize(("gib", "level"), [(80, "high"), (8, "medium"), (6, "low"), (1, "low")])
def test_auto_begins_with_what_fits_or_with_the_least(
    tiny_backbone: Backbone, free: Callable[[float], None], gib: float, level: str
) -> None:
    free(gib)
    tried, attempt = run_out(0)
    assert memory.spent("dance", "auto", tiny_backbone, PEAKS.__getitem__, attempt) == f"done at {level}"
    assert tried == [level]


def test_where_memory_runs_out_the_next_lower_level_is_tried_and_that_is_said(
    tiny_backbone: Backbone, free: Callable[[float], None], capfd: pytest.CaptureFixture[str]
) -> None:
    free(80)
    tried, attempt = run_out(2)
    assert memory.spent("dance", "auto", tiny_backbone, PEAKS.__getitem__, attempt) == "done at low"
    assert tried == ["high", "medium", "low"]
    said = capfd.readouterr().err.splitlines()
    assert [line.rpartition("at ")[2] for line in said] == ["medium.", "low."]


def test_at_the_last_level_it_is_one_sentence(tiny_backbone: Backbone, free: Callable[[float], None]) -> None:
    free(6)
    tried, attempt = run_out(3)
    with pytest.raises(OutOfMemory) as caught:
        memory.spent("dance", "auto", tiny_backbone, PEAKS.__getitem__, attempt)
    assert tried == ["low"]
    assert caught.value.message == (
        "There is not enough memory to dance: it takes 5.0 GiB, and 6.0 GiB were free."
    )
    assert "smaller backbone" in caught.value.hint


def test_a_level_that_was_asked_for_is_the_only_one_and_the_sentence_says_what_would_help(
    tiny_backbone: Backbone, free: Callable[[float], None]
) -> None:
    free(8)
    tried, attempt = run_out(3)
    with pytest.raises(OutOfMemory, match=r"it takes 18.0 GiB, and 8.0 GiB were free") as caught:
        memory.spent("dance", "high", tiny_backbone, PEAKS.__getitem__, attempt)
    assert tried == ["high"]
    assert caught.value.hint == "--memory low takes 13.0 GiB less."
    assert caught.value.code == 9


def test_a_level_that_only_goes_by_its_name_is_told_where_no_other_would_do(
    tiny_backbone: Backbone, free: Callable[[float], None]
) -> None:
    peaks = {**PEAKS, "int8": 4 * GIB}
    for gib, asked, hint in (
        (5, "low", "--memory int8 takes 1.0 GiB less."),
        (5, "auto", "--memory int8 takes 1.0 GiB less."),
        (6, "high", "--memory low takes 13.0 GiB less."),
        (5, "high", "--memory int8 takes 14.0 GiB less."),
    ):
        free(gib)
        _, attempt = run_out(3)
        with pytest.raises(OutOfMemory) as caught:
            memory.spent("dance", asked, tiny_backbone, peaks.__getitem__, attempt, below=["int8"])
        assert caught.value.hint == hint


def test_where_nobody_knows_what_was_free_nothing_is_said_of_it(
    tiny_backbone: Backbone, free: Callable[[float], None]
) -> None:
    free(float("inf"))
    _, attempt = run_out(3)
    with pytest.raises(OutOfMemory) as caught:
        memory.spent("dance", "low", tiny_backbone, PEAKS.__getitem__, attempt)
    assert caught.value.message == "There is not enough memory to dance: it takes 5.0 GiB."


def test_outside_of_the_levels_it_is_the_same_sentence_at_the_least_of_them_or_the_one_asked_for() -> None:
    found = []
    for asked in ("auto", "high"):
        with (
            pytest.raises(OutOfMemory) as caught,
            memory.explained("draw a horse", 4 * GIB, PEAKS.__getitem__, asked),
        ):
            raise MemoryError
        found.append((caught.value.message, caught.value.hint))
    told = "There is not enough memory to draw a horse: it takes {}.0 GiB, and 4.0 GiB were free."
    assert [message for message, _ in found] == [told.format(5), told.format(18)]
    assert found[0][1].startswith("Close other programs")
    assert found[1][1] == "--memory low takes 13.0 GiB less."


def test_nothing_is_counted_where_nothing_runs_out_and_other_errors_stay_what_they_are() -> None:
    def never(level: str) -> int:
        raise AssertionError

    with pytest.raises(RuntimeError, match="shape"), memory.explained("draw a horse", GIB, never):
        raise RuntimeError("shape mismatch")


def test_a_model_that_does_not_fit_is_told_with_the_size_of_its_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda device: 3.25 * GIB)
    monkeypatch.setattr(memory, "compute_dtype", lambda device: torch.bfloat16)
    spec = backbones.find("modelscope")
    with pytest.raises(OutOfMemory) as caught, memory.loading(spec):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3 bytes.")
    sizes = 2 * 1_411_233_860, 4 * (PUBLISHED_TEXT_ENCODER + PUBLISHED_AUTOENCODER)
    assert caught.value.message == (
        "There is not enough memory to load modelscope: "
        f"it takes {sum(sizes) / GIB:.1f} GiB, and 3.2 GiB were free."
    )
    assert "smaller backbone" in caught.value.hint


def test_other_errors_are_not_tried_again(tiny_backbone: Backbone) -> None:
    def fails(level: str) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        memory.spent("dance", "auto", tiny_backbone, PEAKS.__getitem__, fails)


def test_nothing_is_counted_where_there_is_plenty(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = placement.size(tiny_backbone.network)
    monkeypatch.setattr(memory, "available_memory", lambda device: memory.PLENTY * size)
    _, attempt = run_out(0)
    peak = lambda level: pytest.fail("it was counted")  # noqa: E731
    assert memory.spent("dance", "auto", tiny_backbone, peak, attempt) == "done at high"


def test_what_the_model_holds_already_is_not_needed_again(
    tiny_backbone: Backbone, free: Callable[[float], None]
) -> None:
    free(0)
    held = placement.size(tiny_backbone.network)
    _, attempt = run_out(0)
    assert memory.spent("dance", "auto", tiny_backbone, lambda level: held // 2, attempt) == "done at high"


def test_what_failed_is_let_go_before_the_next_try(
    tiny_backbone: Backbone, free: Callable[[float], None]
) -> None:
    import weakref

    free(80)
    held = []

    def attempt(level: str) -> str:
        if level == "high":
            large = torch.zeros(3)
            held.append(weakref.ref(large))
            raise MemoryError
        return "freed" if held[0]() is None else "held"

    assert memory.spent("dance", "auto", tiny_backbone, PEAKS.__getitem__, attempt) == "freed"
