"""Where generated videos go, and how their names stay apart."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry.errors import Exists
from vmc_cli.commands import checks
from vmc_cli.errors import ExistsError, UsageError
from vmc_cli.prompts import file_stem

if TYPE_CHECKING:
    from vmc_cli.clip import Clip
    from vmc_cli.commands.generating import Wish

SUFFIXES = (".mp4", ".gif", ".webp")


@dataclass(frozen=True)
class Video:
    """One that is wanted, and where it goes."""

    prompt: str
    seed: int
    target: Path


def planned(wish: Wish, prompts: Sequence[str], *, many: bool) -> tuple[Video, ...]:
    """A video for each prompt and seed. Raises when one cannot be written, so that nobody waits for nothing.

    many: even if there is but one prompt, --out must be a folder.
    """
    if many and wish.out is not None and not _takes_files(wish.out):
        raise UsageError(f"{wish.out} is no folder for many videos.", "Create one, and name it with --out.")
    found: dict[Path, Video] = {}
    for prompt in prompts:
        for seed, target in enumerate(_targets(wish, prompt), start=wish.seed):
            own = next(path for path in _numbered(target) if path not in found)
            found[own] = Video(prompt, seed, own)
    return tuple(found.values())


def _targets(wish: Wish, prompt: str) -> tuple[Path, ...]:
    """Where the videos of one prompt go, one a seed."""
    out, folder, stem, suffix = wish.out, Path(), file_stem(prompt), ".mp4"
    if out is not None and _takes_files(out):
        folder = out
    elif out is not None:
        folder, stem, suffix = out.parent, out.stem, out.suffix
        if suffix and suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"{out} cannot be written: {suffix} is no format for videos.",
                f"Choose {', '.join(SUFFIXES)}, or no suffix for a folder of PNGs.",
            )
    checks.writable_folder(folder, "--out")
    # A seed is in the name where it was chosen, or tells several videos apart.
    seeds = range(wish.seed, wish.seed + wish.count)
    numbered = wish.count > 1 or (wish.seed != 0 and not _is_file(out))
    found = [
        folder / f"{stem}_seed{seed}{suffix}" if numbered else folder / f"{stem}{suffix}" for seed in seeds
    ]
    for path in found:
        if _is_file(out) and os.path.lexists(path) and not wish.force:
            raise ExistsError(
                f"{path} exists already.", "Choose another --out, or overwrite it with --force."
            )
    return tuple(found)


def write(video: Clip, target: Path, wish: Wish, metadata: Mapping[str, str]) -> Path:
    """Publish a video; a name that was not chosen gets a number when it is taken."""
    from vmc_cli import clip

    if _is_file(wish.out) or wish.force:
        return clip.write(video, target, metadata=metadata, replace=wish.force)
    for path in _numbered(target):
        try:
            return clip.write(video, path, metadata=metadata)
        except Exists:
            continue
    raise AssertionError  # the numbers do not end


def _is_file(out: Path | None) -> bool:
    """Whether --out names the video itself (a file, or a folder of PNGs to be made)."""
    return out is not None and not _takes_files(out)


def _takes_files(out: Path) -> bool:
    """Whether --out is a folder to put videos into. A folder of PNGs that vmc made is a video itself."""
    if not os.path.isdir(out):  # no error for a name that is too long
        return False
    inside = os.listdir(out)
    return not inside or not all(re.fullmatch(r"[0-9]{4,}\.png", name) for name in inside)


def _numbered(path: Path) -> Iterator[Path]:
    """`path`, then with _2, _3 and so on before its suffix."""
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.stem}_{number}{path.suffix}")
        number += 1
