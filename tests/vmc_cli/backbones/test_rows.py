"""The table of backbones: what can be asked of it without torch."""

import dataclasses
import hashlib
import shutil

import pytest

from registry.card import Card
from tests.vmc_cli.conftest import tiny_spec
from vmc_cli import backbones
from vmc_cli.errors import IncompatibleError, NotFoundError, UsageError


def card(spec, **changes):
    values = {
        "name": "walk",
        "backbone": spec.name,
        "revision": backbones.revision(spec),
        "method": "vmc",
        "recipe": {},
        "prompt": "",
        "prompt_used": "",
        "frames": spec.frames,
        "height": spec.height,
        "width": spec.width,
        "fps": 8.0,
        "seed": 0,
        "sources": (),
        "versions": {},
        "created": "",
        "seconds": 0.0,
        "loss": 0.0,
        "steps": 1,
    }
    return Card(**{**values, **changes})


@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_a_row_is_found_by_its_name(name):
    spec = backbones.find(name)
    assert spec.name == name
    assert spec.frames >= 2
    assert spec.height % 8 == spec.width % 8 == 0
    assert spec.licence
    assert spec.summary


def test_an_unknown_backbone_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="sprites2") as caught:
        backbones.find("sprites2")
    assert "sprites" in caught.value.hint


def test_a_revision_is_a_hash_of_all_the_weights(tiny_folder, tmp_path):
    spec = tiny_spec(tiny_folder)
    lines = "".join(
        f"{part}/{name} {hashlib.sha256((tiny_folder / part / name).read_bytes()).hexdigest()}\n"
        for part, name in (
            ("text_encoder", "model.safetensors"),
            ("unet", "diffusion_pytorch_model.safetensors"),
            ("vae", "diffusion_pytorch_model.safetensors"),
        )
    )
    assert backbones.revision(spec) == hashlib.sha256(lines.encode()).hexdigest()
    other = tmp_path / "other"
    shutil.copytree(tiny_folder, other)
    assert backbones.revision(tiny_spec(other)) == backbones.revision(spec)
    third = tmp_path / "third"
    shutil.copytree(tiny_folder, third)
    with (third / "vae" / "diffusion_pytorch_model.safetensors").open("ab") as file:
        file.write(b"\0")
    assert backbones.revision(tiny_spec(third)) != backbones.revision(spec)


@pytest.mark.parametrize("ask", [backbones.revision, backbones.load])
def test_a_backbone_without_files_says_so(tmp_path, ask):
    with pytest.raises(NotFoundError, match="not here"):
        ask(tiny_spec(tmp_path / "nowhere"))
    with pytest.raises(NotFoundError, match="no weights"):
        ask(tiny_spec(tmp_path))


def test_a_motion_of_this_backbone_matches(tiny_folder):
    spec = tiny_spec(tiny_folder)
    backbones.require_match(spec, card(spec))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"backbone": "zeroscope"}, "learned on the backbone zeroscope, not tiny"),
        ({"revision": "0" * 64}, "revision 000000000000 of tiny"),
        ({"frames": 16}, "16 frames of 32x32"),
        ({"width": 64}, "4 frames of 64x32"),
    ],
)
def test_a_motion_of_another_backbone_is_refused(tiny_folder, change, sentence):
    spec = tiny_spec(tiny_folder)
    with pytest.raises(IncompatibleError, match=sentence):
        backbones.require_match(spec, card(spec, **change))


def test_a_row_is_plain_data():
    for spec in backbones.BACKBONES.values():
        assert dataclasses.replace(spec, name="other").name == "other"
        with pytest.raises(dataclasses.FrozenInstanceError):
            spec.name = "other"
