"""A picture that grows while a motion is learned: the clip, and below it a sample every so many steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmc_cli import terminal
from vmc_cli.commands import checks

if TYPE_CHECKING:
    from vmc_cli.clip import Clip
    from vmc_cli.motions import Preview


@dataclass(frozen=True)
class Picture:
    """One that can be written to `path`, over another if `force`, with a sample every so many steps."""

    path: Path
    every: int
    force: bool

    def begun(self, learned: Clip, prompt: str) -> Preview:
        """Write it with the clip alone; what is returned adds the samples."""
        from vmc_cli import clip, motions

        rows, labels = [learned], [f"learned: {prompt}"]
        clip.sheet(rows, self.path, labels, replace=self.force)
        terminal.say(f"Samples go to {self.path} while learning.")

        def add(steps: int, sample: Clip) -> None:
            rows.append(sample)
            labels.append(f"after {steps} steps")
            clip.sheet(rows, self.path, labels, replace=True)

        return motions.Preview(self.every, add)


def planned(every: int | None, sheet: Path | None, name: str, *, force: bool) -> Picture | None:
    """The picture for the motion `name`, beside the sheet or else here; None where none is wanted.

    Raises as `checks.sheet` does.
    """
    if every is None:
        return None
    beside = sheet or Path(f"{name}.png")
    path = beside.with_stem(f"{beside.stem}_preview")
    checks.sheet(path, force=force)
    return Picture(path, every, force)
