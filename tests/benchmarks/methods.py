"""How well methods, start noises and numbers keep a motion on the embedded model; see --help.

For every row of the table, each motion is learned from a clip of a sprite that the model never saw, then
other sprites are asked for in other places. Told of each video: the mean cosine between its displacements
from frame to frame and the clip's, whether it shows the right sprite and the right place, whether a learned
clip's own sprite is to be seen, whether it shows its sprite twice, and whether that swells and turns as it
does in the clip. Videos that were made are not made again: a stopped run goes on.
"""

from __future__ import annotations

import argparse
import inspect
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import judging
import learned
import numpy as np
from suite import MOTIONS, ROWS, SUITE, UNSEEN, Row

from registry.store import Store
from vmc_cli import backbones, clip, motions, sampling
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.sprites import world
from vmc_cli.clip import Clip
from vmc_cli.course import Course
from vmc_cli.evaluation import oracle, tracks

Result = dict[str, Any]


class Bench:
    """Results, learned motions and videos of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "videos").mkdir(parents=True, exist_ok=True)
        self.backbone: Backbone = backbones.load(backbones.find("sprites"))
        self._store = Store(folder / "motions")
        judge = learned.digest("".join(map(inspect.getsource, (judging, oracle, tracks))))
        self._results = folder / f"results-{self.backbone.revision[:12]}-{judge}.jsonl"

    def results(self) -> dict[str, Result]:
        """What has been measured of the videos that are here, by what was asked."""
        if not self._results.exists():
            return {}
        lines = self._results.read_text(encoding="utf-8").splitlines()
        found = {result["asked"]: result for result in map(json.loads, lines)}
        return {asked_for: result for asked_for, result in found.items() if self._path(asked_for).exists()}

    def measure(self, asked_for: str, row: Row, motion: str, target: tuple[str, str], seed: int) -> Result:
        """Make a video unless it is there, and keep what is seen in it under ``asked_for``, its `key`."""
        if not self._path(asked_for).exists():
            video = self._made(row, motion, target, seed)
            clip.write(video, self._path(asked_for), metadata={}, replace=True)
        result = {
            "asked": asked_for,
            **judging.seen(self.video(asked_for).frames, row, MOTIONS[motion], target),
        }
        with self._results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        return result

    def video(self, asked_for: str) -> Clip:
        read = clip.read(self._path(asked_for), frames=world.FRAMES, height=world.SIZE, width=world.SIZE)
        return Clip(read.frames, world.FPS)

    def _path(self, asked_for: str) -> Path:
        return self.folder / "videos" / f"{learned.digest(asked_for + self.backbone.revision)}.webp"

    def _made(self, row: Row, motion: str, target: tuple[str, str], seed: int) -> Clip:
        deltas = (
            [(learned.motion(self.backbone, self._store, motion, row), row.strength)] if row.motion else []
        )
        if row.subject:
            deltas.append((learned.subject(self.backbone, self._store, row.subject), 1.0))
        return motions.generate(
            self.backbone,
            prompt(row, motion, target),
            deltas=deltas,
            noise=row.noise if row.motion else None,
            course=course(self.backbone, row),
            seed=seed,
        )


def course(backbone: Backbone, row: Row) -> Course:
    """How a row's videos are drawn."""
    own = backbone.spec.course
    return replace(own.with_subject() if row.subject else own, **row.course)


def prompt(row: Row, motion: str, target: tuple[str, str]) -> str:
    """What is asked for."""
    subject, place = target
    called = learned.CALLED if row.subject else subject
    return f"{world.indefinite(called)} is {row.doing(MOTIONS[motion])} {world.PLACES[place][0]}"


def key(backbone: Backbone, row: Row, motion: str, target: tuple[str, str], seed: int) -> str:
    """What was asked of one video: all that decides it, whatever the row is called."""
    decided: list[object] = [
        prompt(row, motion, target),
        asdict(course(backbone, row)),
        row.strength,
        sampling.SETTLED,
    ]
    if row.motion:
        recipe = learned.recipe_of(backbone, row)
        decided += [learned.told(backbone, motion, row), row.noise or recipe.noise]
    if row.subject:
        decided.append(learned.subject_recipe(backbone).to_card())
    return json.dumps([learned.digest(json.dumps(decided)), motion, *target, seed])


def expected(backbone: Backbone, todo: Sequence[tuple[Row, str]]) -> float:
    """About how many seconds it takes to make these videos, and to learn what they want."""
    spec, taught = backbone.spec, {}
    seconds = 0.0
    for row, motion in todo:
        seconds += motions.of_generating(spec, [], 0, course=course(backbone, row), asked="high").seconds
        if row.motion:
            kept = learned.told(backbone, motion, row)
            taught[repr(kept)] = (learned.recipe_of(backbone, row), row.clips, row.others)
        if row.subject:
            taught[row.subject] = (learned.subject_recipe(backbone), learned.PICTURES, 0)
    for recipe, clips, others in taught.values():
        seconds += motions.of_learning(spec, recipe, clips, others, asked="high").seconds
    return seconds


