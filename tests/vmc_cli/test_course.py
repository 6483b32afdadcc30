from __future__ import annotations

import pytest

from vmc_cli.course import Course
from vmc_cli.recipes import RECIPES


def test_guidance_is_what_a_method_likes_else_the_models_own():
    own = Course(steps=9, guidance=5.0)
    assert own.liked_by(RECIPES["vmc"].to_card(), 1.0) == own
    assert own.liked_by(RECIPES["inversion"].to_card(), 0.3) == Course(steps=9, guidance=10.0)
    assert own.liked_by(RECIPES["inversion"].to_card(), 0.0) == own


def test_with_a_subject_what_stands_still_is_not_guided():
    assert Course(guide_from=0.5, still_guidance=3.0).with_subject() == Course(guide_from=0.5)


def test_random_noise_is_guided_from_the_beginning():
    own = Course(guide_from=0.5)
    assert own.from_noise("random") == Course()
    assert own.from_noise("inverted") == own


@pytest.mark.parametrize(
    ("course", "share"),
    [
        (Course(), 1.0),
        (Course(guidance=1.0), 0.0),
        (Course(guidance=1.0, guide_from=0.5, still_guidance=3.0), 0.0),
        (Course(guide_from=0.6, guide_until=0.4), 0.2),
        (Course(guide_from=0.6, guide_until=0.4, still_guidance=3.0), 0.6),
    ],
)
def test_the_guided_share_is_where_a_scale_differs_from_1(course, share):
    lefts = [(step + 0.5) / 1000 for step in range(1000)]
    assert course.guided == pytest.approx(share)
    assert sum(course.scales(left) != (1.0, 1.0) for left in lefts) / 1000 == pytest.approx(share)


@pytest.mark.parametrize("told", [None, "10", float("nan"), float("inf"), [10]])
def test_a_card_that_tells_nonsense_changes_nothing(told):
    assert Course().liked_by({"guidance": told}, 1.0) == Course()
