"""--backbone FOLDER: models of the user's own."""

import dataclasses
import json
import shutil

import pytest

from tests.vmc_cli.backbones.test_rows import card
from tests.vmc_cli.conftest import write_tiny_animatediff
from vmc_cli import backbones
from vmc_cli.backbones import folders
from vmc_cli.backbones.rows import ADAPTERS
from vmc_cli.errors import IncompatibleError, NotFoundError, UsageError


@pytest.fixture
def model(tiny_folder, tmp_path):
    """A model of the user's own that a test may change."""
    return shutil.copytree(tiny_folder, tmp_path / "my model")


def configure(folder, **changes):
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def say(folder, text):
    (folder / "vmc.json").write_text(text)


def test_a_folder_is_a_backbone_named_without_where_it_lies(model):
    spec = backbones.find(str(model))
    assert (spec.name, spec.family, spec.sources) == ("./my model", "unet3d", (model,))
    assert spec.name not in backbones.BACKBONES
    assert str(model.parent) not in spec.name


@pytest.mark.parametrize(
    ("latents", "pixels"), [(40, (320, 320)), ([40, 72], (320, 576)), (None, (256, 256)), ("x", (256, 256))]
)
def test_its_size_is_what_its_network_was_made_for_and_a_guess_is_told(model, latents, pixels, capsys):
    configure(model, sample_size=latents)
    spec = backbones.find(str(model))
    assert (spec.height, spec.width, spec.frames) == (*pixels, 16)
    assert "vmc.json" in capsys.readouterr().err


def test_a_file_in_it_says_frames_and_size(model, capsys):
    say(model, '{"frames": 24, "width": 64, "height": 32, "fps": 12.5}')
    spec = backbones.find(str(model))
    assert (spec.frames, spec.width, spec.height, spec.fps) == (24, 64, 32, 12.5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"frames": 1}', '{"frames": 2.5}', '{"size": 64}', '{"fps": true}', '{"width": "64"}'],
)
def test_a_file_that_makes_no_sense_is_refused(model, text):
    say(model, text)
    with pytest.raises(IncompatibleError, match=r"vmc\.json"):
        backbones.find(str(model))


def test_a_folder_is_loaded_and_used(model):
    say(model, '{"frames": 3, "width": 32, "height": 64}')
    backbone = backbones.load(backbones.find(str(model)), "cpu")
    assert backbone.latent_shape == (4, 3, 8, 4)


def test_a_motion_finds_its_model_where_it_was_moved_to(model, tmp_path):
    spec = backbones.find(str(model))
    learned = card(spec)
    moved = backbones.find(str(shutil.move(model, tmp_path / "elsewhere")))
    backbones.require_match(moved, learned)
    with pytest.raises(IncompatibleError, match="learned on the backbone"):
        backbones.require_match(dataclasses.replace(moved, name="zeroscope"), learned)


def test_other_weights_in_the_same_folder_are_another_model(model):
    learned = card(backbones.find(str(model)))
    with (model / "unet" / "diffusion_pytorch_model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(IncompatibleError, match="this is"):
        backbones.require_match(backbones.find(str(model)), learned)


def test_half_precision_files_are_taken_where_there_are_no_others(model, tiny_folder):
    for path in model.glob("*/*.safetensors"):
        shutil.copy(path, path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    both = [label for label, _ in folders.weights(model)]
    assert both == [label for label, _ in folders.weights(tiny_folder)]
    for path in [path for path in model.glob("*/*.safetensors") if "fp16" not in path.name]:
        path.unlink()
    assert all("fp16" in label for label, _ in folders.weights(model))
    say(model, '{"frames": 4, "width": 32, "height": 32}')
    assert backbones.load(backbones.find(str(model)), "cpu").latent_shape == (4, 4, 4, 4)


def test_a_stable_diffusion_gets_the_adapter_that_is_named(tmp_path):
    write_tiny_animatediff(tmp_path / "sd")
    own = tmp_path / "sd" / "motion_adapter"
    assert backbones.find(str(tmp_path / "sd")).sources == (tmp_path / "sd", own)
    assert backbones.find(f"{tmp_path / 'sd'}+v1-5-3").sources[1] == ADAPTERS["v1-5-3"]
    other = shutil.move(own, tmp_path / "other")
    assert backbones.find(f"{tmp_path / 'sd'}+{other}").sources[1] == tmp_path / "other"
    assert backbones.find(str(tmp_path / "sd")).sources[1] == ADAPTERS["v1-5-2"]
    with pytest.raises(UsageError, match="v9"):
        backbones.find(f"{tmp_path / 'sd'}+v9")


def test_an_adapter_that_was_not_fetched_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("VMC_HOME", str(tmp_path / "home"))
    write_tiny_animatediff(tmp_path / "sd")
    with pytest.raises(NotFoundError) as caught:
        backbones.load(backbones.find(f"{tmp_path / 'sd'}+v1-5-3"))
    assert caught.value.hint.endswith(f"vmc backbones pull {tmp_path / 'sd'}+v1-5-3")


def test_what_is_no_model_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(NotFoundError, match="no folder"):
        backbones.find(str(tmp_path / "nowhere"))
    with pytest.raises(IncompatibleError, match="diffusers layout"):
        backbones.find(str(tmp_path))
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}')
    with pytest.raises(IncompatibleError, match="FluxTransformer2DModel"):
        backbones.find(str(tmp_path))
