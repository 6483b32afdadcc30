"""What learn, reverse and style have in common: what is cheap is checked before what is heavy is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry import home, names
from registry.card import Card, Source
from registry.errors import DiskError, Exists
from registry.store import Slot, Store
from vmc_cli import backbones, prompts, terminal
from vmc_cli.backbones import Spec
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.commands import options, previewing
from vmc_cli.commands.previewing import Picture
from vmc_cli.errors import OutOfMemory, Stopped, UsageError
from vmc_cli.progress import Progress
from vmc_cli.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from vmc_cli.clip import Clip


@dataclass(frozen=True)
class Wish:
    """What the command line asks to learn, as it was given: the options of learn and reverse."""

    clips: options.Clips
    prompt: options.Prompt
    name: options.Name = None
    backbone: options.Backbone = options.DEFAULT_BACKBONE
    method: options.Method = "vmc"
    steps: options.Steps = None
    learning_rate: options.LearningRate = None
    rank: options.Rank = None
    loss: options.Loss = None
    stride: options.Stride = None
    trim: options.Trim = None
    sample_fps: options.SampleFps = None
    keep_prompt: options.KeepPrompt = False
    seed: options.Seed = 0
    replace: options.Replace = False
    checkpoint_every: options.CheckpointEvery = Checkpoint.every
    resume: options.Resume = False
    sheet: options.Sheet = None
    preview_every: options.PreviewEvery = None


@dataclass(frozen=True)
class Plan:
    """A wish that has been checked and completed. `name` is made from the prompt unless `named`."""

    wish: Wish
    backward: bool
    spec: Spec
    recipe: Recipe
    name: str
    named: bool
    prompt: str
    prompt_used: str
    part: tuple[float | None, float | None] | None

    def described(self) -> dict[str, Any]:
        """For JSON and for people."""
        return {
            "name": self.name,
            "prompt": self.prompt,
            "prompt_used": self.prompt_used,
            "backbone": self.spec.name,
            "method": self.recipe.method,
            "seed": self.wish.seed,
        }


def carry_out(plan: Plan, *, dry_run: bool, as_json: bool) -> None:
    """Learn as planned, or only say what would be learned; print the outcome."""
    if dry_run:
        rehearse(plan, as_json)
        return
    card = learned(plan)
    if as_json:
        facts = {"steps": card.steps, "loss": card.loss, "seconds": card.seconds, "frames": card.frames}
        where = {"name": card.name, "file": str(Store.default().path(card.name))}
        terminal.emit_json({**plan.described(), **facts, **where, "warnings": terminal.warnings})
    else:
        terminal.emit(card.name)


def planned(wish: Wish, *, backward: bool = False) -> Plan:
    """Check a wish without reading a clip or loading a model. Raises UsageError, BadName, Exists and such.

    backward: learn the frames in reverse order.
    """
    prompt = options.worded("prompt", wish.prompt)
    options.finite("--learning-rate", wish.learning_rate, above=0)
    options.finite("--sample-fps", wish.sample_fps, above=0)
    options.sheet(wish.sheet, force=wish.replace)
    part = options.trimmed(wish.trim)
    spec = backbones.find(wish.backbone)
    recipe = _recipe(wish, spec)
    keep = wish.keep_prompt or not recipe.invariant_prompt
    used = prompt if keep else prompts.invariant(prompt)
    name = names.check(wish.name) if wish.name is not None else prompts.name_for(prompt)
    if not name:
        raise UsageError("No name can be made from this prompt.", "Name the motion with --name.")
    options.existing("clip", wish.clips)
    plan = Plan(wish, backward, spec, recipe, name, wish.name is not None, prompt, used, part)
    if plan.named and not wish.replace and os.path.lexists(Store.default().path(name)):
        raise Exists(f"There is a motion {name} already.", "Choose another --name, or --replace it.")
    return plan


def clips_of(plan: Plan) -> list[Clip]:
    """Read and fit the clips, each in a child process. Raises ClipError; warns of stillness and of cuts."""
    from vmc_cli import clip

    spec, found = plan.spec, []
    for path in plan.wish.clips:
        read = clip.read(
            path,
            frames=spec.frames,
            height=spec.height,
            width=spec.width,
            trim=plan.part,
            sample_fps=plan.wish.sample_fps,
        )
        if clip.is_still(read):
            terminal.warn(f"Nothing moves in {path}; choose another part with --trim.")
        elif (cut := clip.find_cut(read)) is not None:
            at = cut + ((plan.part[0] or 0.0) if plan.part else 0.0)
            terminal.warn(f"{path} cuts to another shot at {at:.1f} s; choose one shot with --trim.")
        found.append(read.reversed() if plan.backward else read)
    return found


def rehearse(plan: Plan, as_json: bool) -> None:
    """Say what would be learned. Reads the clips, loads no model, writes nothing."""
    name = plan.name if plan.named or plan.wish.replace else _first_free(plan.name)
    _picture(plan.wish, name)
    clips = [
        {"file": str(path), "frames": len(clip.frames), "seconds": round(len(clip.frames) / clip.fps, 3)}
        for path, clip in zip(plan.wish.clips, clips_of(plan), strict=True)
    ]
    recipe = plan.recipe.to_card()
    if as_json:
        facts = {
            **plan.described(),
            "name": name,
            "recipe": recipe,
            "clips": clips,
            "backward": plan.backward,
        }
        terminal.emit_json({"dry_run": True, **facts, "warnings": terminal.warnings})
        return
    spec = plan.spec
    backward = ", backward" if plan.backward else ""
    terminal.emit_fields(
        [
            ("name", name),
            ("prompt", plan.prompt_used),
            *(
                ("clip", f"{clip['file']}: {clip['frames']} frames of {clip['seconds']} s{backward}")
                for clip in clips
            ),
            ("backbone", f"{spec.name}, {spec.frames} frames of {spec.width}x{spec.height}"),
            *((key.replace("_", " "), _worded(value)) for key, value in recipe.items()),
        ]
    )
    terminal.say("Nothing was learned or written.")


def learned(plan: Plan) -> Card:
    """Read the clips, learn the motion and store it; its card. Interrupted, it says how to go on."""
    from vmc_cli import clip

    clips = clips_of(plan)
    sources = [Source(path.absolute().name, clip.digest(path)) for path in plan.wish.clips]
    if plan.prompt_used != plan.prompt:
        terminal.say(f'Learning "{plan.prompt_used}": the place is stripped, unless --keep-prompt is given.')
    with _slot(plan) as slot:
        picture = _picture(plan.wish, slot.name)
        checkpoint = _checkpoint(plan.wish, slot.name)
        from vmc_cli import motions

        backbone = backbones.load(plan.spec)
        motion_size, state_size = motions.file_sizes(backbone, plan.recipe, len(clips))
        slot.require_space(motion_size)
        checkpoint.require_space(state_size)
        for path, each in zip(plan.wish.clips, clips, strict=True):
            _warn_if_unlike(plan.spec, path, motions.reconstruction(backbone, each))
        preview = picture.begun(clips[0], plan.prompt_used) if picture else None
        with _resumable(checkpoint):
            delta = motions.learn(
                backbone,
                clips,
                name=slot.name,
                prompt=plan.prompt,
                recipe=plan.recipe,
                seed=plan.wish.seed,
                sources=sources,
                keep_prompt=plan.wish.keep_prompt,
                checkpoint=checkpoint,
                progress=Progress(),
                preview=preview,
            )
            delta.save(slot)
        checkpoint.clear()
        if plan.wish.sheet:
            labels = [f"{source.name}: {plan.prompt_used}" for source in sources]
            clip.sheet(clips, plan.wish.sheet, labels, replace=plan.wish.replace)
        return replace(delta.card, name=slot.name)


def _picture(wish: Wish, name: str) -> Picture | None:
    """What shows samples while `name` is learned; a resumed run begins it anew."""
    return previewing.planned(wish.preview_every, wish.sheet, name, force=wish.replace or wish.resume)


def _checkpoint(wish: Wish, name: str) -> Checkpoint:
    """Runs are kept under the motion's name, so that the same command with --resume finds its own."""
    folder = home.checkpoints_dir() / name
    if wish.resume and not folder.is_dir():
        terminal.say(f"There is no unfinished run of {name}: learning begins at the first step.")
    checkpoint = Checkpoint(folder, every=wish.checkpoint_every, resume=wish.resume)
    if not wish.resume:
        checkpoint.clear()
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


