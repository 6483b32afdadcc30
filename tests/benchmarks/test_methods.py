"""The bench, cut down: it measures, goes on where it stopped, and tells a broken method."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import methods
from suite import Row

from vmc_cli import backbones
from vmc_cli.course import Course

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


def test_what_is_measured_by_other_defaults_is_measured_again() -> None:
    spec = backbones.find("sprites")
    others = (
        replace(spec, course=Course(7)),
        replace(spec, recipes={**spec.recipes, "vmc": {**spec.recipes["vmc"], "steps": 7}}),
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
