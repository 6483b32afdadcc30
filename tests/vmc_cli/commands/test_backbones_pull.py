"""vmc backbones pull, against a hub on this machine with the faults of real ones."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hubs import Hub, serving
from tests.vmc_cli.commands.conftest import Run, parsed
from vmc_cli import backbones
from vmc_cli.backbones import cache, pulling
from vmc_cli.backbones.rows import ADAPTERS
from vmc_cli.errors import NetworkError

ROW = "modelscope"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
SIZE = 2_500_000  # bytes of WEIGHTS: they come in several chunks
FILES = {
    *(f"{part}/config.json" for part in ("unet", "vae", "text_encoder")),
    *(WEIGHTS, "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"),
    *("scheduler/scheduler_config.json", "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"),
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What the hub has: files with the names of a model's, and what is of no use."""
    folder = tmp_path / "repository"
    useless = ("README.md", "unet/diffusion_pytorch_model.bin", "unet/x.non_ema.safetensors", "unet/run.py")
    for name in (*FILES, *useless):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(name).randbytes(SIZE if name == WEIGHTS else 999))
    return folder


@pytest.fixture
def hub(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(repository) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(pulling.time, "sleep", lambda seconds: None)
        yield hub


@pytest.fixture
def folder(run: Run) -> Path:
    """Where the files go."""
    return cache.folder(backbones.BACKBONES[ROW].origins[0])


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def same(folder: Path, hub: Hub) -> bool:
    return all((folder / name).read_bytes() == (hub.folder / name).read_bytes() for name in FILES)


def test_exactly_what_is_used_is_fetched_and_written_down(run: Run, hub: Hub, folder: Path) -> None:
    before = parsed(run("backbones", "show", ROW, "--json"))
    assert (before["ready"], before["bytes"]) == (False, 0)
    ran = run("backbones", "pull", ROW)
    assert (ran.rc, ran.stdout) == (0, f"{ROW}\n")
    assert "MB" in ran.stderr
    assert files_in(folder) == FILES
    assert same(folder, hub)
    known = json.loads(cache.record_path(backbones.BACKBONES[ROW].origins[0]).read_text())
    assert known["commit"] == backbones.BACKBONES[ROW].origins[0].revision
    assert all(len(file["sha256"]) == 64 for file in known["files"].values())
    after = parsed(run("backbones", "show", ROW, "--json"))
    assert after["ready"]
    assert after["bytes"] == sum((folder / name).stat().st_size for name in FILES)


def test_what_is_here_is_not_fetched_again(run: Run, hub: Hub) -> None:
    assert run("backbones", "pull", ROW).rc == 0
    hub.asked.clear()
    assert run("backbones", "pull", ROW, "-q").stderr == ""
    assert hub.asked == []


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("fault", ["dropped", "short"])
def test_a_connection_that_drops_is_taken_up_where_it_broke(
    fault: str, ranges: bool, run: Run, hub: Hub, folder: Path
) -> None:
    hub.fault, hub.times, hub.ranges = fault, 4 if ranges else 2, ranges
    ran = run("backbones", "pull", ROW)
    assert ran.rc == 0, ran.stderr
    assert same(folder, hub)
    assert any(span for _, span in hub.asked)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("wrong", "sends something else for"),
        ("busy", "answers 429"),
        ("patient", "asks to wait for 600 s"),
        ("failing", "answers 503"),
        ("missing", "answers 404"),
        ("hanging", "has been silent for 1 s"),
        ("html", "does not answer as a model hub does"),
    ],
)
def test_a_fault_that_stays_is_one_sentence_and_leaves_nothing_wrong(
    fault: str, sentence: str, run: Run, hub: Hub, folder: Path
) -> None:
    hub.fault = fault
    ran = run("backbones", "pull", ROW)
    assert ran.rc == 10
    assert ran.stdout == ""
    [error] = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert sentence in error
    assert not files_in(folder) & FILES
    assert not parsed(run("backbones", "show", ROW, "--json"))["ready"]
    hub.fault = ""
    assert run("backbones", "pull", ROW).rc == 0
    assert same(folder, hub)


@pytest.mark.parametrize("fault", ["wrong", "busy", "failing"])
def test_a_fault_that_passes_is_not_noticed(fault: str, run: Run, hub: Hub, folder: Path) -> None:
    hub.fault, hub.times = fault, 1
    assert run("backbones", "pull", ROW).rc == 0
    assert same(folder, hub)


def test_what_an_interrupted_pull_fetched_is_kept(run: Run, hub: Hub, folder: Path) -> None:
    assert run("backbones", "pull", ROW).rc == 0
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).unlink()
    (folder / f"{WEIGHTS}.part").write_bytes(whole[:1000])
    hub.asked.clear()
    assert run("backbones", "pull", ROW).rc == 0
    assert [span for _, span in hub.asked] == ["bytes=1000-"]
    assert same(folder, hub)