def _warn_if_unlike(spec: Spec, path: Path, decibels: float) -> None:
    """Say so when the backbone itself cannot draw the clip."""
    floor = spec.reconstruction_floor
    if floor is not None and decibels < floor:
        far = f"{path} is far from what {spec.name} can draw ({decibels:.0f} dB, {floor:.0f} dB is good)."
        terminal.warn(f"{far} {spec.advice}")


def _recipe(wish: Wish, spec: Spec) -> Recipe:
    """The method's numbers, then the backbone's, then the user's. Raises UsageError."""
    if wish.method not in RECIPES:
        raise UsageError(f"No method is called {wish.method!r}.", f"Choose one of {', '.join(RECIPES)}.")
    asked: Mapping[str, Any] = {
        "steps": wish.steps,
        "learning_rate": wish.learning_rate,
        "loss": wish.loss,
        "stride": wish.stride,
    }
    if wish.stride is not None and wish.stride >= spec.frames:
        raise UsageError(
            f"--stride {wish.stride} is too far for {spec.frames} frames.", f"Write 1 to {spec.frames - 1}."
        )
    given = {key: value for key, value in asked.items() if value is not None}
    return RECIPES[wish.method].adjusted({**spec.recipe, **given, **options.ranked(wish.rank)})


def _slot(plan: Plan) -> AbstractContextManager[Slot]:
    store = Store.default()
    if plan.named or plan.wish.replace:
        return store.writing(plan.name, plan.wish.replace)
    return store.writing_new(plan.name)


def _first_free(name: str) -> str:
    store = Store.default()
    return next(each for each in names.numbered(name) if not os.path.lexists(store.path(each)))


def _worded(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "full" if value is None else str(value)
