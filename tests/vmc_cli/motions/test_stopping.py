"""Learning a token stops when other subjects lose their looks, and the best so far is kept."""

from __future__ import annotations

import pytest
import torch

from tests.vmc_cli.conftest import SIZE, fingerprint
from tests.vmc_cli.motions.conftest import clip
from tests.vmc_cli.test_delta import predicted
from tests.vmc_cli.training.conftest import Watched, same
from vmc_cli import motions
from vmc_cli.adapters import all_along
from vmc_cli.backbones.sprites import world
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.errors import Stopped, UsageError
from vmc_cli.evaluation.appearance import Looks
from vmc_cli.motions import Footage, learn, stopping
from vmc_cli.recipes import RECIPES
from vmc_cli.tokens import Token

HELD_OUT = stopping.SUBJECTS
TOKEN = Token("V*", "pll")
NUMBERS = {"steps": 5, "rank": 2, "inversion_steps": 1, "augmented": 0, "learning_rate": 1e-2}
RECIPE = RECIPES["token"].adjusted({**NUMBERS, "trains": RECIPES["vmc"].trains, "early_stop": True})


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("vmc_cli.motions.generating.PREVIEW_STEPS", 1)
    monkeypatch.setattr(stopping, "SUBJECTS", ("panda", "car"))
    monkeypatch.setattr(stopping, "CHECKS", 5)  # each step


class Judge:
    """Gives the scores in turn, each for both videos of a check."""

    def __init__(self, *scores):
        self.scores, self.asked = list(scores), []

    def looks(self, floor=0.5):
        return Looks(self.score, floor)

    def score(self, video, subject):
        assert video.frames.shape == (4, SIZE, SIZE, 3)
        self.asked.append(subject)
        return self.scores[(len(self.asked) - 1) // 2]


def learned(backbone, looks, recipe=RECIPE, **options):
    footage = Footage.of(backbone, [clip(1)], recipe, token=TOKEN)
    wishes = {"name": "v", "prompt": "a person doing the V*", "recipe": recipe, "seed": 0, **options}
    return learn(backbone, footage, looks=looks, **wishes)


# The first score is that of the untaught network.
@pytest.mark.parametrize(
    ("scores", "steps", "score", "checks"),
    [
        ((1, 0.9, 0.8, 0.4), 2, 0.8, 4),
        ((1, 0.4), 1, 0.4, 2),
        ((1, 0.9, 0.6, 0.7, 0.6, 0.5), 5, 0.5, 6),
        ((1, 0.9, 0.6, 0.7, 0.6, 0.4), 4, 0.6, 6),
    ],
)
def test_what_is_kept_is_what_was_learned_by_the_last_good_step(tiny_backbone, scores, steps, score, checks):
    before, judge = fingerprint(tiny_backbone.network), Judge(*scores)
    found = learned(tiny_backbone, judge.looks())
    assert (found.card.steps, found.card.extra["appearance_score"]) == (steps, score)
    assert judge.asked == ["panda", "car"] * checks
    assert fingerprint(tiny_backbone.network) == before
    expected = learned(tiny_backbone, None, RECIPE.adjusted({"early_stop": False, "steps": steps}))
    assert same(found, expected)
    assert found.card.loss == expected.card.loss


@pytest.mark.parametrize("stop", [2, 4])
def test_a_resumed_run_keeps_what_an_uninterrupted_one_keeps(tiny_backbone, tmp_path, stop):
    def scores(done):
        return {0: 1.0, 1: 0.9, 2: 0.8, 3: 0.2}[done]

    whole = learned(tiny_backbone, Judge(*map(scores, (0, 1, 2, 3))).looks())
    checkpoint = Checkpoint(tmp_path / "v", every=1)
    first = Judge(*map(scores, (0, 1, 2, 3)))
    with pytest.raises(Stopped):  # one step of the bar is the inversion's
        learned(tiny_backbone, first.looks(), checkpoint=checkpoint, progress=Watched(stop_after=stop))
    left = [each for each in (1, 2, 3) if each >= stop - 1]
    again = Judge(*map(scores, (0, *left)))
    resumed = learned(tiny_backbone, again.looks(), checkpoint=Checkpoint(tmp_path / "v", resume=True))
    assert same(resumed, whole)
    assert (resumed.card.steps, resumed.card.loss) == (whole.card.steps, whole.card.loss)


def test_there_is_a_check_every_so_many_steps_and_after_the_last(tiny_backbone):
    seen = []
    looks = Looks(lambda video, subject: seen.append(subject) or 1.0, 0.5)
    asked = {"panda": lambda: tiny_backbone.embed(["a panda"])}
    watching, counts = stopping.Stopping(tiny_backbone, looks, asked, steps=17), []
    for done in range(1, 17):
        watching(done, lambda: None, all_along)
        counts.append(len(seen))
    assert [counts.index(number) + 1 for number in range(1, 6)] == [3, 6, 9, 12, 15]
    with pytest.raises(stopping.Enough):
        watching(17, lambda: None, all_along)


def test_a_model_that_cannot_be_judged_learns_nothing(tiny_backbone, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("it learns")

    monkeypatch.setattr(motions.learning, "train", refused)
    with pytest.raises(UsageError, match=r"falls to 0\.5; it is 0\.100 before"):
        learned(tiny_backbone, Judge(0.1).looks())
    with pytest.raises(UsageError, match="judges looks"):
        learned(tiny_backbone, None)


def test_a_token_that_acts_for_a_part_of_the_way_is_judged_so(tiny_backbone, monkeypatch):
    seen = []
    original = stopping.denoised

    def watched(*arguments, **options):
        found = []
        for left in (0.4, 0.41):
            with torch.no_grad(), options["acts"](left):
                found.append(predicted(tiny_backbone))
        seen.append(not torch.equal(*found))
        return original(*arguments, **options)

    monkeypatch.setattr(stopping, "denoised", watched)
    learned(tiny_backbone, Judge(1, 1, 0).looks(), RECIPE.adjusted({"acts_until": 0.4}))
    assert seen == [False, False, True, True, True, True]  # the first check is of the untaught network


def test_a_word_that_learns_too_is_judged_as_it_is_then(tiny_backbone, monkeypatch):
    seen = []
    original = stopping.denoised

    def watched(backbone, embedding, *arguments, **options):
        seen.append(embedding.clone())
        return original(backbone, embedding, *arguments, **options)

    monkeypatch.setattr(stopping, "denoised", watched)
    learned(tiny_backbone, Judge(1, 1, 0).looks(), RECIPE.adjusted({"trains_token": True}))
    pandas = seen[::2]
    torch.testing.assert_close(pandas[0], tiny_backbone.embed(["a panda doing the pll"]))
    assert not torch.equal(pandas[0], pandas[1])
    assert not torch.equal(pandas[1], pandas[2])


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a person doing the V*", "a car doing the pll"),
        ("two people are doing the V* slowly", "a car is doing the pll slowly"),
        ("the V*", "a car doing the pll"),
        ("V* people are dancing", "a car doing the pll"),
    ],
)
def test_held_out_prompts_say_the_token_of_another_subject(prompt, told):
    assert stopping.held_out(prompt, TOKEN)["car"] == told
    assert stopping.held_out("a panda doing the V*", TOKEN).keys() == {"car"}


def test_the_oracle_knows_every_subject_that_is_held_out():
    assert set(HELD_OUT) <= world.SUBJECTS.keys()
