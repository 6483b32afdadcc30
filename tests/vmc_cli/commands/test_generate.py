"""vmc generate prints the path of a whole video, or says in one line why there is none."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.store import Store
from tests import specimens
from tests.vmc_cli.commands.conftest import Run, parsed
from tests.vmc_cli.conftest import SIZE, tiny_spec
from vmc_cli import backbones, clip
from vmc_cli.course import Course

CITY = "a chicken walking in a city"
FAST = ("--steps", "2")


def frames(path: Path) -> np.ndarray:
    return clip.read(path, frames=4, height=SIZE, width=SIZE).frames


def test_the_path_is_printed_and_named_after_the_prompt(run: Run, learned: str, here: Path) -> None:
    ran = run("generate", CITY, "--motion", learned, *FAST)
    assert ran.rc == 0, ran.stderr
    assert ran.stdout == "chicken_walking_in_a_city.mp4\n"
    assert frames(here / "chicken_walking_in_a_city.mp4").shape == (4, SIZE, SIZE, 3)


def test_the_help_tells_what_happens_without_an_option(run: Run) -> None:
    told = " ".join(run("generate", "--help").stdout.split())
    assert "[default: the method's own, or random without a motion]" in told
    assert told.count("[default: the backbone's own]") == 7


def test_the_motions_own_backbone_is_used(run: Run, learned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMC_BACKBONE", "sprites")
    assert parsed(run("generate", CITY, "--motion", learned, *FAST, "--json"))["backbone"] == "tiny"


def test_without_a_motion_it_is_text_to_video(run: Run, tiny: str) -> None:
    found = parsed(run("generate", CITY, "--backbone", tiny, *FAST, "--json"))
    assert (found["motions"], found["noise"]) == ([], "random")


def test_a_video_remembers_how_it_was_made(run: Run, learned: str, here: Path, store: Store) -> None:
    found = parsed(run("generate", CITY, "--motion", f"{learned}:0.5", "--seed", "3", *FAST, "--json"))
    kept = clip.read_metadata(here / found["video"])
    assert kept["prompt"] == CITY
    assert kept["motions"] == f"{learned}:0.5"
    data = b"".join(raw.data for raw in store.load(learned)[1].values())
    assert kept["motions_sha256"] == found["motions_sha256"] == hashlib.sha256(data).hexdigest()
    assert (kept["seed"], kept["steps"], kept["backbone"]) == ("3", "2", "tiny")
    assert kept["noise"] in ("inverted", "blend", "low-frequency", "motion")
    assert str(here) not in str(kept)


def test_what_stands_still_is_guided_as_asked_for(run: Run, learned: str, here: Path) -> None:
    late = ("generate", CITY, "-m", learned, *FAST, "--noise", "inverted", "--guide-from", "0.6")
    scales = ("1", "3", "3")
    paths = [f"{number}.mp4" for number, _ in enumerate(scales)]
    for path, scale in zip(paths, scales, strict=True):
        ran = run(*late, "--still-guidance", scale, "--out", path)
        assert ran.rc == 0, ran.stderr
    without, first, second = (frames(here / path) for path in paths)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, without)
    assert clip.read_metadata(here / paths[1])["still_guidance"] == "3.0"


def test_a_sheet_shows_the_learned_clip_and_every_video(run: Run, learned: str, here: Path) -> None:
    ran = run("generate", CITY, "-m", learned, "--count", "2", "--sheet", "sheet.png", *FAST)
    assert ran.rc == 0, ran.stderr
    with Image.open(here / "sheet.png") as sheet:
        assert sheet.size == (4 * (SIZE + 2) + 2, 3 * (SIZE + 16 + 2) + 2)
        page = np.asarray(sheet)
    shown = page[2 + (16 + SIZE + 2) + 16 :][:SIZE, 2 : 2 + SIZE]
    video = frames(here / "chicken_walking_in_a_city_seed0.mp4")[0]
    assert np.abs(shown.astype(int) - video).mean() < 8  # the video is compressed
    again = run("generate", CITY, "-m", learned, "--sheet", "sheet.png", *FAST)
    assert (again.rc, len(list(here.glob("*.mp4")))) == (6, 2)


def test_same_seed_same_pixels_and_another_seed_others(run: Run, learned: str, here: Path) -> None:
    for name, seed in (("a.webp", "5"), ("b.webp", "5"), ("c.webp", "6")):
        ran = run("generate", CITY, "-m", learned, "--seed", seed, "--out", name, "--noise", "blend", *FAST)
        assert ran.rc == 0, ran.stderr
    first, again, other = (frames(here / name) for name in ("a.webp", "b.webp", "c.webp"))
    assert (first == again).all()
    assert (first != other).any()


def test_strength_makes_a_difference(run: Run, learned: str, here: Path) -> None:
    for name, strength in (("none", "0"), ("much", "300")):
        run(
            "generate",
            CITY,
            "-m",
            learned,
            "--strength",
            strength,
            "--out",
            name,
            "--noise",
            "inverted",
            *FAST,
        )
    assert (frames(here / "none") != frames(here / "much")).any()


def test_each_seed_of_a_count_has_its_own_file(run: Run, tiny: str, here: Path) -> None:
    ran = run("generate", CITY, "--backbone", tiny, "--count", "2", "--seed", "4", *FAST)
    assert ran.stdout.splitlines() == [f"chicken_walking_in_a_city_seed{seed}.mp4" for seed in (4, 5)]
    first, second = (frames(here / line) for line in ran.stdout.splitlines())
    assert (first != second).any()
    alone = run("generate", CITY, "--backbone", tiny, "--seed", "5", "--out", "alone.mp4", *FAST)
    assert (frames(here / alone.stdout.strip()) == second).all()


def test_a_default_name_that_is_taken_gets_a_number(run: Run, tiny: str, here: Path) -> None:
    paths = [run("generate", CITY, "--backbone", tiny, *FAST).stdout.strip() for _ in range(3)]
    stem = "chicken_walking_in_a_city"
    assert paths == [f"{stem}.mp4", f"{stem}_2.mp4", f"{stem}_3.mp4"]


@pytest.mark.parametrize("name", ["video.mp4", "video.gif", "video.webp", "video"])
def test_what_exists_is_overwritten_with_force_only(name: str, run: Run, tiny: str, here: Path) -> None:
    arguments = ("generate", CITY, "--backbone", tiny, *FAST, "--out", name)
    assert run(*arguments).rc == 0
    before = frames(here / name)
    refused = run(*arguments, "--seed", "8")
    assert refused.rc == 6
    assert "--force" in refused.stderr
    assert (frames(here / name) == before).all()
    forced = run(*arguments, "--seed", "8", "--force")
    assert forced.rc == 0, forced.stderr
    assert (frames(here / name) != before).any()


def test_a_folder_takes_the_video_in(run: Run, tiny: str, here: Path) -> None:
    (here / "videos").mkdir()
    ran = run("generate", CITY, "--backbone", tiny, *FAST, "--out", "videos")
    assert ran.stdout == f"{Path('videos', 'chicken_walking_in_a_city.mp4')}\n"


@pytest.mark.parametrize(
    ("arguments", "rc", "said"),
    [
        (["  "], 2, "prompt is empty"),
        (["caf\udce9"], 2, "not UTF-8"),
        ([CITY, "--negative", "caf\udce9"], 2, "not UTF-8"),
        ([CITY, "--motion", "nobody"], 5, "nobody"),
        ([CITY, "--motion", "../up"], 2, "cannot be the name"),
        ([CITY, "--motion", "seagull_walk:much"], 2, "strength"),
        ([CITY, "--motion", "seagull_walk:nan"], 2, "strength"),
        ([CITY, "--motion", "seagull_walk", "--motion", "seagull_walk:2"], 2, "twice"),
        ([CITY, "--motion", "seagull_walk", "--backbone", "sprites"], 7, "tiny"),
        ([CITY, "--noise", "inverted"], 2, "--motion"),
        ([CITY, "--noise", "loud"], 2, "motion"),
        ([CITY, "--steps", "0"], 2, "--steps"),
        ([CITY, "--count", "0"], 2, "--count"),
        ([CITY, "--seed", "-1"], 2, "--seed"),
        ([CITY, "--guidance", "inf"], 2, "--guidance"),
        ([CITY, "--strength", "nan"], 2, "--strength"),
        (
            [CITY, "--guide-until", "1"],
            2,
            "is 1 (as asked for), which is not below --guide-from, 1 (from random",
        ),
        ([CITY, "-m", "seagull_walk", "--guide-until", "1"], 2, "--guide-from, 1 (the backbone's own)"),
        ([CITY, "-m", "seagull_walk", "--guide-from", "0"], 2, "is 0 (the backbone's own)"),
        ([CITY, "--still-guidance", "3"], 2, "where all is guided from the beginning"),
        ([CITY, "-m", "seagull_walk", "--still-guidance", "3"], 2, "guided from the beginning"),
        (
            [CITY, "-m", "seagull_walk", "--guide-from", "0.5", "--still-guidance", "3", "--guidance", "1"],
            2,
            "--still-guidance does nothing without guidance",
        ),
        ([CITY, "--backbone", "nothing"], 2, "sprites"),
        ([CITY, "--out", "video.exe"], 2, ".mp4"),
        ([CITY, "--out", "nowhere/video.mp4"], 5, "nowhere"),
    ],
)
def test_a_wrong_wish_costs_no_model(
    *,
    arguments: list[str],
    rc: int,
    said: str,
    run: Run,
    known: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(backbones, "load", load)
    ran = run("generate", *arguments)
    assert ran.rc == rc, ran.stderr
    assert ran.stderr.count("\n") == 1
    assert said in ran.stderr
    assert sorted(os.listdir(here)) == []


@pytest.mark.parametrize("noise", ["inverted", "random"])
def test_where_guidance_begins_counts_from_a_motions_noise_only(
    *, noise: str, run: Run, learned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guided_late = replace(backbones.find("tiny"), course=Course(guide_from=0.5))
    monkeypatch.setattr(backbones, "BACKBONES", {"tiny": guided_late})
    ran = run("generate", CITY, "-m", learned, "--noise", noise, "--guide-until", "0.6", "--dry-run")
    assert ran.rc == (0 if noise == "random" else 2), ran.stderr
    assert ("--guide-from, 0.5 (the backbone's own)" in ran.stderr) is (noise == "inverted")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_told_first(run: Run, tiny: str, here: Path) -> None:
    (here / "locked").mkdir(mode=0o555)
    assert run("generate", CITY, "--backbone", tiny, "--out", "locked/video.mp4").rc == 8


@pytest.mark.parametrize(
    ("arguments", "rc"),
    [
        (["--out", f"{'鸭' * 90}.mp4"], 8),
        (["--backbone", "~nobody_at_all/model"], 5),
        (["--backbone", "鸭" * 90], 2),
    ],
)
def test_a_name_that_no_disk_takes_is_one_sentence(
    arguments: list[str], rc: int, run: Run, tiny: str
) -> None:
    ran = run("generate", CITY, *FAST, "--backbone", tiny, *arguments)
    assert ran.rc == rc, ran.stderr
    assert "bug" not in ran.stderr


def test_a_motion_of_another_revision_is_refused(
    run: Run, known: str, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(tiny_spec(tiny_folder), sources=(backbones.Origin("a/b", "0" * 40),))
    monkeypatch.setattr(backbones, "BACKBONES", {"tiny": other})
    ran = run("generate", CITY, "--motion", known)
    assert ran.rc == 7
    assert "000000000000" in ran.stderr


def test_noise_of_another_length_is_refused_before_the_model_is_loaded(
    run: Run, known: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = replace(store.card(known), frames=6, recipe={"adapter": "embedding", "noise": "blend"})
    with store.writing(known, True) as slot:
        slot.publish(card, specimens.tensors())
    monkeypatch.setattr(backbones, "load", lambda *_: pytest.fail("the model is loaded"))
    for more in ((), ("--noise", "inverted")):
        ran = run("generate", CITY, "--motion", known, *more)
        assert (ran.rc, ran.stderr.count("\n")) == (7, 1)
        assert "has 6 frames of 32x32; tiny makes 4 of 32x32. Use --noise random." in ran.stderr
    ran = run("generate", CITY, "--motion", known, "--noise", "random")
    assert "frames" not in ran.stderr


def test_a_damaged_motion_is_refused(run: Run, known: str, store: Store) -> None:
    path = store.path(known)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    ran = run("generate", CITY, "--motion", known, *FAST)
    assert ran.rc == 4
    assert known in ran.stderr
