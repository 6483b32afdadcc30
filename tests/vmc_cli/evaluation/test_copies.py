"""Features for finding copies, with tiny random encoders of the real classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.vmc_cli.conftest import write_tiny_clip, write_tiny_encoder
from vmc_cli.errors import IncompatibleError
from vmc_cli.evaluation import copies
from vmc_cli.evaluation.copies import Encoder

FRAMES = np.random.default_rng(0).integers(0, 255, (3, 40, 56, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["Dinov2", "ViT"])
def test_features_are_the_pooled_output_as_unit_vectors(kind: str, tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, kind)
    encoder = Encoder(tmp_path, "cpu")
    found = encoder.pictures(FRAMES)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(encoder.pictures(FRAMES[1:2])[0], found[1], atol=1e-5, rtol=1e-4)
    pixels = encoder._processor(images=list(FRAMES), return_tensors="pt").pixel_values
    pooled = encoder._model(pixels).pooler_output
    torch.testing.assert_close(found, pooled / pooled.norm(dim=-1, keepdim=True))


def test_without_a_pooler_they_are_the_class_token(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, "ViT")
    file = tmp_path / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if not name.startswith("pooler.")}
    save_file(kept, file, metadata={"format": "pt"})
    encoder = Encoder(tmp_path, "cpu")
    pixels = encoder._processor(images=list(FRAMES), return_tensors="pt").pixel_values
    token = encoder._model(pixels).last_hidden_state[:, 0]
    torch.testing.assert_close(encoder.pictures(FRAMES), token / token.norm(dim=-1, keepdim=True))


def test_other_weights_must_all_be_there(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path)
    file = tmp_path / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if "layernorm" not in name}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(IncompatibleError, match="lacks 2 weights, layernorm"):
        Encoder(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "clip"}, "--clip-model"),
        ({"model_type": "bert"}, "kind bert, no image encoder"),
        ({"model_type": "brand-new", "auto_map": {"AutoModel": "code.Model"}}, "never run"),
        ({}, "does not hold a model of transformers"),
    ],
)
def test_what_is_no_image_encoder_is_told_by_its_configuration(
    config: dict[str, object], said: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(IncompatibleError) as caught:
        copies.require_encoder(tmp_path / "config.json", "someone/model")
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.message.startswith("someone/model holds") or not config


def test_the_configuration_of_an_encoder_will_do(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path)
    copies.require_encoder(tmp_path / "config.json", "someone/dino")


@pytest.mark.parametrize("fault", ["weights", "processor", "kind"])
def test_a_folder_without_a_whole_encoder_is_refused(fault: str, tmp_path: Path) -> None:
    write_tiny_clip(tmp_path) if fault == "kind" else write_tiny_encoder(tmp_path)
    missing = {"weights": "model.safetensors", "processor": "preprocessor_config.json"}
    if fault in missing:
        (tmp_path / missing[fault]).unlink()
    with pytest.raises(IncompatibleError):
        Encoder(tmp_path, "cpu")
