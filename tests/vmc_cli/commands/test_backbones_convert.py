"""vmc backbones convert: pickles become safetensors, and what is no weights becomes one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.vmc_cli.commands.conftest import Run
from vmc_cli.backbones import converting, folders, pickled

WEIGHTS = {
    "unet/diffusion_pytorch_model": {"conv.weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(())},
    "text_encoder/pytorch_model": {"embedding": torch.arange(4).half(), "tied": torch.zeros(5).expand(2, 5)},
}
"""Of each file, in the old spelling and without its suffix: its tensors."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that exists as pickles only."""
    folder = tmp_path / "model"
    for name, tensors in WEIGHTS.items():
        path = folder / f"{name}.bin"
        path.parent.mkdir(parents=True)
        torch.save(tensors, path)
    (folder / "unet" / "config.json").write_text('{"_class_name": "UNet3DConditionModel"}')
    return folder


def test_a_pickled_model_is_the_same_in_safetensors(run: Run, model: Path) -> None:
    ran = run("generate", "a cat", "--backbone", model)
    assert ran.rc == 7
    assert f"vmc backbones convert {model}" in ran.stderr
    ran = run("backbones", "convert", model)
    assert ran.rc == 0, ran.stderr
    made = sorted(Path(line) for line in ran.stdout.split())
    assert made == [path for _, path in folders.weights(model)]
    for path, wanted in zip(made, reversed(WEIGHTS.values()), strict=True):
        found = load_file(path)
        assert found.keys() == wanted.keys()
        assert all(found[key].dtype == wanted[key].dtype for key in wanted)
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
        with safe_open(path, framework="pt") as opened:
            assert opened.metadata() == {"format": "pt"}, "or transformers does not load it"
    again = run("backbones", "convert", model)
    assert (again.rc, again.stdout) == (0, "")


class Evil:
    """Unpickled, it makes the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, (f"open({str(self.path)!r}, 'w')",)


def test_code_in_a_pickle_is_not_run_and_told_in_one_line(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    folder.mkdir()
    torch.save({"weight": Evil(tmp_path / "owned")}, folder / "diffusion_pytorch_model.bin")
    ran = run("backbones", "convert", folder)
    assert ran.rc == 7
    assert "UnpicklingError" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["diffusion_pytorch_model.bin"]
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"weight": Evil(Path("owned"))}, "UnpicklingError"),
        ({"weight": torch.zeros(1).expand(10**12)}, "not a plain one"),
        ({"weight": "text"}, "no named tensor"),
        ([torch.zeros(3)], "weights by their names"),
    ],
    ids=["code", "bomb", "text", "list"],
)
def test_what_is_no_weights_is_refused_in_one_line_and_leaves_nothing(
    content: object, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, "model.bin")
    reason = pickled.convert("model.bin", Path("model.safetensors"))
    assert sentence in reason
    assert len(reason.splitlines()) == 1
    assert os.listdir() == ["model.bin"]


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_pickle_is_refused_in_one_line_and_leaves_nothing(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    torch.save({"weight": torch.zeros(1000)}, path)
    assert zipfile.is_zipfile(path)
    path.write_bytes(
        {"cut": path.read_bytes()[:2000], "empty": b"", "text": b"version https://git-lfs"}[damage]
    )
    reason = pickled.convert(str(path), tmp_path / "model.safetensors")
    assert len(reason.splitlines()) == 1
    assert os.listdir(tmp_path) == ["model.bin"]


@pytest.mark.parametrize(
    ("pickle", "name"),
    [
        ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"),
        ("diffusion_pytorch_model.fp16.bin", "diffusion_pytorch_model.fp16.safetensors"),
        ("pytorch_model.bin", "model.safetensors"),
        ("pytorch_model-00001-of-00002.bin", "model-00001-of-00002.safetensors"),
    ],
)
def test_files_get_the_names_that_the_libraries_look_for(pickle: str, name: str) -> None:
    assert converting.target(Path("unet", pickle)) == Path("unet", name)
    assert folders.WEIGHTS.fullmatch(name)


def test_the_child_can_reach_nobody() -> None:
    script = """
import os, socket, sys
from vmc_cli.backbones import pickled
pickled._leave_network()
sys.addaudithook(pickled._forbid)
for tried in (lambda: socket.create_connection(("127.0.0.1", 9)), lambda: os.system("true")):
    try:
        tried()
    except PermissionError as error:
        print(error)
"""
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout.count("which weights never do") == 2, done.stderr


def test_a_folder_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("backbones", "convert", tmp_path / "nowhere").rc == 5
