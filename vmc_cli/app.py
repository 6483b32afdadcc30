"""The command line: the table of commands, and the one place where an error becomes a message.

Commands are imported when they are called, so `vmc --help` loads nothing but Typer. Typer may carry its own
copy of Click, so its exceptions are known by what they can do, and ours are raised everywhere else.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import itertools
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

import vmc_cli
from vmc_cli import errors, failures, signals, terminal
from vmc_cli.errors import UsageError

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "learn": "Learn a motion from a clip, or a subject from pictures.",
        "generate": "Generate a video from a prompt, moved by learned motions.",
        "style": "Generate the learned clip again in another style.",
        "reverse": "Learn a motion from a clip played backward.",
        "blend": "Store several learned motions as one.",
        "evaluate": "Measure what videos keep of a motion.",
        "list": "List the motions and subjects that have been learned.",
        "show": "Show what is known of a motion or subject.",
        "rename": "Give a motion another name.",
        "remove": "Remove motions.",
        "methods": "List the ways in which motions can be learned.",
        "backbones": "List the models that motions can be learned with, and fetch them.",
        "doctor": "Look at what vmc needs, and say what is wrong.",
    }
)
"""Name -> what it does. `vmc_cli/commands/<name>.py` holds it as `command`: a function; or a Typer."""

EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE, as any program that a `| head` cuts off

_ENVIRONMENT = {
    "DIFFUSERS_DISABLE_REMOTE_CODE": "1",
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
}
"""Set before a library is loaded: no foreign code, telemetry, token or chatter. What the user set stays."""

_NEW_OBJECTS = 200_000
"""After so many, garbage is looked for: loading the libraries makes millions, and none of them is garbage.
Python's own 700 took 1.5 s of a dry run of 12, and looking once more at the very end took as long."""

_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


class Commands(TyperGroup):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, name: str) -> Any:
        if name not in COMMANDS:
            return None
        found = importlib.import_module(f"vmc_cli.commands.{name}").command
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, **_PLAIN)
            alone.command(name, context_settings={"help_option_names": ["-h", "--help"]})(found)
            found = alone
        return get_command(found)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"Did you mean vmc {near[0]}?" if near else "vmc --help shows all commands."
            raise UsageError(f"vmc has no command {args[0]!r}.", hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="vmc",
    cls=Commands,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    **_PLAIN,
)


def _version(wanted: bool) -> None:
    if wanted:
        terminal.emit(f"vmc {vmc_cli.__version__}")
        raise typer.Exit


@app.callback(
    epilog="vmc COMMAND --help explains a command. "
    "VMC_HOME moves all that vmc keeps; VMC_DEBUG=1 shows tracebacks."
)
def _vmc(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn a motion from a video clip and generate new videos with it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code (the table is `errors.KINDS`)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    terminal.prepare()
    gc.set_threshold(_NEW_OBJECTS)
    atexit.register(gc.freeze)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings(), signals.handled():
        if not failures.debugging():
            warnings.simplefilter("ignore")
        try:
            return _run(given or ["--help"])
        except SystemExit:
            raise
        except BrokenPipeError:
            return EXIT_BROKEN_PIPE
        except BaseException as error:
            return _explain(signals.overtaken(error), given)
        finally:
            _drop_unwritable()


def _run(arguments: list[str]) -> int:
    command = get_command(app)
    if "_VMC_COMPLETE" in os.environ:
        command.main(arguments, prog_name="vmc")
    try:
        with command.make_context("vmc", arguments) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    sys.stdout.flush()
    return 0


def _explain(error: BaseException, arguments: Sequence[str]) -> int:
    """Say on stderr, in one line, what went wrong and what to do; return the exit code."""
    by_click = hasattr(error, "format_message")  # wherever Typer keeps it
    known = _bad_usage(error, arguments) if by_click else failures.told(error)
    as_json = "--json" in itertools.takewhile(lambda argument: argument != "--", arguments)
    terminal.error(
        errors.scrubbed(known.message),
        errors.scrubbed(known.hint),
        code=known.code,
        kind=errors.KINDS.get(known.code, "internal"),
        as_json=as_json,
    )
    return known.code


def _bad_usage(error: Any, arguments: Sequence[str]) -> UsageError:
    context = getattr(error, "ctx", None)
    command = "vmc" if context is None else context.command_path
    option = getattr(error, "option_name", "")
    files = [word for word in arguments if word.startswith("-") and os.path.lexists(word)]
    if option and any(word.startswith(option) for word in files):
        return UsageError(f"{files[0]} looks like an option.", f"For the file, write ./{files[0]}")
    return UsageError(" ".join(error.format_message().split()), f"See {command} --help")


def _drop_unwritable() -> None:
    """What a full disk or a closed pipe did not take goes nowhere; Python would complain of it at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
