"""The command line keeps its contract: exit codes, one line for an error, a next step, data apart."""

from __future__ import annotations

import errno
import json
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import errors as registry_errors
from registry.store import Store
from tests.conftest import Ran
from vmc_cli import app, errors

CODES = {
    (errors.VmcError, 1, "internal"),
    (errors.UsageError, 2, "usage"),
    (registry_errors.BadName, 2, "usage"),
    (errors.ClipError, 3, "clip"),
    (registry_errors.Damaged, 4, "damaged"),
    (errors.NotFoundError, 5, "not-found"),
    (registry_errors.NotFound, 5, "not-found"),
    (errors.ExistsError, 6, "exists"),
    (registry_errors.Exists, 6, "exists"),
    (registry_errors.Busy, 6, "exists"),
    (errors.IncompatibleError, 7, "incompatible"),
    (registry_errors.Incompatible, 7, "incompatible"),
    (errors.DiskError, 8, "disk"),
    (registry_errors.DiskError, 8, "disk"),
    (errors.OutOfMemory, 9, "memory"),
    (errors.NetworkError, 10, "network"),
    (errors.Diverged, 11, "diverged"),
}


@pytest.fixture
def failing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run `vmc list` in this process on a store that fails in the given way."""
    monkeypatch.setenv("VMC_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VMC_DEBUG", raising=False)

    def run(error: BaseException, *arguments: str) -> Ran:
        def fail(_: Store) -> None:
            raise error

        monkeypatch.setattr(Store, "entries", fail)
        rc = app.main(["list", *arguments])
        return Ran(rc, *capfd.readouterr())

    return run


@pytest.mark.parametrize(("kind", "code", "word"), sorted(CODES, key=lambda row: (row[1], row[0].__name__)))
def test_each_failure_has_its_exit_code_one_line_and_json(
    kind: type[Exception], code: int, word: str, failing: Callable[..., Ran]
) -> None:
    error = kind("The thing went wrong", "Do the other thing.")  # type: ignore[call-arg]
    assert failing(error) == Ran(code, "", "error: The thing went wrong. Do the other thing.\n")
    told = failing(error, "--json")
    assert (told.rc, told.stdout) == (code, "")
    assert json.loads(told.stderr) == {
        "code": code,
        "kind": word,
        "message": "The thing went wrong",
        "hint": "Do the other thing.",
    }


def test_every_error_class_is_in_the_table() -> None:
    found = set()
    for module, base in ((errors, errors.VmcError), (registry_errors, registry_errors.RegistryError)):
        found |= {each for each in vars(module).values() if isinstance(each, type) and issubclass(each, base)}
    without = {registry_errors.RegistryError, errors.Partly}  # Partly has the code of what failed
    assert found - without == {kind for kind, _, _ in CODES}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (errors.Stopped(signal.SIGINT), 130),
        (errors.Stopped(signal.SIGTERM), 143),
        (errors.Stopped(1), 129),
        (MemoryError(), 9),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 9),
        (OSError(errno.ENOSPC, "No space left on device", "/motions/x"), 8),
        (PermissionError(errno.EACCES, "Permission denied", "/motions/x"), 8),
    ],
)
def test_what_the_system_raises_has_its_exit_code_too(
    error: BaseException, code: int, failing: Callable[..., Ran]
) -> None:
    ran = failing(error)
    assert ran.rc == code
    assert ran.stderr.startswith("error: ")
    assert ran.stderr.count("\n") == 1


def test_a_bug_is_one_line_and_a_private_log_without_secrets(
    failing: Callable[..., Ran], tmp_path: Path
) -> None:
    token = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWx"
    header = "Authorization: Bearer abc.def"
    ran = failing(ValueError(f"first\nsecond \x1b[31m {token} {header}"))
    assert ran.rc == 1
    assert ran.stderr.count("\n") == 1
    assert "Traceback" not in ran.stderr
    [log] = (tmp_path / "home" / "crashes").iterdir()
    assert str(log) in ran.stderr
    written = log.read_text()
    assert "Traceback" in written
    assert "ValueError" in written
    for secret in (token, "abc.def"):
        assert secret not in ran.stderr + written
    if sys.platform != "win32":
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_bug_is_told_where_no_log_can_be_written(failing: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    ran = failing(ValueError("odd"))
    assert ran.rc == 1
    assert "ValueError: odd" in ran.stderr
    assert "Please report it; VMC_DEBUG=1" in ran.stderr


def test_a_traceback_is_for_those_who_ask(
    failing: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMC_DEBUG", "1")
    ran = failing(ValueError("odd\x1b[31m"))
    assert "Traceback" in ran.stderr
    assert "\x1b" not in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lern"], "Did you mean vmc learn?"),
        (["nonsense"], "vmc --help"),
        (["--nonsense"], "vmc --help"),
        (["list", "--nonsense"], "vmc list --help"),
        (["learn"], "vmc learn --help"),
        (["learn", "x.mp4"], "--prompt"),
        (["learn", "x.mp4", "--prompt", "a", "--steps", "many"], "--steps"),
        (["learn", "-dash.mp4", "--prompt", "a"], "./-dash.mp4"),
        (["show"], "vmc show --help"),
        (["rename", "one"], "vmc rename --help"),
        (["backbones", "nonsense"], "vmc backbones --help"),
    ],
)
def test_a_slip_is_told_in_one_line_with_the_next_step(
    *,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.mp4").touch()
    assert app.main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert said in err
    assert app.main([*arguments, "--json"]) == 2
    assert json.loads(capfd.readouterr().err)["kind"] == "usage"


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_table_tells_of_each_command_what_its_help_says(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert app.main([name, "--help"]) == 0
    out, err = capfd.readouterr()
    assert app.COMMANDS[name] in out.splitlines()[2]
    assert err == ""


@pytest.mark.parametrize("width", ["1", "20", "200"])
def test_help_fits_any_terminal(width: str, on_terminal: Callable[..., Ran]) -> None:
    ran = on_terminal("--help", width=int(width))
    assert ran.rc == 0
    assert all(name in ran.stdout for name in app.COMMANDS)


def test_no_arguments_mean_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert app.main([]) == 0
    assert capfd.readouterr().out.startswith("Usage: vmc")
