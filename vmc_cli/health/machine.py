"""The program, its libraries, and what they find on this machine; they are loaded in a child process.

A library that does not fit can end its process or hang. Here that is one finding.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import vmc_cli
from vmc_cli.health.finding import Finding
from vmc_cli.health.probes import PROBES

SECONDS = 120
"""A child may take so long: libraries are read from a cold disk the first time."""

_INCOMPATIBLE = 7
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)(.*)")
_AGAIN = "Install vmc again in an environment of its own: pip install vmc"

# The path is the parent's own before anything else is imported: no json.py in the working folder is run.
_BOOT = "import sys; sys.path[:] = sys.argv[2:]; from vmc_cli.health.probes import main; main(sys.argv[1])"


def program() -> Iterator[Finding]:
    """vmc itself and the Python that runs it."""
    python = platform.python_version()
    system = f"{platform.system()} {platform.machine()}"
    facts = {"version": vmc_cli.__version__, "python": python, "system": system}
    yield Finding("vmc", f"{vmc_cli.__version__}, Python {python} on {system}", facts=facts)


def libraries() -> Iterator[Finding]:
    """The version of each library that vmc was installed with, and whether it is new enough."""
    try:
        wanted = metadata.requires("vmc") or []
    except metadata.PackageNotFoundError:
        yield Finding("libraries", "not known, as vmc was not installed by pip")
        return
    for match in filter(None, map(_REQUIREMENT.match, wanted)):
        name, least, condition = match.groups()
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            if not condition:
                yield Finding(name, problem="it is not installed", hint=_AGAIN, code=_INCOMPATIBLE)
            continue
        old = _numbers(version) < _numbers(least)
        yield Finding(
            name,
            version,
            problem=f"it is older than {least}" if old else "",
            hint=f"pip install '{name}>={least}'" if old else "",
            code=_INCOMPATIBLE if old else 0,
            facts={"version": version},
        )


def probed() -> Iterator[Finding]:
    """What the libraries find. A child that dies of one probe is followed by another for the rest."""
    waiting = list(PROBES)
    while waiting:
        answers, end = _asked(waiting)
        for name in list(waiting):
            if name not in answers:
                break
            waiting.remove(name)
            yield _finding(name, answers[name])
        else:
            return
        yield Finding(waiting.pop(0), problem=end, hint=_AGAIN, code=_INCOMPATIBLE)


def _finding(name: str, answer: dict[str, Any]) -> Finding:
    problem = str(answer.pop("problem", ""))
    value = str(answer.pop("value", ""))
    if not problem:
        return Finding(name, value, facts=answer)
    return Finding(name, value, problem=problem, hint=_AGAIN, code=_INCOMPATIBLE, facts=answer)


def _asked(names: Sequence[str]) -> tuple[dict[str, dict[str, Any]], str]:
    """The answers of one child, and how it ended."""
    command = [sys.executable, "-c", _BOOT, ",".join(names), *(p or os.getcwd() for p in sys.path)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
        said, end = done.stdout, f"looking at it ended the process ({done.returncode})"
    except subprocess.TimeoutExpired as late:
        said, end = late.stdout or b"", f"looking at it takes more than {SECONDS} seconds"
    answers = (json.loads(line) for line in said.splitlines() if line.startswith(b'{"probe"'))
    return {answer.pop("probe"): answer for answer in answers}, end


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]
