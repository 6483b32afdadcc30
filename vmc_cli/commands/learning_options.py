"""Options of the commands that learn, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmc_cli import recipe, recipes
from vmc_cli.commands.options import MEMORY, memory, one_of

LEARNING_MEMORY = ("auto", "int8", *MEMORY[1:])
"""The same for learning, with `costs.IN_BYTES`."""

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
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="NAME|FILE.toml",
        autocompletion=lambda: list(recipes.RECIPES),
        help="How to learn: `vmc methods` lists the ways; or a recipe of your own.  [default: vmc, or "
        "what the backbone likes better; for --subject: subject]",
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
    one_of(
        recipe.LOSSES,
        "--loss",
        "NAME",
        f"The objective: {', '.join(recipe.LOSSES)}.  [default: the method's]",
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
LearningMemory = Annotated[
    str, memory(LEARNING_MEMORY, "; int8 holds what is frozen in 8 bits, for the smallest GPUs")
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
PreviewEvery = Annotated[
    int | None,
    typer.Option(
        "--preview-every",
        min=1,
        metavar="N",
        help="Every N steps add a sample to a picture: FILE_preview.png beside --sheet, or NAME_preview.png.",
    ),
]
