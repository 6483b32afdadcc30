"""What a dry run tells of the work, without weights; and the options that say how much memory it may take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.vmc_cli.commands.conftest import Run, draw, parsed
from vmc_cli import backbones, device
from vmc_cli.motions import estimates

SEAGULL = ("--prompt", "a seagull is walking on the beach")
KEYS = {
    "parameters",
    "trained_parameters",
    "trained_layers",
    "file_bytes",
    "tflop_per_step",
    "seconds",
    "memory_gib",
    "memory",
    "fits",
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with a GPU of 100 TFLOP/s that computes in bfloat16 and has 8 GiB left."""
    monkeypatch.setattr(estimates, "speed", lambda chosen, dtype: 1e14)
    monkeypatch.setattr(estimates, "choose_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(estimates, "compute_dtype", lambda chosen: torch.bfloat16)
    monkeypatch.setattr(estimates, "available_memory", lambda chosen: 8 * 2**30)


def test_zeroscope_is_counted_without_its_weights(run: Run, here: Path, machine: None) -> None:
    clip = draw(here / "clip", frames=24, step=1)
    asked = ("learn", clip, *SEAGULL, "--backbone", "zeroscope", "--dry-run", "--json")
    found = parsed(run(*asked, "--rank", "full"))
    assert found.keys() >= KEYS
    assert found["parameters"] == 1_411_233_860
    assert found["trained_parameters"] == 74_342_400
    assert found["trained_layers"] == 96
    assert found["file_bytes"] == pytest.approx(2 * 74_342_400, rel=0.01)
    assert list(found["memory_gib"]) == ["high", "medium", "low"]
    assert (found["memory"], found["fits"]) == ("low", True)
    held = parsed(run(*asked, "--memory", "int8"))
    assert (held["memory"], held["fits"]) == ("int8", True)
    assert held["memory_gib"]["int8"] < held["memory_gib"]["low"]
    assert not (here.parent / "home").exists()


def test_videos_are_counted_without_weights_too(run: Run, here: Path, machine: None) -> None:
    found = parsed(run("generate", "a boat", "--backbone", "animatediff-v1-5-3", "--dry-run", "--json"))
    assert found.keys() >= KEYS
    assert found["dry_run"] is True
    assert found["parameters"] == 1_276_658_564
    assert found["trained_parameters"] == found["trained_layers"] == found["file_bytes"] == 0
    assert (found["memory"], found["fits"]) == ("high", True)
    assert found["videos"] == [{"prompt": "a boat", "seed": 0, "target": "boat.mp4"}]
    assert not list(here.iterdir())


def test_the_time_that_is_told_is_that_of_all_steps_at_a_quarter_of_the_speed(
    run: Run, here: Path, machine: None
) -> None:
    clip = draw(here / "clip", frames=24, step=1)
    asked = ("learn", clip, *SEAGULL, "--backbone", "zeroscope", "--dry-run")
    told = [parsed(run(*asked, "--steps", steps, "--json")) for steps in ("100", "300")]
    more = told[1]["seconds"] - told[0]["seconds"]  # inverting the clip takes the same in both
    assert more == pytest.approx(200 * told[0]["tflop_per_step"] * 1e12 / 0.25e14, rel=1e-3)
    asked = ("generate", "a boat", "--backbone", "zeroscope", "--steps", "30", "--dry-run")
    video = parsed(run(*asked, "--json"))
    assert video["seconds"] == pytest.approx(30 * video["tflop_per_step"] * 1e12 / 0.25e14, rel=1e-2)
    assert "here" in next(line for line in run(*asked).stdout.splitlines() if line.startswith("a video:"))


def test_guiding_what_stands_still_takes_the_time_of_guiding_all(
    run: Run, learned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "speed", lambda chosen, dtype: 1e8)  # seconds are told in tenths
    asked = ("generate", "a boat", "-m", learned, "--noise", "inverted", "--steps", "1000", "--dry-run")
    late = (*asked, "--guide-from", "0.5")
    told = [asked, (*late, "--still-guidance", "3"), late, (*asked, "--guidance", "1")]
    every, still, half, none = (parsed(run(*each, "--json"))["seconds"] for each in told)
    assert none < still == every
    assert half == pytest.approx((every + none) / 2, rel=1e-3)


def test_of_a_video_without_motions_nothing_learned_is_told(run: Run, tiny: str) -> None:
    ran = run("generate", "a duck", "--backbone", tiny, "--dry-run")
    assert "parameters:" in ran.stdout
    assert "learned" not in ran.stdout


def test_a_clip_that_does_not_fit_is_told_before_anything_is_counted(
    run: Run, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "choose_device", lambda: pytest.fail("it was counted"))
    assert run("learn", clip, *SEAGULL, "--backbone", "zeroscope", "--dry-run").rc == 3


def test_of_a_motion_is_told_what_was_learned(run: Run, learned: str, here: Path) -> None:
    before = set(here.iterdir())
    file = here.parent / "home" / "motions" / f"{learned}.safetensors"
    asked = ("generate", "--motion", learned, "a duck", "--dry-run")
    found = parsed(run(*asked, "--json"))
    assert found["file_bytes"] == file.stat().st_size
    assert found["trained_layers"] == 42
    assert found["trained_parameters"] > 42 * 16 * 16
    assert found["motions"] == [{"name": learned, "strength": 1.0}]
    ran = run(*asked)
    assert ran.rc == 0
    for word in ("parameters:", "in 42 layers", "TFLOP", "GiB", "fits here"):
        assert word in ran.stdout
    assert "Nothing was generated" in ran.stderr
    assert set(here.iterdir()) == before


def test_what_a_dry_run_of_learning_tells_is_what_the_motion_then_holds(
    run: Run, tiny: str, clip: Path, here: Path
) -> None:
    asked = ("learn", clip, *SEAGULL, "--backbone", tiny, "--rank", "4")
    told = parsed(run(*asked, "--dry-run", "--json"))
    made = parsed(run(*asked, "--json"))
    assert told["name"] == made["name"]
    again = parsed(run("generate", "--motion", made["name"], "a duck", "--dry-run", "--json"))
    same = ("parameters", "trained_parameters", "trained_layers")
    assert {key: told[key] for key in same} == {key: again[key] for key in same}
    assert again["file_bytes"] == pytest.approx(told["file_bytes"], abs=32_000)  # names, shapes and the card


def test_too_much_for_this_machine_is_said(run: Run, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "available_memory", lambda chosen: 1000)
    asked = ("generate", "a duck", "--backbone", tiny, "--dry-run")
    assert parsed(run(*asked, "--json"))["fits"] is False
    assert "too much for this machine" in run(*asked).stdout


def test_a_level_that_was_asked_for_is_the_one_that_is_judged(
    run: Run, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("generate", "a duck", "--backbone", tiny, "--dry-run", "--json")
    levels = parsed(run(*asked))["memory_gib"]
    between = (levels["high"] + levels["medium"]) / 2 * 2**30 * 1.1
    monkeypatch.setattr(estimates, "available_memory", lambda chosen: between)
    assert [parsed(run(*asked, "--memory", level))["fits"] for level in ("high", "medium")] == [False, True]
    assert parsed(run(*asked))["memory"] == "medium"


@pytest.mark.parametrize(
    ("option", "value"), [("--memory", "plenty"), ("--attention", "flash"), ("--attention", "")]
)
@pytest.mark.parametrize("command", ["learn", "generate"])
def test_what_is_not_known_is_refused(run: Run, clip: Path, command: str, option: str, value: str) -> None:
    asked = [clip, *SEAGULL] if command == "learn" else ["a duck"]
    ran = run(command, *asked, option, value)
    assert ran.rc == 2
    assert option in ran.stderr
    assert "Choose one of auto" in ran.stderr


def test_xformers_without_a_gpu_is_refused_before_anything_is_loaded(
    run: Run, tiny: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "choose_device", lambda name=None: torch.device("cpu"))
    monkeypatch.setattr(backbones, "load", lambda *args: pytest.fail("a model was loaded"))
    for asked in (("learn", clip, *SEAGULL), ("generate", "a duck")):
        ran = run(*asked, "--backbone", tiny, "--attention", "xformers")
        assert ran.rc == 2
        assert "NVIDIA" in ran.stderr


def test_what_computes_attention_is_said_once_where_it_was_asked_for(run: Run, tiny: str, clip: Path) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1", "--attention", "sdpa")
    assert ran.rc == 0
    assert ran.stderr.count("Attention is computed by PyTorch") == 1
    ran = run("generate", "a duck", "--backbone", tiny, "--steps", "1")
    assert "Attention" not in ran.stderr


def test_frozen_weights_in_8_bits_are_for_learning(run: Run, tiny: str, clip: Path) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1", "--memory", "int8")
    assert ran.rc == 0, ran.stderr
    assert "int8" in run("show", "seagull_walk").stdout
    ran = run("generate", "a duck", "--backbone", tiny, "--memory", "int8")
    assert (ran.rc, ran.stdout) == (2, "")


@pytest.mark.parametrize("level", ["low", "medium", "high"])
def test_each_level_makes_a_motion_and_a_video(run: Run, tiny: str, clip: Path, level: str) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1", "--memory", level)
    assert ran.rc == 0, ran.stderr
    asked = ("--steps", "1", "--memory", level, "--json")
    ran = run("generate", "--motion", "seagull_walk", "a duck", *asked)
    assert ran.rc == 0, ran.stderr
    assert Path(json.loads(ran.stdout)["video"]).is_file()
