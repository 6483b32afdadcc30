"""vmc methods tells every recipe with its numbers and paper; --method takes a file too."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.store import Store
from tests.vmc_cli.commands.conftest import Run, draw, parsed
from vmc_cli import backbones
from vmc_cli.backbones.sprites import world
from vmc_cli.backbones.sprites.drawing import render
from vmc_cli.clip import Clip, write
from vmc_cli.errors import ClipError
from vmc_cli.recipe import Recipe
from vmc_cli.recipes import RECIPES


def test_names_only_when_piped(run: Run) -> None:
    assert run("methods").stdout.split() == list(RECIPES)


def test_json_tells_every_number_and_the_paper(run: Run) -> None:
    found = parsed(run("methods", "--json"))
    assert [Recipe.from_card(each) for each in found] == list(RECIPES.values())
    assert all(each["paper"] for each in found)


def test_a_recipe_of_ones_own_is_learned_with_and_kept_in_the_card(
    run: Run, tiny: str, clip: Path, store: Store
) -> None:
    Path("mine.toml").write_text('like = "vmc"\nloss = "mse"\nsteps = 1\nrank = 3\n', encoding="utf-8")
    ran = run("learn", clip, "--prompt", "a bird is walking", "--backbone", tiny, "--method", "mine.toml")
    assert ran.rc == 0, ran.stderr
    card = store.card("bird_walk")
    told = {key: card.recipe[key] for key in ("method", "loss", "steps", "rank", "inversion_steps")}
    assert told == {"method": "mine", "loss": "mse", "steps": 1, "rank": 3, "inversion_steps": 3}
    assert card.method == "mine"


@pytest.mark.parametrize("like", ["vmc", "subject"])
def test_a_recipe_that_asks_for_other_colours_learns_from_them(
    *, like: str, run: Run, tiny: str, clip: Path, store: Store
) -> None:
    source = {
        "vmc": [clip, "-p", "a dog is walking"],
        "subject": [clip / "0.png", "--subject", "--token", "X*", "-p", "a X*"],
    }[like]
    found = []
    for told in ("false", "true"):
        Path("mine.toml").write_text(f'like = "{like}"\nrecoloured = {told}\n', encoding="utf-8")
        wishes = ("--backbone", tiny, "--method", "mine.toml", "--name", "own", "--replace")
        assert run("learn", *source, *wishes).rc == 0
        found.append([_weights(store, "own")])
        if like == "vmc":
            assert run("reverse", "own", "--name", "back", "--replace").rc == 0
            found[-1].append(_weights(store, "back"))
    for own, others in zip(*found, strict=True):
        assert own.keys() == others.keys()
        assert own != others


def _weights(store: Store, name: str) -> dict[str, bytes]:
    tensors = store.load(name)[1]
    return {key: bytes(raw.data) for key, raw in tensors.items() if key.startswith("unet.")}


@pytest.mark.parametrize(
    ("text", "rc", "said"),
    [
        ("like = 'vmc'\nlearnin_rate = 1e-3", 2, "learning_rate"),
        ("like = 'vmc'\nrank = 0", 2, "rank"),
        ("like = 'token'", 2, "needs a token"),
        (
            "like = 'vmc'\nblocks = 'outer'\ntrains = ['temporal-input/proj_in']",
            7,
            "no temporal-input/proj_in",
        ),
        (None, 5, "mine.toml"),
    ],
)
def test_a_wrong_recipe_costs_no_model(
    *, text: str | None, rc: int, said: str, run: Run, tiny: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(backbones, "load", load)
    if text is not None:
        Path("mine.toml").write_text(text, encoding="utf-8")
    ran = run("learn", clip, "--prompt", "a bird is walking", "--backbone", tiny, "--method", "mine.toml")
    assert ran.rc == rc
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


QUICK = ("--steps", "1")


@pytest.mark.parametrize("method", [name for name in RECIPES if name not in ("token", "subject", "actors")])
def test_every_method_learns_and_its_motion_generates(method: str, run: Run, tiny: str, clip: Path) -> None:
    learned = run("learn", clip, "-p", "a bird is walking", "--backbone", tiny, "--method", method, *QUICK)
    assert (learned.rc, learned.stdout) == (0, "bird_walk\n"), learned.stderr
    made = run("generate", "a cat is walking", "-m", "bird_walk", "--json", *QUICK)
    assert made.rc == 0, made.stderr
    assert parsed(made)["noise"] == RECIPES[method].noise


def test_a_method_that_likes_other_guidance_gets_it_unless_told(run: Run, tiny: str, clip: Path) -> None:
    learn = ("learn", clip, "-p", "a bird is walking", "--backbone", tiny, "--method", "inversion", *QUICK)
    assert run(*learn).rc == 0
    for told, guidance in (
        (("-m", "bird_walk"), 10.0),
        (("-m", "bird_walk", "--guidance", "3"), 3.0),
        (("-m", "bird_walk:0"), 7.5),
    ):
        made = run("generate", "a cat is walking", "--json", "--force", *told, *QUICK)
        assert parsed(made)["guidance"] == guidance
    plain = run("generate", "a cat is walking", "--backbone", tiny, "--json", "--force", *QUICK)
    assert parsed(plain)["guidance"] == 7.5


def test_the_kind_of_motion_goes_into_the_card(run: Run, tiny: str, clip: Path, store: Store) -> None:
    arguments = ("-p", "a bird is walking", "--backbone", tiny, "--method", "inversion", *QUICK)
    assert run("learn", clip, *arguments, "--kind", "camera").rc == 0
    recipe = store.card("bird_walk").recipe
    assert (recipe["kind"], recipe["loss"], recipe["values"]) == ("camera", "debiased", "none")
    assert run("learn", clip, *arguments, "--kind", "dance").rc == 2


def test_a_token_is_learned_beside_other_clips_and_asked_for(
    run: Run, tiny: str, clip: Path, here: Path, store: Store
) -> None:
    (here / "others").mkdir()
    draw(here / "others" / "a_dog_is_jumping", step=2)
    learn = ("learn", clip, "--backbone", tiny, "--method", "token", "--token", "V*", *QUICK)
    learned = run(
        *learn, "-p", "a person doing the V*", "--name", "carlton", "--regularize", "others", "--train-token"
    )
    assert learned.rc == 0, learned.stderr
    card = store.card("carlton")
    assert card.extra == {"token": "V*", "word": "pll"}
    assert card.prompt_used == "a person doing the V*"
    made = run("generate", "a dog doing the V*", "-m", "carlton", "--json", *QUICK)
    assert made.rc == 0, made.stderr
    assert (parsed(made)["noise"], parsed(made)["prompt"]) == ("random", "a dog doing the V*")
    refused = run("generate", "a dog is dancing", "-m", "carlton", *QUICK)
    assert (refused.rc, refused.stderr.count("\n")) == (2, 1)
    assert "does not say V*" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "rc", "said"),
    [
        (["-p", "a person is dancing", "--token", "V*"], 2, "does not say V*"),
        (["-p", "a person doing the V*"], 2, "needs a token"),
        (["-p", "a person doing it", "--method", "vmc", "--train-token"], 2, "no token to train"),
        (["-p", "the V*", "--token", "V *"], 2, "cannot be a token"),
        (["-p", "the V*", "--token", "V*", "--regularize", "nowhere"], 5, "nowhere"),
        (["-p", "the V*", "--token", "V*", "--regularize", "."], 2, "captions.json"),
    ],
)
def test_a_wrong_token_or_folder_costs_no_model(
    *,
    arguments: list[str],
    rc: int,
    said: str,
    run: Run,
    tiny: str,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(backbones, "load", load)
    (clip.parent / "captions.json").write_text("[]")
    ran = run("learn", clip, "--backbone", tiny, "--method", "token", "--name", "x", *arguments)
    assert ran.rc == rc, ran.stderr
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


WALK = ("-p", "a bird is walking", "--json", *QUICK)


def sprite_clip(folder: Path, *cast: str) -> Path:
    ways = ([(0.25 + 0.07 * i, y) for i in range(world.FRAMES)] for y in (0.3, 0.7))
    actors = tuple(world.actor(each, way, 0.3) for each, way in zip(cast, ways, strict=False))
    path = folder / f"{'_'.join(cast)}.webp"
    return write(Clip(render(world.Scene("grass", 3, actors)), world.FPS), path, metadata={})


def test_sprites_has_a_method_that_it_likes_better_unless_a_rank_or_another_is_asked_for(
    run: Run, here: Path, store: Store
) -> None:
    clip = sprite_clip(here, "taxi")
    for told, method, adapter in (
        ((), "actors", "embedding"),
        (("--rank", "4"), "vmc", "weights"),
        (("--method", "vmc"), "vmc", "weights"),
    ):
        found = parsed(run("learn", clip, *WALK, "--backbone", "sprites", "--dry-run", *told))
        assert (found["method"], found["recipe"]["adapter"]) == (method, adapter)
    ran = run("learn", clip, *WALK, "--backbone", "sprites")
    assert (parsed(ran)["method"], store.card("bird_walk").method) == ("actors", "actors")
    made = parsed(run("generate", "a cat is walking", "-m", "bird_walk", "--json", *QUICK))
    assert made["noise"] == "random"


def test_what_nobody_can_act_out_is_learned_by_the_plain_method_unless_actors_were_asked_for(
    run: Run, here: Path, store: Store
) -> None:
    clip = sprite_clip(here, "taxi", "robot")
    ran = run("learn", clip, *WALK[:2], *QUICK, "--backbone", "sprites")
    assert ran.rc == 0
    assert "the method is vmc" in ran.stderr
    assert store.card("bird_walk").method == "vmc"
    refused = run("learn", clip, *WALK[:2], *QUICK, "--backbone", "sprites", "--method", "actors")
    assert (refused.rc, refused.stdout) == (ClipError.code, "")
    assert "--method vmc" in refused.stderr


def test_a_backbone_without_actors_says_so_before_anything_is_read(run: Run, tiny: str) -> None:
    ran = run("learn", "none.mp4", *WALK[:2], "--backbone", tiny, "--method", "actors")
    assert ran.rc != 0
    assert "Use --method vmc" in ran.stderr
