"""Clips of a folder with their captions, or one sentence."""

from __future__ import annotations

import json

import pytest

from vmc_cli import captions
from vmc_cli.errors import NotFoundError, UsageError, VmcError


def test_file_names_are_captions(tmp_path):
    for name in ("a_dog_is_running_2.mp4", "a cat-is jumping.gif", ".hidden.mp4"):
        (tmp_path / name).write_bytes(b"")
    assert captions.read(tmp_path) == [
        (tmp_path / "a cat-is jumping.gif", "a cat is jumping"),
        (tmp_path / "a_dog_is_running_2.mp4", "a dog is running"),
    ]


def test_captions_json_wins_and_says_which_files_count(tmp_path):
    for name in ("1.mp4", "2.mp4"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "captions.json").write_text(json.dumps({"2.mp4": " a dog  is running "}))
    assert captions.read(tmp_path) == [(tmp_path / "2.mp4", "a dog is running")]


@pytest.mark.parametrize(
    ("files", "told", "kind", "said"),
    [
        ([], None, UsageError, "no clips"),
        (["1.mp4"], None, UsageError, "1.mp4 has no caption"),
        (["1.mp4"], '{"1.mp4": " "}', UsageError, "1.mp4 has no caption"),
        (["1.mp4"], "{}", UsageError, "no clips"),
        (["1.mp4"], '{"1.mp4": 3}', UsageError, "does not map"),
        (["1.mp4"], '["1.mp4"]', UsageError, "does not map"),
        (["1.mp4"], "{", UsageError, "does not map"),
        (["1.mp4"], "[" * 100_000, UsageError, "does not map"),
        (["1.mp4"], '{"../1.mp4": "a dog"}', NotFoundError, "not beside it"),
        (["1.mp4"], '{"3.mp4": "a dog"}', NotFoundError, "3.mp4"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, files, told, kind, said):
    for name in files:
        (tmp_path / name).write_bytes(b"")
    if told is not None:
        (tmp_path / "captions.json").write_text(told)
    with pytest.raises(kind, match=said) as caught:
        captions.read(tmp_path)
    assert "\n" not in caught.value.message


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(NotFoundError, match="no folder"):
        captions.read(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(VmcError, match="cannot be read"):
        captions.read(tmp_path / "file")
