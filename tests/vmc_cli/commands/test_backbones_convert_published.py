"""vmc backbones convert NAME: a model that is published as pickles is fetched and converted, once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.hubs import Hub, serving
from tests.vmc_cli.commands.conftest import Run
from vmc_cli import backbones
from vmc_cli.backbones import cache, converting
from vmc_cli.errors import Stopped

ROW = "modelscope"
PICKLE = "unet/diffusion_pytorch_model.bin"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def hub(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """It has the network of the tiny model as a pickle only, and the rest in safetensors."""
    folder = shutil.copytree(tiny_folder, tmp_path / "repository")
    torch.save(load_file(folder / WEIGHTS), folder / PICKLE)
    (folder / WEIGHTS).unlink()
    with serving(folder) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


@pytest.fixture
def folder(run: Run) -> Path:
    """Where the files go."""
    return cache.folder(backbones.BACKBONES[ROW].origins[0])


def is_ready() -> bool:
    return backbones.is_ready(backbones.BACKBONES[ROW])


def test_a_pull_says_how_to_convert_and_fetches_nothing(run: Run, hub: Hub, folder: Path) -> None:
    ran = run("backbones", "pull", ROW)
    assert ran.rc == 7
    assert "no weights in safetensors for unet, only pickles" in ran.stderr
    assert f"vmc backbones convert {ROW}" in ran.stderr
    assert not folder.exists()


def test_it_is_fetched_converted_and_verified_from_then_on(
    run: Run, hub: Hub, folder: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object) -> None:
        raise Stopped(2)

    with monkeypatch.context() as patch:
        patch.setattr(converting, "convert", stops)
        stopped = run("backbones", "convert", ROW)
    assert (stopped.rc, "goes on from there" in stopped.stderr, is_ready()) == (130, True, False)
    hub.asked.clear()
    ran = run("backbones", "convert", ROW)
    assert (ran.rc, ran.stdout) == (0, f"{folder / WEIGHTS}\n"), ran.stderr
    assert hub.asked == []
    found, wanted = load_file(folder / WEIGHTS), load_file(tiny_folder / WEIGHTS)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert not (folder / PICKLE).exists()
    assert is_ready()
    known = json.loads(cache.record_path(backbones.BACKBONES[ROW].origins[0]).read_text())
    assert set(known["pickles"]) == {PICKLE}
    assert len(known["files"][WEIGHTS]["sha256"]) == 64
    assert (run("backbones", "pull", ROW).rc, run("backbones", "convert", ROW).stdout) == (0, "")
    assert hub.asked == []
    damaged = bytearray((folder / WEIGHTS).read_bytes())
    damaged[-1] ^= 1
    (folder / WEIGHTS).write_bytes(damaged)
    refused = run("backbones", "pull", ROW)
    assert (refused.rc, f"vmc backbones convert {ROW}" in refused.stderr) == (7, True)
    assert run("backbones", "convert", ROW).rc == 0
    assert torch.equal(load_file(folder / WEIGHTS)[min(wanted)], wanted[min(wanted)])


def test_another_pickle_than_was_written_down_is_refused(run: Run, hub: Hub, folder: Path) -> None:
    hub.fault = "wrong"
    assert run("backbones", "convert", ROW).rc == 10
    assert not (folder / PICKLE).exists()


def test_of_a_model_in_safetensors_nothing_is_fetched(
    run: Run, hub: Hub, folder: Path, tiny_folder: Path
) -> None:
    shutil.copy(tiny_folder / WEIGHTS, hub.folder / WEIGHTS)
    ran = run("backbones", "convert", ROW)
    assert (ran.rc, ran.stdout) == (0, "")
    assert "nothing to convert" in ran.stderr
    assert list(folder.iterdir()) == []
