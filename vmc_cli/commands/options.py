"""Options that several commands share, each declared once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from inspect import Signature, signature
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from vmc_cli import recipes, terminal
from vmc_cli.course import SOLVERS

DEFAULT_BACKBONE = "sprites"

MEMORY = ("auto", "low", "medium", "high")
"""How much memory may be spent; `costs.LEVELS` says on what."""

LEARNING_MEMORY = ("auto", "int8", *MEMORY[1:])
"""The same for learning, with `costs.IN_BYTES`."""

ATTENTION = ("auto", "xformers", "sdpa")
"""What attention is computed by: `attention.chosen`."""


def _stay_quiet(wanted: bool) -> bool:
    if wanted:
        terminal.be_quiet()
    return wanted


def motion_names() -> list[str]:
    """For shell completion."""
    from registry.store import Store

    return [entry.name for entry in Store.default().entries() if entry.card]


def backbone_names() -> list[str]:
    """For shell completion."""
    from vmc_cli.backbones import BACKBONES

    return list(BACKBONES)


def _one_of(known: Sequence[str], option: str, metavar: str, told: str) -> Any:
    return typer.Option(option, metavar=metavar, autocompletion=lambda: list(known), help=told)


def _memory(levels: Sequence[str], more: str = "") -> Any:
    told = f"How much memory to spend: {', '.join(levels)}. Less is slower{more}."
    return _one_of(levels, "--memory", "LEVEL", told)


def _noise(default: str) -> Any:
    told = f"What to start from: {', '.join(recipes.NOISES)}.{default}"
    return _one_of(recipes.NOISES, "--noise", "KIND", told)


Json = Annotated[
    bool,
    typer.Option(
        "--json", callback=_stay_quiet, help="Print JSON, and errors as JSON; nothing else is said."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=_stay_quiet, help="Say nothing but errors.")]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, metavar="N", help="Same seed, same result.")
]

Clips = Annotated[
    list[Path],
    typer.Argument(
        metavar="CLIP", help="Videos, animated pictures or folders of pictures; learned as one motion."
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", "-p", metavar="TEXT", help='What happens in the clip: "a seagull is walking".'),
]
Each = Annotated[bool, typer.Option("--each", help="Learn a motion from each clip, by a --prompt-file.")]
PromptFile = Annotated[
    Path | None,
    typer.Option(
        "--prompt-file",
        metavar="FILE.csv",
        help="For --each: a table with the columns clip (its file name) and prompt, and name if you like.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", "-n", metavar="NAME", help="The motion's name.  [default: made from the prompt]"),
]
Backbone = Annotated[
    str,
    typer.Option(
        "--backbone",
        envvar="VMC_BACKBONE",
        show_envvar=True,
        metavar="NAME",
        autocompletion=backbone_names,
        help="The model to learn with; `vmc backbones` lists them.",
    ),
]
MotionsBackbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        autocompletion=backbone_names,
        help="The model to use.  [default: the one that the motion was learned with]",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME|FILE.toml",
        autocompletion=lambda: list(recipes.RECIPES),
        help="How to learn: `vmc methods` lists the ways; or a recipe of your own.  [default: vmc; for "
        "--subject: subject]",
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="The kind of motion, for the method inversion: object, camera or hybrid.  [default: object]",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TEXT",
        help='What stands for it in prompts: "V*" in "a person doing the V*", "X*" in "a X* dog".',
    ),
]
TrainToken = Annotated[
    bool,
    typer.Option("--train-token", help="Learn what the token's word means, too: more exact, copies more."),
]
EarlyStop = Annotated[
    bool,
    typer.Option(
        "--early-stop",
        help="For a token: stop learning when other subjects lose their looks, and keep the best. Needs "
        "--clip-model, but not with sprites.",
    ),
]
ClipModel = Annotated[
    str | None,
    typer.Option(
        "--clip-model",
        envvar="VMC_CLIP_MODEL",
        show_envvar=True,
        metavar="FOLDER|OWNER/NAME",
        help="A CLIP model, which judges looks: a folder in transformers layout, or a name on the hub "
        "(openai/clip-vit-large-patch14), fetched once.",
    ),
]
Regularize = Annotated[
    Path | None,
    typer.Option(
        "--regularize",
        metavar="FOLDER",
        help="Clips of other motions, learned from in turn so that nothing is forgotten; captions in "
        "captions.json, or as the files are named.",
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", min=1, metavar="N", help="Learning steps.  [default: the method's]")
]
LearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", metavar="X", help="Step size of the optimiser.  [default: the method's]"),
]
Rank = Annotated[
    str | None,
    typer.Option("--rank", metavar="N|full", help="Rank of what is learned.  [default: the method's]"),
]
Loss = Annotated[
    str | None,
    _one_of(
        recipes.LOSSES,
        "--loss",
        "NAME",
        f"The objective: {', '.join(recipes.LOSSES)}.  [default: the method's]",
    ),
]
Stride = Annotated[
    int | None,
    typer.Option(
        "--stride", min=1, metavar="N", help="Frames apart that are compared.  [default: the method's]"
    ),
]
Trim = Annotated[
    str | None,
    typer.Option(
        "--trim", metavar="FROM:TO", help="The part of the clip to learn, in seconds: 1.5:4, :4 or 1.5:"
    ),
]
SampleFps = Annotated[
    float | None,
    typer.Option(
        "--sample-fps",
        metavar="X",
        help="Take so many frames a second from the beginning.  [default: spread over the whole part]",
    ),
]
KeepPrompt = Annotated[
    bool, typer.Option("--keep-prompt", help="Learn with the prompt as it is, its place not stripped.")
]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace", help="Replace the motion of that name; the old one stays in .trash for a week."
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be done, and what it takes; load and write nothing."),
]
Memory = Annotated[str, _memory(MEMORY)]
LearningMemory = Annotated[
    str, _memory(LEARNING_MEMORY, "; int8 holds what is frozen in 8 bits, for the smallest GPUs")
]
Attention = Annotated[
    str,
    _one_of(
        ATTENTION,
        "--attention",
        "NAME",
        f"What computes attention: {', '.join(ATTENTION)} (PyTorch's own).",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the network for this machine first, which takes a minute or more: for many videos.",
    ),
]
CheckpointEvery = Annotated[
    int,
    typer.Option(
        "--checkpoint-every", min=1, metavar="N", help="Steps after which the run is kept for --resume."
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue a run that was interrupted, with the same result.")
]

Motion = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=motion_names, help="The motion's name.")
]
Subject = Annotated[
    list[str] | None,
    typer.Option(
        "--subject",
        metavar="NAME|FILE.safetensors[:STRENGTH]",
        autocompletion=motion_names,
        help="What is to be seen: a learned subject, a LoRA file of diffusers, peft or kohya, or an "
        "embedding of textual inversion, made for the same model; may be repeated.",
    ),
]
Noise = Annotated[str | None, _noise("  [default: the method's own, or random without a motion]")]
MotionsNoise = Annotated[str | None, _noise("")]
SamplingSteps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        max=recipes.MOST_STEPS,
        metavar="N",
        help="Denoising steps.  [default: the backbone's own]",
    ),
]
Solver = Annotated[
    str | None,
    _one_of(
        SOLVERS,
        "--solver",
        "NAME",
        f"How steps are taken: {', '.join(SOLVERS)}, which needs fewer.  [default: the backbone's own]",
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        "--guidance",
        metavar="X",
        help="How strictly the prompt is followed.  [default: the backbone's own]",
    ),
]
GuideUntil = Annotated[
    float | None,
    typer.Option(
        "--guide-until",
        metavar="X",
        help="Guide only while more than this share of the noise is left, 0 to 1; then steps take half the "
        "time.  [default: the backbone's own]",
    ),
]
Eta = Annotated[
    float | None,
    typer.Option(
        "--eta",
        metavar="X",
        help="How much fresh noise is added while details are drawn, 0 to 1.  [default: the backbone's own]",
    ),
]
Negative = Annotated[str, typer.Option("--negative", metavar="TEXT", help="What should not be seen.")]
Count = Annotated[
    int, typer.Option("--count", min=1, max=1000, metavar="N", help="How many videos, a seed each.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="File (.mp4, .gif, .webp), existing folder to put it into, or a new folder of PNGs."
        "  [default: named after the prompt, here]",
    ),
]
Sheet = Annotated[
    Path | None,
    typer.Option("--sheet", metavar="FILE.png", help="Also write a picture of all frames, side by side."),
]
PreviewEvery = Annotated[
    int | None,
    typer.Option(
        "--preview-every",
        min=1,
        metavar="N",
        help="Every N steps add a sample to a picture: FILE_preview.png beside --sheet, or NAME_preview.png.",
    ),
]
Strength = Annotated[
    float,
    typer.Option("--strength", metavar="X", help="How strongly motions act; 0 is not at all, 1 as learned."),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite what is in the way.")]


def default_backbone() -> str:
    """The model to use where neither an option nor a motion says."""
    return os.environ.get("VMC_BACKBONE") or DEFAULT_BACKBONE


def is_learned(text: str) -> bool:
    """Whether there is a motion of that name."""
    from registry.errors import BadName
    from registry.store import Store

    try:
        return os.path.lexists(Store.default().path(text))
    except BadName:
        return False


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as Typer wants it: in place of its parameter `wish`, a dataclass, stand that one's fields."""
    hints = get_type_hints(command, include_extras=True)
    wish = hints.pop("wish")
    fields = get_type_hints(wish, include_extras=True)
    hints |= fields
    inside = signature(wish).parameters.values()
    around = [inside if own.name == "wish" else [own] for own in signature(command).parameters.values()]

    def called(**given: Any) -> None:
        command(wish=wish(**{name: given.pop(name) for name in fields}), **given)

    called.__doc__, called.__annotations__ = command.__doc__, hints
    called.__signature__ = Signature(  # type: ignore[attr-defined]
        [each.replace(kind=each.KEYWORD_ONLY, annotation=hints[each.name]) for each in chain(*around)]
    )
    return called
