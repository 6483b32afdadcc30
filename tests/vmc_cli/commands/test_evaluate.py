"""vmc evaluate measures videos against a motion, and invents no number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from registry.header import RawTensor
from registry.store import Store
from tests.vmc_cli.commands.conftest import Run, draw, parsed
from tests.vmc_cli.conftest import SIZE, write_tiny_clip, write_tiny_encoder
from vmc_cli.evaluation import judges

MEASURES = ("motion_fidelity", "text_alignment", "frame_consistency", "appearance_score", "copy_score")


@pytest.fixture
def made(run: Run, learned: str, here: Path) -> Path:
    """A video that follows the motion, by the model."""
    ran = run("generate", "a cat is walking in a city", "-m", learned, "--steps", "2", "--out", "cat.webp")
    assert ran.rc == 0, ran.stderr
    return here / "cat.webp"


def test_the_learned_clip_itself_keeps_all_of_the_motion(run: Run, learned: str, clip: Path) -> None:
    found = parsed(run("evaluate", clip, "--motion", learned, "--json"))
    assert found["motion_fidelity"] > 0.9


def test_a_clip_that_goes_the_other_way_keeps_less_than_nothing(run: Run, learned: str, here: Path) -> None:
    (here / "back").mkdir()
    for number, picture in enumerate(sorted((here / "seagull").iterdir(), reverse=True)):
        (here / "back" / f"{number}.png").write_bytes(picture.read_bytes())
    found = parsed(run("evaluate", here / "back", "--motion", learned, "--json"))
    assert found["motion_fidelity"] < -0.9


def test_without_clip_its_rows_say_so(run: Run, learned: str, made: Path) -> None:
    found = parsed(run("evaluate", made, "--motion", learned, "--json"))
    for name in MEASURES[1:]:
        assert found[name] is None
        assert found["reasons"][name] == "needs CLIP"
    assert found["prompt"] == "a cat is walking in a city"
    assert found["oracle"] is None
    shown = run("evaluate", made, "--motion", learned)
    assert shown.rc == 0
    assert shown.stdout.count("needs CLIP") == 4


def test_with_clip_all_is_measured(run: Run, learned: str, made: Path, clip: Path, tmp_path: Path) -> None:
    write_tiny_clip(tmp_path / "clip")
    arguments = ("--motion", learned, "--clip-model", tmp_path / "clip", "--prompt", "a cat", "--json")
    found = parsed(run("evaluate", made, *arguments))
    assert all(-1 <= found[name] <= 1 for name in MEASURES)
    copy = parsed(run("evaluate", clip, *arguments))
    assert copy["copy_score"] == pytest.approx(1, abs=1e-3)
    assert copy["copied"]


def test_a_copy_model_gives_the_copy_score_with_clip_and_without(
    run: Run, learned: str, clip: Path, tmp_path: Path
) -> None:
    write_tiny_clip(tmp_path / "clip")
    write_tiny_encoder(tmp_path / "dino")
    other = draw(tmp_path / "other", step=3)
    for picture in other.iterdir():
        Image.open(picture).rotate(180).save(picture)
    wish = ("evaluate", clip, other, "--motion", learned, "--prompt", "a cat", "--json")
    by_clip, by_both, alone = (
        [json.loads(line) for line in run(*wish, *models).stdout.splitlines()]
        for models in (
            ("--clip-model", tmp_path / "clip"),
            ("--clip-model", tmp_path / "clip", "--copy-model", tmp_path / "dino"),
            ("--copy-model", tmp_path / "dino", "--copy-threshold", "0.5"),
        )
    )
    assert by_clip[0]["copy_score"] == pytest.approx(1, abs=1e-3)
    assert by_both[0]["copy_score"] == pytest.approx(1, abs=1e-3)
    assert by_clip[1]["copy_score"] != pytest.approx(by_both[1]["copy_score"], abs=1e-6)
    assert by_both[1]["copy_score"] == alone[1]["copy_score"]
    assert by_both[1]["text_alignment"] == by_clip[1]["text_alignment"]
    assert alone[1]["reasons"].keys() >= {"text_alignment", "frame_consistency", "appearance_score"}
    assert "copy_score" not in alone[1]["reasons"]
    told = [(each[0]["copy_model"], each[0]["copy_threshold"]) for each in (by_clip, by_both, alone)]
    assert told == [
        (str(tmp_path / "clip"), 0.9),
        (str(tmp_path / "dino"), 0.25),
        (str(tmp_path / "dino"), 0.5),
    ]


def test_a_motion_of_two_clips_is_compared_with_both(
    *, run: Run, tiny: str, clip: Path, here: Path, store: Store, tmp_path: Path
) -> None:
    write_tiny_clip(tmp_path / "clip")
    down = draw(here / "down")
    for picture in down.iterdir():
        Image.open(picture).transpose(Image.Transpose.TRANSPOSE).save(picture)
    wish = ("learn", clip, down, "--prompt", "a bird is flying", "--backbone", tiny, "--name", "fly")
    assert run(*wish, "--steps", "1").rc == 0
    ran = run(
        *("evaluate", down, "--motion", "fly", "--clip-model", tmp_path / "clip", "--json"),
        *("--sheet", "both.png"),
    )
    found = parsed(ran)
    across, along = found["motion_fidelities"]
    assert along > 0.9
    assert across < 0.5
    assert found["motion_fidelity"] == pytest.approx((across + along) / 2)
    assert found["copy_score"] == pytest.approx(1, abs=1e-3)
    assert found["warnings"] == []
    with Image.open(here / "both.png") as sheet:
        three = sheet.height
    assert "with each learned clip" in run("evaluate", down, "-m", "fly").stdout

    card, tensors = store.load("fly")  # as motions were before
    first = tensors["preview"]
    tensors["preview"] = RawTensor("U8", (4, *first.shape[1:]), first.data[: len(first.data) // 2])
    with store.writing("fly", True) as slot:
        slot.publish(card, tensors)
    old = parsed(run("evaluate", down, "--motion", "fly", "--json", "--sheet", "one.png"))
    assert old["motion_fidelities"] == [pytest.approx(across)]
    assert "holds 1 of the 2 clips" in old["warnings"][0]
    with Image.open(here / "one.png") as sheet:
        assert three == pytest.approx(sheet.height * 3 / 2, abs=2)


def test_a_sheet_shows_the_learned_clip_above_the_videos(
    run: Run, learned: str, made: Path, here: Path
) -> None:
    ran = run("evaluate", made, made, "--motion", learned, "--sheet", "sheet.png", "--quiet")
    assert ran.rc == 0, ran.stderr
    with Image.open(here / "sheet.png") as sheet:
        assert sheet.height > 3 * SIZE
        assert sheet.width > 4 * SIZE


@pytest.mark.parametrize(
    ("arguments", "rc"),
    [
        (["cat.webp", "--motion", "nobody"], 5),
        (["nowhere.mp4", "--motion", "seagull_walk"], 5),
        (["cat.webp", "--motion", "seagull_walk", "--sheet", "a.jpg"], 2),
        (["cat.webp", "--motion", "seagull_walk", "--prompt", "caf\udce9"], 2),
        (["cat.webp", "--motion", "seagull_walk", "--clip-model", "nowhere"], 5),
        (["cat.webp"], 2),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    *, arguments: list[str], rc: int, run: Run, made: Path
) -> None:
    ran = run("evaluate", *arguments)
    assert (ran.rc, ran.stdout) == (rc, "")
    assert ran.stderr.startswith("error: ")


def test_a_video_in_which_nothing_moves_says_why_it_keeps_nothing(run: Run, learned: str, here: Path) -> None:
    still = draw(here / "still", step=0)
    assert parsed(run("evaluate", still, "--motion", learned, "--json"))["motion_fidelity"] == 0
    assert "nothing that moves could be followed in the video" in run("evaluate", still, "-m", learned).stdout


def test_a_broken_video_is_a_bad_clip(run: Run, learned: str, here: Path) -> None:
    (here / "broken.mp4").write_bytes(b"no video")
    assert run("evaluate", here / "broken.mp4", "--motion", learned).rc == 3


@pytest.mark.parametrize("model", ["--clip-model", "--copy-model"])
def test_what_cannot_be_read_is_told_before_a_judge_is_fetched(
    *,
    model: str,
    run: Run,
    learned: str,
    clip: Path,
    here: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judges, "found", lambda *_: pytest.fail("the judge is fetched"))
    (here / "broken.mp4").write_bytes(b"no video")
    asked = ("--motion", learned, model, "someone/judge")
    assert run("evaluate", clip, here / "broken.mp4", *asked).rc == 3
    content = store.path(learned).read_bytes()
    store.path(learned).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run("evaluate", clip, *asked).rc == 4


def test_a_folder_of_pictures_of_any_length_is_sampled(run: Run, learned: str, here: Path) -> None:
    found = parsed(run("evaluate", draw(here / "long", frames=9, step=2), "--motion", learned, "--json"))
    assert found["motion_fidelity"] > 0.5
