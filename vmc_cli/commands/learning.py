"""What learn, reverse and style have in common: what is cheap is checked before what is heavy is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry import home, names
from registry.card import Card, Source
from registry.errors import DiskError, Exists
from registry.store import Slot, Store
from vmc_cli import backbones, captions, prompts, recipe_file, terminal, tokens
from vmc_cli.backbones import Spec
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.commands import options, previewing
from vmc_cli.commands.previewing import Picture
from vmc_cli.errors import OutOfMemory, Stopped, UsageError
from vmc_cli.progress import Progress
from vmc_cli.recipes import Recipe
from vmc_cli.tokens import Token

if TYPE_CHECKING:
    from vmc_cli.clip import Clip


@dataclass(frozen=True)
class Wish:
    """How the command line asks to learn, as it was given: the options of learn and reverse."""

    name: options.Name = None
    kind: options.Kind = None
    token: options.Token = None
    train_token: options.TrainToken = False
    regularize: options.Regularize = None
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
    clips: tuple[Path, ...]
    motion: str | None  # learned already, and to be learned backward, in place of clips
    backward: bool
    spec: Spec
    recipe: Recipe
    name: str
    named: bool
    prompt: str
    prompt_used: str
    part: tuple[float | None, float | None] | None
    token: Token | None
    others: captions.Captioned

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


def planned(
    wish: Wish,
    prompt: str,
    *,
    clips: Sequence[Path],
    backbone: str,
    method: str | None,
    motion: str | None = None,
    backward: bool = False,
) -> Plan:
    """Check a wish without reading a clip or loading a model. Raises UsageError, BadName, Exists and such.

    method: None for as `motion` was learned. backward: learn the frames in reverse order.
    """
    prompt = options.worded("prompt", prompt)
    options.finite("--learning-rate", wish.learning_rate, above=0)
    options.finite("--sample-fps", wish.sample_fps, above=0)
    options.sheet(wish.sheet, force=wish.replace)
    part = options.trimmed(wish.trim)
    spec = backbones.find(backbone)
    card = Store.default().card(motion) if motion else None
    if card:
        backbones.require_match(spec, card)
    recipe = _recipe(wish, spec, method, card)
    keep = wish.keep_prompt or not recipe.invariant_prompt
    used = prompt if keep else prompts.invariant(prompt)
    name = names.check(wish.name) if wish.name is not None else prompts.name_for(prompt)
    if not name:
        raise UsageError("No name can be made from this prompt.", "Name the motion with --name.")
    options.existing("clip", clips)
    token = tokens.of(card) if card else _token(wish, used, spec)
    if token is None and (method == "token" or recipe.trains_token):
        problem = "The method token needs a token." if method == "token" else "There is no token to train."
        hint = 'Add --token "V*", and say it in the prompt.'
        raise UsageError(problem, f"Name the clip itself. {hint}" if card else hint)
    others = captions.read(wish.regularize) if wish.regularize else []
    plan = Plan(
        wish=wish,
        clips=tuple(clips),
        motion=motion,
        backward=backward,
        spec=spec,
        recipe=recipe,
        name=name,
        named=wish.name is not None,
        prompt=prompt,
        prompt_used=used,
        part=part,
        token=token,
        others=others,
    )
    if plan.named and not wish.replace and os.path.lexists(Store.default().path(name)):
        raise Exists(f"There is a motion {name} already.", "Choose another --name, or --replace it.")
    return plan


def _token(wish: Wish, prompt: str, spec: Spec) -> Token | None:
    if wish.token is None:
        return None
    taken = [entry.card for entry in Store.default().entries() if entry.card and entry.name != wish.name]
    return tokens.chosen(wish.token, prompt, [card for card in taken if card.backbone == spec.name])


def _others_of(plan: Plan) -> list[tuple[Clip, str]]:
    """The clips of other motions with their captions. Raises ClipError."""
    from vmc_cli import clip

    spec = plan.spec
    return [
        (clip.read(path, frames=spec.frames, height=spec.height, width=spec.width), caption)
        for path, caption in plan.others
    ]


def clips_of(plan: Plan) -> list[Clip]:
    """Read and fit the clips, each in a child process. Raises ClipError; warns of stillness and of cuts."""
    from vmc_cli import clip

    spec, found = plan.spec, []
    for path in plan.clips:
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
        for path, clip in zip(plan.clips, clips_of(plan), strict=True)
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
            *((("motion", f"{plan.motion}{backward}"),) if plan.motion else ()),
            *(
                ("clip", f"{clip['file']}: {clip['frames']} frames of {clip['seconds']} s{backward}")
                for clip in clips
            ),
            *(
                (("token", f"{plan.token.shown}, told to the model as {plan.token.word}"),)
                if plan.token
                else ()
            ),
            *((("other clips", len(plan.others)),) if plan.others else ()),
            ("backbone", f"{spec.name}, {spec.frames} frames of {spec.width}x{spec.height}"),
            *((key.replace("_", " "), _worded(value)) for key, value in recipe.items()),
        ]
    )
    terminal.say("Nothing was learned or written.")


def learned(plan: Plan) -> Card:
    """Read the clips, learn the motion and store it; its card. Interrupted, it says how to go on."""
    from vmc_cli import clip

    if plan.motion is not None:
        return _learned_backward(plan, plan.motion)
    clips, others = clips_of(plan), _others_of(plan)
    sources = [Source(path.absolute().name, clip.digest(path)) for path in plan.clips]
    if plan.prompt_used != plan.prompt:
        terminal.say(f'Learning "{plan.prompt_used}": the place is stripped, unless --keep-prompt is given.')
    with _slot(plan) as slot:
        picture = _picture(plan.wish, slot.name)
        checkpoint = _checkpoint(plan.wish, slot.name)
        from vmc_cli import motions

        backbone = backbones.load(plan.spec)
        sizes = motions.file_sizes(backbone, plan.recipe, len(clips), len(others))
        _require_space(slot, checkpoint, sizes)
        for path, each in zip(plan.clips, clips, strict=True):
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
                token=plan.token,
                others=others,
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


def _learned_backward(plan: Plan, name: str) -> Card:
    """Learn the motion `name` backward from what it holds, and store that; its card."""
    from vmc_cli import clip, motions
    from vmc_cli.delta import Delta

    motion = Delta.load(Store.default(), name)
    held = len(motion.latents)  # without them there is no need to load a model
    with _slot(plan) as slot:
        picture = _picture(plan.wish, slot.name)
        checkpoint = _checkpoint(plan.wish, slot.name)
        backbone = backbones.load(plan.spec)
        _require_space(slot, checkpoint, motions.file_sizes(backbone, plan.recipe, held))
        preview = picture.begun(motion.preview.reversed(), plan.prompt_used) if picture else None
        with _resumable(checkpoint):
            delta = motions.reverse(
                backbone,
                motion,
                name=slot.name,
                prompt=plan.prompt,
                recipe=plan.recipe,
                seed=plan.wish.seed,
                keep_prompt=plan.wish.keep_prompt,
                checkpoint=checkpoint,
                progress=Progress(),
                preview=preview,
            )
            delta.save(slot)
        checkpoint.clear()
        if plan.wish.sheet:
            clip.sheet([delta.preview], plan.wish.sheet, [plan.prompt_used], replace=plan.wish.replace)
        return replace(delta.card, name=slot.name)


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


def _recipe(wish: Wish, spec: Spec, method: str | None, learned: Card | None) -> Recipe:
    """The method's numbers, then the backbone's, then the user's. Raises UsageError."""
    asked: Mapping[str, Any] = {
        "steps": wish.steps,
        "learning_rate": wish.learning_rate,
        "loss": wish.loss,
        "stride": wish.stride,
        "trains_token": wish.train_token or None,
    }
    if wish.stride is not None and wish.stride >= spec.frames:
        raise UsageError(
            f"--stride {wish.stride} is too far for {spec.frames} frames.", f"Write 1 to {spec.frames - 1}."
        )
    given = {key: value for key, value in asked.items() if value is not None}
    if method is None and wish.kind is not None:
        raise UsageError("--kind needs a method.", "Add --method inversion.")
    if method is None and learned is not None:
        recipe = Recipe.from_card(learned.recipe)
    else:
        recipe = recipe_file.chosen(method or "vmc", spec.recipes, wish.kind)
    return recipe.adjusted({**given, **options.ranked(wish.rank)})


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
