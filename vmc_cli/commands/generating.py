"""What generate and style have in common: motions and their backbone are checked, then videos are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vmc_cli
from registry.card import Card
from registry.store import Store
from vmc_cli import backbones, terminal, tokens
from vmc_cli.backbones import Spec, folders
from vmc_cli.commands import batches, casting, checks, generating_options, loading, options, targets
from vmc_cli.commands.casting import Cast
from vmc_cli.commands.targets import Video
from vmc_cli.course import SOLVERS, Course
from vmc_cli.errors import IncompatibleError, Partly, UsageError
from vmc_cli.progress import Progress
from vmc_cli.recipe import SUBJECT

if TYPE_CHECKING:
    from vmc_cli.clip import Clip


@dataclass(frozen=True)
class Wish:
    """How the command line asks for videos, as it was given: the options of generate and style."""

    subject: generating_options.Subject = None
    noise: generating_options.Noise = None
    steps: generating_options.SamplingSteps = None
    solver: generating_options.Solver = None
    guidance: generating_options.Guidance = None
    guide_from: generating_options.GuideFrom = None
    still_guidance: generating_options.StillGuidance = None
    guide_until: generating_options.GuideUntil = None
    negative: generating_options.Negative = ""
    eta: generating_options.Eta = None
    seed: options.Seed = 0
    count: generating_options.Count = 1
    out: generating_options.Out = None
    strength: generating_options.Strength = 1.0
    memory: options.Memory = "auto"
    attention: options.Attention = "auto"
    compile: generating_options.Compile = False
    sheet: options.Sheet = None
    force: options.Force = False


@dataclass(frozen=True)
class Plan:
    """A wish that has been checked and completed."""

    wish: Wish
    spec: Spec
    course: Course
    motions: tuple[tuple[str, float], ...]
    videos: tuple[Video, ...]
    cast: Cast


def planned(wish: Wish, prompt: str | Sequence[str], *, motions: Sequence[str], backbone: str | None) -> Plan:
    """Check a wish without loading a model. Raises what the commands promise, all of it cheap.

    prompt: or many of them. motions: each NAME or NAME:STRENGTH. backbone: None for the one that they were
    learned on.
    """
    wanted = [checks.worded("prompt", each) for each in ([prompt] if isinstance(prompt, str) else prompt)]
    checks.readable("negative prompt", wish.negative)
    checks.finite("--guidance", wish.guidance)
    checks.finite("--still-guidance", wish.still_guidance)
    checks.finite("--strength", wish.strength)
    checks.share("--eta", wish.eta)
    checks.share("--guide-from", wish.guide_from)
    checks.share("--guide-until", wish.guide_until)
    checks.among("--solver", wish.solver, SOLVERS)
    checks.noise(wish.noise)
    checks.among("--memory", wish.memory, options.MEMORY)
    checks.among("--attention", wish.attention, options.ATTENTION)
    if wish.compile:
        checks.compiler(wish.attention)
    checks.sheet(wish.sheet, force=wish.force)
    named = casting.with_strengths(motions, wish.strength)
    files, others = casting.divided(wish.subject or ())
    learned = casting.with_strengths(others, 1.0, SUBJECT)
    if wish.noise not in (None, "random") and not named:
        raise UsageError(f"The noise {wish.noise} is made from a motion.", "Name one with --motion.")
    cards = [casting.card_of(name) for name, _ in named]
    cards += [casting.card_of(name, SUBJECT) for name, _ in learned]
    strengths = [strength for _, strength in (*named, *learned)]
    spec = agreed_spec(backbone, cards)
    cast = casting.cast(learned, files, spec, cards)
    for each in wanted:
        tokens.agreed(each, cards, [(one.name, one.token) for one in cast.inversions])
    videos = targets.planned(wish, wanted, many=not isinstance(prompt, str))
    liked = spec.course.liked_by(tuple(zip(cards, strengths, strict=True)))
    noise = wish.noise or (_own_noise(cards[0]) if named else "random")
    if noise != "random":
        backbones.require_size(spec, cards[0], "Use --noise random.")
    return Plan(wish, spec, course(wish, liked, noise), named, videos, cast)


def _own_noise(card: Card) -> str:
    """What a video that follows the motion of `card` starts from unless it is told, as `Delta.noise` says."""
    several = card.recipe.get("noise_of_several") if len(card.sources) > 1 else ""
    return str(several or card.recipe.get("noise"))


def carry_out(plan: Plan, *, as_json: bool) -> None:
    """Generate the videos of a plan, and print the path of each as soon as it is written.

    One of several that fails is told, and the others are made; Partly is raised in the end.
    """
    from vmc_cli import motions
    from vmc_cli.delta import Delta

    wish, store = plan.wish, Store.default()
    casting.tell(plan.cast)
    deltas = [(Delta.load(store, name), strength) for name, strength in (*plan.motions, *plan.cast.learned)]
    digests = [store.digest(name) for name, _ in plan.motions]
    noise = wish.noise or (deltas[0][0].noise if plan.motions else "random")
    backbone = loading.loaded(plan.spec, wish.attention, to_compile=wish.compile)
    if wish.compile:
        terminal.say("The first steps take a minute or more: the network is compiled for those after them.")
    learned = [(each, f"learned: {delta.card.prompt_used}") for delta, _ in deltas for each in delta.previews]
    shown: list[tuple[Clip, str]] = []
    with motions.following(
        backbone,
        deltas,
        plan.cast.loras,
        plan.cast.inversions,
        level=wish.memory,
        compiled=wish.compile,
    ) as draw:

        def make(video: Video) -> None:
            made = draw(
                video.prompt,
                noise=noise,
                course=plan.course,
                negative=wish.negative,
                seed=video.seed,
                progress=Progress(),
            )
            facts = {**_facts(plan, video, noise), "motions_sha256": " ".join(digests)}
            path = targets.write(made, video.target, wish, {key: str(value) for key, value in facts.items()})
            if wish.sheet:
                shown.append((made, f"seed {video.seed}: {video.prompt}"))
            _report(path, plan, facts, as_json=as_json)

        partly = _make_all(plan.videos, make, as_json=as_json)
    if wish.sheet and shown:
        _write_sheet([*learned, *shown], wish.sheet, wish.force)
    if partly:
        raise partly


def _make_all(videos: Sequence[Video], make: Callable[[Video], None], *, as_json: bool) -> Partly | None:
    if len(videos) == 1:
        make(videos[0])
        return None
    tasks = [
        batches.Task(
            f"{video.prompt}, seed {video.seed}",
            {"prompt": video.prompt, "seed": video.seed},
            partial(make, video),
        )
        for video in videos
    ]
    return batches.carried_out(tasks, "videos were generated", as_json=as_json)


def _facts(plan: Plan, video: Video, noise: str) -> dict[str, Any]:
    """What a video remembers of how it was made; no paths, as it may be shown to others."""
    wish = plan.wish
    facts: dict[str, Any] = {
        "motions": " ".join(f"{name}:{strength:g}" for name, strength in plan.motions),
        "prompt": video.prompt,
        "seed": video.seed,
        "noise": noise,
        **asdict(plan.course.from_noise(noise)),
        "negative": wish.negative,
        "backbone": plan.spec.name,
        "version": vmc_cli.__version__,
    }
    if wish.compile:
        facts["compiled"] = True
    if subjects := plan.cast.worded():
        facts["subjects"] = subjects
    return facts


def _report(path: Path, plan: Plan, facts: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        more = {"motions": named(plan), "warnings": terminal.warnings}
        terminal.emit_json({"video": str(path), **facts, **more})
    else:
        terminal.emit_path(path)


def named(plan: Plan) -> list[dict[str, Any]]:
    """The motions of a plan, for JSON."""
    return [{"name": name, "strength": strength} for name, strength in plan.motions]


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


def course(wish: Wish, liked: Course, noise: str) -> Course:
    """What is wished for, and else `liked`, for videos that start from `noise`.

    Raises UsageError where guidance would end before it begins, or is asked for where there can be none.
    """
    asked = {field.name: getattr(wish, field.name) for field in fields(Course)}
    found = replace(liked, **{key: value for key, value in asked.items() if value is not None})
    found = found.from_noise(noise)
    if found.guide_until >= found.guide_from:
        begin = "from random noise" if noise == "random" else _whose(wish.guide_from)
        raise UsageError(
            f"Nothing would be guided: --guide-until is {found.guide_until:g} ({_whose(wish.guide_until)}), "
            f"which is not below --guide-from, {found.guide_from:g} ({begin}).",
            "Change one of them; --guidance 1 is without guidance.",
        )
    if wish.still_guidance not in {None, 1.0} and (found.guidance == 1 or found.guide_from >= 1):
        why = "without guidance" if found.guidance == 1 else "where all is guided from the beginning"
        raise UsageError(
            f"--still-guidance does nothing {why}, as here.",
            "Leave it out, or ask for --guide-from 0.5 and a motion's own noise.",
        )
    return found


def _whose(asked: float | None) -> str:
    return "the backbone's own" if asked is None else "as asked for"


def _write_sheet(rows: Sequence[tuple[Clip, str]], path: Path, force: bool) -> None:
    from vmc_cli import clip

    clip.sheet([shown for shown, _ in rows], path, [label for _, label in rows], replace=force)
