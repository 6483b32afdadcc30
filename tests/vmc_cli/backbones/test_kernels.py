"""xformers is loaded for CUDA alone, whoever else would like to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FAMILIES = "import vmc_cli.motions, vmc_cli.backbones.unet3d, vmc_cli.backbones.animatediff\n"
ASKED = "from vmc_cli.backbones import kernels\nprint(kernels.xformers().answer)\n"


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment with an xformers that tells when it is imported."""
    package = tmp_path / "site" / "xformers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("print('xformers is here')\n")
    (package / "ops.py").write_text("answer = 42\n")
    described = tmp_path / "site" / "xformers-0.0.40.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: xformers\nVersion: 0.0.40\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}


def said(code: str, environment: dict[str, str]) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return (ran.stdout + ran.stderr).splitlines()


def test_no_library_imports_xformers_with_the_models(installed: dict[str, str]) -> None:
    assert "xformers is here" in said("import diffusers.models.attention_processor", installed)
    assert said(FAMILIES, installed) == []


def test_it_is_imported_when_it_is_asked_for_before_and_after_the_models(installed: dict[str, str]) -> None:
    assert said(ASKED, installed) == ["xformers is here", "42"]
    assert said(FAMILIES + ASKED, installed) == ["xformers is here", "42"]


def test_one_that_fails_stays_hidden(installed: dict[str, str]) -> None:
    site = Path(installed["PYTHONPATH"].split(os.pathsep)[0])
    (site / "xformers" / "ops.py").write_text("raise OSError('built for another PyTorch')\n")
    tried = "from vmc_cli.backbones import kernels\ntry:\n kernels.xformers()\nexcept OSError: print('no')\n"
    assert said(tried + FAMILIES, installed) == ["xformers is here", "no"]
