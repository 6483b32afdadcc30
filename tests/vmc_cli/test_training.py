import dataclasses
import itertools
import time

import pytest
import torch

from tests.vmc_cli.conftest import fingerprint, tiny_spec
from vmc_cli import adapters, backbones, training
from vmc_cli.backbones import unet3d
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.device import generator
from vmc_cli.errors import Diverged, IncompatibleError, Stopped, UsageError
from vmc_cli.recipes import RECIPES
from vmc_cli.training import train

RECIPE = RECIPES["vmc"].adjusted({"steps": 6, "rank": 2, "learning_rate": 1e-3})


class Watched:
    """Remembers what it is told, and stops after some steps."""

    def __init__(self, stop_after=None):
        self.stages, self.losses, self.stop_after = [], [], stop_after

    def stage(self, title, total):
        self.stages.append((title, total))

    def step(self, loss=None):
        self.losses.append(loss)
        if len(self.losses) == self.stop_after:
            raise Stopped(2)


@pytest.fixture
def latents(tiny_backbone):
    source = generator(11)
    return [torch.randn(1, *tiny_backbone.latent_shape, generator=source) for _ in range(2)]


@pytest.fixture
def learn(tiny_backbone, latents):
    embedding = tiny_backbone.embed(["a cat is walking"])

    def run(recipe=RECIPE, seed=0, **options):
        return train(tiny_backbone, latents, embedding, recipe, seed=seed, **options)

    return run


def same(a, b):
    return a.tensors.keys() == b.tensors.keys() and all(
        torch.equal(a.tensors[k], b.tensors[k]) for k in a.tensors
    )


@pytest.mark.parametrize("rank", [2, None])
def test_learning_gives_exactly_the_tensors_of_the_recipe(learn, tiny_backbone, rank):
    before = fingerprint(tiny_backbone.network)
    trained = learn(RECIPE.adjusted({"rank": rank}))
    assert fingerprint(tiny_backbone.network) == before
    sites = tiny_backbone.sites_for(RECIPE.trains)
    assert {key: tuple(value.shape) for key, value in trained.tensors.items()} == adapters.shapes(sites, rank)
    assert all(adapters.difference(site, trained.tensors).any() for site in sites)
    assert all(value.dtype is torch.float32 for value in trained.tensors.values())
    assert trained.steps == 6
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


def test_a_step_is_adamw_on_the_clipped_gradient_of_the_objective(exact_backbone):
    """Every number of two steps, computed again from the papers with plain autograd and no optimiser."""
    backbone = exact_backbone
    numbers = {"learning_rate": 1e-2, "betas": (0.5, 0.9), "weight_decay": 0.3, "clip_norm": 1e-3}
    recipe = RECIPE.adjusted({"steps": 2, "rank": None, **numbers})
    clip = torch.randn(1, *backbone.latent_shape, generator=generator(5))
    embedding = backbone.embed(["a cat"])
    trained = train(backbone, [clip], embedding, recipe, seed=4, progress=None)

    source = generator(4)
    sites = backbone.sites_for(recipe.trains)
    start = [site.layer.weight for site in sites]
    weights = [weight.detach().double() for weight in start]
    first, second = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    alphas = backbone.schedule.signal.square()
    try:
        for step in (1, 2):
            torch.randint(1, (1,), generator=source)
            t = int(torch.randint(1000, (1,), generator=source))
            eps = torch.randn(clip.shape, generator=source)
            leaves = [torch.nn.Parameter(weight.float()) for weight in weights]
            for site, leaf in zip(sites, leaves, strict=True):
                site.layer.weight = leaf
            noisy = float(alphas[t]) ** 0.5 * clip + (1 - float(alphas[t])) ** 0.5 * eps
            prediction = backbone.network(noisy, t, embedding).sample
            loss = 0.0
            for frame in range(3):
                wanted = (eps[0, :, frame + 1] - eps[0, :, frame]).flatten()
                found = (prediction[0, :, frame + 1] - prediction[0, :, frame]).flatten()
                loss = loss + (1 - wanted @ found / (wanted.norm() * found.norm())) / 3
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


def test_the_loss_goes_down(learn, tiny_backbone, latents):
    recipe = RECIPE.adjusted({"steps": 60, "learning_rate": 1e-2, "loss": "mse", "rank": 8})
    watched = Watched()
    train(tiny_backbone, latents[:1], tiny_backbone.embed(["a"]), recipe, seed=0, progress=watched)
    told = [loss for loss in watched.losses if loss is not None]
    assert sum(told[-2:]) < sum(told[:2])


@pytest.mark.parametrize("loss", ["residual-l2", "residual-cosine-abs", "mse"])
def test_the_recipe_chooses_the_objective(learn, loss):
    assert not same(learn(), learn(RECIPE.adjusted({"loss": loss})))


