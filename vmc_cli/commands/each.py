"""One motion a clip: many clips are learned by a table of prompts, with the model loaded once."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from registry import names
from registry.card import Card
from registry.errors import BadName, Exists
from registry.store import Store
from vmc_cli import backbones, prompt_files, prompts, terminal, tokens
from vmc_cli.backbones import Spec
from vmc_cli.commands import batches, checks, learning, loading, planning
from vmc_cli.commands.planning import Plan, Wish
from vmc_cli.errors import UsageError
from vmc_cli.prompt_files import Row
from vmc_cli.recipe import Recipe

if TYPE_CHECKING:
    from vmc_cli.backbones.base import Backbone

_AGAIN = "The same command with --resume does what is left."


@dataclass(frozen=True)
class Job:
    """A clip with the plan for it; `learned` is the card of its motion when that is there already."""

    clip: Path
    plan: Plan
    learned: Card | None


def planned(wish: Wish, table: Path, *, clips: Sequence[Path], spec: Spec, method: str | None) -> list[Job]:
    """Check all clips and what `table` says of them, and name their motions; no model is loaded.

    With --resume a clip counts as learned when a motion was made of its very file (sha256), with the same
    prompt, model, recipe, seed and part. Raises as `planning.planned` does, with the line of the table.
    """
    for option, given in (("--name", wish.name), ("--token", wish.token), ("--sheet", wish.sheet)):
        if given is not None:
            raise UsageError(f"{option} is for one motion.", "Leave it out with --each.")
    checks.existing("clip", clips)
    rows = _matched(clips, prompt_files.read_table(table), table)
    _check_names(rows, table)
    plans = [
        planning.planned(
            replace(wish, name=row.name or None), row.prompt, clips=[clip], spec=spec, method=method
        )
        for clip, row in zip(clips, rows, strict=True)
    ]
    there = [entry.card for entry in Store.default().entries() if entry.card] if wish.resume else []
    taken = {row.name for row in rows if row.name}
    learned = _learned(plans, there, taken)
    taken |= {card.name for card in learned if card}
    jobs = []
    for clip, row, plan, card in zip(clips, rows, plans, learned, strict=True):
        if card:
            jobs.append(Job(clip, plan, card))
        else:
            own = _named(plan, taken, f"{table}, line {row.line}")
            taken.add(own.name)
            jobs.append(Job(clip, own, None))
    return jobs


def carry_out(jobs: Sequence[Job], *, dry_run: bool, as_json: bool) -> None:
    """Learn each motion and print its name, or only say what would be learned. Raises Partly in the end."""
    to_learn = [job for job in jobs if not job.learned]
    first = to_learn[0].plan if to_learn and not dry_run else None
    backbone = loading.loaded(first.spec, first.wish.attention) if first else None
    tasks = [
        batches.Task(str(job.clip), {"clip": str(job.clip)}, partial(_do, job, backbone, dry_run, as_json))
        for job in jobs
    ]
    done = "clips can be learned" if dry_run else "clips were learned"
    if partly := batches.carried_out(tasks, done, again="" if dry_run else _AGAIN, as_json=as_json):
        raise partly


def _do(job: Job, backbone: Backbone | None, dry_run: bool, as_json: bool) -> None:
    if job.learned:
        terminal.say(f"It is learned already, as {job.learned.name}.")
        learning.report(job.learned, job.plan, as_json=as_json, clip=str(job.clip), learned_before=True)
    elif dry_run:
        learning.rehearse(job.plan, as_json)
    else:
        card = learning.learned(job.plan, backbone, drops_others=True)
        learning.report(card, job.plan, as_json=as_json, clip=str(job.clip), learned_before=False)


def _matched(clips: Sequence[Path], rows: Sequence[Row], table: Path) -> list[Row]:
    """The row of each clip: the one whose path is the end of the clip's. Raises UsageError."""
    by_name: defaultdict[str, list[tuple[Row, tuple[str, ...]]]] = defaultdict(list)
    for row in rows:
        if end := _parts(row.clip):
            by_name[end[-1]].append((row, end))
    found: dict[Row, Path] = {}
    for clip in clips:
        parts = _parts(os.path.abspath(clip))
        mine = [row for row, end in by_name[parts[-1]] if parts[-len(end) :] == end]
        if not mine:
            raise UsageError(f"{table} does not tell of {clip}.", "Add a line for it, or leave it out.")
        if len(mine) > 1:
            lines = " and ".join(str(row.line) for row in mine[:2])
            raise UsageError(f"{table} tells of {clip} in lines {lines}.", "Keep one of them.")
        if other := found.get(mine[0]):
            raise UsageError(
                f"{table}, line {mine[0].line} stands for both {other} and {clip}.",
                "Name a clip once; where names are the same, write folders in the table too.",
            )
        found[mine[0]] = clip
    return list(found)


