"""vmc blend stores several motions as one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from registry.store import Store
from tests import specimens
from tests.vmc_cli.commands.conftest import Run, draw, parsed


def test_a_blend_is_a_motion_to_generate_with(run: Run, learned: str, tiny: str, here: Path) -> None:
    other = draw(here / "other", step=2)
    assert run("learn", other, "--prompt", "a dog is jumping", "--backbone", tiny).rc == 0
    ran = run("blend", f"{learned}:0.5", "dog_jump:-2", "--name", "both", "--json")
    assert ran.rc == 0, ran.stderr
    told = parsed(ran)
    assert (told["name"], told["rank"]) == ("both", 32)
    assert told["motions"] == [{"name": learned, "strength": 0.5}, {"name": "dog_jump", "strength": -2.0}]
    made = run("generate", "a cat is walking", "-m", "both", "--steps", "1", "--out", "cat.webp")
    assert made.rc == 0, made.stderr
    assert "seagull_walk:0.5 dog_jump:-2" in run("show", "both").stdout


def test_motions_of_a_model_of_ones_own_are_blended(run: Run, learned: str, store: Store) -> None:
    card, tensors = store.load(learned)
    card = replace(card, backbone="./mine")
    for name in ("mine", "yours"):
        with store.writing(name) as slot:
            slot.publish(card, tensors)
    assert run("blend", "mine", "yours", "--name", "both").rc == 0
    with store.writing("hers") as slot:
        slot.publish(replace(card, revision="0" * 64), tensors)
    ran = run("blend", "mine", "hers", "--name", "all")
    assert (ran.rc, "revision 000000000000" in ran.stderr) == (7, True)


@pytest.mark.parametrize(
    ("arguments", "rc", "said"),
    [
        (["seagull_walk", "--name", "c"], 2, "at least two"),
        (["seagull_walk", "seagull_walk:2", "--name", "c"], 2, "twice"),
        (["seagull_walk:0", "other:0", "--name", "c"], 2, "would do nothing"),
        (["seagull_walk:x", "other", "--name", "c"], 2, "strength"),
        (["seagull_walk", "nobody", "--name", "c"], 5, "nobody"),
        (["seagull_walk", "other", "--name", "../c"], 2, "cannot be the name"),
        (["seagull_walk", "other", "--name", "other"], 6, "already"),
        (["seagull_walk", "foreign", "--name", "c"], 7, "were learned on tiny and zeroscope"),
        (["seagull_walk", "longer", "--name", "c"], 7, "16 frames"),
        (["seagull_walk", "other"], 2, "--name"),
    ],
)
def test_a_wrong_wish_is_one_sentence(
    *, arguments: list[str], rc: int, said: str, run: Run, known: str, store: Store
) -> None:
    card = store.card(known)
    for name, changes in (("other", {}), ("foreign", {"backbone": "zeroscope"}), ("longer", {"frames": 16})):
        with store.writing(name) as slot:
            slot.publish(replace(card, **changes), specimens.tensors())
    before = sorted(os.listdir(store.root))
    ran = run("blend", *arguments)
    assert ran.rc == rc, ran.stderr
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert sorted(name for name in os.listdir(store.root) if not name.endswith(".lock")) == [
        name for name in before if not name.endswith(".lock")
    ]
