"""What is to be learned, for learn, reverse and style: all is checked before anything heavy is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry import names
from registry.card import Card
from registry.errors import Exists
from registry.store import Store
from vmc_cli import backbones, captions, prompts, recipe_file, tokens
from vmc_cli.backbones import Spec
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.commands import casting, checks, learning_options, options
from vmc_cli.decoding.pictures import in_order
from vmc_cli.errors import ClipError, IncompatibleError, UsageError
from vmc_cli.evaluation import judges
from vmc_cli.recipe import RESIZABLE, SUBJECT, Recipe
from vmc_cli.tokens import Token

WITH_ORACLE = "sprites"
"""The backbone whose videos need no CLIP model to be judged."""

PLAIN = "vmc"
"""The method for any clip on any backbone."""


@dataclass(frozen=True)
class Wish:
    """How the command line asks to learn, as it was given: the options of learn and reverse."""

    name: options.Name = None
    kind: learning_options.Kind = None
    token: learning_options.Token = None
    train_token: learning_options.TrainToken = False
    regularize: learning_options.Regularize = None
    early_stop: learning_options.EarlyStop = False
    clip_model: options.ClipModel = None
    steps: learning_options.Steps = None
    learning_rate: learning_options.LearningRate = None
    rank: learning_options.Rank = None
    loss: learning_options.Loss = None
    stride: learning_options.Stride = None
    trim: learning_options.Trim = None
    sample_fps: learning_options.SampleFps = None
    keep_prompt: learning_options.KeepPrompt = False
    seed: options.Seed = 0
    replace: options.Replace = False
    checkpoint_every: learning_options.CheckpointEvery = Checkpoint.every
    resume: learning_options.Resume = False
    memory: learning_options.LearningMemory = "auto"
    attention: options.Attention = "auto"
    sheet: options.Sheet = None
    preview_every: learning_options.PreviewEvery = None


@dataclass(frozen=True)
class Plan:
    """A wish that has been checked and completed. `name` is made from the prompt unless `named`.

    `instead` is the recipe for clips that `recipe` cannot be used for, unless that was asked for.
    """

    wish: Wish
    clips: tuple[Path, ...]
    motion: str | None  # learned already, and to be learned backward, in place of clips
    backward: bool
    spec: Spec
    recipe: Recipe
    instead: Recipe | None
    name: str
    named: bool
    prompt: str
    prompt_used: str
    part: tuple[float | None, float | None] | None
    token: Token | None
    others: captions.Captioned
    with_motion: str | None = None

    @property
    def cut(self) -> dict[str, Any]:
        """Which part of the clips is learned, where that was chosen; as a card keeps it."""
        chosen = {"trim": self.wish.trim, "sample_fps": self.wish.sample_fps}
        return {key: value for key, value in chosen.items() if value is not None}

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


def planned(
    wish: Wish,
    prompt: str,
    *,
    clips: Sequence[Path],
    spec: Spec,
    method: str | None,
    motion: str | None = None,
    backward: bool = False,
    with_motion: str | None = None,
) -> Plan:
    """Check a wish without reading a clip or loading a model. Raises UsageError, BadName, Exists and such.

    method: None for as `motion` was learned, or as suits the backbone. backward: learn the frames in reverse
    order. with_motion: acts while a subject is learned. Whether the name is free is left to `require_free`.
    """
    prompt = checks.worded("prompt", prompt)
    checks.finite("--learning-rate", wish.learning_rate, above=0)
    checks.finite("--sample-fps", wish.sample_fps, above=0)
    checks.among("--memory", wish.memory, learning_options.LEARNING_MEMORY)
    checks.among("--attention", wish.attention, options.ATTENTION)
    checks.sheet(wish.sheet, force=wish.replace)
    part = checks.trimmed(wish.trim)
    card = casting.card_of(motion) if motion else None
    if card:
        backbones.require_match(spec, card)
        backbones.require_size(spec, card, "Reverse its clip instead.")
    recipe = _recipe(wish, spec, method, card)
    keep = wish.keep_prompt or not recipe.invariant_prompt
    used = prompt if keep else prompts.invariant(prompt)
    name = names.check(wish.name) if wish.name is not None else prompts.name_for(prompt)
    if not name:
        raise UsageError("No name can be made from this prompt.", "Name the motion with --name.")
    checks.existing("clip", clips)
    token = tokens.of(card) if card and wish.token is None else _token(wish, spec)
    _check_token(recipe, token, used)
    if recipe.early_stop:
        _check_judge(wish, spec)
    if recipe.learns == SUBJECT:
        clips = _pictures(wish, clips, backward=backward)
    if with_motion is not None:
        _check_with(with_motion, recipe, spec, used, token)
    others = captions.read(wish.regularize) if wish.regularize else []
    return Plan(
        wish=wish,
        clips=tuple(clips),
        motion=motion,
        backward=backward,
        spec=spec,
        recipe=recipe,
        instead=_recipe(wish, spec, PLAIN, None) if recipe.actors and not (method or card) else None,
        name=name,
        named=wish.name is not None,
        prompt=prompt,
        prompt_used=used,
        part=part,
        token=token,
        others=others,
        with_motion=with_motion,
    )


def require_free(plan: Plan) -> Plan:
    """`plan`, if the name that was chosen is free or may be replaced. Raises Exists."""
    if plan.named and not plan.wish.replace and os.path.lexists(Store.default().path(plan.name)):
        raise Exists(f"There is a motion {plan.name} already.", "Choose another --name, or --replace it.")
    return plan


def _token(wish: Wish, spec: Spec) -> Token | None:
    if wish.token is None:
        return None
    others = [entry.card for entry in Store.default().entries() if entry.card and entry.name != wish.name]
    taken = [tokens.of(card) for card in others if card.backbone == spec.name]
    return tokens.chosen(wish.token, [token for token in taken if token])


def _check_token(recipe: Recipe, token: Token | None, prompt: str) -> None:
    """Raise UsageError where there must be a token and is none, or `prompt` does not say the one there is."""
    for wanted, problem in (
        (recipe.needs_token, f"The method {recipe.method} needs a token."),
        (recipe.trains_token, "There is no token to train."),
        (recipe.early_stop, "Learning stops early only for a token."),
    ):
        if wanted and token is None:
            raise UsageError(problem, 'Add --token "V*", and say it in the prompt.')
    if token:
        tokens.require_said(prompt, token)


def _check_judge(wish: Wish, spec: Spec) -> None:
    """Raise UsageError, NotFoundError unless somebody can judge looks while learning."""
    if spec.name == WITH_ORACLE:
        return
    if wish.clip_model is None:
        raise UsageError(
            f"To stop early, a CLIP model must judge what {spec.name} draws.",
            "Add --clip-model, a folder or a name on the hub.",
        )
    judges.check(wish.clip_model)


def _pictures(wish: Wish, paths: Sequence[Path], *, backward: bool) -> list[Path]:
    """The pictures to learn a subject from, those in folders too. Raises UsageError, ClipError."""
    if backward:
        raise UsageError("A subject does not move, so it cannot be learned backward.", "Use vmc learn.")
    if wish.trim is not None or wish.sample_fps is not None:
        raise UsageError("Pictures have no parts in time.", "Leave out --trim and --sample-fps.")
    found: list[Path] = []
    for path in paths:
        inside = [Path(each) for each in in_order(str(path))] if path.is_dir() else [path]
        if not inside:
            raise ClipError(f"The folder {path} holds no pictures.", "Name pictures, or a folder of them.")
        found += inside
    return found


def _check_with(name: str, recipe: Recipe, spec: Spec, prompt: str, token: Token | None) -> None:
    """Raise unless a subject can be learned, as `token`, while the motion `name` acts."""
    if recipe.learns != SUBJECT:
        raise UsageError("--with-motion is for subjects.", "Add --subject, or leave it out.")
    card = casting.card_of(name)
    backbones.require_match(spec, card)
    if card.recipe.get("adapter") in RESIZABLE and not recipe.panned:
        raise IncompatibleError(
            f"No subject can be learned with {name}: pictures have no frames for its motion embeddings.",
            "Learn the subject alone; both can act together when generating.",
        )
    if token and (its := tokens.of(card)):
        tokens.apart([(name, its), ("this subject", token)])
        if its.is_in(prompt):
            raise UsageError(f"Pictures do not move, so they do not show {its.shown}.", "Leave it out.")


def _recipe(wish: Wish, spec: Spec, method: str | None, learned: Card | None) -> Recipe:
    """The method's numbers, then the backbone's, then the user's. Raises UsageError."""
    asked: Mapping[str, Any] = {
        "steps": wish.steps,
        "learning_rate": wish.learning_rate,
        "loss": wish.loss,
        "stride": wish.stride,
        "trains_token": wish.train_token or None,
        "early_stop": wish.early_stop or None,
    }
    given = {key: value for key, value in asked.items() if value is not None}
    if method is None and wish.kind is not None:
        raise UsageError("--kind needs a method.", "Add --method inversion.")
    if method is None and learned is not None:
        recipe = Recipe.from_card(learned.recipe)
    else:
        # Low rank is asked for with its rank; what suits a backbone better may have none.
        usual = spec.method if wish.rank is None else PLAIN
        recipe = recipe_file.chosen(method or usual, spec.recipes, wish.kind)
    backbones.require_acting(spec, recipe)
    recipe = recipe.adjusted({**given, **checks.ranked(wish.rank)})
    if recipe.learns != SUBJECT and recipe.stride >= spec.frames:
        raise UsageError(
            f"A stride of {recipe.stride} is too far for {spec.frames} frames.",
            f"Write 1 to {spec.frames - 1}.",
        )
    return recipe
