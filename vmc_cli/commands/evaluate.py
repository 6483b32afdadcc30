"""vmc evaluate"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.store import Store
from vmc_cli import terminal
from vmc_cli.commands import casting, checks, options
from vmc_cli.errors import VmcError
from vmc_cli.evaluation import judges

if TYPE_CHECKING:
    from vmc_cli.clip import Clip
    from vmc_cli.evaluation.copies import Encoder
    from vmc_cli.evaluation.likeness import Likeness

BY_CLIP, BY_COPY_MODEL = 0.9, 0.25
"""Copy scores of a copy: CLIP finds even strange pictures alike, while 0.25 is V*'s (arXiv 2312.04966)."""

_MEASURES = ("motion_fidelity", "text_alignment", "frame_consistency", "appearance_score", "copy_score")


def command(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Videos that follow the motion.")],
    *,
    motion: Annotated[
        str,
        typer.Option(
            "--motion",
            "-m",
            metavar="NAME",
            autocompletion=options.motion_names,
            help="The motion that they should follow.",
        ),
    ],
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt", "-p", metavar="TEXT", help="What they should show.  [default: as they remember]"
        ),
    ] = None,
    clip_model: options.ClipModel = None,
    copy_model: Annotated[
        str | None,
        typer.Option(
            "--copy-model",
            metavar="FOLDER|OWNER/NAME",
            help="An image encoder that finds copies of learned frames (DINOv2, ViT), named as CLIP models "
            "are.  [default: the CLIP model]",
        ),
    ] = None,
    copy_threshold: Annotated[
        float | None,
        typer.Option(
            "--copy-threshold",
            metavar="X",
            help="From which copy score on a video counts as a copy.  "
            f"[default: {BY_COPY_MODEL:g} by a copy model, {BY_CLIP:g} by CLIP]",
        ),
    ] = None,
    sheet: options.Sheet = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure what videos keep of a motion.

    Motion fidelity compares the ways of points followed through the learned clip and the video: 1 is the same
    motion, -1 the opposite, 0 an unrelated one or none; for several learned clips it is the mean. Likeness to
    the prompt and to the learned clips takes a CLIP model. All is measured on as many frames as the motion's
    model makes, spread over the video: VMC's key frames.
    """
    checks.readable("prompt", prompt or "")
    checks.finite("--copy-threshold", copy_threshold)
    checks.sheet(sheet, force=force)
    checks.existing("file", videos)
    for judge in (clip_model, copy_model):
        if judge:
            judges.check(judge)
    store = Store.default()
    card = casting.card_of(motion)

    from vmc_cli import clip
    from vmc_cli.delta import Delta
    from vmc_cli.evaluation.report import Comparison

    def read(path: Path) -> Clip:
        return clip.read(path, frames=card.frames, height=card.height, width=card.width)

    learned = Delta.load(store, motion).previews
    if clip_model or copy_model:
        for path in videos:
            read(path)  # what cannot be read is told before a judge is fetched; hundreds are too much to keep
    model, encoder = _clip(clip_model), _encoder(copy_model)
    threshold = copy_threshold if copy_threshold is not None else BY_COPY_MODEL if encoder else BY_CLIP
    if len(learned) < len(card.sources):
        held = f"{len(learned)} of the {len(card.sources)} clips"
        terminal.warn(f"{motion} holds {held} that it was learned from; videos are compared with no other.")
    comparison = Comparison(learned, model=model, encoder=encoder, of_sprites=card.backbone == "sprites")
    rows = [(each, f"learned: {card.prompt_used}") for each in learned]
    for path in videos:
        video = read(path)
        said = prompt if prompt is not None else _remembered(path)
        found = comparison.measured(video, said)
        if sheet:
            rows.append((video, f"{path.name}: motion fidelity {found.motion_fidelity:.2f}"))
        facts = {
            "video": str(path),
            "motion": motion,
            "prompt": said,
            "clip_model": clip_model,
            **asdict(found),
            "copy_model": copy_model or clip_model,
            "copy_threshold": threshold,
            "copied": None if found.copy_score is None else found.copy_score >= threshold,
        }
        if json:
            terminal.emit_json({**facts, "warnings": terminal.warnings})
        else:
            terminal.emit_fields(_fields(facts))
    if sheet:
        _write_sheet(rows, sheet, force)


def _clip(name: str | None) -> Likeness | None:
    """The CLIP model of that name, loaded. Raises as `judges.found` and `Likeness`."""
    if not name:
        return None
    folder = judges.found(name, judges.require_clip)
    from vmc_cli.evaluation.likeness import Likeness

    return Likeness(folder)


def _encoder(name: str | None) -> Encoder | None:
    """The copy-detection model of that name, loaded. Raises as `judges.found` and `Encoder`."""
    if not name:
        return None
    from vmc_cli.evaluation import copies

    return copies.Encoder(judges.found(name, copies.require_encoder))


def _remembered(path: Path) -> str | None:
    """The prompt in a video's metadata, where it came from vmc."""
    from vmc_cli import clip

    try:
        return clip.read_metadata(path).get("prompt")
    except VmcError:
        return None


def _fields(facts: dict[str, Any]) -> list[tuple[str, object]]:
    reasons = facts["reasons"]
    shown: list[tuple[str, object]] = [("video", facts["video"])]
    for name in _MEASURES:
        value = facts[name]
        shown.append((name.replace("_", " "), reasons.get(name, f"{value:.3f}" if value is not None else "")))
    if len(facts["motion_fidelities"]) > 1:
        each = ("none" if one is None else f"{one:.3f}" for one in facts["motion_fidelities"])
        shown.append(("with each learned clip", ", ".join(each)))
    if facts["copied"] is not None:
        answer = "yes" if facts["copied"] else "no"
        rule = f"which is from {facts['copy_threshold']:g} on by {facts['copy_model']}"
        shown.append(("copied", f"{answer}, {rule}"))
    seen = facts["oracle"]
    if seen:
        again = f", twice in {seen['doubled']:.0%} of the frames" if seen["doubled"] else ""
        shown.append(("seen", f"{' and '.join(seen['sprites']) or 'nobody'} in {seen['place']}{again}"))
        cosine = reasons.get("displacement_cosine") or f"{seen['displacement_cosine']:.3f}"
        shown.append(("displacement cosine", cosine))
        shown.append(("a learned clip's own sprite", "leaks" if seen["leak"] else "is gone"))
    return shown


def _write_sheet(rows: list[tuple[Clip, str]], path: Path, force: bool) -> None:
    """Each clip with the points that were followed drawn in, one under the other."""
    from vmc_cli import clip
    from vmc_cli.evaluation import drawn

    pictures = [drawn.with_tracks(shown) for shown, _ in rows]
    clip.sheet(pictures, path, [label for _, label in rows], replace=force)
