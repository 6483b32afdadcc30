"""Unfinished learning, kept on disk so that it can go on: the last two states of one run in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry import files, header
from registry.disk import need_space, need_writable
from registry.errors import Damaged, RegistryError
from registry.header import RawTensor
from vmc_cli.errors import IncompatibleError

KEPT = 2  # states of a run: the newest may be damaged
LARGEST = 32_000_000_000  # bytes: 12 for each weight that is learned, of a network of 2.6 billion


class OtherRun(IncompatibleError):
    """A state belongs to another run than the one that is to go on."""


@dataclass(frozen=True)
class Checkpoint:
    """Where the states of a run are kept, how often (in steps), and whether to go on from the newest.

    ``about`` identifies the run: what is learned and how. A state of another run is never continued.
    """

    folder: Path
    every: int = 50
    resume: bool = False
    about: str = ""

    @property
    def done(self) -> int:
        """The steps of the newest state, whichever run it is of."""
        return max((int(path.stem) for path in self._states()), default=0)

    def require_writable(self) -> None:
        """Ask before the work: raises DiskError unless states can be written."""
        need_writable(self.folder)

    def require_space(self, size: int) -> None:
        """Ask before the work: raises DiskError unless the disk has room for states of ``size`` bytes."""
        need_space(self.folder, (KEPT + 1 - len(self._states())) * size)  # one more while it is written

    def save(self, done: int, tensors: Mapping[str, RawTensor]) -> None:
        """Write the state after ``done`` steps, then forget all but the last `KEPT`. Raises DiskError."""
        metadata = {"vmc.run": self.about, "vmc.step": str(done), "vmc.sha256": _digest(tensors)}
        content = [header.compose(tensors, metadata, LARGEST), *(tensor.data for tensor in tensors.values())]
        files.make_folder(self.folder)
        files.publish(self.folder / f"{done:07}.safetensors", content, replace=True)
        for old in self._states()[KEPT:]:
            files.discard(old)

    def load(self) -> tuple[int, dict[str, RawTensor]]:
        """The newest whole state: steps done and tensors; (0, {}) where there is none.

        Raises `OtherRun` when it belongs to another one.
        """
        for path in self._states():
            try:
                metadata, tensors = _read(path)
            except RegistryError:  # damaged: the one before it is as good
                continue
            if metadata.get("vmc.run") != self.about:
                raise OtherRun(
                    "What was left unfinished under that name had another clip, prompt, recipe or seed.",
                    "Start anew without --resume, or choose another --name.",
                )
            return int(metadata["vmc.step"]), tensors
        return 0, {}

    def clear(self) -> None:
        """Forget the run: it is finished, or another one begins."""
        files.discard(self.folder)

    def _states(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob("[0-9]*.safetensors"), reverse=True)


def _read(path: Path) -> tuple[dict[str, str], dict[str, RawTensor]]:
    head, tensors = header.read_whole(path, LARGEST)
    if head.metadata.get("vmc.sha256") != _digest(tensors):
        raise Damaged("its data has changed since it was saved")
    return head.metadata, tensors


def _digest(tensors: Mapping[str, RawTensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(f"{key} {tensors[key].dtype} {tensors[key].shape}\n".encode())
        digest.update(tensors[key].data)
    return digest.hexdigest()
