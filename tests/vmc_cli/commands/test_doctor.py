"""vmc doctor says what works and what does not, and never falls over what is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vmc_cli.commands.conftest import Run, parsed
from vmc_cli.health import machine

BROKEN = {
    "fails": "raise ImportError('libcuda\\x1b[31m is gone')",
    "exits": "raise SystemExit('no')",
    "dies": "import os; os.abort()",
    "hangs": "import time; time.sleep(60)",
    "talks": "print('{\"probe\"'); raise OSError('no')",
}


def test_here_all_is_well(run: Run) -> None:
    ran = run("doctor")
    assert (ran.rc, "error" in ran.stderr) == (0, False), ran.stdout
    found = dict(line.split(":", 1) for line in ran.stdout.splitlines())
    assert {"vmc", "torch", "device", "attention", "videos", "motions", "backbone sprites"} <= found.keys()
    assert "all libraries can be loaded together" in found["loading"]
    assert "GiB free" in found["device"]


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_library_is_a_finding_and_the_rest_stands(
    fault: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text(BROKEN[fault])
    monkeypatch.syspath_prepend(tmp_path / "broken")
    monkeypatch.setattr(machine, "SECONDS", 2)
    monkeypatch.setattr(machine, "PROBES", ("videos", "device"))
    ran = run("doctor", "--json")
    found = {check["name"]: check for check in parsed(ran)["checks"]}
    assert ran.rc == 7
    assert (parsed(ran)["ok"], bool(found["device"]["problem"])) == (False, True)
    assert found["videos"]["facts"]["x264"]
    assert found["backbone sprites"]["facts"]["ready"]
    told = run("doctor")
    assert "WRONG" in told.stdout
    assert "\x1b" not in told.stdout + told.stderr
    assert told.stderr.splitlines()[-1].startswith("error: Something is wrong with device.")


def test_the_exit_code_is_that_of_the_first_thing_that_is_wrong(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "PROBES", ())
    (tmp_path / "home" / "motions").mkdir(parents=True)
    (tmp_path / "home" / "motions" / "broken.safetensors").write_bytes(b"\x1b[31m")
    ran = run("doctor")
    assert ran.rc == 4
    assert "motion broken" in ran.stderr


def test_an_old_or_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"torch": "2.9.1+cu130", "numpy": "10.0"}

    def version(name: str) -> str:
        if name not in here:
            raise machine.metadata.PackageNotFoundError(name)
        return here[name]

    wanted = ["torch>=2.10", "numpy>=9.1", "gone>=1", "xformers>=0.1; platform_system == 'Linux'"]
    monkeypatch.setattr(machine.metadata, "requires", lambda _: wanted)
    monkeypatch.setattr(machine.metadata, "version", version)
    found = {finding.name: finding for finding in machine.libraries()}
    assert found.keys() == {"torch", "numpy", "gone"}
    assert (found["torch"].problem, found["torch"].code) == ("it is older than 2.10", 7)
    assert (found["gone"].problem, found["numpy"].problem) == ("it is not installed", "")
