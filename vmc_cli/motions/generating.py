"""Generate a video that follows motions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from torch import Tensor

from vmc_cli import costs, device, memory, tokens
from vmc_cli.adapters import Acts, all_along
from vmc_cli.backbones.base import Backbone
from vmc_cli.clip import Clip
from vmc_cli.course import Course
from vmc_cli.delta import Delta, attached, from_raw, worn
from vmc_cli.lora import Lora
from vmc_cli.motions.starting import best_explained, own_colours, start_of
from vmc_cli.recipe import MOTION
from vmc_cli.sampling import sample
from vmc_cli.textual_inversion import TextualInversion
from vmc_cli.watching import Watcher

_TASK = "generate this video"
PREVIEW_STEPS = 10  # of denoising while learning, which waits for them


def glanced(backbone: Backbone, noise: str) -> Course:
    """The backbone's own course from ``noise``, in few steps."""
    return replace(backbone.spec.course, steps=PREVIEW_STEPS).from_noise(noise)


def generate(
    backbone: Backbone,
    prompt: str,
    *,
    deltas: Sequence[tuple[Delta, float]] = (),
    loras: Sequence[tuple[Lora, float]] = (),
    inversions: Sequence[TextualInversion] = (),
    noise: str | None = None,
    course: Course | None = None,
    negative: str = "",
    seed: int = 0,
    level: str = "auto",
    compiled: bool = False,
    progress: Watcher | None = None,
) -> Clip:
    """A video of ``prompt`` that follows each of ``deltas`` with its strength. Same seed, same pixels.

    ``deltas`` are motions and learned subjects, ``loras`` files that were matched with this backbone, with a
    strength each; ``inversions`` are words from elsewhere, of its text encoder's width.

    It starts from ``noise`` (see `noise.start_noise`; by default what the first motion's method starts from,
    without a motion random), made from the first motion; where that was learned from several clips, the seed
    chooses one, and where in several colourings, the prompt (`starting.best_explained`). Without a ``course``
    it is the backbone's own, guided as the first motion likes.
    ``level`` is that of memory (`costs.LEVELS`), or "auto". With ``compiled`` the first steps take long and
    those after them less, and pixels differ by rounding (`Backbone.compiled`).

    Raises:
        IncompatibleError, Damaged: a motion does not belong to this backbone, or is not whole.
        UsageError, Diverged, OutOfMemory: see there.
    """
    with following(backbone, deltas, loras, inversions, level=level, compiled=compiled) as draw:
        return draw(
            prompt,
            noise=noise,
            course=course,
            negative=negative,
            seed=seed,
            progress=progress,
        )


@contextmanager
def following(
    backbone: Backbone,
    deltas: Sequence[tuple[Delta, float]] = (),
    loras: Sequence[tuple[Lora, float]] = (),
    inversions: Sequence[TextualInversion] = (),
    *,
    level: str = "auto",
    compiled: bool = False,
) -> Iterator[Callable[..., Clip]]:
    """`generate` with these motions, subjects and words, which are put into the network once for many videos.

    Yields a function of the prompt and of the rest of what `generate` takes. Raises as that does.
    """
    peak = partial(_peak, backbone, backbone.spec.course)
    with (
        memory.explained(_TASK, memory.usable(backbone), peak, level),
        _Changed(backbone, deltas, loras, compiled) as changed,
    ):
        try:
            changed.place(offloaded=level == "low")
        except (MemoryError, RuntimeError) as error:
            if level != "auto" or not device.ran_out(error):
                raise  # else each video finds the level at which there is room
        yield partial(_drawn, changed, inversions, level)


