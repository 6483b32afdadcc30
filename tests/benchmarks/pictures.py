"""A sheet of pictures for each thing that can be learned, on the embedded model, for people to look at.

First the clip that was learned, then what was made with it. The labels say how closely the way was followed
(mean cosine of displacements) and which sprite an oracle sees; see --help.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import learned
from suite import MOTIONS, Row

from registry.store import Store
from vmc_cli import backbones, clip, motions, prompts
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.sprites import world
from vmc_cli.clip import Clip
from vmc_cli.delta import Delta
from vmc_cli.evaluation import oracle

Shown = tuple[Clip, str]
TOKEN = Row({"like": "token"}, clips=6, token="V*")


@dataclass(frozen=True)
class Studio:
    """The model, what was learned, and the seed of all videos."""

    backbone: Backbone
    store: Store
    seed: int

    def motion(self, name: str, row: Row | None = None) -> Delta:
        return learned.motion(self.backbone, self.store, name, row or Row())

    def made(
        self,
        prompt: str,
        deltas: Sequence[tuple[Delta, float]],
        *,
        way: Sequence[tuple[float, float]] = (),
        noise: str | None = None,
    ) -> Shown:
        """A video, and what it shows: how well it keeps to ``way``, if there is one."""
        video = motions.generate(self.backbone, prompt, deltas=deltas, noise=noise, seed=self.seed)
        seen = oracle.subject(video.frames)
        told = f"{prompt}: seen {seen}"
        if way:
            went = [(each.x, each.y) for each in oracle.track(video.frames, seen)]
            told += f", {oracle.displacement_cosine(way, went):.2f}"
        return video, told


def shown(name: str, row: Row | None = None) -> Shown:
    """The clip of a motion, as ``row`` learns it."""
    return learned.shown_for(name, row or Row())[0], f"learned: {MOTIONS[name].prompt}"


def followed(studio: Studio, name: str, row: Row, *others: str) -> Iterator[Shown]:
    """One motion as ``row`` learns it, of two subjects, and what else is asked for."""
    asked, delta = MOTIONS[name], studio.motion(name, row)
    yield shown(name, row)
    for who, where in (("penguin", "in the desert"), ("tiger", "in the forest")):
        yield studio.made(
            f"{world.indefinite(who)} is {row.doing(asked)} {where}", [(delta, 1.0)], way=row.way(asked)
        )
    for prompt in others:
        yield studio.made(prompt, [(delta, 1.0)])


def token(studio: Studio) -> Iterator[Shown]:
    """V*: from random noise, of two at once, slower and faster, and with a second motion in words."""
    yield from followed(
        studio,
        "circle",
        TOKEN,
        "a penguin and a tiger are doing the V* in the desert",
        "a penguin is doing the V* slowly in the desert",
        "a penguin is doing the V* quickly in the desert",
        "a penguin is doing the V* and growing in the desert",
    )


def subject(studio: Studio) -> Iterator[Shown]:
    """A sprite that the model never saw, from pictures; standing, and on a learned way."""
    koala, circle = learned.subject(studio.backbone, studio.store, "koala"), MOTIONS["circle"]
    yield learned.pictures("koala")[0], "learned: a X*, from pictures"
    yield studio.made("a X* is standing still in the snow", [(koala, 1.0)])
    moving = [(studio.motion("circle"), 1.0), (koala, 1.0)]
    yield studio.made("a X* is circling in the desert", moving, way=circle.way)


def composition(studio: Studio) -> Iterator[Shown]:
    """Two motions at once, in several strengths."""
    names = ("circle", "swell and drift")
    yield from map(shown, names)
    for strengths in ((1.0, 0.0), (0.7, 0.5), (0.5, 0.7), (0.0, 1.0)):
        parts = [each for each in zip(names, strengths, strict=True) if each[1]]
        deltas = [(studio.motion(name), strength) for name, strength in parts]
        video, told = studio.made("a penguin is moving in the desert", deltas)
        yield video, f"{' + '.join(f'{strength:g} {name}' for name, strength in parts)}: {told}"


def style(studio: Studio) -> Iterator[Shown]:
    """The learned clip in each style, from its own noise."""
    delta = studio.motion("circle")
    yield shown("circle")
    for name in world.STYLES:
        prompt = prompts.styled(delta.card.prompt_used, name)
        yield studio.made(prompt, [(delta, 1.0)], noise="inverted", way=MOTIONS["circle"].way)


SHEETS: dict[str, Callable[[Studio], Iterator[Shown]]] = {
    "vmc": lambda studio: followed(studio, "circle", Row()),
    "inversion": lambda studio: followed(studio, "circle", Row({"like": "inversion", "kind": "object"})),
    "director": lambda studio: followed(studio, "circle", Row({"like": "director"})),
    "reverse": lambda studio: followed(studio, "bounce", Row(backward=True)),
    "token": token,
    "subject": subject,
    "composition": composition,
    "style": style,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheets", nargs="+", choices=list(SHEETS), default=list(SHEETS), metavar="SHEET")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/pictures"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    studio = Studio(backbones.load(backbones.find("sprites")), Store(asked.out / "motions"), asked.seed)
    for name in asked.sheets:
        clips, labels = zip(*SHEETS[name](studio), strict=True)
        print(clip.sheet(clips, asked.out / f"{name}.png", labels, replace=True))
        for label in labels:
            print(f"  {label}", flush=True)


if __name__ == "__main__":
    main()
