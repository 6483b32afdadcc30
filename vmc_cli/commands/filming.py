"""What is learned from, as the commands read it: clips, or a motion that holds them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from registry.card import Source
from registry.store import Store
from vmc_cli import terminal
from vmc_cli.backbones import Spec
from vmc_cli.commands.planning import Plan
from vmc_cli.errors import ClipError
from vmc_cli.recipe import SUBJECT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vmc_cli.backbones.base import Backbone
    from vmc_cli.clip import Clip
    from vmc_cli.motions import Footage


class Film(Protocol):
    """What was read: `shown` are clips for pictures, `labels` what each is; `counts` clips and other ones.

    `plan` is how it can be learned.
    """

    plan: Plan
    shown: list[Clip]
    labels: list[str]
    counts: tuple[int, int]

    def footage(self, backbone: Backbone) -> Footage:
        """What `motions.learn` wants."""


def film(plan: Plan) -> Film:
    """Read what `plan` learns from. Raises ClipError, and as `Store.load` does."""
    if plan.motion is not None:
        return _Motion(plan, plan.motion)
    return _Pictures(plan) if plan.recipe.learns == SUBJECT else _Clips(plan)


class _Clips:
    def __init__(self, plan: Plan) -> None:
        self._others = _others_of(plan)
        self.shown = clips_of(plan)
        self.plan = fitted(plan, self.shown)
        self._sources = _sources(plan)
        self.labels = [f"{source.name}: {plan.prompt_used}" for source in self._sources]
        self.counts = len(self.shown), len(self._others)

    def footage(self, backbone: Backbone) -> Footage:
        from vmc_cli import motions

        plan = self.plan
        for path, each in zip(plan.clips, self.shown, strict=True):
            _warn_if_unlike(plan.spec, path, motions.reconstruction(backbone, each))
        return motions.Footage.of(
            backbone,
            self.shown,
            plan.recipe,
            sources=self._sources,
            others=self._others,
            token=plan.token,
            extra=plan.cut,
        )


class _Pictures:
    """A subject, and the motion that acts meanwhile."""

    def __init__(self, plan: Plan) -> None:
        from vmc_cli import clip
        from vmc_cli.delta import Delta

        self.plan, self._others, self._pictures = plan, _others_of(plan), clips_of(plan)
        self._motion = Delta.load(Store.default(), plan.with_motion) if plan.with_motion else None
        others = len(self._others) + (len(self._motion.latents) if self._motion else 0)
        self.counts = len(self._pictures), others
        self.shown, self.labels = [clip.joined(self._pictures)], [plan.prompt_used]

    def footage(self, backbone: Backbone) -> Footage:
        from vmc_cli import clip, motions

        plan = self.plan
        for path, each in zip(plan.clips, self._pictures, strict=True):
            still = clip.joined([each] * backbone.frames)
            _warn_if_unlike(plan.spec, path, motions.reconstruction(backbone, still))
        footage = motions.Footage.of(
            backbone,
            self._pictures,
            plan.recipe,
            sources=_sources(plan),
            others=self._others,
            token=plan.token,
        )
        return footage.with_motion(backbone, self._motion) if self._motion else footage


class _Motion:
    """A learned motion, backward."""

    def __init__(self, plan: Plan, name: str) -> None:
        from vmc_cli.delta import Delta

        self.plan, self._motion = plan, Delta.load(Store.default(), name)
        self.counts = len(self._motion.latents), 0  # without latents there is no need to load a model
        self.shown = [each.reversed() for each in self._motion.previews]
        self.labels = [plan.prompt_used] * len(self.shown)

    def footage(self, backbone: Backbone) -> Footage:
        from vmc_cli import motions

        return motions.Footage.backward(backbone, self._motion, self.plan.recipe, token=self.plan.token)


def _sources(plan: Plan) -> list[Source]:
    from vmc_cli import clip

    return [Source(path.absolute().name, clip.digest(path)) for path in plan.clips]


def clips_of(plan: Plan) -> list[Clip]:
    """Read and fit the clips, or pictures as clips of one frame, each in a child process.

    Raises ClipError; warns of clips that are still, and of cuts.
    """
    from vmc_cli import clip

    spec, found = plan.spec, []
    if plan.recipe.learns == SUBJECT:
        return [clip.read_picture(path, height=spec.height, width=spec.width) for path in plan.clips]
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


def fitted(plan: Plan, clips: Sequence[Clip]) -> Plan:
    """`plan` as it can be carried out with `clips`: where their ways cannot be acted out, with `instead`.

    Raises ClipError where there is nothing else.
    """
    from vmc_cli import ways

    if not plan.recipe.actors:
        return plan
    unclear = [path for path, each in zip(plan.clips, clips, strict=True) if not ways.way(each.frames)]
    if not unclear:
        return plan
    problem = f"No one thing that moves can be cut out of {unclear[0]}, so nothing else can act it out"
    if plan.instead is None:
        raise ClipError(f"{problem}.", "Choose a clip in which one thing moves, or --method vmc.")
    terminal.say(f"{problem}: the method is {plan.instead.method}.")
    return replace(plan, recipe=plan.instead)


def _others_of(plan: Plan) -> list[tuple[Clip, str]]:
    """The clips of other motions with their captions. Raises ClipError."""
    from vmc_cli import clip

    spec = plan.spec
    return [
        (clip.read(path, frames=spec.frames, height=spec.height, width=spec.width), caption)
        for path, caption in plan.others
    ]


def _warn_if_unlike(spec: Spec, path: Path, decibels: float) -> None:
    """Say so when the backbone itself cannot draw the clip."""
    floor = spec.reconstruction_floor
    if floor is not None and decibels < floor:
        far = f"{path} is far from what {spec.name} can draw ({decibels:.0f} dB, {floor:.0f} dB is good)."
        terminal.warn(f"{far} {spec.advice}")
