"""The embedded model as it is shipped: whole, small, of the classes of large models, and it heeds words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vmc_cli import backbones, motions
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.sprites import WEIGHTS, world
from vmc_cli.course import Course
from vmc_cli.evaluation import oracle


@pytest.fixture(scope="module")
def sprites() -> Backbone:
    return backbones.load(backbones.find("sprites"), "cpu")


def test_its_files_are_small_and_hold_no_pickle() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 38 * 2**20
    assert {path.suffix for path in files} == {".json", ".safetensors"}


def test_its_networks_are_of_the_large_models_classes(sprites: Backbone) -> None:
    assert type(sprites.network).__name__ == "UNet3DConditionModel"
    assert len({site.name.partition(".transformer_blocks")[0] for site in sprites.sites_for(_VMC)}) == 7


_VMC = ("temporal-attention/to_q", "temporal-attention/to_k", "temporal-attention/to_v")


def test_every_word_of_its_world_is_one_token() -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(Path(WEIGHTS) / "tokenizer")
    words = [word for name, (_, *others) in world.SUBJECTS.items() for word in (name, *others)]
    for word in [*words, *map(world.plural, words), *world.PLACES, *world.VERBS]:
        assert len(tokenizer(word)["input_ids"]) == 3, word  # begin, the word, end


@pytest.mark.parametrize(("place", "where"), [("sea", "in the sea"), ("grass", "on the grass")])
def test_it_draws_the_place_that_it_is_told(sprites: Backbone, place: str, where: str) -> None:
    video = motions.generate(sprites, f"a cat {where}", course=Course(12, guidance=4.0, eta=1.0), seed=3)
    assert oracle.place(video.frames) == place


@pytest.mark.parametrize("motion", ["left", "right", "up", "down", "still"])
def test_it_moves_as_words_say(sprites: Backbone, motion: str) -> None:
    prompt = f"a penguin is {world.MOTIONS[motion][0]} in the desert"
    course = Course(15, solver="dpm++", guidance=4.0, eta=1.0)
    way = oracle.track(motions.generate(sprites, prompt, course=course, seed=3).frames, "penguin")
    moved = (way[-1].x - way[0].x, way[-1].y - way[0].y)
    told = [world.TRAVEL["normal"] * along for along in world.DIRECTIONS.get(motion, (0, 0))]
    assert moved == pytest.approx(told, abs=0.1)


def test_the_same_seed_gives_the_same_pixels(sprites: Backbone) -> None:
    first, again, other = (
        torch.from_numpy(motions.generate(sprites, "a car", course=Course(3), seed=seed).frames)
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