def _parts(path: str) -> tuple[str, ...]:
    """The names in a path, folders above aside; an accented letter is one character, whoever wrote it."""
    parts = PurePath(unicodedata.normalize("NFC", path)).parts
    return tuple(part for part in parts if part != "..")


def _check_names(rows: Sequence[Row], table: Path) -> None:
    """Raise BadName or UsageError, with the line, unless each clip has its own name or can be given one."""
    first: dict[str, Row] = {}
    for row in rows:
        where = f"{table}, line {row.line}"
        if not row.name and not prompts.name_for(row.prompt):
            raise UsageError(f"{where}: no name can be made from its prompt.", "Fill in the column name.")
        if not row.name:
            continue
        try:
            names.check(row.name)
        except BadName as error:
            raise BadName(f"{where}: {error.message}", error.hint) from None
        if (other := first.setdefault(row.name, row)) is not row:
            raise UsageError(f"{where} has the name of line {other.line}, {row.name}.", "Choose another one.")


def _named(plan: Plan, taken: set[str], where: str) -> Plan:
    """`plan` with a name that no other clip has. Raises Exists for a chosen one that is taken."""
    store = Store.default()
    if plan.named:
        if not plan.wish.replace and os.path.lexists(store.path(plan.name)):
            raise Exists(
                f"{where}: there is a motion {plan.name} already.",
                "Choose another name, --replace it, or --resume if it was learned from this clip.",
            )
        return plan
    free = (
        name
        for name in names.numbered(plan.name)
        if name not in taken and (plan.wish.replace or not os.path.lexists(store.path(name)))
    )
    return replace(plan, name=next(free))


def _learned(plans: Sequence[Plan], cards: Sequence[Card], chosen: Set[str]) -> list[Card | None]:
    """For each plan the one of `cards` that tells of it, each for one plan only.

    A plan without a name of its own finds none that has one of the `chosen` names.
    """
    left, found = list(cards), []
    for plan in plans:
        named = [card for card in left if (card.name == plan.name if plan.named else card.name not in chosen)]
        card = _told_by(named, plan)
        if card:
            left.remove(card)
        found.append(card)
    return found


def _told_by(cards: Sequence[Card], plan: Plan) -> Card | None:
    """The one of `cards` that tells of exactly what is planned; the clip is read only if all else agrees."""
    alike = [card for card in cards if _is_alike(card, plan)]
    if not alike:
        return None
    from vmc_cli import clip

    wanted = backbones.revision(plan.spec), clip.digest(plan.clips[0])
    return next((card for card in alike if (card.revision, card.sources[0].sha256) == wanted), None)


def _is_alike(card: Card, plan: Plan) -> bool:
    try:
        recipe = Recipe.from_card(card.recipe)  # a card may be older than some of a recipe's fields
    except UsageError:
        return False
    made = (card.backbone, card.prompt, card.prompt_used, card.seed, tokens.of(card))
    wanted = (plan.spec.name, plan.prompt, plan.prompt_used, plan.wish.seed, plan.token)
    cut = {key: card.extra[key] for key in ("trim", "sample_fps") if key in card.extra}
    one = len(card.sources) == 1
    return one and made == wanted and recipe in {plan.recipe, plan.instead} and cut == plan.cut