def table(results: Sequence[Result]) -> str:
    """A row of Markdown for each row that was measured; the cosine's quartiles are its spread."""
    lines = [
        f"| row | cosine (quartiles) | share >= 0.8 | {' | '.join(judging.SEEN)} | all right | videos |",
        "|---" * (5 + len(judging.SEEN)) + "|",
    ]
    for row in dict.fromkeys(result["row"] for result in results):
        mine = [result for result in results if result["row"] == row]
        cosines = [result["cosine"] for result in mine]
        low, middle, high = np.quantile(cosines, [0.25, 0.5, 0.75])
        right = [judging.right(result) for result in mine]
        shares = [
            statistics.fmean(share)
            for share in (
                [cosine >= 0.8 for cosine in cosines],
                *([result[name] for result in mine] for name in judging.SEEN),
                right,
            )
        ]
        told = " | ".join(f"{share:.2f}" for share in shares)
        lines.append(f"| {row} | {middle:.2f} ({low:.2f} to {high:.2f}) | {told} | {len(mine)} |")
    return "\n".join(lines)


def means(results: Sequence[Result]) -> str:
    """A row of Markdown for each motion, and one for all: the mean cosine of each row that was measured."""
    rows = list(dict.fromkeys(result["row"] for result in results))
    found: dict[str, dict[str, list[float]]] = {}
    for result in results:
        for motion in (json.loads(result["asked"])[1], "all"):
            found.setdefault(motion, {}).setdefault(result["row"], []).append(result["cosine"])
    found["all"] = found.pop("all", {})  # last
    lines = [f"| mean cosine | {' | '.join(rows)} |", "|---" * (1 + len(rows)) + "|"]
    for motion, cosines in found.items():
        told = " | ".join(f"{statistics.fmean(cosines[row]):.2f}" for row in rows)
        lines.append(f"| {motion} | {told} |")
    return "\n".join(lines)


def sheet(bench: Bench, row: str, results: Sequence[Result]) -> None:
    """The best, the median and the worst video of a row, by cosine."""
    mine = sorted((r for r in results if r["row"] == row), key=lambda r: -r["cosine"])
    shown, labels = [], []
    for result in (mine[0], mine[len(mine) // 2], mine[-1]):
        _, motion, subject, place, seed = json.loads(result["asked"])
        shown += [MOTIONS[motion].clip(), bench.video(result["asked"])]
        labels += [
            motion,
            f"{subject} in {place}, seed {seed}: {result['cosine']:.2f}, seen {result['seen']}",
        ]
    clip.sheet(shown, bench.folder / f"{row.replace(' ', '_')}.png", labels, replace=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", "--methods", dest="rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW"
    )
    parser.add_argument("--motions", nargs="+", choices=list(MOTIONS), default=list(SUITE), metavar="MOTION")
    parser.add_argument(
        "--unseen",
        action="store_const",
        const=list(UNSEEN),
        dest="motions",
        help="random circles and zigzags",
    )
    parser.add_argument("--targets", type=int, default=3, help="prompts for each motion, at most 3")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-steps", type=int, help="for every row")
    parser.add_argument("--sampling-steps", type=int, help="for every row")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    asked = parser.parse_args()
    bench = Bench(asked.out)
    rows = {name: ROWS[name].cut(asked.learning_steps, asked.sampling_steps) for name in asked.rows}
    todo = [
        (name, motion, target, seed)
        for name in rows
        for motion in asked.motions
        for target in MOTIONS[motion].targets[: asked.targets]
        for seed in range(asked.seeds)
    ]
    done, began, made = bench.results(), time.monotonic(), 0
    keys = [key(bench.backbone, rows[name], *each) for name, *each in todo]
    wanted = {
        asked_for: (rows[name], motion) for asked_for, (name, motion, *_) in zip(keys, todo, strict=True)
    }
    missing = len(wanted.keys() - done.keys())
    seconds = expected(bench.backbone, [wanted[each] for each in wanted.keys() - done.keys()])
    print(
        f"{missing} videos to make, about {seconds / 60:.0f} minutes if no motion is learned yet", flush=True
    )
    results = []
    for asked_for, (name, *each) in zip(keys, todo, strict=True):
        if asked_for not in done:
            done[asked_for] = bench.measure(asked_for, rows[name], *each)
            made += 1
            left = (time.monotonic() - began) / made * (missing - made)
            told = json.dumps({**done[asked_for], "row": name})
            print(f"{made}/{missing}, {left / 60:.0f} min left: {told}", flush=True)
        results.append({**done[asked_for], "row": name})
    for row in asked.rows:
        sheet(bench, row, results)
    (asked.out / "table.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    tables = f"{means(results)}\n\n{table(results)}"
    (asked.out / "table.md").write_text(tables + "\n", encoding="utf-8")
    print(tables)


if __name__ == "__main__":
    main()
