"""vmc reverse learns from the last frame to the first."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.header import RawTensor
from registry.store import Store
from tests import specimens
from tests.vmc_cli.commands.conftest import Run
from tests.vmc_cli.conftest import SIZE
from vmc_cli import backbones


def _preview(store: Store, name: str) -> np.ndarray:
    raw = store.load(name)[1]["preview"]
    return np.frombuffer(raw.data, np.uint8).reshape(raw.shape)


def test_the_frames_are_learned_backward(run: Run, learned: str, tiny: str, clip: Path, store: Store) -> None:
    arguments = ("--prompt", "a seagull is walking backward", "--backbone", tiny, "--steps", "1")
    ran = run("reverse", clip, *arguments)
    assert ran.stdout == "seagull_walk_backward\n", ran.stderr
    forward, backward = _preview(store, learned), _preview(store, "seagull_walk_backward")
    assert (backward == forward[::-1]).all()
    assert (backward != forward).any()


def test_a_dry_run_says_backward(run: Run, tiny: str, clip: Path) -> None:
    ran = run("reverse", clip, "--prompt", "a seagull is walking backward", "--backbone", tiny, "--dry-run")
    assert "backward\n" in ran.stdout


def test_a_learned_motion_is_reversed_without_its_clip(
    run: Run, learned: str, clip: Path, store: Store
) -> None:
    shutil.rmtree(clip)
    ran = run("reverse", learned)
    assert (ran.rc, ran.stdout) == (0, "seagull_walk_backward\n"), ran.stderr
    assert (_preview(store, "seagull_walk_backward") == _preview(store, learned)[::-1]).all()
    forward, backward = store.card(learned), store.card("seagull_walk_backward")
    assert (backward.recipe, backward.sources) == (forward.recipe, forward.sources)
    assert backward.prompt == "a seagull is walking backward"
    again = run("reverse", "seagull_walk_backward", "--steps", "1", "--dry-run")
    assert "a seagull is walking\n" in again.stdout
    assert "seagull_walk_backward, backward\n" in again.stdout


def test_samples_are_shown_while_a_motion_is_learned_backward(run: Run, learned: str, here: Path) -> None:
    ran = run("reverse", learned, "--steps", "2", "--preview-every", "2", "--name", "back")
    assert ran.rc == 0, ran.stderr
    with Image.open(here / "back_preview.png") as picture:
        assert picture.size == (4 * (SIZE + 2) + 2, 2 * (SIZE + 16 + 2) + 2)  # the clip and one sample


@pytest.fixture
def carlton(run: Run, tiny: str, clip: Path) -> str:
    """The name of a motion that was learned as a token."""
    wishes = ("--method", "token", "--token", "V*", "-p", "a person doing the V*", "--name", "carlton")
    assert run("learn", clip, "--backbone", tiny, *wishes, "--steps", "1").rc == 0
    return "carlton"


def test_a_token_is_said_backward_too_or_gets_a_name_of_its_own(run: Run, carlton: str, store: Store) -> None:
    refused = run("reverse", carlton, "--prompt", "a person is dancing backward")
    assert (refused.rc, refused.stderr.count("\n")) == (2, 1)
    assert "does not say V*" in refused.stderr
    assert run("reverse", carlton, "--name", "same").rc == 0
    wishes = ("--token", "W*", "-p", "a person doing the W*", "--name", "other")
    ran = run("reverse", carlton, *wishes)
    assert ran.rc == 0, ran.stderr
    told = [store.card(name).extra for name in ("same", "other")]
    assert [(each["token"], each["word"]) for each in told] == [("V*", "pll"), ("W*", "sks")]
    both = run("generate", "a dog doing the V* and the W*", "-m", carlton, "-m", "other", "--steps", "1")
    assert both.rc == 0, both.stderr


@pytest.mark.parametrize("adapter", ["weights", "embedding"])
def test_a_motion_of_another_length_is_refused_before_any_model_is_loaded(
    adapter: str, run: Run, known: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbones, "load", lambda *_: pytest.fail("the model is loaded"))
    card = specimens.card(
        backbone="tiny", revision=store.card(known).revision, frames=6, recipe={"adapter": adapter}
    )
    with store.writing(known, True) as slot:
        slot.publish(card, specimens.tensors())
    ran = run("reverse", known, "--method", "vmc")
    assert (ran.rc, ran.stderr.count("\n")) == (7, 1)
    assert "has 6 frames of 64x64; tiny makes 4 of 32x32" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "rc", "said"),
    [
        (["seagull_walk", "--trim", "0:1"], 2, "--trim"),
        (["seagull_walk", "--method", "vmc", "--token", "V*"], 2, "does not say V*"),
        (["seagull_walk", "--method", "vmc", "--train-token"], 2, "--token"),
        (["seagull_walk", "--backbone", "sprites"], 7, "tiny"),
        (["seagull_walk", "--method", "vcm"], 2, "vmc"),
        (["seagull"], 2, "--prompt"),
        (["seagul_walk"], 5, "neither a motion nor a clip seagul_walk"),
        (["nobody", "--prompt", "a bird is walking"], 5, "nobody"),
        (["seagull_walk", "--method", "vmc"], 5, "does not hold the clips"),
    ],
)
def test_a_wrong_wish_is_one_sentence(
    *, arguments: list[str], rc: int, said: str, run: Run, known: str, store: Store, clip: Path
) -> None:
    whole = {
        **specimens.tensors(),
        "preview": RawTensor("U8", (4, 1, 1, 3), b"\1" * 12),
        "start_noise": RawTensor("F16", (1, 1, 1, 1, 1), b"\1" * 2),
    }
    with store.writing(known, True) as slot:
        slot.publish(store.card(known), whole)
    ran = run("reverse", *arguments)
    assert ran.rc == rc, ran.stderr
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_the_name_of_a_model_of_ones_own_is_no_path(run: Run, known: str, here: Path, store: Store) -> None:
    (here / "model").mkdir()
    with store.writing(known, True) as slot:
        slot.publish(specimens.card(backbone="./model"), specimens.tensors())
    ran = run("reverse", known)
    assert ran.rc == 7, ran.stderr
    assert "--backbone FOLDER" in ran.stderr
