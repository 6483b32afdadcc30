"""vmc learn prints the name of a motion that is whole, and says what it is made of."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.store import Store
from tests.vmc_cli.commands.conftest import Run, draw, parsed
from tests.vmc_cli.conftest import SIZE
from vmc_cli import backbones

SEAGULL = ("--prompt", "a seagull is walking on the beach")


def test_the_name_is_printed_and_the_motion_is_stored(learned: str, store: Store) -> None:
    assert learned == "seagull_walk"
    card, tensors = store.load(learned)
    assert (card.name, card.backbone, card.method, card.steps) == ("seagull_walk", "tiny", "vmc", 2)
    assert (card.prompt, card.prompt_used) == ("a seagull is walking on the beach", "a seagull is walking")
    assert [source.name for source in card.sources] == ["seagull"]
    assert tensors["start_noise"].shape == (1, 4, 4, 4, 4)


def test_what_the_prompt_became_is_said(run: Run, tiny: str, clip: Path) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1")
    assert ran.stdout == "seagull_walk\n"
    assert '"a seagull is walking"' in ran.stderr
    assert "Learning: 1 step in" in ran.stderr


def test_a_kept_prompt_is_learned_as_it_is(run: Run, tiny: str, clip: Path, store: Store) -> None:
    run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1", "--keep-prompt")
    assert store.card("seagull_walk").prompt_used == "a seagull is walking on the beach"


def test_each_option_reaches_the_recipe(run: Run, tiny: str, clip: Path, store: Store) -> None:
    options = "--steps 3 --learning-rate 0.002 --rank 4 --loss mse --stride 2 --seed 7 --name gull --quiet"
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, *options.split())
    assert (ran.rc, ran.stdout, ran.stderr) == (0, "gull\n", "")
    card = store.card("gull")
    recipe = {key: card.recipe[key] for key in ("steps", "learning_rate", "rank", "loss", "stride")}
    assert recipe == {"steps": 3, "learning_rate": 0.002, "rank": 4, "loss": "mse", "stride": 2}
    assert card.seed == 7


def test_full_rank_stores_whole_differences(run: Run, tiny: str, clip: Path, store: Store) -> None:
    assert run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1", "--rank", "full").rc == 0
    card, tensors = store.load("seagull_walk")
    assert card.recipe["rank"] is None
    assert any(key.endswith(".diff") for key in tensors)


def test_json_is_one_object_and_nothing_else(run: Run, tiny: str, clip: Path, store: Store) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1", "--json")
    found = parsed(ran)
    assert ran.stderr == ""
    assert found["name"] == "seagull_walk"
    assert found["prompt_used"] == "a seagull is walking"
    assert Path(found["file"]) == store.path("seagull_walk")
    assert found["steps"] == 1


def test_a_name_from_the_prompt_gets_a_number_when_taken(
    run: Run, learned: str, clip: Path, tiny: str
) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1")
    assert ran.stdout == "seagull_walk_2\n"


def test_replacing_replaces(run: Run, learned: str, clip: Path, tiny: str, store: Store) -> None:
    arguments = ("--backbone", tiny, "--steps", "3", "--replace")
    ran = run("learn", clip, *SEAGULL, *arguments)
    assert ran.stdout == f"{learned}\n"
    assert [entry.name for entry in store.entries()] == [learned]
    assert store.card(learned).steps == 3


def test_clips_are_learned_together(run: Run, tiny: str, here: Path, store: Store) -> None:
    clips = [draw(here / name, step=step) for name, step in (("one", 2), ("two", 3))]
    run("learn", *clips, *SEAGULL, "--backbone", tiny, "--steps", "2")
    card, tensors = store.load("seagull_walk")
    assert [source.name for source in card.sources] == ["one", "two"]
    assert tensors["start_noise"].shape[0] == 2


def test_a_still_clip_is_learned_with_a_warning(run: Run, tiny: str, here: Path) -> None:
    ran = run("learn", draw(here / "still", step=0), *SEAGULL, "--backbone", tiny, "--steps", "1")
    assert ran.rc == 0
    assert [line for line in ran.stderr.splitlines() if line.startswith("warning: Nothing moves in")]


def test_a_clip_of_two_shots_is_learned_with_a_warning(run: Run, tiny: str, here: Path) -> None:
    for number in range(4):
        picture = np.full((SIZE, SIZE, 3), (40, 60, 80) if number < 2 else (250, 200, 30), np.uint8)
        picture[10:20, 4 * number : 4 * number + 10] = 255
        (here / "shots").mkdir(exist_ok=True)
        Image.fromarray(picture).save(here / "shots" / f"{number}.png")
    ran = run("learn", here / "shots", *SEAGULL, "--backbone", tiny, "--steps", "1")
    assert ran.rc == 0
    assert "shots cuts to another shot at 0.2 s" in ran.stderr


def test_a_sheet_shows_the_clip_that_was_learned(run: Run, tiny: str, clip: Path, here: Path) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1", "--sheet", "sheet.png")
    assert ran.rc == 0, ran.stderr
    with Image.open(here / "sheet.png") as sheet:
        assert sheet.size == (4 * (SIZE + 2) + 2, SIZE + 16 + 2 + 2)


@pytest.mark.parametrize("sheet", [["--sheet", "walk.png"], ["--name", "walk"]])
def test_samples_are_shown_while_learning(
    *, sheet: list[str], run: Run, tiny: str, clip: Path, here: Path
) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "3", "--preview-every", "2", *sheet)
    assert ran.rc == 0, ran.stderr
    assert "walk_preview.png" in ran.stderr
    with Image.open(here / "walk_preview.png") as picture:
        assert picture.size == (4 * (SIZE + 2) + 2, 2 * (SIZE + 16 + 2) + 2)  # the clip and one sample


@pytest.mark.parametrize(("floor", "warned"), [(200.0, True), (-200.0, False)])
def test_a_clip_that_the_model_cannot_draw_is_told(
    *, floor: float, warned: bool, run: Run, tiny: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    spec = replace(backbones.find(tiny), reconstruction_floor=floor, advice="Use something larger.")
    monkeypatch.setattr(backbones, "BACKBONES", {"tiny": spec})
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1")
    told = [line for line in ran.stderr.splitlines() if "far from what tiny can draw" in line]
    assert bool(told) is warned
    assert not warned or told[0].endswith("Use something larger.")


def test_a_dry_run_tells_the_recipe_and_writes_nothing(
    run: Run, tiny: str, clip: Path, tmp_path: Path
) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "7", "--dry-run", "--json")
    found = parsed(ran)
    assert found["dry_run"] is True
    assert found["name"] == "seagull_walk"
    assert found["prompt_used"] == "a seagull is walking"
    assert found["recipe"]["steps"] == 7
    assert found["recipe"]["trains"] == [f"temporal-attention/to_{x}" for x in "qkv"]
    assert found["clips"][0]["frames"] == 4
    assert not (tmp_path / "home").exists()
    told = run("learn", clip, *SEAGULL, "--backbone", tiny, "--dry-run").stdout
    assert ["name:", "seagull_walk"] in [line.split() for line in told.splitlines()]
    assert "a seagull is walking\n" in told


@pytest.mark.parametrize(
    "name",
    [
        "with spaces & ünï 🦆 海鸥",
        "quo'te\"$(touch pwned)`id`;",
        "-dash",
        "\x1b[31mred\nline",
        "a" * 240,
        "\udcff",
    ],
)
def test_a_clip_may_have_any_name(name: str, run: Run, tiny: str, here: Path) -> None:
    try:
        draw(here / name)
    except OSError:
        pytest.skip("no such name on this disk")
    ran = run("learn", *SEAGULL, "--backbone", tiny, "--dry-run", "--", name)
    assert ran.rc == 0, ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr
    assert os.listdir(here) == [name]


@pytest.mark.parametrize(
    "name",
    ["coin_roll.mov", "gen_ltxv.webp", "puck_magnet.ogv", "asl_walk.mkv", "measure_only/vmc_sharks_swimming"],
)
def test_real_footage_can_be_learned_from(name: str, run: Run, shared_clips: Path) -> None:
    ran = run("learn", shared_clips / name, *SEAGULL, "--dry-run", "--json")
    assert parsed(ran)["clips"][0]["frames"] == 8
    assert parsed(ran)["warnings"] == []


def test_a_learned_motion_is_small_and_its_preview_shows_the_clip(learned: str, store: Store) -> None:
    _, tensors = store.load(learned)
    preview = np.frombuffer(tensors["preview"].data, np.uint8).reshape(tensors["preview"].shape)
    assert preview.shape == (4, 32, 32, 3)
    assert (preview.astype(int).max((0, 1, 2)) > 150).any()
