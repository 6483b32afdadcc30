"""A picture for each thing that vmc does, and a page that shows them with their commands: nox -s gallery

A picture has the clip that was learned in its first row, and below it what was made.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import learned
import suite

from vmc_cli import clip
from vmc_cli.backbones.sprites import world
from vmc_cli.clip import Clip

SUBJECT = "koala"
"""A sprite that the model never saw."""

CLIPS = {"circle": 6, "zigzag": 1, "bounce": 1, "spiral": 1}
"""Motions of the suite, and how many clips of each are drawn: ``circle/1.mp4`` is the first."""


@dataclass(frozen=True)
class Shown:
    """A picture: what is learned by name, then what is made; of `clip`, which is its first row."""

    title: str
    clip: str
    learn: tuple[tuple[str, str], ...]
    """Names, and the commands that store them."""
    make: tuple[str, ...]
    """Commands, each of a video; their ``--out`` is added."""


_CIRCLE = ("circle", 'learn circle/1.mp4 --prompt "a ladybug is circling on the grass"')
_ZIGZAG = ("zigzag", 'learn zigzag/1.mp4 --prompt "a robot is zigzagging in the city"')
_TOKEN = ("token", 'learn circle/*.mp4 --method token --token "V*" --prompt "a thing is doing the V*"')
_SUBJECT = ("koala", 'learn --subject koala --token "X*" --prompt "a X* panda"')

SHOWN: dict[str, Shown] = {
    "words": Shown(
        "Words alone",
        "",
        (),
        (
            'generate "a penguin is moving left in the desert"',
            'generate "two cats are moving up in the snow"',
            'generate "a tiger is growing in the forest"',
        ),
    ),
    "motion": Shown(
        "A motion from one clip",
        "circle/1.mp4",
        (_CIRCLE,),
        tuple(
            f'generate --motion circle "{world.indefinite(who)} is circling {world.PLACES[where][0]}"'
            for who, where in suite.TARGETS
        ),
    ),
    "style": Shown(
        "The learned clip in another style",
        "circle/1.mp4",
        (_CIRCLE,),
        ('style circle "van gogh starry night"', 'style circle "pencil sketch"'),
    ),
    "reverse": Shown(
        "Backward, from what a motion holds",
        "zigzag/1.mp4",
        (_ZIGZAG, ("back", 'reverse zigzag --prompt "a robot is zigzagging backward in the city"')),
        (
            'generate --motion zigzag "an airplane is zigzagging in the sky"',
            'generate --motion back "an airplane is zigzagging backward in the sky"',
        ),
    ),
    "token": Shown(
        "A word for what six clips have in common (V*), from random noise",
        "circle/1.mp4",
        (_TOKEN,),
        tuple(
            f'generate --motion token "{prompt}"'
            for prompt in (
                "a penguin is doing the V* in the desert",
                "a tiger is doing the V* in the forest",
                "a penguin is doing the V* and growing in the desert",
                "two penguins are doing the V* in the desert",
                "a penguin is doing the V* slowly in the desert",
            )
        ),
    ),
    "inversion": Shown(
        "Motion embeddings (Motion Inversion)",
        "spiral/1.mp4",
        (
            (
                "spiral",
                'learn spiral/1.mp4 --method inversion --prompt "a flower is spiralling in the forest"',
            ),
        ),
        ('generate --motion spiral "a penguin is spiralling in the desert"',),
    ),
    "director": Shown(
        "With a path for looks that is dropped (MotionDirector)",
        "bounce/1.mp4",
        (("bounce", 'learn bounce/1.mp4 --method director --prompt "an apple is bouncing in the snow"'),),
        ('generate --motion bounce "a penguin is bouncing in the desert"',),
    ),
    "subject": Shown(
        "A subject from six pictures, alone and where a motion acts, too",
        SUBJECT,
        (_SUBJECT, _CIRCLE, _ZIGZAG),
        (
            'generate --subject koala "a X* panda is standing still in the snow"',
            'generate --subject koala "a X* panda is moving left in the city"',
            'generate --subject koala --motion circle "a X* panda is circling on the beach"',
            'generate --subject koala --motion zigzag "a X* panda is zigzagging in the forest"',
        ),
    ),
    "together": Shown(
        "Several motions, turned up and down",
        "circle/1.mp4",
        (_CIRCLE, _ZIGZAG, ("both", "blend circle:0.5 zigzag:0.5")),
        (
            'generate --motion circle:0.5 "a penguin is circling in the desert"',
            'generate --motion circle:0.7 --motion zigzag:0.3 "a penguin is circling in the desert"',
            'generate --motion both "a penguin is circling in the desert"',
        ),
    ),
}


def draw(folder: Path) -> None:
    """The clips and pictures that are learned from, into ``folder``, where ``made`` is for videos."""
    (folder / "made").mkdir(parents=True, exist_ok=True)
    for name, count in CLIPS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, each in enumerate(suite.MOTIONS[name].clips(count), start=1):
            large = Clip(each.frames.repeat(4, axis=1).repeat(4, axis=2), each.fps)
            clip.write(large, folder / name / f"{number}.mp4", metadata={}, replace=True)
    clip.write(clip.joined(learned.pictures(SUBJECT)), folder / SUBJECT, metadata={}, replace=True)


def run(folder: Path, command: str) -> None:
    """``vmc`` with the words of ``command``, in ``folder``, whose motions lie in ``home`` there."""
    print(f"$ vmc {command}", flush=True)
    environment = {**os.environ, "VMC_HOME": str(folder / "home")}
    subprocess.run(
        [sys.executable, "-m", "vmc_cli", *words_of(folder, command)], cwd=folder, env=environment, check=True
    )


def words_of(folder: Path, command: str) -> list[str]:
    """The words of a command, a pattern replaced by the clips in ``folder`` that it stands for."""
    found: list[str] = []
    for word in shlex.split(command):
        clips = sorted(folder.glob(word)) if word.endswith("*.mp4") else []
        found += [str(path.relative_to(folder)) for path in clips] or [word]
    return found


def learning(labels: Iterable[str]) -> dict[str, list[str]]:
    """The commands that store what each picture needs and none before it has stored."""
    found, there = {}, set[str]()
    for label in labels:
        new = [(name, command) for name, command in SHOWN[label].learn if name not in there]
        found[label] = [f"{command} --name {name}" for name, command in new]
        there.update(name for name, _ in new)
    return found


def picture(folder: Path, label: str, target: Path) -> None:
    """Make what a picture shows, and write ``target``."""
    shown = SHOWN[label]
    rows = [(read(folder / shown.clip), shown.clip)] if shown.clip else []
    for number, command in enumerate(shown.make):
        out = folder / "made" / f"{label}-{number}"
        run(folder, f"{command} --force --out {shlex.quote(str(out))}")
        rows.append((read(out), f"vmc {command}"))
    videos, labels = zip(*rows, strict=True)
    clip.sheet(videos, target, labels, replace=True)


def read(path: Path) -> Clip:
    """A clip of the world's size; pictures are repeated until there are enough."""
    if path.is_dir() and len(found := sorted(path.iterdir())) < world.FRAMES:
        size = {"height": world.SIZE, "width": world.SIZE}
        return clip.joined([clip.read_picture(found[i % len(found)], **size) for i in range(world.FRAMES)])
    return clip.read(path, frames=world.FRAMES, height=world.SIZE, width=world.SIZE)


def page() -> str:
    """All pictures with their commands, as Markdown."""
    parts = [
        "# What it does, in pictures",
        "All with the embedded model, made by `nox -s gallery` from top to bottom. "
        "Its clips are in `out/gallery`; a first row is what was learned from.",
    ]
    learned_for = learning(SHOWN)
    for label, shown in SHOWN.items():
        commands = [f"vmc {command}" for command in (*learned_for[label], *shown.make)]
        parts += [
            f"## {shown.title}",
            "```\n" + "\n".join(commands) + "\n```",
            f"![{shown.title}]({label}.png)",
        ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=Path("docs/gallery"), help="for the page and its pictures"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("out/gallery"), help="for clips, motions and videos"
    )
    parser.add_argument("--only", nargs="+", choices=SHOWN, default=list(SHOWN), help="which pictures")
    asked = parser.parse_args()
    work = asked.work.resolve()
    draw(work)
    asked.out.mkdir(parents=True, exist_ok=True)
    for label, commands in learning(asked.only).items():
        for command in commands:
            run(work, f"{command} --replace")
        picture(work, label, asked.out / f"{label}.png")
    (asked.out / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
