"""What is learned from: clips, what another motion holds of them, or the pictures of a subject."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from registry.card import Source
from vmc_cli import costs, memory
from vmc_cli.backbones import require_acting
from vmc_cli.backbones.base import Backbone
from vmc_cli.clip import Clip
from vmc_cli.delta import Delta
from vmc_cli.errors import ClipError, Diverged
from vmc_cli.motions.generating import reader
from vmc_cli.recipe import SUBJECT, Recipe
from vmc_cli.tokens import Token
from vmc_cli.ways import Way, way

PREVIEW_SIDE = 64  # pixels
NO_WAY = "No one thing that moves can be cut out of this clip, so nothing can act it out."


@dataclass(frozen=True)
class Footage:
    """Latents (1, C, F, h, w) of each clip, and what a motion tells of them.

    ``digest`` identifies all that is learned from. ``changed`` are latents of augmented clips, ``others``
    those of other motions with the embedding of their caption. ``acted`` are latents of others that go the
    clips' ways, to be learned from in their place. ``beside`` is a motion that acts meanwhile,
    and stays as it is. ``extra`` goes into the card.
    """

    latents: Sequence[Tensor]
    preview: Tensor
    fps: float
    sources: tuple[Source, ...]
    digest: str
    changed: Sequence[Tensor] = ()
    acted: Sequence[Tensor] = ()
    others: Sequence[tuple[Tensor, Tensor]] = ()
    token: Token | None = None
    beside: Delta | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        clips: Sequence[Clip],
        recipe: Recipe,
        *,
        sources: Sequence[Source] = (),
        others: Sequence[tuple[Clip, str]] = (),
        token: Token | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Footage:
        """``clips`` of the backbone's size, each with the changed ones that ``recipe`` wants.

        Pictures of a subject are clips of one frame. ``others`` are clips of other motions with their
        captions, learned from as often. ``token`` is what stands for the motion or subject in the prompt,
        ``extra`` what the card is to tell besides.

        Raises:
            ClipError: a clip has another size or number of frames, or shows no way that could be acted out.
            IncompatibleError: the backbone has nobody to act it out, where the recipe wants that.
            Diverged, OutOfMemory: see there.
        """
        beside, pictures = [other for other, _ in others], recipe.learns == SUBJECT
        everything = [*clips, *beside]
        _require_size(backbone, clips, 1 if pictures else backbone.frames)
        if beside:
            _require_size(backbone, beside, backbone.frames)
        captions = json.dumps([caption for _, caption in others])
        with _explained(backbone, "encode these pictures" if pictures else "encode this clip"):
            return cls(
                latents=[_encoded(backbone, clip) for clip in clips],
                preview=torch.cat([torch.from_numpy(clip.small(PREVIEW_SIDE).frames) for clip in clips]),
                fps=clips[0].fps,
                sources=tuple(sources),
                digest=f"{_digest(np.ascontiguousarray(clip.frames) for clip in everything)} {captions}",
                changed=[
                    _encoded(backbone, changed)
                    for clip in clips
                    for changed in _changed(backbone, clip, recipe)
                ],
                acted=[_encoded(backbone, each) for each in _acted(backbone, clips, recipe)],
                others=[(_encoded(backbone, clip), backbone.embed([caption])) for clip, caption in others],
                token=token,
                extra=extra or {},
            )

    @property
    def examples(self) -> list[Tensor]:
        """What is learned from, but for ``others``."""
        return [*self.acted] or [*self.latents, *self.changed]

    def starts(self, recipe: Recipe) -> list[Tensor]:
        """Each clip in the colourings that a video may start from, (N, C, F, h, w), its own first."""
        recoloured = [recipe.augmented + number for number in recipe.turned]
        return [
            torch.cat([clip, *(self.changed[number * recipe.copies + each] for each in recoloured)])
            for number, clip in enumerate(self.latents)
        ]

    def with_motion(self, backbone: Backbone, motion: Delta) -> Footage:
        """The same while ``motion`` acts, learned from in turn with that motion's own clips (V*).

        Raises `NotFoundError` when the motion holds none, `OutOfMemory`, and as `Delta.adapter` does.
        """
        motion.adapter(backbone)
        with _explained(backbone, f"read what {motion.card.name} shows"):
            caption = reader(backbone, [(motion, 1.0)])(motion.card.prompt_used).detach()
        held = [(each[None], caption) for each in motion.latents]
        return replace(
            self,
            digest=f"{self.digest} {_digest(each.numpy() for each in motion.tensors.values())}",
            others=[*self.others, *held],
            beside=motion,
            extra={**self.extra, "with_motion": motion.card.name},
        )

    @classmethod
    def backward(
        cls, backbone: Backbone, motion: Delta, recipe: Recipe, *, token: Token | None = None
    ) -> Footage:
        """``motion`` backward, from the latents that it holds: no clip is needed, nor for changed ones.

        Frames are encoded one by one, so latents in reverse order are those of the clip in reverse order.
        ``token`` is what stands for it in the prompt. Raises `NotFoundError` when the motion holds none,
        `Diverged`, `OutOfMemory`, and as `Delta.adapter` does.
        """
        motion.adapter(backbone)
        latents = motion.latents.flip(2)
        with _explained(backbone, f"change what {motion.card.name} shows"):
            wanted = latents if recipe.copies or recipe.actors else ()
            shown = [Clip(backbone.decode(each[None]), motion.card.fps) for each in wanted]
            changed = [
                _encoded(backbone, other) for each in shown for other in _changed(backbone, each, recipe)
            ]
            acted = [_encoded(backbone, each) for each in _acted(backbone, shown, recipe)]
        return cls(
            latents=[each[None] for each in latents],
            changed=changed,
            acted=acted,
            preview=torch.cat([torch.from_numpy(each.reversed().frames) for each in motion.previews]),
            fps=motion.card.fps,
            sources=motion.card.sources,
            digest=_digest([latents.numpy()]),
            token=token,
            extra={"reversed": motion.card.name},
        )


def _explained(backbone: Backbone, task: str) -> AbstractContextManager[None]:
    """Running out of memory while clips are encoded and captions embedded, in a sentence with numbers."""
    return memory.explained(task, memory.usable(backbone), lambda level: costs.encoding(backbone.blueprint))


def _require_size(backbone: Backbone, clips: Sequence[Clip], frames: int) -> None:
    wanted = (frames, backbone.height, backbone.width, 3)
    if not clips or any(clip.frames.shape != wanted for clip in clips):
        raise ClipError(
            f"Clips for {backbone.spec.name} must have {wanted[0]} frames of {wanted[2]}x{wanted[1]}."
        )


def _changed(backbone: Backbone, clip: Clip, recipe: Recipe) -> list[Clip]:
    change: Callable[[int], Clip] = clip.augmented
    if recipe.learns == SUBJECT:
        change = partial(clip.panned, frames=backbone.frames if recipe.panned else 1)
    copies = map(change, range(recipe.augmented))
    return [*copies, *(clip.recoloured() if recipe.recoloured else ())]


def _acted(backbone: Backbone, clips: Sequence[Clip], recipe: Recipe) -> list[Clip]:
    """Others on the way of each clip. Raises as `Footage.of` does."""
    require_acting(backbone.spec, recipe)
    act = backbone.spec.acted
    if not recipe.actors or act is None:
        return []
    ways = [way(clip.frames) for clip in clips]
    return [other for found in map(_required, ways) for other in act(found, recipe.actors)]


def _required(found: Way | None) -> Way:
    if found is None:
        raise ClipError(NO_WAY, "Choose a clip in which one thing moves, or --method vmc.")
    return found


def _encoded(backbone: Backbone, clip: Clip) -> Tensor:
    latents = backbone.encode(clip.frames)
    if not latents.isfinite().all():
        raise Diverged("The clip left the finite numbers when it was encoded.", "Choose another backbone.")
    return latents


def _digest(arrays: Iterable[np.ndarray[Any, Any]]) -> str:
    """Identifies what is learned from: the very numbers."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
