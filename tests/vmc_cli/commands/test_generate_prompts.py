"""vmc generate --prompts: a video of each prompt; what fails is listed, the rest is made."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.vmc_cli.commands.conftest import Run
from tests.vmc_cli.conftest import SIZE
from vmc_cli import backbones, clip, delta, motions
from vmc_cli.errors import Diverged, Stopped

FAST = ("--steps", "2")
PROMPTS = ("a chicken walking in a city", "a cat running")


@pytest.fixture
def file(here: Path) -> Path:
    path = here / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def frames(path: Path) -> np.ndarray:
    return clip.read(path, frames=4, height=SIZE, width=SIZE).frames


def test_each_prompt_becomes_the_video_that_it_becomes_alone(
    run: Run, learned: str, file: Path, here: Path
) -> None:
    arguments = ("--motion", learned, "--noise", "blend", *FAST)
    (here / "videos").mkdir()
    ran = run("generate", "--prompts", file, *arguments, "--out", "videos")
    assert ran.rc == 0, ran.stderr
    paths = [Path("videos", name) for name in ("chicken_walking_in_a_city.mp4", "cat_running.mp4")]
    assert ran.stdout.splitlines() == [str(path) for path in paths]
    assert "2 of 2 videos were generated." in ran.stderr
    for prompt, path in zip(PROMPTS, paths, strict=True):
        alone = run("generate", prompt, *arguments).stdout.strip()
        assert (frames(here / alone) == frames(here / path)).all()


def test_the_model_is_loaded_and_the_motions_attached_once(
    run: Run, learned: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"load": 0, "attached": 0}
    load, attached = backbones.load, delta.attached

    def loading(spec: backbones.Spec) -> object:
        counts["load"] += 1
        return load(spec)

    def attaching(*arguments: object) -> object:
        counts["attached"] += 1
        return attached(*arguments)

    monkeypatch.setattr(backbones, "load", loading)
    monkeypatch.setattr(motions.generating, "attached", attaching)
    ran = run("generate", "--prompts", file, "-m", learned, "--count", "2", "--json", *FAST)
    assert counts == {"load": 1, "attached": 1}
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(each["prompt"], each["seed"]) for each in found] == [(p, s) for p in PROMPTS for s in (0, 1)]
    assert ran.stderr == ""


def test_prompts_come_from_standard_input(
    run: Run, tiny: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.BytesIO("\ufeffa cat running\r\n\r\na \x1b[31mdog running\r\n".encode())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=text))
    ran = run("generate", "--prompts", "-", "--backbone", tiny, *FAST)
    assert ran.stdout.split() == ["cat_running.mp4", "31mdog_running.mp4"]
    assert "\x1b" not in ran.stderr


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_prompts_of_one_name_get_files_of_their_own(
    force: list[str], run: Run, tiny: str, here: Path
) -> None:
    (here / "prompts.txt").write_text("a cat running\nthe cat running\n")
    ran = run("generate", "--prompts", "prompts.txt", "--backbone", tiny, *FAST, *force)
    assert ran.stdout.split() == ["cat_running.mp4", "cat_running_2.mp4"]
    assert (frames(here / "cat_running.mp4") != frames(here / "cat_running_2.mp4")).any()


def test_a_prompt_that_fails_is_listed_and_the_others_are_made(
    run: Run, tiny: str, file: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = clip.write

    def fails(video: object, path: Path, **options: object) -> Path:
        if "chicken" in path.name:
            raise Diverged("It left the finite numbers.", "Choose another seed.")
        return write(video, path, **options)

    monkeypatch.setattr(clip, "write", fails)
    ran = run("generate", "--prompts", file, "--backbone", tiny, "--sheet", "sheet.png", *FAST)
    assert ran.rc == 11
    assert ran.stdout == "cat_running.mp4\n"
    told, last = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert "a chicken walking in a city, seed 0: It left the finite numbers. Choose another seed." in told
    assert "Only 1 of 2 videos were generated." in last
    assert (here / "sheet.png").exists()


@pytest.mark.parametrize("with_motion", [False, True])
def test_where_all_fail_there_is_no_sheet(
    *, with_motion: bool, run: Run, learned: str, file: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Path:
        raise Diverged("It left the finite numbers.", "Choose another seed.")

    monkeypatch.setattr(clip, "write", fails)
    who = ("--motion", learned) if with_motion else ("--backbone", "tiny")
    ran = run("generate", "--prompts", file, *who, "--sheet", "sheet.png", *FAST)
    assert ran.rc == 11, ran.stderr
    assert "Only 0 of 2 videos were generated." in ran.stderr
    assert not (here / "sheet.png").exists()


def test_stopped_it_says_how_many_were_made(
    run: Run, tiny: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = clip.write

    def stops(video: object, path: Path, **options: object) -> Path:
        if "cat" in path.name:
            raise Stopped(15)
        return write(video, path, **options)

    monkeypatch.setattr(clip, "write", stops)
    ran = run("generate", "--prompts", file, "--backbone", tiny, *FAST)
    assert (ran.rc, ran.stdout) == (143, "chicken_walking_in_a_city.mp4\n")
    assert "1 of 2 videos were generated" in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "arguments", "rc", "said"),
    [
        ("", [], 2, "nothing to do"),
        ("a cat", ["--out", "video.mp4"], 2, "no folder for many videos"),
        ("a cat", ["--out", "nowhere"], 2, "no folder"),
        ("a cat", ["a dog"], 2, "said twice"),
        ("a cat", ["--guidance", "inf"], 2, "--guidance"),
    ],
)
def test_a_wrong_wish_costs_no_model(
    *,
    text: str,
    arguments: list[str],
    rc: int,
    said: str,
    run: Run,
    tiny: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(backbones, "load", load)
    (here / "prompts.txt").write_text(text)
    ran = run("generate", *arguments, "--prompts", "prompts.txt", "--backbone", tiny)
    assert ran.rc == rc, ran.stderr
    assert ran.stderr.count("\n") == 1
    assert said in ran.stderr


def test_without_any_prompt_it_says_so(run: Run) -> None:
    ran = run("generate")
    assert (ran.rc, "What to show is not said" in ran.stderr) == (2, True)
