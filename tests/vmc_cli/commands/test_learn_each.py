"""vmc learn --each: one motion a clip; what fails is listed, the rest is learned, the exit code says so."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from registry.store import Store
from tests.conftest import Ran
from tests.vmc_cli.commands.conftest import Run, draw
from tests.vmc_cli.commands.test_learn_interrupted import stop_after
from vmc_cli import backbones, progress
from vmc_cli.commands import learning
from vmc_cli.delta import Delta

PROMPTS = {"one": "a seagull is walking", "two": "a dog is running", "three": "a seagull is walking"}
FAST = ("--steps", "1")


@pytest.fixture
def table(here: Path) -> Path:
    return write(here, *(f"{clip},{prompt}" for clip, prompt in PROMPTS.items()))


@pytest.fixture
def clips(here: Path) -> list[Path]:
    return [draw(here / name, step=step) for step, name in enumerate(PROMPTS, start=2)]


def write(here: Path, *lines: str, header: str = "clip,prompt,name") -> Path:
    path = here / "captions.csv"
    path.write_text("\n".join([header, *lines]), encoding="utf-8")
    return path


@pytest.fixture
def each(run: Run, tiny: str) -> Run:
    """each("one", "two", ...) learns them on the tiny model by captions.csv."""

    def each(*arguments: str | Path) -> Ran:
        return run(
            *("learn", "--each", *arguments, "--prompt-file", "captions.csv", "--backbone", tiny, *FAST)
        )

    return each


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that are loaded."""
    loaded: list[str] = []
    load = backbones.load

    def counted(spec: backbones.Spec) -> object:
        loaded.append(spec.name)
        return load(spec)

    monkeypatch.setattr(backbones, "load", counted)
    return loaded


def learned(store: Store) -> dict[str, str]:
    """Motion -> clip."""
    return {entry.name: entry.card.sources[0].name for entry in store.entries() if entry.card}


def stop_in(monkeypatch: pytest.MonkeyPatch, number: int, step: bool = False) -> None:
    """A signal arrives when clip `number` begins, or in a step of learning it."""
    learn, count, step_taken = learning.learned, [], []

    def counted(*arguments: object, **options: object) -> object:
        count.append(1)
        if len(count) == number and not step:
            signal.raise_signal(signal.SIGINT)
        return learn(*arguments, **options)

    monkeypatch.setattr(learning, "learned", counted)
    take = progress.Progress.step

    def stopping(self: progress.Progress, loss: float | None = None) -> None:
        take(self, loss)
        if step and len(count) == number:
            step_taken.append(1)
            if len(step_taken) == 1:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(progress.Progress, "step", stopping)


def test_each_clip_becomes_the_motion_that_it_becomes_alone_and_the_model_is_loaded_once(
    *, each: Run, run: Run, clips: list[Path], table: Path, store: Store, loads: list[str], tiny: str
) -> None:
    ran = each(*clips)
    assert ran.rc == 0, ran.stderr
    assert ran.stdout.split() == ["seagull_walk", "dog_run", "seagull_walk_2"]
    assert learned(store) == {"seagull_walk": "one", "dog_run": "two", "seagull_walk_2": "three"}
    assert loads == ["tiny"]
    assert "3 of 3 clips were learned." in ran.stderr
    run("learn", clips[1], "--prompt", PROMPTS["two"], "--name", "alone", "--backbone", tiny, *FAST)
    assert store.load("dog_run")[1] == store.load("alone")[1]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_a_folder_of_motions_that_anybody_may_change_is_told_once(
    each: Run, table: Path, clips: list[Path], store: Store
) -> None:
    store.root.mkdir(parents=True)
    store.root.chmod(0o777)
    ran = each(*clips[:2])
    assert ran.rc == 0, ran.stderr
    assert ran.stderr.count("Anybody on this machine may change what is in") == 1


