"""The bench, cut down: it measures and goes on where it stopped; what it breaks on purpose is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import judging
import learned
import methods
import pytest
import suite
import torch
from suite import Row

from vmc_cli import backbones, sampling, training
from vmc_cli.backbones.sprites import drawing, world
from vmc_cli.course import Course
from vmc_cli.losses import LOSSES

HERE = Path(__file__).parent
QUICK = (
    "--motions",
    "circle",
    "--targets",
    "1",
    "--seeds",
    "1",
    "--learning-steps",
    "2",
    "--sampling-steps",
    "2",
)


def bench(out: Path, *rows: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "methods.py"), "--out", str(out), *QUICK, "--rows", *rows]
    environment = {**os.environ, "VMC_HOME": str(out / "home")}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)


def test_the_bench_measures_and_a_second_run_makes_no_video_again(tmp_path: Path) -> None:
    first = bench(tmp_path, "no motion", "broken: loss with its sign flipped")
    assert first.stdout.count(" min left: ") == 2
    again = bench(tmp_path, "no motion", "broken: loss with its sign flipped")
    assert " min left: " not in again.stdout
    assert again.stdout.splitlines()[-4:] == first.stdout.splitlines()[-4:]
    results = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert [result["row"] for result in results] == ["no motion", "broken: loss with its sign flipped"]
    assert all(-1 <= result["cosine"] <= 1 for result in results)
    assert (tmp_path / "no_motion.png").stat().st_size > 1000


def test_a_stopped_run_makes_what_is_missing_and_looks_again_at_what_was_not_seen(tmp_path: Path) -> None:
    bench(tmp_path, "no motion", "inversion only", "vmc")
    results = next(tmp_path.glob("results-*.jsonl"))
    videos = list((tmp_path / "videos").iterdir())
    lost, *kept = results.read_text(encoding="utf-8").splitlines()
    results.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    videos[0].unlink()
    bench(tmp_path, "no motion", "inversion only", "vmc")
    assert set(results.read_text(encoding="utf-8").splitlines()) == {lost, *kept}
    assert len(list((tmp_path / "videos").iterdir())) == len(videos)


def test_rows_that_say_the_same_share_their_videos_and_others_do_not() -> None:
    backbone = SimpleNamespace(spec=backbones.find("sprites"))
    keys = {name: methods.key(backbone, row, "circle", ("cat", "sea"), 0) for name, row in suite.ROWS.items()}
    for same in (
        ("default", "6 actors", "noise random", "rate 0.1", "90 steps"),
        ("vmc", "vmc, rank 16", "vmc, noise inverted", "vmc, rate 0.004", "vmc, 75 steps"),
    ):
        assert len({keys[name] for name in same}) == 1
    differing = (
        "default",
        "vmc",
        "no motion",
        "inversion only",
        "paper: rank full",
        "vmc, rank full",
        "vmc, 6 clips",
        "backward",
        "prompt kept",
    )
    broken = [name for name in keys if name.startswith("broken: ")]
    assert len({keys[name] for name in (*differing, *broken)}) == len(differing) + len(broken)


def test_where_fresh_noise_begins_decides_a_video_too(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = SimpleNamespace(spec=backbones.find("sprites"))
    before = methods.key(backbone, Row(), "circle", ("cat", "sea"), 0)
    monkeypatch.setattr(sampling, "SETTLED", 0.7)
    assert methods.key(backbone, Row(), "circle", ("cat", "sea"), 0) != before


def test_the_paper_s_rows_are_learned_by_its_numbers() -> None:
    backbone = SimpleNamespace(spec=backbones.find("sprites"))
    paper = learned.recipe_of(backbone, suite.ROWS["paper: rank full"])
    assert (paper.learning_rate, paper.steps, paper.rank) == (1e-4, 400, None)
    assert (paper.acts_until, paper.recoloured, paper.loss) == (0.0, False, "residual-cosine")


def test_a_flipped_loss_is_the_negative_and_only_while_it_is_flipped() -> None:
    given = (torch.randn(1, 2, 4, 3, 3), torch.randn(1, 2, 4, 3, 3), 1, torch.tensor(1.0))
    loss = LOSSES["residual-cosine"](*given)
    with learned.flipped("residual-cosine"):
        assert training.LOSSES["residual-cosine"](*given) == -loss
    assert training.LOSSES["residual-cosine"](*given) == loss


def test_the_wrong_clip_is_another_motion_s() -> None:
    circle, wrong = suite.ROWS["default"], suite.ROWS["broken: another motion's clip"]
    for name in suite.SUITE:
        right = learned.shown_for(name, circle)[0].frames
        assert (learned.shown_for(name, wrong)[0].frames != right).any()


@pytest.mark.parametrize("name", suite.SUITE)
def test_what_does_as_the_clip_is_all_right(name: str) -> None:
    asked = suite.MOTIONS[name]
    (subject, place), *_ = asked.targets
    truth = replace(asked, subject=subject, place=place).clip()
    assert judging.right(judging.seen(truth.frames, Row(), asked, (subject, place)))


@pytest.mark.parametrize("name", ["turn and rise", "swell and drift"])
def test_what_goes_along_but_neither_turns_nor_swells_is_not(name: str) -> None:
    asked = suite.MOTIONS[name]
    (subject, place), *_ = asked.targets
    upright = replace(asked, subject=subject, place=place, scales=(1.0,) * 8, angles=(0.0,) * 8)
    found = judging.seen(upright.clip().frames, Row(), asked, (subject, place))
    assert (found["subject"], found["changes"], judging.right(found)) == (True, False, False)


def test_the_clip_s_sprite_beside_the_one_asked_for_leaks() -> None:
    ways = [[(x, 0.3 + 0.04 * i) for i in range(world.FRAMES)] for x in (0.25, 0.75)]
    actors = [world.actor(name, way, 0.36) for name, way in zip(("penguin", "ladybug"), ways, strict=True)]
    for shown, leaks in ((actors, True), (actors[:1], False)):
        frames = drawing.render(world.Scene("desert", 5, tuple(shown)))
        found = judging.seen(frames, Row(), suite.MOTIONS["circle"], ("penguin", "desert"))
        assert found["leak"] == leaks


def test_the_table_tells_quartiles_and_shares() -> None:
    good = {"subject": True, "place": True, "leak": False, "doubled": False, "changes": True}
    results = [
        {"row": "a", "cosine": cosine, **good, **other}
        for cosine, other in (
            (1.0, {}),
            (0.9, {"leak": True}),
            (0.5, {"place": False}),
            (0.0, {"subject": False}),
        )
    ]
    told = "| a | 0.70 (0.38 to 0.93) | 0.50 | 0.75 | 0.75 | 0.25 | 0.00 | 1.00 | 0.25 | 4 |"
    assert methods.table(results).splitlines()[2] == told


def test_what_is_measured_by_other_defaults_is_measured_again() -> None:
    spec = backbones.find("sprites")
    learned = {**spec.recipes.get(spec.method, {}), "steps": 7}
    others = (
        replace(spec, course=Course(7)),
        replace(spec, recipes={**spec.recipes, spec.method: learned}),
    )
    keys = {
        methods.key(SimpleNamespace(spec=each), Row(), "circle", ("cat", "sea"), 0)
        for each in (spec, spec, *others)
    }
    assert len(keys) == 3


def test_the_mean_of_each_motion_is_told_and_that_of_all() -> None:
    results = [
        {"row": row, "asked": json.dumps(["", motion]), "cosine": cosine}
        for row, motion, cosine in [
            ("a", "circle", 0.2),
            ("a", "circle", 0.4),
            ("a", "shake", 0.9),
            ("b", "circle", -1.0),
            ("b", "shake", 0.0),
        ]
    ]
    assert methods.means(results).splitlines() == [
        "| mean cosine | a | b |",
        "|---|---|---|",
        "| circle | 0.30 | -1.00 |",
        "| shake | 0.90 | 0.00 |",
        "| all | 0.50 | -0.50 |",
    ]
