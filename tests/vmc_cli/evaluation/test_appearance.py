"""Looks are judged by CLIP, or by the oracle of the embedded model."""

from __future__ import annotations

from tests.vmc_cli.conftest import write_tiny_clip
from tests.vmc_cli.motions.conftest import clip
from vmc_cli.backbones.sprites import world
from vmc_cli.backbones.sprites.drawing import render
from vmc_cli.clip import Clip
from vmc_cli.evaluation import appearance, likeness


def test_looks_by_clip_are_those_of_the_subject_and_the_floor_is_the_papers(tmp_path):
    write_tiny_clip(tmp_path)
    model = likeness.Likeness(tmp_path)
    looks = appearance.by_clip(model)
    expected = likeness.alignment(model.pictures(clip(1).frames), model.words("a panda"))
    assert looks.score(clip(1), "panda") == expected
    assert looks.floor == 0.265


def test_looks_by_the_oracle_are_right_or_wrong():
    way = [(0.3 + 0.05 * number, 0.5) for number in range(world.FRAMES)]
    video = Clip(render(world.Scene("grass", 4, (world.actor("panda", way, 0.4),))), world.FPS)
    looks = appearance.by_oracle()
    assert (looks.score(video, "panda"), looks.score(video, "car")) == (1, 0)