def test_a_broken_clip_is_listed_and_the_others_are_learned(
    each: Run, table: Path, clips: list[Path], here: Path
) -> None:
    for picture in list((here / "one").iterdir())[2:]:
        picture.unlink()
    ran = each(*clips[:2])
    assert ran.rc == 3
    assert ran.stdout.split() == ["dog_run"]
    told, last = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert "one" in told
    assert "Only 1 of 2 clips were learned." in last
    assert "--resume" in last
    quiet = each(*clips[:2], "--dry-run", "--quiet").stderr.splitlines()
    assert (len(quiet), quiet[0].split()[1:], quiet[1][:11]) == (2, told.split()[1:], "error: Only")


def test_json_is_one_line_as_each_finishes_failures_too(
    each: Run, table: Path, clips: list[Path], here: Path
) -> None:
    (here / "two" / "0.png").write_bytes(b"\x1b[31mno picture")
    draw(here / "still", step=0)
    write(here, "one,a seagull is walking", "two,a dog is running", "still,a stone is lying")
    ran = each("still", "two", "one", "--json")
    still, broken, last = map(json.loads, ran.stdout.splitlines())
    assert (still["clip"], still["name"]) == ("still", "stone_lie")
    assert [warning[:13] for warning in still["warnings"]] == ["Nothing moves"]
    assert (broken["clip"], broken["error"]["code"], broken["error"]["kind"]) == ("two", 3, "clip")
    assert (last["name"], last["warnings"]) == ("seagull_walk", [])
    error = json.loads(ran.stderr)
    assert (ran.rc, error["code"], error["kind"]) == (3, 3, "clip")


