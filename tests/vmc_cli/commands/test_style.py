"""vmc style shows the learned clip again, in another style."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry.store import Store
from tests import specimens
from tests.vmc_cli.commands.conftest import Run, parsed
from tests.vmc_cli.commands.test_learn_interrupted import stop_after
from vmc_cli import clip
from vmc_cli.commands import learning

FAST = ("--steps", "2")
STYLE = "van gogh starry night"


def test_a_motion_is_restyled_from_its_prompt_and_noise(run: Run, learned: str, here: Path) -> None:
    ran = run("style", learned, STYLE, *FAST)
    assert ran.stdout == "seagull_is_walking_van_gogh_starry_night.mp4\n", ran.stderr
    kept = clip.read_metadata(here / ran.stdout.strip())
    assert kept["prompt"] == "a seagull is walking, van gogh starry night"
    assert kept["noise"] == "inverted"
    assert kept["motions"] == f"{learned}:1"


def test_a_clip_is_learned_first_and_kept(run: Run, tiny: str, clip: Path, store: Store) -> None:
    arguments = ("--prompt", "a seagull is walking on the beach", "--backbone", tiny, *FAST)
    ran = run("style", clip, STYLE, *arguments, "--json")
    found = parsed(ran)
    assert found["prompt"] == "a seagull is walking, van gogh starry night"
    assert [each["name"] for each in found["motions"]] == ["seagull_walk"]
    assert store.card("seagull_walk").prompt_used == "a seagull is walking"


def test_interrupted_learning_goes_on_as_it_says(
    *, run: Run, tiny: str, clip: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("style", clip, STYLE, "--prompt", "a seagull is walking", "--backbone", tiny, *FAST)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        stopped = run(*arguments)
    assert stopped.rc == 130
    assert stopped.stderr.endswith("The same command with --resume goes on from there.\n")
    resumed = run(*arguments, "--resume")
    assert resumed.rc == 0, resumed.stderr
    assert "Learning: 1 step in" in resumed.stderr
    assert store.card("seagull_walk").steps == 2


def test_what_can_go_wrong_goes_wrong_before_learning(
    run: Run, tiny: str, clip: Path, here: Path, store: Store
) -> None:
    (here / "there.mp4").write_bytes(b"precious")
    prompt = ("--prompt", "a seagull is walking", "--backbone", tiny)
    cases = {
        6: ("style", clip, STYLE, *prompt, "--out", "there.mp4"),
        5: ("style", "neither", STYLE),
        2: ("style", clip, STYLE),
    }
    for rc, arguments in cases.items():
        ran = run(*arguments)
        assert ran.rc == rc, ran.stderr
        assert ran.stderr.count("\n") == 1
    for style in (" ", "caf\udce9"):
        assert run("style", clip, style, *prompt).rc == 2
    ran = run("style", clip, STYLE, *prompt, "--noise", "invertd")
    assert (ran.rc, "invertd" in ran.stderr) == (2, True)
    ran = run("style", clip, STYLE, *prompt, "--guide-until", "0.4", "--guide-from", "0.3")
    assert (ran.rc, "--guide-from, 0.3 (as asked for)" in ran.stderr) == (2, True)
    assert store.entries() == []
    assert sorted(os.listdir(here)) == ["seagull", "there.mp4"]


def test_a_subject_of_another_model_is_refused_before_learning(
    run: Run, tiny: str, clip: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.writing("my_dog") as slot:
        slot.publish(specimens.card(kind="subject", backbone="zeroscope"), specimens.tensors())
    monkeypatch.setattr(learning, "learned", lambda plan: pytest.fail("it was learned"))
    ran = run("style", clip, STYLE, "--prompt", "a seagull is walking", "--subject", "my_dog")
    assert ran.rc == 7, ran.stderr


def test_a_learned_motion_needs_no_prompt(run: Run, known: str) -> None:
    for more in (("--prompt", "a cat"), ("--name", "cat"), ("--resume",)):
        ran = run("style", known, STYLE, *more)
        assert ran.rc == 2
        assert "Leave out" in ran.stderr
