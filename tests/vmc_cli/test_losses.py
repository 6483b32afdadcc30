"""Each objective against loops over plain numbers in double precision."""

import math

import pytest
import torch

from vmc_cli import losses, recipe
from vmc_cli.errors import UsageError

SHAPE = (2, 3, 5, 2, 4)


@pytest.fixture
def videos():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(2)]


def frame(video, sample, number):
    _, channels, _, height, width = SHAPE
    return [
        float(video[sample, c, number, y, x])
        for c in range(channels)
        for y in range(height)
        for x in range(width)
    ]


def residual(video, sample, number, stride):
    later, earlier = frame(video, sample, number + stride), frame(video, sample, number)
    return [a - b for a, b in zip(later, earlier, strict=True)]


def pairs(stride):
    return [(sample, number) for sample in range(SHAPE[0]) for number in range(SHAPE[2] - stride)]


def cosine(a, b):
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_residual_cosine_is_equation_17(videos, stride):
    prediction, target = videos
    values = []
    for b, n in pairs(stride):
        values.append(1 - cosine(residual(target, b, n, stride), residual(prediction, b, n, stride)))
    loss = losses.residual_cosine(prediction, target, stride, torch.ones(2))
    assert float(loss) == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_residual_cosine_knows_the_direction(videos):
    video, _ = videos
    assert float(losses.residual_cosine(video, video, 1, torch.ones(2))) == pytest.approx(0, abs=1e-6)
    assert float(losses.residual_cosine(-video, video, 1, torch.ones(2))) == pytest.approx(2, abs=1e-6)


def test_residual_cosine_ignores_what_all_frames_share(videos):
    prediction, target = videos
    still = torch.randn(2, 3, 1, 2, 4, dtype=torch.float64)
    before = losses.residual_cosine(prediction, target, 1, torch.ones(2))
    after = losses.residual_cosine(prediction + still, target - 2 * still, 1, torch.ones(2))
    assert float(before) == pytest.approx(float(after), abs=1e-5)


@pytest.mark.parametrize("stride", [1, 3])
def test_residual_l2_is_equation_16_averaged_over_the_frame(videos, stride):
    prediction, target = videos
    abar = [0.9, 0.2]
    total = 0.0
    for b, n in pairs(stride):
        wanted, found = residual(target, b, n, stride), residual(prediction, b, n, stride)
        squared = math.fsum((x - y) ** 2 for x, y in zip(wanted, found, strict=True))
        total += (1 - abar[b]) / abar[b] * squared / len(wanted)
    weight = torch.tensor([(1 - a) / a for a in abar])
    loss = losses.residual_l2(prediction, target, stride, weight)
    assert float(loss) == pytest.approx(total / len(pairs(stride)), rel=1e-5)


def test_the_released_form_compares_sizes_along_the_frames(videos):
    prediction, target = videos
    batch, channels, frames, height, width = SHAPE
    total, count = 0.0, 0
    for b in range(batch):
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    along = [
                        [abs(float(v[b, c, n + 1, y, x] - v[b, c, n, y, x])) for n in range(frames - 1)]
                        for v in (prediction, target)
                    ]
                    total += 1 - cosine(*along)
                    count += 1
    loss = losses.residual_cosine_abs(prediction, target, 1, torch.ones(2))
    assert float(loss) == pytest.approx(total / count, rel=1e-5)
    flipped = losses.residual_cosine_abs(-target, target, 1, torch.ones(2))
    assert float(flipped) == pytest.approx(0, abs=1e-6)


def test_mse_is_the_mean_over_everything(videos):
    prediction, target = videos
    entries = zip(prediction.flatten().tolist(), target.flatten().tolist(), strict=True)
    squares = [(a - b) ** 2 for a, b in entries]
    loss = losses.mse(prediction, target, 1, torch.ones(2))
    assert float(loss) == pytest.approx(math.fsum(squares) / len(squares), rel=1e-5)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_is_a_float32_scalar_with_a_gradient_even_from_half_precision(videos, name):
    prediction, target = (video.bfloat16() for video in videos)
    prediction.requires_grad_()
    loss = losses.LOSSES[name](prediction, target, 1, torch.ones(2))
    assert loss.dtype is torch.float32
    assert loss.shape == ()
    loss.backward()
    assert prediction.grad.isfinite().all()
    assert prediction.grad.any()


def test_two_equal_still_videos_give_a_finite_gradient():
    still = torch.ones(SHAPE, requires_grad=True)
    losses.residual_cosine(still, torch.ones(SHAPE), 1, torch.ones(2)).backward()
    assert still.grad.isfinite().all()


@pytest.mark.parametrize("stride", [0, 5, -1])
def test_a_stride_that_does_not_fit_is_refused(videos, stride):
    with pytest.raises(UsageError, match="does not fit into 5 frames"):
        losses.residual_cosine(*videos, stride, torch.ones(2))


def test_every_loss_that_a_recipe_may_name_exists():
    assert tuple(losses.LOSSES) == recipe.LOSSES


@pytest.mark.parametrize("anchor", [0, 2, 4])
def test_away_from_anchor_is_phi_of_the_debiased_objective(videos, anchor):
    video, _ = videos
    found = losses.away_from_anchor(video, anchor)
    for b in range(SHAPE[0]):
        for n in range(SHAPE[2]):
            wanted = [
                math.sqrt(1.0**2 + 1) * x - 1.0 * a
                for x, a in zip(frame(video, b, n), frame(video, b, anchor), strict=True)
            ]
            assert frame(found, b, n) == pytest.approx(wanted, rel=1e-12)


def test_debiased_is_the_plain_error_plus_that_away_from_one_random_frame(videos):
    prediction, target = videos
    chosen = set()
    for seed in range(40):
        found = float(
            losses.debiased(prediction, target, 1, torch.ones(2), torch.Generator().manual_seed(seed))
        )
        values = []
        for anchor in range(SHAPE[2]):
            total = 0.0
            for b in range(SHAPE[0]):
                for n in range(SHAPE[2]):
                    error = [p - t for p, t in zip(frame(prediction, b, n), frame(target, b, n), strict=True)]
                    still = [
                        p - t
                        for p, t in zip(frame(prediction, b, anchor), frame(target, b, anchor), strict=True)
                    ]
                    total += math.fsum(e * e for e in error)
                    total += math.fsum((math.sqrt(2) * e - s) ** 2 for e, s in zip(error, still, strict=True))
            values.append(total / math.prod(SHAPE))
        near = [anchor for anchor, value in enumerate(values) if value == pytest.approx(found, rel=1e-4)]
        assert len(near) == 1
        chosen |= set(near)
    assert chosen == set(range(SHAPE[2]))
