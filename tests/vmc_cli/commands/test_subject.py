"""vmc generate --subject FILE: a look from elsewhere, with a learned motion or without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.vmc_cli.commands.conftest import Run, parsed
from tests.vmc_cli.test_lora import pairs
from vmc_cli import backbones

FAST = ("a cat is walking", "--steps", "1", "--noise", "random")


@pytest.fixture
def dog(here: Path) -> str:
    save_file({**pairs("diffusers"), "text_encoder.a": torch.ones(1)}, here / "dog.safetensors")
    return "dog.safetensors"


def test_a_subject_is_worn_with_a_motion(run: Run, learned: str, dog: str, here: Path) -> None:
    ran = run("generate", *FAST, "-m", learned, "--subject", f"{dog}:0.5", "--out", "a.webp", "--json")
    assert ran.rc == 0, ran.stderr
    told = parsed(ran)
    assert told["subjects"] == "dog.safetensors:0.5"
    (warning,) = told["warnings"]
    assert "3 layers are used, 1 keys are not: text_encoder.a" in warning
    for name, arguments in (("none", ()), ("zero", ("--subject", f"{dog}:0")), ("much", ("--subject", dog))):
        made = run("generate", *FAST, "-m", learned, "--out", f"{name}.webp", *arguments)
        assert made.rc == 0, made.stderr
    from PIL import Image

    none, zero, much = (Image.open(here / f"{name}.webp").tobytes() for name in ("none", "zero", "much"))
    assert none == zero
    assert none != much


def test_a_dry_run_names_subjects_and_what_is_used_of_their_files(run: Run, tiny: str, dog: str) -> None:
    save_file(pairs("diffusers"), "whole.safetensors")
    subjects = ("--subject", f"{dog}:0.5", "--subject", "whole.safetensors")
    ran = run("generate", *FAST, "--backbone", tiny, *subjects, "--dry-run")
    assert ran.rc == 0, ran.stderr
    named = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("subject:")]
    assert named == ["dog.safetensors:0.5", "whole.safetensors:1"]
    assert "dog.safetensors: 3 layers are used, 1 keys are not: text_encoder.a" in ran.stderr
    assert "whole.safetensors: 3 layers are used, and every key." in ran.stderr
    told = run("generate", *FAST, "--backbone", tiny, *subjects, "--dry-run", "--json")
    assert parsed(told)["subjects"] == "dog.safetensors:0.5 whole.safetensors:1"
    assert len(parsed(told)["warnings"]) == 1
    quiet = run(
        "generate", *FAST, "--backbone", tiny, "--subject", "whole.safetensors", "--dry-run", "--quiet"
    )
    assert quiet.stderr == ""


def test_a_file_of_which_all_is_used_is_told_too(run: Run, tiny: str) -> None:
    save_file(pairs("diffusers"), "whole.safetensors")
    ran = run("generate", *FAST, "--backbone", tiny, "--subject", "whole.safetensors")
    assert ran.rc == 0, ran.stderr
    assert "whole.safetensors: 3 layers are used, and every key." in ran.stderr


@pytest.mark.parametrize(
    ("subject", "rc", "said"),
    [
        ("cat.safetensors", 5, "no file"),
        ("dog", 5, "no subject dog"),
        ("word.safetensors", 2, "does not say <cat>"),
        ("word.safetensors:0.5", 2, "no strength"),
        ("wide.safetensors", 7, "24 numbers, not 16"),
        ("dog.safetensors:much", 2, "no subject"),
        ("dog.safetensors:nan", 2, "no subject"),
        ("other.safetensors", 7, "Nothing in other.safetensors"),
        ("empty.safetensors", 4, "empty.safetensors"),
    ],
)
def test_a_wrong_subject_costs_no_model(
    *, subject: str, rc: int, said: str, run: Run, tiny: str, dog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(backbones, "load", load)
    factors = {"unet.a.lora_A.weight": torch.ones(2, 4), "unet.a.lora_B.weight": torch.ones(4, 2)}
    save_file(factors, "other.safetensors")
    Path("empty.safetensors").write_bytes(b"")
    save_file({"<cat>": torch.ones(1, 16)}, "word.safetensors")
    save_file({"<cat>": torch.ones(1, 24)}, "wide.safetensors")
    ran = run("generate", *FAST, "--backbone", tiny, "--subject", subject)
    assert ran.rc == rc, ran.stderr
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_model_of_ones_own_that_is_cut_off_is_one_sentence(
    run: Run, tiny_folder: Path, dog: str, tmp_path: Path
) -> None:
    shutil.copytree(tiny_folder, tmp_path / "cut")
    weights = next((tmp_path / "cut" / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    ran = run("generate", *FAST, "--backbone", tmp_path / "cut", "--subject", dog)
    assert ran.rc == 7, ran.stderr
    assert weights.name in ran.stderr


def test_words_from_elsewhere_are_said_in_the_prompt(run: Run, tiny: str, here: Path) -> None:
    save_file({"<cat>": torch.ones(2, 16)}, here / "any.safetensors")
    save_file({"emb_params": torch.zeros(2, 16)}, here / "fluffy.safetensors")
    files = ("--subject", "any.safetensors", "--subject", "fluffy.safetensors")
    ran = run("generate", "a fluffy <cat>", "--backbone", tiny, *FAST[1:], *files, "--json")
    assert ran.rc == 0, ran.stderr
    assert parsed(ran)["subjects"] == "any.safetensors fluffy.safetensors"