class _Changed:
    """The network with motions and subjects in it, on the device or but for one block at a time off it.

    Its weights have to be changed where they are, so that goes along with moving them.
    """

    def __init__(
        self,
        backbone: Backbone,
        deltas: Sequence[tuple[Delta, float]],
        loras: Sequence[tuple[Lora, float]],
        compiled: bool,
    ) -> None:
        self.backbone, self.deltas, self._loras, self._compiled = backbone, deltas, loras, compiled
        self._stack, self._offloaded, self._entered = ExitStack(), False, False
        self.acts: Acts = all_along

    def __enter__(self) -> _Changed:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def place(self, *, offloaded: bool) -> None:
        """Be there. Raises as `delta.worn` and `delta.attached` do."""
        if self._entered and offloaded is self._offloaded:
            return
        self._entered = False
        self._stack.close()
        with ExitStack() as stack:
            if offloaded:
                stack.enter_context(self.backbone.offloaded())
            stack.enter_context(worn(self.backbone, self._loras))
            self.acts = stack.enter_context(attached(self.backbone, self.deltas))
            if self._compiled:
                stack.enter_context(self.backbone.compiled())
            self._stack, self._offloaded, self._entered = stack.pop_all(), offloaded, True


def _drawn(
    changed: _Changed,
    inversions: Sequence[TextualInversion],
    asked: str,
    prompt: str,
    *,
    noise: str | None,
    course: Course | None,
    negative: str,
    seed: int,
    progress: Watcher | None,
) -> Clip:
    """What the network as it is now makes of ``prompt``; the motions in it give noise and words."""
    backbone, deltas = changed.backbone, changed.deltas
    first = next((delta for delta, _ in deltas if delta.card.kind == MOTION), None)
    chosen = noise or (first.noise if first else "random")
    course = course or backbone.spec.course.liked_by([(delta.card, by) for delta, by in deltas])
    inverted, shown = (first.start_noise, first.start_latents) if first else (None, None)

    def made(level: str) -> Clip:
        changed.place(offloaded=level == "low")
        read = reader(backbone, deltas, inversions)
        told, together = read(prompt), level == "high"

        def colouring(number: int) -> int:
            if shown is None:
                return own_colours(number)
            return best_explained(
                backbone, shown[number], told, seed=seed, acts=changed.acts, together=together
            )

        return denoised(
            backbone,
            told,
            read(negative),
            start_of(backbone, chosen, inverted, seed, colouring),
            course=course.from_noise(chosen),
            together=together,
            seed=seed,
            acts=changed.acts,
            progress=progress,
        )

    return memory.spent(_TASK, asked, backbone, partial(_peak, backbone, course), made)


def _peak(backbone: Backbone, course: Course, level: str) -> int:
    return costs.generating(backbone.blueprint, level, guided=course.guided > 0).peak


def reader(
    backbone: Backbone,
    deltas: Sequence[tuple[Delta, float]],
    inversions: Sequence[TextualInversion] = (),
) -> Callable[[str], Tensor]:
    """What embeds a prompt, (1, L, D), each token said as its word, with the vectors learned for it."""
    said = [token for delta, _ in deltas if (token := tokens.of(delta.card))]
    said += [each.token for each in inversions]
    vectors = {each.token.word: from_raw(each.vectors).float() for each in inversions}
    for delta, strength in deltas:
        vectors |= delta.vectors(backbone, strength)
    embed = partial(backbone.embed_with, vectors=vectors) if vectors else backbone.embed
    return lambda prompt: embed([tokens.spoken(prompt, said)])


def denoised(
    backbone: Backbone,
    embedding: Tensor,
    negative: Tensor,
    start: Tensor,
    *,
    course: Course,
    together: bool = True,
    seed: int = 0,
    acts: Acts = all_along,
    progress: Watcher | None = None,
) -> Clip:
    """What the network as it is now makes of a prompt's ``embedding`` (1, L, D) and the noise ``start``.

    The rest is that of `sampling.sample`.
    """
    latents = sample(
        backbone,
        embedding,
        start,
        course=course,
        negative_embedding=negative,
        together=together,
        seed=seed,
        acts=acts,
        progress=progress,
    )
    return Clip(backbone.decode(latents), backbone.spec.fps)
