"""The pictures of docs/gallery are those of the script, and its commands can be run."""

from __future__ import annotations

from pathlib import Path

import gallery
import pytest

DOCS = Path(__file__).parents[2] / "docs" / "gallery"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    gallery.draw(folder)
    return folder


@pytest.mark.parametrize("label", ["motion", "token", "subject"])
def test_what_is_learned_for_a_picture_can_be_learned(drawn: Path, label: str) -> None:
    _, command = gallery.SHOWN[label].learn[0]
    gallery.run(drawn, f"{command} --dry-run")


def test_a_pattern_stands_for_all_clips_of_a_motion_and_for_nothing_else(drawn: Path) -> None:
    words = gallery.words_of(drawn, 'learn circle/*.mp4 --token "V*" --prompt "doing the V*"')
    clips = [f"circle/{number}.mp4" for number in range(1, 7)]
    assert words == ["learn", *clips, "--token", "V*", "--prompt", "doing the V*"]


def test_every_motion_that_a_picture_needs_is_learned_once_and_before_it() -> None:
    there: list[str] = []
    for label, commands in gallery.learning(gallery.SHOWN).items():
        there += [command.rpartition(" --name ")[2] for command in commands]
        assert {name for name, _ in gallery.SHOWN[label].learn} <= set(there)
    assert len(there) == len(set(there))


def test_the_page_in_docs_is_that_of_the_script_and_has_all_its_pictures() -> None:
    assert (DOCS / "README.md").read_text(encoding="utf-8") == gallery.page()
    for label in gallery.SHOWN:
        assert (DOCS / f"{label}.png").stat().st_size > 1000
