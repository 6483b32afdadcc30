"""Embeddings from elsewhere are read in both common forms, and checked before a model is loaded."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors.torch import save_file

from registry.errors import Damaged
from tests.vmc_cli.test_lora import pairs
from vmc_cli import foreign, textual_inversion
from vmc_cli.delta import from_raw
from vmc_cli.errors import IncompatibleError, NotFoundError, UsageError
from vmc_cli.tokens import Token

VECTORS = torch.arange(32.0).reshape(2, 16) / 32


def read(folder, tensors, name="fluffy.safetensors", taken=()):
    save_file(tensors, folder / name)
    file = foreign.read(folder / name)
    assert textual_inversion.is_one(file)
    return textual_inversion.of(file, 16, taken)


@pytest.mark.parametrize("key", ["emb_params", "<fluffy>"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_token_is_the_files_name_or_the_key(tmp_path, key, dtype):
    found = read(tmp_path, {key: VECTORS.to(dtype)})
    assert found.name == "fluffy.safetensors"
    assert found.token == Token("fluffy" if key == "emb_params" else key, "pll")
    assert torch.equal(from_raw(found.vectors), VECTORS.to(dtype))


def test_one_vector_may_stand_alone(tmp_path):
    assert from_raw(read(tmp_path, {"<cat>": VECTORS[0].clone()}).vectors).shape == (1, 16)


def test_its_word_is_nobody_elses(tmp_path):
    assert read(tmp_path, {"<cat>": VECTORS}, taken=[Token("V*", "pll")]).token.word == "sks"


@pytest.mark.parametrize(
    ("tensors", "name", "error", "said"),
    [
        ({"<cat>": torch.ones(2, 24)}, "a.safetensors", IncompatibleError, "24 numbers, not 16"),
        ({"<cat>": torch.full((1, 16), torch.nan)}, "a.safetensors", Damaged, "cannot be right"),
        ({"<cat>": torch.full((1, 16), torch.inf, dtype=torch.bfloat16)}, "a.safetensors", Damaged, "right"),
        ({"<cat>": torch.full((1, 16), 2e3)}, "a.safetensors", Damaged, "cannot be right"),
        ({"<cat>": torch.ones(65, 16)}, "a.safetensors", Damaged, "cannot be right"),
        ({"<cat>": torch.ones(1, 16, dtype=torch.uint8)}, "a.safetensors", Damaged, "cannot be right"),
        ({"emb_params": torch.ones(1, 16)}, "my cat.safetensors", UsageError, "cannot be a token"),
        ({"two words": torch.ones(1, 16)}, "a.safetensors", UsageError, "cannot be a token"),
        ({"x" * 50: torch.ones(1, 16)}, "a.safetensors", UsageError, "cannot be a token"),
    ],
)
def test_what_cannot_be_right_is_one_sentence(tmp_path, tensors, name, error, said):
    with pytest.raises(error, match=said) as caught:
        read(tmp_path, tensors, name)
    assert name in caught.value.message


@pytest.mark.skipif(sys.platform == "win32", reason="needs rights to make links")
def test_a_link_as_caches_of_hubs_hold_them_is_followed(tmp_path):
    save_file({"<cat>": torch.ones(1, 16)}, tmp_path / "blob")
    (tmp_path / "cat.safetensors").symlink_to(tmp_path / "blob")
    assert foreign.read(tmp_path / "cat.safetensors").name == "cat.safetensors"


def test_other_files_are_not_taken_for_embeddings(tmp_path):
    for tensors in (
        pairs("diffusers"),
        {"a": torch.ones(1, 16), "b": torch.ones(1, 16)},
        {"a": torch.ones(2, 2, 2)},
    ):
        save_file(tensors, tmp_path / "file.safetensors")
        assert not textual_inversion.is_one(foreign.read(tmp_path / "file.safetensors"))
    with pytest.raises(NotFoundError, match="no file"):
        foreign.read(tmp_path / "nowhere.safetensors")
