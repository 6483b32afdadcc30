"""What a step of learning does, what decides it, and what is told of it."""

import itertools

import pytest
import torch

from tests.vmc_cli.conftest import fingerprint
from tests.vmc_cli.training.conftest import RECIPE, Watched, same
from vmc_cli import adapters, training
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.device import generator
from vmc_cli.errors import UsageError
from vmc_cli.training import train

_DESCEND = training._State.descend


@pytest.mark.parametrize("rank", [2, None])
def test_learning_gives_exactly_the_tensors_of_the_recipe(learn, backbone, rank):
    before = fingerprint(backbone.network)
    trained = learn(RECIPE.adjusted({"rank": rank}))
    assert fingerprint(backbone.network) == before
    sites = backbone.sites_for(RECIPE.trains)
    assert {key: tuple(value.shape) for key, value in trained.tensors.items()} == adapters.shapes(sites, rank)
    assert all(adapters.difference(site, trained.tensors).any() for site in sites)
    assert all(value.dtype is torch.float32 for value in trained.tensors.values())
    assert trained.steps == RECIPE.steps
    assert 0 < trained.loss < 2


def test_a_seed_decides_everything(learn):
    first = learn(seed=1)
    torch.manual_seed(99)
    assert same(first, learn(seed=1))
    assert not same(first, learn(seed=2))


def test_learning_leaves_torchs_own_random_numbers_alone(learn):
    before = torch.get_rng_state()
    learn()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_step_is_adamw_on_the_clipped_gradient_of_the_objective(exact_backbone, batch):
    """Every number of two steps, computed again from the papers with plain autograd and no optimiser."""
    backbone = exact_backbone
    numbers = {"learning_rate": 1e-2, "betas": (0.5, 0.9), "weight_decay": 0.3, "clip_norm": 1e-3}
    recipe = RECIPE.adjusted({"steps": 2, "rank": None, "batch": batch, **numbers})
    shown = torch.randn(2, *backbone.latent_shape, generator=generator(5))
    embedding = backbone.embed(["a cat"])
    trained = train(backbone, shown.split(1), embedding, recipe, seed=4, progress=None)

    source = generator(4)
    sites = backbone.sites_for(recipe.trains)
    start = [site.layer.weight for site in sites]
    weights = [weight.detach().double() for weight in start]
    first, second = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    alphas = backbone.schedule.signal.square()
    try:
        for step in (1, 2):
            numbers = torch.randint(2, (batch,), generator=source)
            t = int(torch.randint(1000, (1,), generator=source))
            eps = torch.randn((batch, *backbone.latent_shape), generator=source)
            leaves = [torch.nn.Parameter(weight.float()) for weight in weights]
            for site, leaf in zip(sites, leaves, strict=True):
                site.layer.weight = leaf
            loss = 0.0
            for number, own in zip(numbers.tolist(), eps, strict=True):
                noisy = float(alphas[t]) ** 0.5 * shown[number] + (1 - float(alphas[t])) ** 0.5 * own
                prediction = backbone.network(noisy[None], t, embedding).sample[0]
                for frame in range(3):
                    wanted = (own[:, frame + 1] - own[:, frame]).flatten()
                    found = (prediction[:, frame + 1] - prediction[:, frame]).flatten()
                    loss = loss + (1 - wanted @ found / (wanted.norm() * found.norm())) / 3 / batch
            gradients = [g.double() for g in torch.autograd.grad(loss, leaves)]
            norm = sum(float(g.square().sum()) for g in gradients) ** 0.5
            assert norm > recipe.clip_norm
            for i, gradient in enumerate(gradients):
                clipped = gradient * recipe.clip_norm / (norm + 1e-6)
                first[i] = 0.5 * first[i] + 0.5 * clipped
                second[i] = 0.9 * second[i] + 0.1 * clipped**2
                mean, square = first[i] / (1 - 0.5**step), second[i] / (1 - 0.9**step)
                weights[i] = weights[i] * (1 - 1e-2 * 0.3) - 1e-2 * mean / (square.sqrt() + 1e-8)
    finally:
        for site, weight in zip(sites, start, strict=True):
            site.layer.weight = weight
    for site, weight, old in zip(sites, weights, start, strict=True):
        difference = trained.tensors[f"unet.{site.name}.diff"].double()
        # Adam's first steps are near the sign of the gradient: where that is about zero, rounding decides.
        off = (difference - (weight - old.double())).abs() > 1e-4
        assert off.double().mean() < 0.02


def test_the_loss_goes_down(backbone, latents):
    recipe = RECIPE.adjusted({"steps": 60, "learning_rate": 1e-2, "loss": "mse", "rank": 8})
    watched = Watched()
    train(backbone, latents[:1], backbone.embed(["a"]), recipe, seed=0, progress=watched)
    told = [loss for loss in watched.losses if loss is not None]
    assert sum(told[-2:]) < sum(told[:2])


@pytest.mark.parametrize("loss", ["residual-l2", "residual-cosine-abs", "mse"])
def test_the_recipe_chooses_the_objective(learn, whole, loss):
    assert not same(whole(), learn(RECIPE.adjusted({"loss": loss})))


