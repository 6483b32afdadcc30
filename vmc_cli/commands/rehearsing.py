"""What a dry run tells: what would be done, and what it takes."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from registry.store import Store
from vmc_cli import terminal
from vmc_cli.backbones.cache import sized
from vmc_cli.commands import casting
from vmc_cli.commands.generating import Plan, named
from vmc_cli.progress import clock
from vmc_cli.recipe import Recipe

if TYPE_CHECKING:
    from vmc_cli.motions import Estimate


def generating(plan: Plan, *, as_json: bool) -> None:
    """Say what would be generated, and what it takes. Loads no model, writes nothing."""
    from vmc_cli import motions

    wish, store = plan.wish, Store.default()
    casting.tell(plan.cast)
    cards = [store.card(name) for name, _ in (*plan.motions, *plan.cast.learned)]
    estimate = motions.of_generating(
        plan.spec,
        [Recipe.from_card(card.recipe) for card in cards],
        sum(store.path(card.name).stat().st_size for card in cards),
        course=plan.course,
        asked=wish.memory,
    )
    if as_json:
        facts: dict[str, Any] = {
            "backbone": plan.spec.name,
            "motions": named(plan),
            "subjects": plan.cast.worded(),
            "videos": [{**asdict(video), "target": str(video.target)} for video in plan.videos],
            "steps": plan.course.steps,
            **estimate.to_json(),
        }
        terminal.emit_json({"dry_run": True, **facts, "warnings": terminal.warnings})
        return
    spec = plan.spec
    terminal.emit_fields(
        [
            *(("motion", f"{name}:{strength:g}") for name, strength in plan.motions),
            *(("subject", words) for words in plan.cast.words()),
            ("backbone", f"{spec.name}, {spec.frames} frames of {spec.width}x{spec.height}"),
            *(("video", f"{video.target}: {video.prompt}") for video in plan.videos),
            ("steps", plan.course.steps),
            *worded(estimate, "a video"),
        ]
    )
    terminal.say("Nothing was generated or written.")


def worded(estimate: Estimate, whole: str) -> list[tuple[str, str]]:
    """An estimate for people; `whole` names what takes the time ("learning")."""
    told = estimate.to_json()
    levels = ", ".join(f"{level} {size:.1f} GiB" for level, size in told["memory_gib"].items())
    here = f"{told['memory']} fits here" if told["fits"] else "too much for this machine"
    trained = f"{_millions(told['trained_parameters'])}, in {told['trained_layers']} layers"
    learned = [("learned", f"{trained}, {sized(told['file_bytes'])} in files")]
    return [
        ("parameters", _millions(told["parameters"])),
        *(learned if told["trained_layers"] else ()),
        ("a step", f"{told['tflop_per_step']:.3g} TFLOP"),
        (whole, f"about {clock(estimate.seconds)} here"),
        ("memory", f"{levels}; {here}"),
    ]


def _millions(number: int) -> str:
    return f"{number / 1e6:,.2f} million"