def test_the_loss_that_is_told_is_the_mean_of_the_last(learn, monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    monkeypatch.setattr(training, "LOSS_OVER", 2)
    watched = Watched()
    trained = learn(progress=watched)
    assert trained.loss == pytest.approx(sum(watched.losses[-2:]) / 2)


def test_nothing_of_a_step_is_kept_for_gradients_of_the_next(learn, monkeypatch):
    kept = []

    def descend(state, loss, norm):
        _DESCEND(state, loss, norm)
        kept.append(state.losses.requires_grad)

    monkeypatch.setattr(training._State, "descend", descend)
    learn()
    assert kept == [False] * 6


def test_the_recipe_chooses_the_stride(learn):
    assert not same(learn(), learn(RECIPE.adjusted({"stride": 2})))
    with pytest.raises(UsageError, match="does not fit into 4 frames"):
        learn(RECIPE.adjusted({"stride": 4}))


def test_every_clip_is_learned_from(tiny_backbone, learn, latents):
    both = learn()
    embedding = tiny_backbone.embed(["a cat is walking"])
    for clips in (latents[:1], latents[1:], latents[::-1]):
        assert not same(both, train(tiny_backbone, clips, embedding, RECIPE, seed=0))


def test_each_step_is_told_and_some_with_the_loss(learn):
    watched = Watched()
    trained = learn(RECIPE.adjusted({"steps": 23}), progress=watched)
    assert watched.stages == [("Learning", 23)]
    assert len(watched.losses) == 23
    assert [step for step, loss in enumerate(watched.losses, 1) if loss is not None] == [10, 20, 23]
    assert 0 < trained.loss < 2


def test_after_each_step_the_network_is_seen_as_it_is_and_the_state_is_safe(learn, tiny_backbone, tmp_path):
    checkpoint, seen = Checkpoint(tmp_path / "walk", every=1), []
    noise = torch.randn(1, *tiny_backbone.latent_shape, generator=generator(3))

    def look(done, so_far):
        assert checkpoint_steps(checkpoint)[-1] == done
        with torch.no_grad():
            seen.append((done, tiny_backbone.predict(noise, 500, tiny_backbone.embed([""]))))
        assert so_far().steps == done

    watched = learn(checkpoint=checkpoint, after_step=look)
    assert [done for done, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert not any(torch.equal(a, b) for (_, a), (_, b) in itertools.pairwise(seen))
    assert same(watched, learn())


def checkpoint_steps(checkpoint):
    return sorted(int(path.stem) for path in checkpoint.folder.iterdir())


def test_the_loss_is_looked_at_only_when_it_is_told(learn, monkeypatch):
    looks = []
    original = torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: looks.append(tensor.shape) or original(tensor))
    monkeypatch.setattr(
        torch.Tensor, "__float__", lambda tensor: looks.append(tensor.shape) or original(tensor)
    )
    learn(RECIPE.adjusted({"steps": 20}))
    assert len(looks) <= 3  # two lines and the card


@pytest.mark.parametrize("stop", [1, 3, 5])
@pytest.mark.parametrize("rank", [2, None])
def test_a_resumed_run_gives_the_very_result_of_an_uninterrupted_one(learn, tmp_path, stop, rank):
    recipe = RECIPE.adjusted({"rank": rank})
    whole = learn(recipe)
    checkpoint = Checkpoint(tmp_path / "walk", every=2)
    with pytest.raises(Stopped):
        learn(recipe, checkpoint=checkpoint, progress=Watched(stop_after=stop))
    torch.manual_seed(1234)
    watched = Watched()
    resumed = learn(recipe, checkpoint=dataclasses.replace(checkpoint, resume=True), progress=watched)
    assert watched.stages == [("Learning", 6 - stop)]
    assert same(resumed, whole)
    assert resumed.loss == whole.loss


def test_the_seconds_of_a_resumed_run_are_those_of_all_its_parts(learn, tmp_path, monkeypatch):
    now = 500.0

    class Timed(Watched):
        def step(self, loss=None):
            nonlocal now
            now += 10.0
            super().step(loss)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoint = Checkpoint(tmp_path / "walk")
    assert learn(progress=Timed()).seconds == 60.0
    with pytest.raises(Stopped):
        learn(progress=Timed(stop_after=4), checkpoint=checkpoint)
    now += 5000.0
    resuming = dataclasses.replace(checkpoint, resume=True)
    assert learn(progress=Timed(), checkpoint=resuming).seconds == 60.0


def test_a_killed_run_goes_on_from_its_last_checkpoint(learn, tmp_path, monkeypatch):
    whole = learn()
    checkpoint = Checkpoint(tmp_path / "walk", every=2)

    class Killed(BaseException):
        pass

    original = training._State.descend

    def dies(state, loss, norm):
        if int(state.losses.count_nonzero()) == 5:
            raise Killed
        original(state, loss, norm)

    monkeypatch.setattr(training._State, "descend", dies)
    with pytest.raises(Killed):
        learn(checkpoint=checkpoint)
    monkeypatch.undo()
    watched = Watched()
    resumed = learn(checkpoint=dataclasses.replace(checkpoint, resume=True), progress=watched)
    assert watched.stages == [("Learning", 2)]
    assert same(resumed, whole)


def test_checkpoints_change_nothing_and_are_forgotten_without_resume(learn, tmp_path):
    whole = learn()
    checkpoint = Checkpoint(tmp_path / "walk", every=1)
    assert same(learn(checkpoint=checkpoint), whole)
    watched = Watched()
    assert same(learn(checkpoint=checkpoint, progress=watched), whole)
    assert watched.stages == [("Learning", 6)]


def test_resuming_a_finished_run_gives_its_result_at_once(learn, tmp_path):
    checkpoint, watched = Checkpoint(tmp_path / "walk", every=100, resume=True), Watched()
    whole = learn(checkpoint=checkpoint)
    again = learn(checkpoint=checkpoint, progress=watched)
    assert watched.stages == [("Learning", 0)]
    assert same(again, whole)
    assert again.loss == whole.loss


@pytest.mark.parametrize("change", [{"seed": 1}, {"recipe": RECIPE.adjusted({"learning_rate": 2e-3})}])
def test_another_run_is_not_continued(learn, tmp_path, change):
    checkpoint = Checkpoint(tmp_path / "walk", every=1, resume=True)
    learn(checkpoint=checkpoint)
    with pytest.raises(IncompatibleError):
        learn(checkpoint=checkpoint, **change)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_the_network_clean(learn, tiny_backbone, error, monkeypatch):
    before = fingerprint(tiny_backbone.network)

    def fails(*args):
        raise error

    monkeypatch.setattr(training._State, "descend", fails)
    with pytest.raises(error):
        learn()
    assert fingerprint(tiny_backbone.network) == before


def _poison_gradient(state, loss, norm):
    parameter = next(iter(state._parameters.values()))
    hook = parameter.register_hook(lambda gradient: gradient * float("nan"))
    _DESCEND(state, loss, norm)
    hook.remove()


def _poison_loss(state, loss, norm):
    _DESCEND(state, loss * float("inf"), norm)


_DESCEND = training._State.descend


@pytest.mark.parametrize("poison", [_poison_gradient, _poison_loss])
@pytest.mark.parametrize("steps", [1, 15])
def test_nothing_comes_of_numbers_that_are_not_finite(learn, tmp_path, poison, steps, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "walk", every=2)
    monkeypatch.setattr(training._State, "descend", poison)
    with pytest.raises(Diverged) as caught:
        learn(RECIPE.adjusted({"steps": steps}), checkpoint=checkpoint)
    assert caught.value.code == 11
    assert checkpoint.load() == (0, {})


def test_weights_that_explode_are_not_handed_out(learn):
    with pytest.raises(Diverged):
        learn(RECIPE.adjusted({"learning_rate": 1e6}))


def test_in_half_precision_the_true_gradient_is_clipped_and_not_the_scaled_one(
    tiny_folder, exact_backbone, latents, monkeypatch
):
    norms, clip = [], torch.nn.utils.clip_grad_norm_
    watch = lambda *arguments: norms.append(float(clip(*arguments)))  # noqa: E731
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", watch)
    monkeypatch.setattr(unet3d, "compute_dtype", lambda device: torch.float16)
    recipe = RECIPE.adjusted({"steps": 1})
    for backbone in (exact_backbone, backbones.load(tiny_spec(tiny_folder), "cpu")):
        train(backbone, latents, backbone.embed(["a cat"]), recipe, seed=0)
    exact, half = norms
    assert half == pytest.approx(exact, rel=0.1)


def test_half_precision_learns_with_a_scaled_loss(tiny_folder, latents, tmp_path, monkeypatch):
    """float16, as on older GPUs: the scale and its history are part of a checkpoint."""
    monkeypatch.setattr(unet3d, "compute_dtype", lambda device: torch.float16)
    backbone = backbones.load(tiny_spec(tiny_folder), "cpu")
    embedding = backbone.embed(["a cat"])

    def run(**options):
        return train(backbone, latents, embedding, RECIPE, seed=0, **options)

    whole = run()
    assert all(value.isfinite().all() for value in whole.tensors.values())
    checkpoint = Checkpoint(tmp_path / "walk")
    with pytest.raises(Stopped):
        run(checkpoint=checkpoint, progress=Watched(stop_after=3))
    assert same(run(checkpoint=dataclasses.replace(checkpoint, resume=True)), whole)


def test_other_clips_take_turns_with_the_clips_and_are_told_by_their_own_captions(
    tiny_backbone, latents, monkeypatch
):
    asked = []
    original = type(tiny_backbone).predict

    def watches(self, noisy, t, embedding):
        asked.append(embedding)
        return original(self, noisy, t, embedding)

    monkeypatch.setattr(type(tiny_backbone), "predict", watches)
    told = [tiny_backbone.embed([text]) for text in ("a v", "b c", "d e")]
    source = generator(7)
    others = [(torch.randn(latents[0].shape, generator=source), each) for each in told[1:]]
    recipe = RECIPE.adjusted({"steps": 16})
    train(tiny_backbone, latents, told[0], recipe, seed=0, others=others)
    assert all(torch.equal(embedding, told[0]) for embedding in asked[::2])
    turns = [[torch.equal(embedding, each) for each in told].index(True) for embedding in asked[1::2]]
    assert set(turns) == {1, 2}
