from __future__ import annotations

from dataclasses import replace

import pytest

from tests import specimens
from vmc_cli.course import Course
from vmc_cli.recipes import RECIPES


def _card(method, kind="motion", **recipe):
    return replace(specimens.card(), kind=kind, recipe={**RECIPES[method].to_card(), **recipe})


def test_guidance_is_what_the_first_motion_likes_else_the_models_own():
    own, vmc, inversion = Course(steps=9, guidance=5.0), _card("vmc"), _card("inversion")
    assert own.liked_by([]) == own
    assert own.liked_by([(vmc, 1.0), (inversion, 1.0)]) == own
    assert own.liked_by([(inversion, 0.3), (vmc, 1.0)]) == Course(steps=9, guidance=10.0)
    assert own.liked_by([(inversion, 0.0), (vmc, 1.0)]) == own


def test_beside_a_subject_what_stands_still_is_not_guided():
    own, vmc, subject = Course(guide_from=0.5, still_guidance=3.0), _card("vmc"), _card("subject", "subject")
    assert own.liked_by([(vmc, 1.0), (subject, 0.5)]) == Course(guide_from=0.5)
    assert own.liked_by([(vmc, 1.0), (subject, 0.0)]) == own


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
    assert Course().liked_by([(_card("vmc", guidance=told), 1.0)]) == Course()
