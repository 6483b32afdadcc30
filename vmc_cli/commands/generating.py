"""What generate and style have in common: motions and their backbone are checked, then videos are made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vmc_cli
from registry.card import Card
from registry.errors import Exists
from registry.store import Store
from vmc_cli import backbones, prompts, terminal, tokens
from vmc_cli.backbones import Spec, folders
from vmc_cli.commands import casting, checks, options
from vmc_cli.commands.casting import Cast
from vmc_cli.errors import ExistsError, IncompatibleError, UsageError
from vmc_cli.progress import Progress
from vmc_cli.recipes import GUIDANCE, NOISES, SAMPLING_STEPS, SUBJECT

if TYPE_CHECKING:
    from vmc_cli.clip import Clip

SUFFIXES = (".mp4", ".gif", ".webp")


@dataclass(frozen=True)
class Wish:
    """How the command line asks for videos, as it was given: the options of generate and style."""

    subject: options.Subject = None
    noise: options.Noise = None
    steps: options.SamplingSteps = SAMPLING_STEPS
    guidance: options.Guidance = GUIDANCE
    negative: options.Negative = ""
    seed: options.Seed = 0
    count: options.Count = 1
    out: options.Out = None
    strength: options.Strength = 1.0
    sheet: options.Sheet = None
    force: options.Force = False


@dataclass(frozen=True)
class Plan:
    """A wish that has been checked and completed."""

    wish: Wish
    prompt: str
    spec: Spec
    motions: tuple[tuple[str, float], ...]
    targets: tuple[Path, ...]
    cast: Cast


def planned(wish: Wish, prompt: str, *, motions: Sequence[str], backbone: str | None) -> Plan:
    """Check a wish without loading a model. Raises what the commands promise, all of it cheap.

    motions: each NAME or NAME:STRENGTH. backbone: None for the one that they were learned on.
    """
    prompt = checks.worded("prompt", prompt)
    checks.finite("--guidance", wish.guidance)
    checks.finite("--strength", wish.strength)
    if wish.noise is not None and wish.noise not in NOISES:
        raise UsageError(f"No start noise is called {wish.noise!r}.", f"Choose one of {', '.join(NOISES)}.")
    checks.sheet(wish.sheet, force=wish.force)
    named = casting.with_strengths(motions, wish.strength)
    files, others = casting.divided(wish.subject or ())
    learned = casting.with_strengths(others, 1.0, SUBJECT)
    if wish.noise not in (None, "random") and not named:
        raise UsageError(f"The noise {wish.noise} is made from a motion.", "Name one with --motion.")
    cards = [casting.card_of(name) for name, _ in named]
    cards += [casting.card_of(name, SUBJECT) for name, _ in learned]
    spec = agreed_spec(backbone, cards)
    cast = casting.cast(learned, files, spec, cards)
    tokens.agreed(prompt, cards, [(each.name, each.token) for each in cast.inversions])
    return Plan(wish, prompt, spec, named, _targets(wish, prompt), cast)


def carry_out(plan: Plan, *, as_json: bool) -> None:
    """Generate the videos of a plan, one a seed, and print the path of each as soon as it is written."""
    from vmc_cli import motions
    from vmc_cli.delta import Delta

    wish, store = plan.wish, Store.default()
    casting.warn_if_partial(plan.cast)
    deltas = [(Delta.load(store, name), strength) for name, strength in (*plan.motions, *plan.cast.learned)]
    noise = wish.noise or (deltas[0][0].noise if plan.motions else "random")
    backbone = backbones.load(plan.spec)
    rows = [(delta.preview, f"learned: {delta.card.prompt_used}") for delta, _ in deltas]
    for number, target in enumerate(plan.targets):
        seed = wish.seed + number
        video = motions.generate(
            backbone,
            plan.prompt,
            deltas=deltas,
            loras=plan.cast.loras,
            inversions=plan.cast.inversions,
            noise=noise,
            steps=wish.steps,
            guidance=wish.guidance,
            negative=wish.negative,
            seed=seed,
            progress=Progress(),
        )
        facts: dict[str, Any] = {
            "prompt": plan.prompt,
            "seed": seed,
            "noise": noise,
            "steps": wish.steps,
            "guidance": wish.guidance,
            "negative": wish.negative,
            "backbone": plan.spec.name,
            "version": vmc_cli.__version__,
        }
        # What the video remembers of how it was made; no paths, as it may be shown to others.
        worded = " ".join(f"{name}:{strength:g}" for name, strength in plan.motions)
        if subjects := plan.cast.worded():
            facts["subjects"] = subjects
        path = _write(
            video, target, plan.wish, {"motions": worded, **{key: str(facts[key]) for key in facts}}
        )
        rows.append((video, f"seed {seed}: {plan.prompt}"))
        if as_json:
            named = [{"name": name, "strength": strength} for name, strength in plan.motions]
            terminal.emit_json({"video": str(path), **facts, "motions": named, "warnings": terminal.warnings})
        else:
            terminal.emit_path(path)
    if wish.sheet:
        _write_sheet(rows, wish.sheet, wish.force)


def agreed_spec(asked: str | None, cards: Sequence[Card]) -> Spec:
    """The backbone that was asked for, else the motions' own, else the default; all must agree.

    Raises IncompatibleError where they do not, in backbone, revision, frames or size.
    """
    own = cards[0].backbone if cards else options.default_backbone()
    for card in cards:
        if card.backbone != own:
            raise IncompatibleError(
                f"{cards[0].name} and {card.name} were learned on {own} and {card.backbone}.",
                "Learn one of them again on the other's backbone.",
            )
    if asked is None and cards and folders.is_own(own):
        raise IncompatibleError(
            f"The {cards[0].kind} {cards[0].name} was learned on a model of your own, {own}.",
            "Say where its folder is: --backbone FOLDER",
        )
    if asked is None and cards and own not in backbones.BACKBONES:
        raise IncompatibleError(
            f"{cards[0].name} was learned on the backbone {own}, which this vmc does not know.",
            "vmc backbones lists those it knows.",
        )
    spec = backbones.find(asked or own)
    for card in cards:
        backbones.require_match(spec, card)
    return spec


def _targets(wish: Wish, prompt: str) -> tuple[Path, ...]:
    """Where the videos go, one a seed. Raises when that cannot be, so that nobody waits for nothing."""
    out, folder, stem, suffix = wish.out, Path(), prompts.file_stem(prompt), ".mp4"
    if out is not None and _takes_files(out):
        folder = out
    elif out is not None:
        folder, stem, suffix = out.parent, out.stem, out.suffix
        if suffix and suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"{out} cannot be written: {suffix} is no format for videos.",
                f"Choose {', '.join(SUFFIXES)}, or no suffix for a folder of PNGs.",
            )
    checks.writable_folder(folder, "--out")
    # A seed is in the name where it was chosen, or tells several videos apart.
    seeds = range(wish.seed, wish.seed + wish.count)
    numbered = wish.count > 1 or (wish.seed != 0 and not _is_file(out))
    found = [
        folder / f"{stem}_seed{seed}{suffix}" if numbered else folder / f"{stem}{suffix}" for seed in seeds
    ]
    for path in found:
        if _is_file(out) and os.path.lexists(path) and not wish.force:
            raise ExistsError(
                f"{path} exists already.", "Choose another --out, or overwrite it with --force."
            )
    return tuple(found)


def _is_file(out: Path | None) -> bool:
    """Whether --out names the video itself (a file, or a folder of PNGs to be made)."""
    return out is not None and not _takes_files(out)


def _takes_files(out: Path) -> bool:
    """Whether --out is a folder to put videos into. A folder of PNGs that vmc made is a video itself."""
    if not out.is_dir():
        return False
    inside = os.listdir(out)
    return not inside or not all(re.fullmatch(r"[0-9]{4,}\.png", name) for name in inside)


def _write(video: Clip, target: Path, wish: Wish, metadata: Mapping[str, str]) -> Path:
    """Publish a video; a name that was not chosen gets a number when it is taken."""
    from vmc_cli import clip

    if _is_file(wish.out) or wish.force:
        return clip.write(video, target, metadata=metadata, replace=wish.force)
    for path in _numbered(target):
        try:
            return clip.write(video, path, metadata=metadata)
        except Exists:
            continue
    raise AssertionError  # the numbers do not end


def _write_sheet(rows: Sequence[tuple[Clip, str]], path: Path, force: bool) -> None:
    from vmc_cli import clip

    clip.sheet([shown for shown, _ in rows], path, [label for _, label in rows], replace=force)


def _numbered(path: Path) -> Iterator[Path]:
    """`path`, then with _2, _3 and so on before its suffix."""
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.stem}_{number}{path.suffix}")
        number += 1
