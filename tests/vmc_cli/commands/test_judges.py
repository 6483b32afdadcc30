"""--clip-model and --copy-model by a name on the hub: fetched once, only what is needed, then offline."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.hubs import Hub, serving
from tests.vmc_cli.commands.conftest import Run, parsed
from tests.vmc_cli.conftest import write_tiny_clip
from vmc_cli import backbones
from vmc_cli.backbones import cache, pulling
from vmc_cli.errors import NetworkError
from vmc_cli.evaluation import judges

NAME = "someone/clip-tiny"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_tiny_clip(folder)
    return folder


@pytest.fixture
def hub(tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a CLIP model beside what such repositories hold as well."""
    folder = tmp_path / "repository"
    shutil.copytree(tiny_clip, folder)
    useless = (
        "README.md",
        "pytorch_model.bin",
        "flax_model.msgpack",
        "modeling_clip.py",
        "eval_results.json",
    )
    for name in useless:
        (folder / name).write_bytes(b"of no use")
    with serving(folder) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("VMC_CLIP_MODEL", raising=False)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(pulling.time, "sleep", lambda seconds: None)
        yield hub


@pytest.fixture
def place(run: Run) -> Path:
    """Where the files go."""
    return cache.folder(judges.origin(NAME))


@contextmanager
def no_sockets() -> Iterator[None]:
    """Fail where one is opened inside."""
    seen: list[str] = []
    watching = True

    def hook(event: str, arguments: object) -> None:  # it stays for good, so it must end by itself
        if watching and event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
            seen.append(f"{event} {arguments}")

    sys.addaudithook(hook)
    yield
    watching = False
    assert seen == []


def fetched(place: Path) -> set[str]:
    return {path.name for path in place.rglob("*")}


def test_a_name_is_fetched_once_and_only_what_is_needed_of_it(
    *, run: Run, hub: Hub, tiny_clip: Path, learned: str, clip: Path, place: Path
) -> None:
    wish = ("evaluate", clip, "--motion", learned, "--prompt", "a cat", "--json", "--clip-model")
    by_name = parsed(run(*wish, NAME))
    assert by_name["clip_model"] == NAME
    assert fetched(place) == {path.name for path in tiny_clip.iterdir()}
    with no_sockets():
        again, by_folder = parsed(run(*wish, NAME)), parsed(run(*wish, tiny_clip))
    for key in ("text_alignment", "appearance_score", "frame_consistency", "copy_score"):
        assert by_name[key] == again[key] == by_folder[key]


def test_an_existing_folder_goes_before_the_hub(
    *, run: Run, hub: Hub, tiny_clip: Path, learned: str, clip: Path, here: Path
) -> None:
    shutil.copytree(tiny_clip, here / NAME)
    assert run("evaluate", clip, "--motion", learned, "--clip-model", NAME).rc == 0
    assert hub.asked == []


def to_pickles(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def to_bert(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))


def to_parts(folder: Path) -> None:
    (folder / "unet").mkdir()
    for path in folder.glob("*.*"):
        path.rename(folder / "unet" / path.name)


@pytest.mark.parametrize(
    ("change", "rc", "said"),
    [
        (
            to_pickles,
            7,
            f"only pickles, at its revision {'a' * 12}; another may have them. "
            f"Fetch and convert these once: vmc backbones convert {NAME}",
        ),
        (to_bert, 7, f"{NAME} does not hold a CLIP model: it is of the kind bert"),
        (to_parts, 7, f"{NAME} has no files that can be used"),
    ],
)
def test_what_is_no_clip_model_is_told_before_its_weights_are_fetched(
    *,
    change: Callable[[Path], None],
    rc: int,
    said: str,
    run: Run,
    hub: Hub,
    learned: str,
    clip: Path,
    place: Path,
) -> None:
    change(hub.folder)
    ran = run("evaluate", clip, "--motion", learned, "--clip-model", NAME)
    assert (ran.rc, ran.stdout) == (rc, "")
    [error] = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert said in error
    assert not any("model" in path and "json" not in path for path, _ in hub.asked if "/resolve/" in path)
    assert fetched(place) == set()


