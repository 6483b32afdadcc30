"""Turn pickled weights into safetensors, once and explicitly, in a child process that can do little else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from registry import files
from registry.disk import need_space
from vmc_cli.backbones import folders
from vmc_cli.errors import IncompatibleError
from vmc_cli.progress import Progress

_SECONDS = 3600
_ROOM = 8 << 30
"""Bytes of address space beside the weights: torch's libraries reserve some."""

# The path is the parent's own before anything else is imported: no json.py in the working folder is run.
_BOOT = (
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from vmc_cli.backbones.pickled import main; main(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
)


def convert(folder: Path, progress: Progress) -> list[Path]:
    """Write a safetensors file beside each pickled one in ``folder`` that has none; returns the new files.

    The pickles stay. Raises:
        IncompatibleError: one holds something else than weights.
        DiskError: there is no room for the new files.
    """
    parts = [folder, *(folder / part for part in (*folders.WEIGHED, "motion_adapter"))]
    todo = [path for part in parts if not _has_safetensors(part) for path in _preferred(part)]
    need_space(folder, sum(path.stat().st_size for path in todo))
    progress.stage(f"Converting {folder.name}", len(todo), "files")
    made = []
    for path in todo:
        made.append(_converted(path))
        progress.step()
    return made


def target(path: Path) -> Path:
    """Where the weights of the pickle ``path`` go: diffusers keeps its names, transformers renames."""
    stem = path.name.rpartition(".")[0].replace("pytorch_model", "model")
    return path.with_name(stem.replace("diffusion_model", "diffusion_pytorch_model") + ".safetensors")


def _has_safetensors(part: Path) -> bool:
    return part.is_dir() and any(folders.WEIGHTS.fullmatch(path.name) for path in part.iterdir())


def _preferred(part: Path) -> list[Path]:
    """The pickles of a part: full precision, or else half."""
    found = folders.pickles(part)
    return [path for path in found if ".fp16" not in path.name] or found


def _converted(path: Path) -> Path:
    made = target(path)
    temp = files.temp_name(made)
    limit = 3 * path.stat().st_size + _ROOM
    command = [sys.executable, "-c", _BOOT, str(path), str(temp), str(limit)]
    try:
        done = subprocess.run(
            [*command, *(p or os.getcwd() for p in sys.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            reason = lines[-1] if lines and done.returncode == 3 else f"the process ended ({done.returncode})"
            raise IncompatibleError(
                f"{path} was not converted: {reason}.", "Get the model in safetensors from somewhere else."
            )
        files.move(temp, made)
    except subprocess.TimeoutExpired:
        raise IncompatibleError(f"{path} was not converted within an hour.") from None
    finally:
        files.discard(temp)
    return made