def test_a_bug_on_one_clip_leaves_a_crash_log_and_the_others_are_learned(
    each: Run, table: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    learn = learning.learned

    def fails(plan: object, *rest: object, **options: object) -> object:
        if plan.clips[0].name == "one":
            raise ValueError("odd")
        return learn(plan, *rest, **options)

    monkeypatch.setattr(learning, "learned", fails)
    ran = each(*clips[:2])
    assert ran.rc == 1
    assert ran.stdout.split() == ["dog_run"]
    assert len(list((tmp_path / "home" / "crashes").iterdir())) == 1


@pytest.mark.parametrize("step", [False, True], ids=["between clips", "in a step"])
def test_stopped_it_says_what_was_done_and_resumed_it_does_the_rest(
    *, step: bool, each: Run, table: Path, clips: list[Path], store: Store, loads: list[str]
) -> None:
    clips = [clips[0], clips[2]]
    with pytest.MonkeyPatch.context() as patch:
        stop_in(patch, 2, step)
        stopped = each(*clips)
    assert stopped.rc == 130
    assert stopped.stdout == "seagull_walk\n"
    last = stopped.stderr.splitlines()[-1]
    assert "1 of 2 clips were learned; nothing half-written" in last
    assert last.endswith("The same command with --resume does what is left.")
    before = store.path("seagull_walk").read_bytes()
    resumed = each(*clips, "--resume")
    assert resumed.stdout.split() == ["seagull_walk", "seagull_walk_2"]
    assert learned(store) == {"seagull_walk": "one", "seagull_walk_2": "three"}
    assert store.path("seagull_walk").read_bytes() == before
    loads.clear()
    again = each(*clips, "--resume", "--json")
    assert [json.loads(line)["learned_before"] for line in again.stdout.splitlines()] == [True] * 2
    assert loads == []


def test_what_is_left_of_another_run_does_not_block_a_clip(
    each: Run, table: Path, clips: list[Path], store: Store
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        assert each(clips[1]).rc == 130
    ran = each(clips[1], "--resume", "--seed", "7", "--preview-every", "1")
    assert (ran.rc, ran.stdout) == (0, "dog_run\n"), ran.stderr
    assert "The unfinished run of dog_run (step 1) had another clip" in ran.stderr
    assert store.card("dog_run").seed == 7


def test_only_the_same_part_of_the_same_clip_learned_in_the_same_way_counts_as_learned(
    each: Run, table: Path, clips: list[Path], here: Path
) -> None:
    def planned(*more: str) -> list[str]:
        ran = each("two", "three", "--resume", "--dry-run", "--json", *more)
        return [json.loads(line)["name"] for line in ran.stdout.splitlines()]

    assert each("two", "three").stdout.split() == ["dog_run", "seagull_walk"]
    assert planned() == ["dog_run", "seagull_walk"]
    for other in (("--seed", "5"), ("--rank", "2"), ("--trim", ":0.7")):
        assert planned(*other) == ["dog_run_2", "seagull_walk_2"]
    (here / "two" / "0.png").write_bytes((here / "two" / "1.png").read_bytes())
    write(here, "two,a dog is running", "three,the seagull is walking")
    assert planned() == ["dog_run_2", "seagull_walk_2"]


def test_a_motion_whose_card_is_older_than_some_of_the_numbers_counts_as_learned(
    each: Run, table: Path, clips: list[Path], store: Store
) -> None:
    assert each(clips[1]).stdout == "dog_run\n"
    delta = Delta.load(store, "dog_run")
    known = {key: value for key, value in delta.card.recipe.items() if key != "full_learning_rate"}
    with store.writing("dog_run", True) as slot:
        replace(delta, card=replace(delta.card, recipe=known)).save(slot)
    assert each(clips[1], "--resume").stdout == "dog_run\n"
    assert store.card("dog_run").recipe == known


def test_names_stay_apart_from_chosen_ones_and_twins_are_both_learned(
    each: Run, here: Path, store: Store
) -> None:
    for name in ("one", "two", "three"):
        draw(here / name)
    write(here, "one,a dog is running", "two,a cat is jumping,dog_run", "three,a dog is running,")
    clips = ("one", "two", "three")
    assert each(*clips).stdout.split() == ["dog_run_2", "dog_run", "dog_run_3"]
    refused = each(*clips)
    assert refused.rc == 6
    assert "line 3: there is a motion dog_run already" in refused.stderr
    assert each(*clips, "--resume").stdout.split() == ["dog_run_2", "dog_run", "dog_run_3"]
    assert each("two", "three", "--replace", "--seed", "3").stdout.split() == ["dog_run", "dog_run_2"]
    assert {name: store.card(name).seed for name in learned(store)} == {
        **{"dog_run": 3, "dog_run_2": 3},
        "dog_run_3": 0,
    }


def test_what_counts_as_learned_is_never_replaced(each: Run, here: Path, store: Store) -> None:
    for step, name in enumerate(("one", "two", "three"), start=2):
        draw(here / name, step=step)
    write(here, *(f"{name},a dog is running" for name in ("one", "two", "three")))
    assert each("two").stdout.split() == ["dog_run"]
    again = each("one", "two", "three", "--replace", "--resume")
    assert again.stdout.split() == ["dog_run_2", "dog_run", "dog_run_3"]
    assert learned(store) == {"dog_run": "two", "dog_run_2": "one", "dog_run_3": "three"}


def test_a_chosen_name_is_left_to_the_clip_that_has_it(each: Run, here: Path, store: Store) -> None:
    for step, name in enumerate(("one", "two"), start=2):
        draw(here / name, step=step)
    write(here, "one,a dog is running")
    assert each("one").stdout.split() == ["dog_run"]
    write(here, "one,a dog is running", "two,a dog is running,dog_run")
    assert each("one", "two", "--replace", "--resume").stdout.split() == ["dog_run_2", "dog_run"]
    assert learned(store) == {"dog_run": "two", "dog_run_2": "one"}


def test_folders_tell_clips_of_one_name_apart(each: Run, here: Path) -> None:
    for folder in ("a", "b"):
        (here / folder).mkdir()
        draw(here / folder / "clip")
    write(here, "clip,a dog is running")
    refused = each("a/clip", "b/clip")
    assert (refused.rc, "stands for both a/clip and b/clip" in refused.stderr) == (2, True)
    write(here, "a/clip,a dog is running", "../here/b/clip,a cat is jumping")
    planned = each("a/clip", here / "b" / "clip/", "--dry-run", "--json").stdout
    assert [json.loads(line)["name"] for line in planned.splitlines()] == ["dog_run", "cat_jump"]


@pytest.mark.parametrize(
    ("lines", "arguments", "rc", "said"),
    [
        (["one,a dog is running"], ["one", "two"], 2, "does not tell of two"),
        (["one,a dog is running"], ["one", "missing.mp4"], 5, "missing.mp4"),
        (["one,a dog is running"], ["one", "one"], 2, "stands for both"),
        (["one,a dog is running", "one,a cat is running"], ["one"], 2, "lines 2 and 3"),
        (["one,a dog,x", "two,a cat,x"], ["one", "two"], 2, "line 3 has the name of line 2, x"),
        (["one,a dog,../up"], ["one"], 2, "line 2: '../up' cannot be the name"),
        (["one,!?"], ["one"], 2, "line 2: no name can be made"),
        (["one,"], ["one"], 2, "line 2 says no prompt"),
        (["one,\x1b]0;owned\x07a dog\x1b[31m,x,y"], ["one"], 2, "line 2 has more cells"),
        (["one,a dog,\x1b[31m"], ["one"], 2, "line 2"),
        (["one,a dog"], ["one", "--name", "dog"], 2, "--name is for one motion"),
        (["one,a dog"], ["one", "--sheet", "dog.png"], 2, "--sheet is for one motion"),
        (["one,a V* dog"], ["one", "--token", "V*"], 2, "--token is for one motion"),
        (["one,a dog"], ["one", "--prompt", "a dog"], 2, "without --prompt"),
        (["one,a dog"], ["one", "--method", "nothing"], 2, "nothing"),
    ],
)
def test_all_is_checked_before_anything_is_loaded(
    *, lines: list[str], arguments: list[str], rc: int, said: str, each: Run, here: Path, loads: list[str]
) -> None:
    for name in ("one", "two"):
        draw(here / name)
    write(here, *lines)
    ran = each(*arguments)
    assert ran.rc == rc, ran.stderr
    assert ran.stderr.count("\n") == 1
    assert said in ran.stderr
    assert "\x1b" not in ran.stderr
    assert (ran.stdout, loads) == ("", [])


@pytest.mark.parametrize("more", [["--each"], ["--prompt-file", "captions.csv"]])
def test_each_and_its_table_go_together(more: list[str], run: Run) -> None:
    ran = run("learn", "one", "two", *more)
    assert ran.rc == 2
    assert "--each CLIPS... --prompt-file" in ran.stderr


def test_hostile_text_in_a_table_never_steers_a_terminal(each: Run, here: Path, clips: list[Path]) -> None:
    write(here, "one,a dog is \x1b]0;owned\x07running\x1b[31m")
    ran = each("one")
    assert ran.rc == 0, ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "\x07" not in ran.stdout + ran.stderr


def test_a_dry_run_reads_every_clip_and_finds_the_broken_one(
    *, each: Run, table: Path, clips: list[Path], here: Path, loads: list[str], tmp_path: Path
) -> None:
    (here / "one" / "0.png").write_bytes(b"no picture")
    ran = each(*clips, "--dry-run", "--json")
    broken, second, third = map(json.loads, ran.stdout.splitlines())
    assert (broken["error"]["code"], second["name"], third["name"]) == (3, "dog_run", "seagull_walk_2")
    assert ran.rc == 3
    assert "Only 2 of 3 clips can be learned" in ran.stderr
    assert loads == []
    assert not (tmp_path / "home").exists()
