"""vmc as a shell runs it: it starts light, survives any end of a pipe, and stops when told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import vmc_cli
from registry.store import Store
from tests.conftest import ROOT, Ran, command

HEAVY = {"torch", "numpy", "diffusers", "transformers", "peft", "safetensors", "av", "PIL"}


def test_the_version_is_printed(vmc: Callable[..., Ran]) -> None:
    assert vmc("--version") == Ran(0, f"vmc {vmc_cli.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "rc", "modules"),
    [
        (["--help"], 0, 250),
        (["--version"], 0, 250),
        (["list"], 0, 380),
        (["learn", "--help"], 0, 380),
        (["learn", "missing.mp4", "--prompt", "a cat is running"], 5, 380),
        (["generate", "a cat", "--motion", "missing"], 5, 380),
    ],
)
def test_a_light_start_loads_few_modules_and_none_of_the_heavy(
    arguments: list[str], rc: int, modules: int, vmc: Callable[..., Ran]
) -> None:
    ran = vmc(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if "import time" in line}
    assert ran.rc == rc
    assert "vmc_cli.app" in loaded
    assert not loaded & HEAVY
    assert len(loaded) <= modules


def test_completion_knows_commands_and_motions(vmc: Callable[..., Ran], store: Store) -> None:
    from tests import specimens

    specimens.save(store, "seagull_walk")
    for typed, expected in (
        ("vmc re", "reverse"),
        ("vmc show sea", "seagull_walk"),
        ("vmc generate x -m s", "seagull_walk"),
    ):
        asked = {
            "_VMC_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(typed.split()) - 1),
        }
        ran = vmc(env=asked)
        assert expected in ran.stdout.split(), typed
        assert ran.rc == 0


@pytest.fixture
def many(store: Store) -> Store:
    """More names than a pipe holds."""
    from tests import specimens

    specimens.save(store, "a_motion_with_a_long_name_0000")
    data = store.path("a_motion_with_a_long_name_0000").read_bytes()
    for number in range(1, 300):
        (store.root / f"a_motion_with_a_long_name_{number:04}{'x' * 30}.safetensors").write_bytes(data)
    return store


@pytest.mark.skipif(sys.platform == "win32", reason="a shell")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("line", "rc", "said"),
    [
        ("list --json | head -c 1; exit ${PIPESTATUS[0]}", 141, ""),
        ("list | head -1; exit ${PIPESTATUS[0]}", (0, 141), ""),
        ("list >&-", 0, ""),
        ("list >&- 2>&- <&-", 0, ""),
        ("show missing 2>&-", 5, ""),
        ("list >/dev/full", 8, "error: "),
        ("show missing 2>/dev/full", 5, ""),
        ("--help >/dev/full", 8, "error: "),
    ],
)
def test_any_end_of_a_pipe_is_survived(
    *,
    line: str,
    rc: int | tuple[int, ...],
    said: str,
    unbuffered: str,
    many: Store,
    environment: dict[str, str],
) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = subprocess.run(
        ["bash", "-c", f'"$@" {line}', "bash", *command()],
        env=environment | {"PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (rc if isinstance(rc, tuple) else (rc,)), done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.stderr.count("\n") <= 1
    assert done.stderr.startswith(said)


@pytest.mark.parametrize(
    "settings",
    [
        {"TERM": "dumb", "CI": "1"},
        {"TERM": "", "NO_COLOR": "1"},
        {"FORCE_COLOR": "1", "COLUMNS": "1"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "HOME": ""},
        {"PYTHONIOENCODING": "cp1252", "PYTHONUNBUFFERED": "1"},
    ],
)
def test_data_is_the_same_in_any_environment(
    settings: dict[str, str], vmc: Callable[..., Ran], store: Store
) -> None:
    from tests import specimens

    with store.writing("gull") as slot:
        slot.publish(specimens.card(prompt_used="日本 🦆 [red]"), specimens.tensors())
    assert json.loads(vmc("list", "--json", env=settings).stdout)[0]["prompt_used"] == "日本 🦆 [red]"
    shown = vmc("show", "gull", env=settings)
    assert (shown.rc, shown.stderr) == (0, "")
    assert "\x1b" not in shown.stdout


DRIVER = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.vmc_cli.conftest import tiny_spec
from vmc_cli import app, backbones
spec = replace(tiny_spec(Path(sys.argv[1])), recipes={"vmc": {"inversion_steps": 1}})
backbones.BACKBONES = {"tiny": spec}
raise SystemExit(app.main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_terminated_run_stores_nothing_and_can_be_resumed(
    tiny_folder: Path, environment: dict[str, str], home: Path, tmp_path: Path, store: Store
) -> None:
    from tests.vmc_cli.commands.conftest import draw

    arguments = [str(draw(tmp_path / "clip")), "--prompt", "a gull is walking", "--backbone", "tiny"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            DRIVER,
            str(tiny_folder),
            "learn",
            *arguments,
            "--steps",
            "100000",
            "--checkpoint-every",
            "1",
        ],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        states = home / "checkpoints" / "gull_walk"
        for _ in range(1200):
            if list(states.glob("*.safetensors")) or process.poll() is not None:
                break
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143, err
    assert out == ""
    assert err.splitlines()[-1].startswith("error: Stopped; nothing half-written was kept.")
    assert "--resume" in err
    assert store.entries() == []
    assert list(states.glob("*.safetensors"))
