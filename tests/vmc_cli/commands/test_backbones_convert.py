"""vmc backbones convert: pickles become safetensors, and what is no weights becomes one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.vmc_cli.commands.conftest import Run
from tests.vmc_cli.conftest import tiny_spec
from vmc_cli import backbones
from vmc_cli.backbones import converting, folders


@pytest.fixture
def pickled(tiny_folder: Path, tmp_path: Path) -> Path:
    """A model that exists as pickles only, in the old spelling."""
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    for path in list(folder.glob("*/*.safetensors")):
        name = path.name.replace("model.safetensors", "pytorch_model.bin").replace(
            "pytorch_pytorch_", "pytorch_"
        )
        torch.save(load_file(path), path.with_name(name))
        path.unlink()
    return folder


def test_a_pickled_model_is_the_same_in_safetensors(run: Run, pickled: Path, tiny_folder: Path) -> None:
    ran = run("generate", "a cat", "--backbone", pickled)
    assert ran.rc == 7
    assert f"vmc backbones convert {pickled}" in ran.stderr
    ran = run("backbones", "convert", pickled)
    assert ran.rc == 0, ran.stderr
    made = sorted(Path(line) for line in ran.stdout.split())
    assert made == [path for _, path in folders.weights(pickled)]
    for path in made:
        wanted = load_file(tiny_folder / path.relative_to(pickled))
        found = load_file(path)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    backbones.load(tiny_spec(pickled), "cpu")
    again = run("backbones", "convert", pickled)
    assert (again.rc, again.stdout) == (0, "")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("open('/tmp/owned', 'w')",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"weight": Evil()}, "UnpicklingError"),
        ({"weight": torch.zeros(1).expand(10**12)}, "not a plain one"),
        ({"weight": "text"}, "no named tensor"),
        ([torch.zeros(3)], "weights by their names"),
    ],
    ids=["code", "bomb", "text", "list"],
)
def test_what_is_no_weights_is_refused_and_leaves_nothing(
    content: object, sentence: str, run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "unet"
    folder.mkdir()
    torch.save(content, folder / "diffusion_pytorch_model.bin")
    ran = run("backbones", "convert", folder)
    assert ran.rc == 7
    assert sentence in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["diffusion_pytorch_model.bin"]


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_pickle_is_one_sentence(damage: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "diffusion_pytorch_model.bin"
    torch.save({"weight": torch.zeros(1000)}, path)
    assert zipfile.is_zipfile(path)
    path.write_bytes(
        {"cut": path.read_bytes()[:2000], "empty": b"", "text": b"version https://git-lfs"}[damage]
    )
    ran = run("backbones", "convert", tmp_path)
    assert ran.rc == 7
    assert len(ran.stderr.splitlines()) == 1


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