def test_a_copy_model_of_the_hub_is_looked_at_before_its_weights_are_fetched(
    run: Run, hub: Hub, learned: str, clip: Path
) -> None:
    ran = run("evaluate", clip, "--motion", learned, "--copy-model", NAME)
    assert ran.rc == 7
    assert (
        f"{NAME} holds a CLIP model, which is no copy-detection model. Give it as --clip-model." in ran.stderr
    )
    assert not any(path.endswith(WEIGHTS) for path, _ in hub.asked)


def test_a_name_that_nobody_knows_is_not_found(
    run: Run, hub: Hub, learned: str, clip: Path, place: Path
) -> None:
    hub.known = {"someone/else"}
    ran = run("evaluate", clip, "--motion", learned, "--clip-model", NAME)
    assert ran.rc == 5
    assert f"neither a folder {NAME} nor, at {hub.url}, a model of that name" in ran.stderr
    assert not place.parent.exists() or list(place.parent.iterdir()) == []


@pytest.mark.parametrize("text", ["nowhere", "../clip/model", "a/b/c", "/clip/model", "a--b/c", "cat.webp"])
def test_what_is_neither_a_folder_nor_a_name_asks_nobody(
    *, text: str, run: Run, hub: Hub, known: str, clip: Path, here: Path
) -> None:
    (here / "cat.webp").write_bytes(b"")
    ran = run("evaluate", clip, "--motion", known, "--clip-model", text)
    assert ran.rc == 5
    assert f"There is no folder {text}. Check the path, or name a model on the hub" in ran.stderr
    assert hub.asked == []


def test_without_a_network_it_says_so(
    *, run: Run, hub: Hub, learned: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = ("evaluate", clip, "--motion", learned, "--clip-model", NAME)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    ran = run(*wish)
    assert ran.rc == 10
    assert f"{NAME} is no folder, and was not fetched yet: http://127.0.0.1:9 cannot be reached" in ran.stderr
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ran = run(*wish)
    assert ran.rc == 10
    assert "HF_HUB_OFFLINE" in ran.stderr
    assert hub.asked == []


def test_an_interrupted_fetch_goes_on_and_wrong_bytes_are_not_used(
    run: Run, hub: Hub, tiny_clip: Path, place: Path
) -> None:
    hub.fault = "wrong"
    with pytest.raises(NetworkError, match="sends something else"):
        judges.found(NAME, judges.require_clip)
    assert not fetched(place) & {path.name for path in tiny_clip.iterdir()}
    hub.fault, hub.times = "dropped", 2
    assert judges.found(NAME, judges.require_clip) == place
    assert (place / WEIGHTS).read_bytes() == (tiny_clip / WEIGHTS).read_bytes()


def test_pickles_can_be_converted_by_name_and_all_be_removed(
    run: Run, hub: Hub, tiny_clip: Path, place: Path
) -> None:
    weights = load_file(tiny_clip / WEIGHTS)
    to_pickles(hub.folder)
    torch.save(weights, hub.folder / "pytorch_model.bin")
    ran = run("backbones", "convert", NAME)
    assert (ran.rc, ran.stdout) == (0, f"{place / WEIGHTS}\n"), ran.stderr
    assert judges.found(NAME, judges.require_clip) == place
    converted = load_file(place / WEIGHTS)
    assert all(torch.equal(converted[name], value) for name, value in weights.items())
    freed = parsed(run("backbones", "remove", NAME, "--json"))["freed"]
    assert freed > (tiny_clip / WEIGHTS).stat().st_size
    assert fetched(place) == set()


def test_a_judge_of_the_hub_is_looked_at_after_the_clip_and_before_the_model(
    *, run: Run, hub: Hub, tiny: str, clip: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_bert(hub.folder)
    (here / "broken.mp4").write_bytes(b"no video")
    monkeypatch.setattr(backbones, "load", lambda spec: pytest.fail("the model is loaded"))
    token = ("--method", "token", "--token", "V*", "--prompt", "a person doing the V*", "--early-stop")
    wish = ("--backbone", tiny, *token, "--clip-model", NAME)
    assert run("learn", here / "broken.mp4", *wish).rc == 3
    assert run("learn", clip, *wish, "--dry-run").rc == 0
    assert hub.asked == []
    ran = run("learn", clip, *wish)
    assert ran.rc == 7
    assert "is of the kind bert" in ran.stderr