def test_the_loss_that_is_told_is_the_mean_of_the_last(learn, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    monkeypatch.setattr(training, "LOSS_OVER", 2)
    watched = Watched()
    trained = learn(progress=watched)
    assert trained.loss == pytest.approx(sum(watched.losses[-2:]) / 2)


def test_nothing_of_a_step_is_kept_for_gradients_of_the_next(learn, monkeypatch):
    kept = []

    def descend(state, norm):
        _DESCEND(state, norm)
        kept.append(state.losses.requires_grad)

    monkeypatch.setattr(training._State, "descend", descend)
    learn()
    assert kept == [False] * RECIPE.steps


@pytest.mark.parametrize(
    ("shares", "drawn", "ends"),
    [
        ({"acts_until": 0.7}, range(701, 1000), (0.7, 0.71)),
        ({"acts_from": 0.3, "acts_until": 0.2}, range(201, 301), (0.31, 0.3)),
    ],
)
def test_it_learns_only_where_it_acts_and_rests_where_it_does_not(
    *, learn, backbone, monkeypatch, shares, drawn, ends
):
    times, seen = [], []
    original = type(backbone).predict
    monkeypatch.setattr(
        type(backbone), "predict", lambda self, x, t, c: times.append(int(t)) or original(self, x, t, c)
    )
    latents, words = torch.randn(1, *backbone.latent_shape, generator=generator(3)), backbone.embed([""])
    with torch.no_grad():
        plain = original(backbone, latents, 500, words)

    def look(done, so_far, acts):
        for left in ends:  # outside, inside
            with torch.no_grad(), acts(left):
                seen.append(torch.equal(original(backbone, latents, 500, words), plain))

    learn(RECIPE.adjusted({**shares, "steps": 8}), after_step=look)
    assert len(times) == 8
    assert all(t in drawn for t in times)
    assert seen == [True, False] * 8


def test_the_recipe_chooses_the_stride(learn, whole):
    assert not same(whole(), learn(RECIPE.adjusted({"stride": 2})))
    with pytest.raises(UsageError, match="does not fit into 4 frames"):
        learn(RECIPE.adjusted({"stride": 4}))


def test_every_clip_is_learned_from(backbone, whole, latents):
    embedding = backbone.embed(["a cat is walking"])
    for clips in (latents[:1], latents[1:], latents[::-1]):
        assert not same(whole(), train(backbone, clips, embedding, RECIPE, seed=0))


def test_each_step_is_told_and_some_with_the_loss(learn, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    watched = Watched()
    trained = learn(RECIPE.adjusted({"steps": 5}), progress=watched)
    assert watched.stages == [("Learning", 5)]
    assert len(watched.losses) == 5
    assert [step for step, loss in enumerate(watched.losses, 1) if loss is not None] == [2, 4, 5]
    assert 0 < trained.loss < 2


def test_after_each_step_the_network_is_seen_as_it_is_and_the_state_is_safe(learn, whole, backbone, tmp_path):
    checkpoint, seen = Checkpoint(tmp_path / "walk", every=1), []
    noise = torch.randn(1, *backbone.latent_shape, generator=generator(3))

    def look(done, so_far, acts):
        assert checkpoint_steps(checkpoint)[-1] == done
        with torch.no_grad():
            seen.append((done, backbone.predict(noise, 500, backbone.embed([""]))))
        assert so_far().steps == done

    watched = learn(checkpoint=checkpoint, after_step=look)
    assert [done for done, _ in seen] == [1, 2, 3, 4]
    assert not any(torch.equal(a, b) for (_, a), (_, b) in itertools.pairwise(seen))
    assert same(watched, whole())


def checkpoint_steps(checkpoint):
    return sorted(int(path.stem) for path in checkpoint.folder.iterdir())


def test_the_loss_is_looked_at_only_when_it_is_told(learn, monkeypatch):
    looks = []
    original = torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: looks.append(tensor.shape) or original(tensor))
    monkeypatch.setattr(
        torch.Tensor, "__float__", lambda tensor: looks.append(tensor.shape) or original(tensor)
    )
    monkeypatch.setattr(training, "LOG_EVERY", 3)
    learn(RECIPE.adjusted({"steps": 6}))
    assert len(looks) <= 3  # two lines and the card


def test_other_clips_take_turns_with_the_clips_and_are_told_by_their_own_captions(
    backbone, latents, monkeypatch
):
    asked = []
    original = type(backbone).predict

    def watches(self, noisy, t, embedding):
        asked.append(embedding)
        return original(self, noisy, t, embedding)

    monkeypatch.setattr(type(backbone), "predict", watches)
    told = [backbone.embed([text]) for text in ("a v", "b c", "d e")]
    source = generator(7)
    others = [(torch.randn(latents[0].shape, generator=source), each) for each in told[1:]]
    recipe = RECIPE.adjusted({"steps": 16})
    train(backbone, latents, told[0], recipe, seed=0, others=others)
    assert all(torch.equal(embedding, told[0]) for embedding in asked[::2])
    turns = [[torch.equal(embedding, each) for each in told].index(True) for embedding in asked[1::2]]
    assert set(turns) == {1, 2}