@pytest.mark.parametrize("damage", [b"", b"x" * 1000, b"x" * (SIZE + 1)], ids=["empty", "other", "longer"])
def test_a_damaged_part_of_a_file_is_not_built_upon(damage: bytes, run: Run, hub: Hub, folder: Path) -> None:
    assert run("backbones", "pull", ROW).rc == 0
    (folder / WEIGHTS).unlink()
    (folder / f"{WEIGHTS}.part").write_bytes(damage)
    assert run("backbones", "pull", ROW).rc == 0
    assert same(folder, hub)
    assert files_in(folder) == FILES


def test_a_file_that_was_changed_here_is_seen_and_fetched_again(run: Run, hub: Hub, folder: Path) -> None:
    assert run("backbones", "pull", ROW).rc == 0
    changed = bytearray((folder / WEIGHTS).read_bytes())
    changed[-1] ^= 1
    (folder / WEIGHTS).write_bytes(changed)
    ran = run("backbones", "pull", ROW)
    assert ran.rc == 0
    assert "was changed" in ran.stderr
    assert same(folder, hub)


def test_what_was_written_down_at_the_first_pull_counts_afterwards(run: Run, hub: Hub, folder: Path) -> None:
    assert run("backbones", "pull", ROW).rc == 0
    assert run("backbones", "remove", ROW).rc == 0
    assert files_in(folder) == set()
    other = bytearray((hub.folder / WEIGHTS).read_bytes())
    other[-1] ^= 1
    (hub.folder / WEIGHTS).write_bytes(other)  # and the hub's list says so too
    ran = run("backbones", "pull", ROW)
    assert ran.rc == 10
    assert "something else" in ran.stderr


def test_a_hash_that_is_known_beforehand_is_held_against_the_hub(hub: Hub, here: Path) -> None:
    from vmc_cli.backbones import hub as asking

    shutil.copy(hub.folder / WEIGHTS, hub.folder / "diffusion_pytorch_model.fp16.safetensors")
    shutil.copy(hub.folder / "unet" / "config.json", hub.folder / "config.json")
    with pytest.raises(NetworkError, match="is not the published file"):
        asking.resolve(ADAPTERS["v1-5-2"])
    found = asking.resolve(ADAPTERS["v1-5-3"])
    assert set(found.files) == {"config.json", "diffusion_pytorch_model.fp16.safetensors"}


def test_half_precision_is_fetched_where_there_is_any(run: Run, hub: Hub, folder: Path) -> None:
    half = "unet/diffusion_pytorch_model.fp16.safetensors"
    shutil.copy(hub.folder / WEIGHTS, hub.folder / half)
    assert run("backbones", "pull", ROW).rc == 0
    assert files_in(folder) == FILES - {WEIGHTS} | {half}


def test_a_repository_of_pickles_is_refused(run: Run, hub: Hub) -> None:
    (hub.folder / WEIGHTS).unlink()
    ran = run("backbones", "pull", ROW)
    assert ran.rc == 7
    assert "no weights in safetensors for unet" in ran.stderr


def test_without_room_nothing_is_fetched(
    run: Run, hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry import disk

    monkeypatch.setattr(disk, "_free", lambda folder: 1000)
    ran = run("backbones", "pull", ROW)
    assert ran.rc == 8
    assert "1,000 bytes free" in ran.stderr
    assert files_in(folder) == set()


def test_without_a_network_it_says_so_at_once(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    ran = run("backbones", "pull", ROW)
    assert ran.rc == 10
    assert "cannot be reached" in ran.stderr
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ran = run("backbones", "pull", ROW)
    assert ran.rc == 10
    assert "HF_HUB_OFFLINE" in ran.stderr
    assert hub.asked == []


def test_a_model_that_was_not_fetched_says_how_to(run: Run) -> None:
    ran = run("generate", "a cat", "--backbone", ROW)
    assert ran.rc == 5
    assert f"vmc backbones pull {ROW}" in ran.stderr


def test_removing_leaves_what_others_need(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    spec = backbones.BACKBONES[ROW]
    rows = {**backbones.BACKBONES, "other": replace(spec, name="other")}
    monkeypatch.setattr(backbones, "BACKBONES", rows)
    assert run("backbones", "pull", ROW).rc == 0
    assert parsed(run("backbones", "remove", ROW, "--json"))["freed"] == 0
    assert backbones.is_ready(spec)
    assert run("backbones", "remove", "sprites").rc == 2
