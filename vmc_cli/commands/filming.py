"""What is learned from, as the commands read it: clips, or a motion that holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from registry.card import Source
from registry.store import Store
from vmc_cli import terminal
from vmc_cli.backbones import Spec
from vmc_cli.commands.planning import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from vmc_cli.backbones.base import Backbone
    from vmc_cli.clip import Clip
    from vmc_cli.motions import Footage


class Film(Protocol):
    """What was read: `shown` are clips for pictures, `labels` what each is; `counts` clips and other ones."""

    shown: list[Clip]
    labels: list[str]
    counts: tuple[int, int]

    def footage(self, backbone: Backbone) -> Footage:
        """What `motions.learn` wants."""


def film(plan: Plan) -> Film:
    """Read what `plan` learns from. Raises ClipError, and as `Store.load` does."""
    return _Motion(plan, plan.motion) if plan.motion is not None else _Clips(plan)


class _Clips:
    def __init__(self, plan: Plan) -> None:
        from vmc_cli import clip

        self._plan, self._others = plan, _others_of(plan)
        self.shown = clips_of(plan)
        self._sources = [Source(path.absolute().name, clip.digest(path)) for path in plan.clips]
        self.labels = [f"{source.name}: {plan.prompt_used}" for source in self._sources]
        self.counts = len(self.shown), len(self._others)

    def footage(self, backbone: Backbone) -> Footage:
        from vmc_cli import motions

        for path, each in zip(self._plan.clips, self.shown, strict=True):
            _warn_if_unlike(self._plan.spec, path, motions.reconstruction(backbone, each))
        return motions.Footage.of(
            backbone,
            self.shown,
            sources=self._sources,
            augmented=self._plan.recipe.augmented,
            others=self._others,
            token=self._plan.token,
            extra=self._plan.cut,
        )


class _Motion:
    """A learned motion, backward."""

    def __init__(self, plan: Plan, name: str) -> None:
        from vmc_cli.delta import Delta

        self._motion = Delta.load(Store.default(), name)
        self.counts = len(self._motion.latents), 0  # without latents there is no need to load a model
        self.shown, self.labels = [self._motion.preview.reversed()], [plan.prompt_used]

    def footage(self, backbone: Backbone) -> Footage:
        from vmc_cli import motions

        return motions.Footage.backward(backbone, self._motion)


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
