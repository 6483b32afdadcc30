"""Likeness by CLIP, with a tiny random model of the real class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.vmc_cli.conftest import write_tiny_clip
from vmc_cli.errors import IncompatibleError
from vmc_cli.evaluation import likeness
from vmc_cli.evaluation.likeness import Likeness


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    found = tmp_path_factory.mktemp("clip")
    write_tiny_clip(found)
    return found


def unit(*shape: int) -> torch.Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(drawn, dim=-1)


def test_consistency_is_the_mean_over_all_pairs_of_different_frames():
    frames = unit(5, 7)
    pairs = [float(frames[i] @ frames[j]) for i in range(5) for j in range(5) if i < j]
    assert likeness.consistency(frames) == pytest.approx(np.mean(pairs), abs=1e-6)
    assert likeness.consistency(frames[:1]) == 1


def test_alignment_is_the_mean_over_the_frames():
    frames, words = unit(4, 7), unit(7)
    expected = np.mean([float(each @ words) for each in frames])
    assert likeness.alignment(frames, words) == pytest.approx(expected, abs=1e-6)


def test_a_copied_frame_is_found_among_others():
    learned = unit(6, 7)
    made = torch.cat([-learned[:1], learned[3:4]])
    assert likeness.copying(made, learned) == pytest.approx(1)


def test_a_model_is_read_from_a_folder_and_gives_unit_vectors(folder):
    model = Likeness(folder, "cpu")
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 56, 3), dtype=np.uint8)
    pictures, words = model.pictures(frames), model.words("a cat " * 200)
    assert pictures.shape == (3, words.shape[0])
    torch.testing.assert_close(pictures.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(words.norm(), torch.tensor(1.0))
    torch.testing.assert_close(model.pictures(frames[1:2])[0], pictures[1], atol=1e-5, rtol=1e-4)


def test_a_folder_may_be_as_the_published_repositories_are(folder, tmp_path):
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    weights = load_file(folder / "model.safetensors")
    halves = {name: value.half() for name, value in weights.items()}
    buffer = {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
    save_file({**halves, **buffer}, tmp_path / "model.fp16.safetensors", metadata={"format": "pt"})
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    old = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 32, "crop_size": 32, "resample": 3}
    does = {"do_resize": True, "do_center_crop": True, "do_normalize": True}
    told = {**old, **does, "image_mean": mean, "image_std": std}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    frames = np.random.default_rng(0).integers(0, 255, (2, 40, 56, 3), dtype=np.uint8)
    one, other = Likeness(tmp_path, "cpu"), Likeness(folder, "cpu")
    torch.testing.assert_close(one.pictures(frames), other.pictures(frames), atol=1e-2, rtol=0)
    torch.testing.assert_close(one.words("a cat"), other.words("a cat"), atol=1e-2, rtol=0)


@pytest.mark.parametrize("fault", ["nothing", "another kind", "no weights"])
def test_a_folder_without_a_whole_model_is_refused(folder, tmp_path, fault):
    if fault != "nothing":
        for file in folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    if fault == "another kind":
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    if fault == "no weights":
        (tmp_path / "model.safetensors").unlink()
    with pytest.raises(IncompatibleError):
        Likeness(tmp_path, "cpu")
