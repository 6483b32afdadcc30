"""vmc learn --subject: what is to be seen, from pictures; alone, or after a motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from registry.store import Store
from tests import specimens
from tests.vmc_cli.commands.conftest import Run, parsed
from tests.vmc_cli.conftest import SIZE, write_tiny_clip
from vmc_cli import backbones, clip
from vmc_cli.course import Course

LEARN = ("learn", "--subject", "--token", "X*", "--prompt", "a X* dog", "--name", "my_dog")
FAST = ("--steps", "1")


@pytest.fixture
def pictures(here: Path) -> list[str]:
    """Two pictures of a dog, one of them in a folder."""
    (here / "more").mkdir()
    names = ["dog.png", "more/dog.jpg"]
    for number, name in enumerate(names):
        Image.fromarray(np.full((40, 48, 3), 90 * number + 60, np.uint8)).save(here / name)
    return ["dog.png", "more"]


@pytest.fixture
def dog(run: Run, tiny: str, pictures: list[str]) -> str:
    ran = run(*LEARN, *pictures, "--backbone", tiny, *FAST)
    assert (ran.rc, ran.stdout) == (0, "my_dog\n"), ran.stderr
    return "my_dog"


def test_it_is_stored_beside_the_motions_and_says_what_it_is(
    run: Run, dog: str, learned: str, store: Store
) -> None:
    card = store.card(dog)
    assert (card.kind, card.method, card.prompt_used) == ("subject", "subject", "a X* dog")
    assert [source.name for source in card.sources] == ["dog.png", "dog.jpg"]
    assert card.extra == {"token": "X*", "word": "pll"}
    assert {each["name"]: each["kind"] for each in parsed(run("list", "--json"))} == {
        dog: "subject",
        learned: "motion",
    }
    shown = run("show", dog, "--preview", "dog.gif").stdout
    assert ["kind:", "subject"] in [line.split() for line in shown.splitlines()]
    assert ["pictures:", "dog.png,", "dog.jpg"] in [line.split() for line in shown.splitlines()]


def test_a_dry_run_reads_the_pictures_and_learns_nothing(
    run: Run, tiny: str, pictures: list[str], store: Store
) -> None:
    ran = run(*LEARN, *pictures, "--backbone", tiny, "--dry-run")
    assert ran.rc == 0, ran.stderr
    assert "X*, told to the model as pll" in ran.stdout
    assert [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("picture")] == [
        "dog.png",
        str(Path("more", "dog.jpg")),
    ]
    assert store.entries() == []


def test_it_is_seen_doing_a_motion(run: Run, dog: str, learned: str) -> None:
    ran = run("generate", "a X* dog is walking", "-m", learned, "--subject", f"{dog}:0.5", "--json", *FAST)
    assert ran.rc == 0, ran.stderr
    told = parsed(ran)
    assert told["subjects"] == "my_dog:0.5"
    assert told["motions"] == [{"name": learned, "strength": 1.0}]
    assert told["noise"] == "motion"
    alone = parsed(run("generate", "a X* dog", "--subject", dog, "--json", *FAST))
    assert (alone["noise"], alone["backbone"]) == ("random", "tiny")


@pytest.mark.parametrize(("asked", "scale"), [((), "1.0"), (("--still-guidance", "2"), "2.0")])
def test_what_stands_still_is_guided_for_no_subject_unless_asked_for(
    *,
    asked: tuple[str, ...],
    scale: str,
    run: Run,
    dog: str,
    learned: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guided = replace(backbones.find("tiny"), course=Course(guide_from=0.5, still_guidance=3.0))
    monkeypatch.setattr(backbones, "BACKBONES", {"tiny": guided})
    follow = ("-m", learned, "--noise", "inverted", *FAST)
    wishes = [(("a dog",), "3.0"), (("a X* dog", "--subject", dog, *asked), scale)]
    for number, (wish, told) in enumerate(wishes):
        ran = run("generate", *wish, *follow, "--out", f"{number}.mp4")
        assert ran.rc == 0, ran.stderr
        assert clip.read_metadata(here / f"{number}.mp4")["still_guidance"] == told


def test_it_is_learned_after_a_motion(
    run: Run, tiny: str, pictures: list[str], learned: str, store: Store
) -> None:
    ran = run(*LEARN, *pictures, "--backbone", tiny, "--with-motion", learned, "--steps", "2")
    assert ran.rc == 0, ran.stderr
    assert store.card("my_dog").extra["with_motion"] == learned
    made = run("generate", "a X* dog is walking", "-m", learned, "--subject", "my_dog", *FAST)
    assert made.rc == 0, made.stderr


def test_it_is_learned_with_full_weights_after_a_token_that_acts_on_the_same_layers_for_a_part_of_the_way(
    run: Run, tiny: str, pictures: list[str], clip: Path, store: Store
) -> None:
    Path("early.toml").write_text('like = "token"\nacts_until = 0.5\n', encoding="utf-8")
    wishes = ("--token", "V*", "-p", "a person doing the V*", "--name", "carlton", "--backbone", tiny)
    assert run("learn", clip, "--method", "early.toml", *wishes, *FAST).rc == 0
    ran = run(
        *LEARN, *pictures, "--backbone", tiny, "--with-motion", "carlton", "--rank", "full", "--steps", "2"
    )
    assert ran.rc == 0, ran.stderr
    assert store.card("my_dog").recipe["rank"] is None
    both = ("-m", "carlton", "--subject", "my_dog")
    made = run("generate", "a X* dog doing the V*", *both, *FAST)
    assert made.rc == 0, made.stderr


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(backbones, "load", load)


def published(store: Store, name: str, **changes: object) -> None:
    """A card that fits the tiny model; nobody looks at its tensors."""
    spec = backbones.find("tiny")
    size = {"frames": spec.frames, "height": SIZE, "width": SIZE}
    card = specimens.card(**{"backbone": "tiny", "revision": backbones.revision(spec), **size, **changes})
    with store.writing(name) as slot:
        slot.publish(card, specimens.tensors())


@pytest.fixture
def cards(store: Store, tiny: str) -> None:
    published(store, "walk")
    published(store, "my_cat", kind="subject", frames=1, extra={"token": "C*", "word": "pll"})
    published(store, "carlton", extra={"token": "V*", "word": "sks"})
    published(store, "turn", recipe={"adapter": "embedding"})
    published(store, "old", revision="0" * 64)


@pytest.mark.parametrize(
    ("arguments", "rc", "said"),
    [
        (["dog.png", "--token", ""], 2, "cannot be a token"),
        (["dog.png", "--prompt", "a dog"], 2, "does not say X*"),
        (["dog.png", "--method", "vmc"], 2, "learns no subjects"),
        (["dog.png", "--trim", ":1"], 2, "no parts in time"),
        (["dog.png", "--loss", "debiased"], 2, "do not move"),
        (["dog.png", "--early-stop"], 2, "without an early stop"),
        (["dog.png", "--with-motion", "nobody"], 5, "nobody"),
        (["dog.png", "--with-motion", "my_cat"], 2, "my_cat is a subject, not a motion"),
        (["dog.png", "--with-motion", "turn"], 7, "motion embeddings"),
        (["dog.png", "--with-motion", "old"], 7, "revision"),
        (
            ["dog.png", "--with-motion", "carlton", "--token", "v*", "--prompt", "a V* dog"],
            7,
            "both have the token",
        ),
        (["dog.png", "--with-motion", "carlton", "--prompt", "a X* dog doing the V*"], 2, "do not show V*"),
        (["nowhere.png"], 5, "nowhere.png"),
        (["empty"], 3, "holds no pictures"),
        (["text.png"], 3, "no picture"),
    ],
)
def test_a_wrong_wish_costs_no_model(
    *,
    arguments: list[str],
    rc: int,
    said: str,
    run: Run,
    tiny: str,
    pictures: list[str],
    cards: None,
    no_model: None,
) -> None:
    Path("empty").mkdir()
    Path("text.png").write_text("a dog")
    ran = run(*LEARN, "--backbone", tiny, *arguments)
    assert ran.rc == rc, ran.stderr
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_pictures_that_are_panned_have_frames_for_motion_embeddings(
    run: Run, store: Store, pictures: list[str], no_model: None
) -> None:
    spec = backbones.find("sprites")
    size = {"frames": spec.frames, "height": spec.height, "width": spec.width}
    whose = {"backbone": "sprites", "revision": backbones.revision(spec), "recipe": {"adapter": "embedding"}}
    with store.writing("turn") as slot:
        slot.publish(specimens.card(**whose, **size), specimens.tensors())
    wish = ("--subject", *pictures, "--token", "X*", "--prompt", "a X* dog", "--with-motion", "turn")
    planned = run("learn", *wish, "--dry-run")
    assert planned.rc == 0, planned.stderr


@pytest.mark.parametrize(
    ("arguments", "rc", "said"),
    [
        (["generate", "a C* cat", "-m", "my_cat"], 2, "my_cat is a subject, not a motion"),
        (["generate", "a cat", "--subject", "walk"], 2, "walk is a motion, not a subject"),
        (["generate", "a cat", "--subject", "nobody"], 5, "no subject nobody"),
        (["generate", "a cat", "--subject", "my_cat"], 2, "does not say C*"),
        (["generate", "a C* cat", "--subject", "my_cat", "--subject", "my_cat:2"], 2, "twice"),
        (["generate", "a C* cat", "--subject", "my_cat:much"], 2, "strength"),
        (["generate", "a C* cat", "--subject", "my_cat", "--backbone", "sprites"], 7, "tiny"),
        (["style", "my_cat", "van gogh"], 2, "not a motion"),
        (["blend", "walk", "my_cat", "--name", "both"], 2, "not a motion"),
        (["reverse", "my_cat"], 2, "not a motion"),
        (["reverse", "dog.png", "-p", "a X* dog", "--token", "X*", "--method", "subject"], 2, "backward"),
        (["evaluate", "dog.png", "-m", "my_cat"], 2, "not a motion"),
        (["learn", "dog.png", "--subject", "--each", "--prompt-file", "x.csv"], 2, "all pictures together"),
        (
            ["learn", "dog.png", "-p", "a X* dog", "--method", "subject", "--backbone", "tiny"],
            2,
            "needs a token",
        ),
        (
            ["learn", "dog.png", "-p", "a dog", "--with-motion", "walk", "--backbone", "tiny"],
            2,
            "is for subjects",
        ),
    ],
)
def test_motions_and_subjects_are_not_taken_for_each_other(
    *, arguments: list[str], rc: int, said: str, run: Run, pictures: list[str], cards: None, no_model: None
) -> None:
    ran = run(*arguments)
    assert ran.rc == rc, ran.stderr
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


TOKEN = ("--method", "token", "--token", "V*", "--prompt", "a person doing the V*", "--early-stop")


@pytest.mark.parametrize(
    ("arguments", "rc", "said"),
    [
        ([*TOKEN], 2, "a CLIP model must judge"),
        ([*TOKEN, "--clip-model", "nowhere"], 5, "nowhere"),
        ([*TOKEN, "--clip-model", "more"], 7, "does not hold a CLIP model"),
        (["--prompt", "a person is dancing", "--early-stop"], 2, "only for a token"),
    ],
)
def test_without_a_judge_nothing_is_learned(
    *,
    arguments: list[str],
    rc: int,
    said: str,
    run: Run,
    tiny: str,
    pictures: list[str],
    clip: Path,
    no_model: None,
) -> None:
    ran = run("learn", clip, "--backbone", tiny, *arguments)
    assert ran.rc == rc, ran.stderr
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_token_stops_early_by_clip(
    *, run: Run, tiny: str, clip: Path, here: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmc_cli.evaluation import appearance

    write_tiny_clip(here / "judge")
    monkeypatch.setattr("vmc_cli.motions.generating.PREVIEW_STEPS", 1)
    scores = iter([1.0] * 6 + [0.5] * 6 + [0.0] * 6)
    by_clip = appearance.by_clip
    seen = []

    def judged(model: object) -> appearance.Looks:
        seen.append(type(model).__name__)
        return appearance.Looks(lambda *_: next(scores), by_clip(model).floor)

    monkeypatch.setattr(appearance, "by_clip", judged)
    ran = run(
        "learn", clip, "--backbone", tiny, *TOKEN, "--clip-model", "judge", "--name", "v", "--steps", "5"
    )
    assert ran.rc == 0, ran.stderr
    assert "Stopped early" in ran.stderr
    card = store.card("v")
    assert (seen, card.steps, card.recipe["steps"], card.recipe["early_stop"]) == (["Likeness"], 1, 5, True)
    assert card.extra["appearance_score"] == 0.5
