"""What learn, reverse and style have in common: learn as planned, store the motion, say how to go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from registry import home, names
from registry.card import Card
from registry.errors import DiskError
from registry.store import Slot, Store
from vmc_cli import terminal
from vmc_cli.checkpoints import Checkpoint, OtherRun
from vmc_cli.commands import filming, loading, planning, previewing, rehearsing
from vmc_cli.commands.planning import Plan, Wish
from vmc_cli.commands.previewing import Picture
from vmc_cli.errors import OutOfMemory, Stopped
from vmc_cli.progress import Progress
from vmc_cli.recipe import SUBJECT, UNSET

if TYPE_CHECKING:
    from vmc_cli.backbones.base import Backbone
    from vmc_cli.evaluation.appearance import Looks


def carry_out(plan: Plan, *, dry_run: bool, as_json: bool) -> None:
    """Learn as planned, or only say what would be learned; print the outcome. Raises Exists first of all."""
    planning.require_free(plan)
    if dry_run:
        rehearse(plan, as_json)
        return
    report(learned(plan), plan, as_json=as_json)


def report(card: Card, plan: Plan, *, as_json: bool, **more: Any) -> None:
    """Print the name of the motion that was learned as planned; in JSON all that is known, and `more`."""
    if not as_json:
        terminal.emit(card.name)
        return
    facts = {"steps": card.steps, "loss": card.loss, "seconds": card.seconds, "frames": card.frames}
    where = {"name": card.name, "file": str(Store.default().path(card.name))}
    terminal.emit_json({**more, **plan.described(), **facts, **where, "warnings": terminal.warnings})


def rehearse(plan: Plan, as_json: bool) -> None:
    """Say what would be learned, and what it takes. Reads the clips, loads no model, writes nothing."""
    name = plan.name if plan.named or plan.wish.replace else _first_free(plan.name)
    _picture(plan.wish, name)
    shown = filming.clips_of(plan)
    plan = filming.fitted(plan, shown)
    clips = [
        {"file": str(path), "frames": len(clip.frames), "seconds": round(len(clip.frames) / clip.fps, 3)}
        for path, clip in zip(plan.clips, shown, strict=True)
    ]
    recipe = plan.recipe.to_card()
    from vmc_cli import motions

    held = len(Store.default().card(plan.motion).sources) if plan.motion else len(clips)
    estimate = motions.of_learning(plan.spec, plan.recipe, held, len(plan.others), asked=plan.wish.memory)
    if as_json:
        facts = {
            **plan.described(),
            "name": name,
            "recipe": recipe,
            "clips": clips,
            "backward": plan.backward,
            **estimate.to_json(),
        }
        terminal.emit_json({"dry_run": True, **facts, "warnings": terminal.warnings})
        return
    spec = plan.spec
    backward = ", backward" if plan.backward else ""
    terminal.emit_fields(
        [
            ("name", name),
            ("prompt", plan.prompt_used),
            *((("motion", f"{plan.motion}{backward}"),) if plan.motion else ()),
            *(
                ("picture", clip["file"])
                if plan.recipe.learns == SUBJECT
                else ("clip", f"{clip['file']}: {clip['frames']} frames of {clip['seconds']} s{backward}")
                for clip in clips
            ),
            *((("with motion", plan.with_motion),) if plan.with_motion else ()),
            *(
                (("token", f"{plan.token.shown}, told to the model as {plan.token.word}"),)
                if plan.token
                else ()
            ),
            *((("other clips", len(plan.others)),) if plan.others else ()),
            ("backbone", f"{spec.name}, {spec.frames} frames of {spec.width}x{spec.height}"),
            *((key.replace("_", " "), _worded(key, value)) for key, value in recipe.items()),
            *rehearsing.worded(estimate, "learning"),
        ]
    )
    terminal.say("Nothing was learned or written.")


def learned(plan: Plan, backbone: Backbone | None = None, *, drops_others: bool = False) -> Card:
    """Read the clips, learn the motion and store it; its card. Interrupted, it says how to go on.

    `backbone` is the plan's, where it is loaded already. `drops_others`: an unfinished run of the motion's
    name that is another than the one to be resumed is dropped, not refused.
    """
    from vmc_cli import clip

    film = filming.film(plan)
    plan = film.plan
    if plan.prompt_used != plan.prompt:
        terminal.say(f'Learning "{plan.prompt_used}": the place is stripped, unless --keep-prompt is given.')
    with _slot(plan) as slot:
        picture = _picture(plan.wish, slot.name)
        checkpoint = _checkpoint(plan.wish, slot.name)
        looks = _judge(plan)
        from vmc_cli import motions

        motions.require_layers(plan.spec, plan.recipe)
        backbone = backbone or loading.loaded(plan.spec, plan.wish.attention)
        _require_space(slot, checkpoint, motions.file_sizes(backbone, plan.recipe, *film.counts))
        footage = film.footage(backbone)
        preview = picture.begun(film.shown[0], plan.prompt_used) if picture else None
        learn = partial(
            motions.learn,
            backbone,
            footage,
            name=slot.name,
            prompt=plan.prompt,
            recipe=plan.recipe,
            seed=plan.wish.seed,
            keep_prompt=plan.wish.keep_prompt,
            level=plan.wish.memory,
            progress=Progress(),
            preview=preview,
            looks=looks,
        )
        with _resumable(checkpoint):
            try:
                delta = learn(checkpoint=checkpoint)
            except OtherRun:
                if not drops_others:
                    raise
                run = f"The unfinished run of {slot.name} (step {checkpoint.done})"
                terminal.warn(f"{run} had another clip, prompt, recipe or seed, and is dropped.")
                delta = learn(checkpoint=replace(checkpoint, resume=False))
            delta.save(slot)
        checkpoint.clear()
        if plan.wish.sheet:
            clip.sheet(film.shown, plan.wish.sheet, film.labels, replace=plan.wish.replace)
        if delta.card.steps < plan.recipe.steps:
            score = delta.card.extra["appearance_score"]
            terminal.say(
                f"Stopped early; kept is step {delta.card.steps}, with the appearance score {score:.3f}."
            )
        return replace(delta.card, name=slot.name)


def _judge(plan: Plan) -> Looks | None:
    """Who judges when to stop early, if that is asked for. Raises as `judges.found` and `Likeness`."""
    if not plan.recipe.early_stop:
        return None
    from vmc_cli.evaluation import appearance, judges
    from vmc_cli.evaluation.likeness import Likeness

    if plan.spec.name == planning.WITH_ORACLE or plan.wish.clip_model is None:
        return appearance.by_oracle()
    return appearance.by_clip(Likeness(judges.found(plan.wish.clip_model, judges.require_clip)))


def _require_space(slot: Slot, checkpoint: Checkpoint, sizes: tuple[int, int]) -> None:
    """Raise DiskError before the work unless there is room for a motion and a checkpoint of these `sizes`."""
    motion, state = sizes
    slot.require_space(motion)
    checkpoint.require_space(state)


def _picture(wish: Wish, name: str) -> Picture | None:
    """What shows samples while `name` is learned; a resumed run begins it anew."""
    return previewing.planned(wish.preview_every, wish.sheet, name, force=wish.replace or wish.resume)


def _checkpoint(wish: Wish, name: str) -> Checkpoint:
    """Runs are kept under the motion's name, so that the same command with --resume finds its own."""
    folder = home.checkpoints_dir() / name
    checkpoint = Checkpoint(folder, every=wish.checkpoint_every, resume=wish.resume)
    checkpoint.require_writable()
    if wish.resume and not folder.is_dir():
        terminal.say(f"There is no unfinished run of {name}: learning begins at the first step.")
    elif folder.is_dir() and not wish.resume:
        run = f"The unfinished run of {name} (step {checkpoint.done})"
        terminal.warn(f"{run} is dropped. To go on with it, stop now and add --resume.")
    return checkpoint


@contextmanager
def _resumable(checkpoint: Checkpoint) -> Iterator[None]:
    """Learning that was stopped, or could not be saved, can go on where a checkpoint of it was written."""
    try:
        yield
    except (Stopped, DiskError, OutOfMemory) as error:
        if checkpoint.folder.is_dir():
            error.hint = f"{error.hint} The same command with --resume goes on from there.".strip()
        raise


def _slot(plan: Plan) -> AbstractContextManager[Slot]:
    store = Store.default()
    if plan.named or plan.wish.replace:
        return store.writing(plan.name, plan.wish.replace)
    return store.writing_new(plan.name)


def _first_free(name: str) -> str:
    store = Store.default()
    return next(each for each in names.numbered(name) if not os.path.lexists(store.path(each)))


def _worded(key: str, value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return UNSET[key] if value is None else str(value)
