"""How well methods, start noises and numbers keep a motion on the embedded model; see --help.

For every row of the table, each motion is learned from a clip of a sprite that the model never saw, then
other sprites are asked for in other places. Told of each video: the mean cosine between its displacements
from frame to frame and the clip's, whether it shows the right sprite and the right place, whether the
clip's own sprite is what it shows, and whether it shows its sprite twice. Videos that were measured are not
made again: a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import learned
import numpy as np
from suite import MOTIONS, ROWS, SUITE, UNSEEN, Row

from registry.store import Store
from vmc_cli import backbones, clip, motions
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.sprites import world
from vmc_cli.clip import Clip
from vmc_cli.evaluation import oracle

Result = dict[str, Any]

DOUBLED = 0.25  # of the frames: a sprite that is seen twice in more of them has no way


class Bench:
    """Results and learned motions of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.backbone: Backbone = backbones.load(backbones.find("sprites"))
        self._store = Store(folder / "motions")
        self._results = folder / f"results-{self.backbone.revision[:12]}.jsonl"

    def results(self) -> dict[str, Result]:
        """What has been measured, by what was asked."""
        if not self._results.exists():
            return {}
        lines = self._results.read_text(encoding="utf-8").splitlines()
        return {result["asked"]: result for result in map(json.loads, lines)}

    def measure(self, asked_for: str, row: Row, motion: str, target: tuple[str, str], seed: int) -> Result:
        """Make one video, look at it, and keep what was seen under what was ``asked_for``, its `key`."""
        asked, (subject, place) = MOTIONS[motion], target
        deltas = (
            [(learned.motion(self.backbone, self._store, motion, row), row.strength)] if row.motion else []
        )
        named, subject = subject, row.subject or subject
        if row.subject:
            named = learned.SUBJECT
            deltas.append((learned.subject(self.backbone, self._store, row.subject), 1.0))
        began = time.monotonic()
        video = motions.generate(
            self.backbone,
            f"{world.indefinite(named)} is {row.doing(asked)} {world.PLACES[place][0]}",
            deltas=deltas,
            noise=row.noise if row.motion else None,
            course=replace(self.backbone.spec.course, **row.course),
            seed=seed,
        )
        seconds = time.monotonic() - began
        seen = oracle.subject(video.frames)
        way = [(each.x, each.y) for each in oracle.track(video.frames, subject)]
        result = {
            "asked": asked_for,
            "cosine": round(oracle.displacement_cosine(row.way(asked), way), 4),
            "subject": seen == subject,
            "place": oracle.place(video.frames) == place,
            "leak": seen == asked.subject,
            "doubled": oracle.doubled(video.frames, subject) > DOUBLED,
            "seen": seen,
            "seconds": round(seconds, 1),
        }
        clip.write(video, self.video(result["asked"]), metadata={}, replace=True)
        with self._results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        return result

    def video(self, asked: str) -> Path:
        folder = self.folder / "videos"
        folder.mkdir(exist_ok=True)
        return folder / f"{learned.digest(asked + self.backbone.revision)}.webp"


def key(backbone: Backbone, row: Row, motion: str, target: tuple[str, str], seed: int) -> str:
    """What was asked of one video. All that the row's name stands for now is a part of it."""
    course = asdict(replace(backbone.spec.course, **row.course))
    taught = [learned.told(backbone, motion, row) if row.motion else None]
    if row.subject:
        taught.append(learned.subject_recipe(backbone).to_card())
    return json.dumps([repr((row, course, *taught)), motion, *target, seed])


def expected(backbone: Backbone, todo: Sequence[tuple[Row, str]]) -> float:
    """About how many seconds it takes to make these videos, and to learn what they want."""
    spec, taught = backbone.spec, {}
    seconds = 0.0
    for row, motion in todo:
        seconds += motions.of_generating(
            spec, [], 0, course=replace(spec.course, **row.course), asked="high"
        ).seconds
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
        "| row | cosine (quartiles) | share >= 0.8 | subject | place | leak | doubled | all right | videos |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in dict.fromkeys(result["row"] for result in results):
        mine = [result for result in results if result["row"] == row]
        cosines = [result["cosine"] for result in mine]
        low, middle, high = np.quantile(cosines, [0.25, 0.5, 0.75])
        right = [
            r["cosine"] >= 0.8 and r["subject"] and r["place"] and not r["leak"] and not r["doubled"]
            for r in mine
        ]
        shares = [
            statistics.fmean(share)
            for share in (
                [cosine >= 0.8 for cosine in cosines],
                *([result[name] for result in mine] for name in ("subject", "place", "leak", "doubled")),
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
        read = clip.read(
            bench.video(result["asked"]), frames=world.FRAMES, height=world.SIZE, width=world.SIZE
        )
        _, motion, subject, place, seed = json.loads(result["asked"])
        shown += [MOTIONS[motion].clip(), Clip(read.frames, world.FPS)]
        labels += [
            motion,
            f"{subject} in {place}, seed {seed}: {result['cosine']:.2f}, seen {result['seen']}",
        ]
    clip.sheet(shown, bench.folder / f"{row.replace(' ', '_')}.png", labels, replace=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
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
