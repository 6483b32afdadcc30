import types
from contextlib import contextmanager

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from vmc_cli import sampling
from vmc_cli.backbones.base import CLEAN, Schedule
from vmc_cli.course import Course
from vmc_cli.device import generator
from vmc_cli.errors import Diverged, Stopped, UsageError
from vmc_cli.sampling import SETTLED, invert, sample

SHAPE = (1, 4, 3, 4, 4)


class Oracle:
    """A backbone whose prediction is a function of the timestep and the prompt alone."""

    device = torch.device("cpu")

    def __init__(self, kind="epsilon", predict=None):
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        self.schedule = Schedule(torch.cumprod(1 - betas, 0), torch.tensor(1.0), kind)
        self.calls = []
        self._predict = predict or (lambda latents, t, context: torch.zeros_like(latents))

    def embed(self, prompts):
        return torch.tensor([[[float(len(prompt))]] for prompt in prompts])

    def predict(self, latents, t, context):
        self.calls.append((len(latents), t, context.flatten().tolist()))
        return self._predict(latents, t, context)


def fixed(latents, t, context):
    return torch.randn(latents.shape, generator=generator(t))


@pytest.fixture
def start():
    return torch.randn(SHAPE, generator=generator(0))


def plain(backbone, start, steps):
    return sample(backbone, backbone.embed([""]), start, course=Course(steps), negative_embedding=None)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("predict", [None, fixed])
@pytest.mark.parametrize("steps", [1, 7, 50, 75])
def test_sampling_undoes_inversion(start, kind, predict, steps):
    backbone = Oracle(kind, predict)
    noise = invert(backbone, start, steps=steps)
    assert not torch.equal(noise, start)
    torch.testing.assert_close(plain(backbone, noise, steps), start, rtol=1e-3, atol=1e-3)


def test_both_directions_use_the_same_timesteps_and_meet_at_the_last():
    backbone = Oracle()
    invert(backbone, torch.zeros(SHAPE), steps=75)
    upwards = [t for _, t, _ in backbone.calls]
    backbone.calls.clear()
    plain(backbone, torch.zeros(SHAPE), 75)
    downwards = [t for _, t, _ in backbone.calls]
    assert upwards == downwards[::-1]
    assert downwards[0] == 999
    backbone.calls.clear()
    plain(backbone, torch.zeros(SHAPE), 50)
    assert backbone.calls[0][1] == 999  # whatever the number of steps


def test_a_perfect_predictor_leads_to_its_video(start):
    clean = torch.randn(SHAPE, generator=generator(9))
    schedule = Oracle().schedule

    def knows(latents, t, context):
        return (latents - float(schedule.signal[t]) * clean) / float(schedule.noise[t])

    torch.testing.assert_close(plain(Oracle(predict=knows), start, 20), clean, rtol=1e-3, atol=1e-3)


def test_inversion_of_a_perfect_predictor_keeps_the_noise(start):
    """With the true noise predicted, the inverted latents are the clip noised to the last timestep."""
    clean, eps = start, torch.randn(SHAPE, generator=generator(3))
    backbone = Oracle(predict=lambda latents, t, context: eps)
    schedule = backbone.schedule
    expected = float(schedule.signal[999]) * clean + float(schedule.noise[999]) * eps
    torch.testing.assert_close(invert(backbone, clean, steps=40), expected, rtol=1e-3, atol=1e-3)


def test_guidance_is_one_batch_of_two_and_points_away_from_the_negative_prompt(start):
    backbone = Oracle(predict=lambda latents, t, context: context[:, :, :, None, None].expand(latents.shape))
    prompt, negative = torch.full((1, 1, 1), 3.0), torch.full((1, 1, 1), 1.0)
    found = sample(backbone, prompt, start, course=Course(5, guidance=2.5), negative_embedding=negative)
    assert [(batch, context) for batch, _, context in backbone.calls] == [(2, [1.0, 3.0])] * 5
    grid = backbone.schedule.grid(5)
    latents = start.double()
    for t, to in zip(grid, [*grid[1:], CLEAN], strict=True):
        scale, share = backbone.schedule.transfer(t, to)
        latents = scale * latents + share * (1 + 2.5 * (3 - 1))
    torch.testing.assert_close(found.double(), latents, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("guidance", [1, 1.0])
def test_without_guidance_the_batch_is_one(start, guidance):
    backbone = Oracle(predict=fixed)
    negative = backbone.embed(["blurry"])
    sample(
        backbone,
        backbone.embed(["cat"]),
        start,
        course=Course(3, guidance=guidance),
        negative_embedding=negative,
    )
    assert [(batch, context) for batch, _, context in backbone.calls] == [(1, [3.0])] * 3


def test_guidance_0_is_the_negative_prompt_alone(start):
    backbone = Oracle(predict=lambda latents, t, context: context[:, :, :, None, None].expand(latents.shape))
    prompt, negative = torch.full((1, 1, 1), 3.0), torch.full((1, 1, 1), 1.0)
    found = sample(backbone, prompt, start, course=Course(3, guidance=0.0), negative_embedding=negative)
    alone = sample(backbone, negative, start, course=Course(3), negative_embedding=None)
    torch.testing.assert_close(found, alone)


@pytest.mark.parametrize(("until", "guided"), [(0.0, 10), (0.4, 6), (0.95, 1), (1.0, 0)])
def test_guidance_ends_where_so_much_of_the_noise_is_left(start, until, guided):
    backbone = Oracle(predict=fixed)
    course, negative = Course(10, guidance=4.0, guide_until=until), backbone.embed(["blurry"])
    sample(backbone, backbone.embed(["cat"]), start, course=course, negative_embedding=negative)
    assert [batch for batch, _, _ in backbone.calls] == [2] * guided + [1] * (10 - guided)
    assert backbone.calls[-1][2] == ([4.0 + 2, 3.0] if until == 0 else [3.0])


@pytest.mark.parametrize(("begin", "unguided"), [(1.0, 0), (0.6, 4), (0.05, 10), (0.0, 10)])
def test_guidance_begins_where_no_more_than_so_much_of_the_noise_is_left(start, begin, unguided):
    backbone = Oracle(predict=fixed)
    course, negative = Course(10, guidance=4.0, guide_from=begin), backbone.embed(["blurry"])
    sample(backbone, backbone.embed(["cat"]), start, course=course, negative_embedding=negative)
    assert [batch for batch, _, _ in backbone.calls] == [1] * unguided + [2] * (10 - unguided)


def test_where_nothing_else_is_guided_what_all_frames_share_may_be(start):
    backbone = Oracle(predict=lambda latents, t, context: context.view(-1, 1, 3, 1, 1).expand(latents.shape))
    prompt, negative = torch.tensor([[[3.0, 1.0, 8.0]]]), torch.tensor([[[2.0, 1.0, 0.0]]])

    def drawn(told, **course):
        course = Course(4, **course)
        return sample(backbone, told, start, course=course, negative_embedding=negative)

    # On the way from negative to prompt, 1, 0 and 8, the frames share 3: by 4 that is 9 more for each.
    found = drawn(prompt, guide_from=0.0, still_guidance=4.0)
    torch.testing.assert_close(found, drawn(prompt + 9, guide_from=0.0))
    below = {"guide_from": 1.0, "guidance": 2.0}
    torch.testing.assert_close(drawn(prompt, still_guidance=4.0, **below), drawn(prompt, **below))


def test_at_each_step_acts_what_acts_when_so_much_of_the_noise_is_left(start):
    now, seen = [], []

    @contextmanager
    def acts(left):
        now.append(left)
        yield
        now.remove(left)

    def watched(latents, t, context):
        seen.append((t, *now))
        return fixed(latents, t, context)

    backbone = Oracle(predict=watched)
    sample(backbone, backbone.embed([""]), start, course=Course(10), negative_embedding=None, acts=acts)
    assert len(seen) == 10
    assert all(left == t / backbone.schedule.train_timesteps for t, left in seen)
    assert not now


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("eta", "theirs"), [(0.0, "dpmsolver++"), (1.0, "sde-dpmsolver++")])
def test_dpm_solver_is_that_of_diffusers(start, kind, eta, theirs, monkeypatch):
    monkeypatch.setattr(sampling, "SETTLED", 1.0)
    backbone = Oracle(kind, lambda latents, t, context: torch.tanh(latents) * (0.5 + t / 2000))
    reference = DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=kind,
        algorithm_type=theirs,
        final_sigmas_type="sigma_min",
    )
    backbone.schedule = Schedule(reference.alphas_cumprod, reference.alphas_cumprod[0], kind)
    made = sample(
        backbone,
        backbone.embed([""]),
        start,
        course=Course(20, solver="dpm++", eta=eta),
        negative_embedding=None,
        seed=5,
    )
    reference.set_timesteps(timesteps=backbone.schedule.grid(20))
    generator_, latents = generator(5 ^ sampling._FRESH), start
    for t in reference.timesteps.tolist():
        predicted = backbone.predict(latents, t, torch.zeros(1))
        fresh = torch.randn(SHAPE, generator=generator_) if eta else None
        latents = reference.step(predicted, t, latents, variance_noise=fresh).prev_sample
    torch.testing.assert_close(made, latents, rtol=1e-3, atol=1e-3)


def test_dpm_solver_gets_further_in_few_steps(start):
    """Towards what very many steps lead to, on a way that bends."""
    backbone = Oracle(predict=lambda latents, t, context: torch.tanh(latents))

    def made(steps, solver):
        context = backbone.embed([""])
        return sample(backbone, context, start, course=Course(steps, solver), negative_embedding=None)

    wanted = made(1000, "ddim")
    assert (made(20, "dpm++") - wanted).abs().mean() < 0.3 * (made(20, "ddim") - wanted).abs().mean()


def test_inversion_has_no_prompt_and_no_guidance(start):
    backbone = Oracle(predict=fixed)
    invert(backbone, start, steps=3)
    assert [(batch, context) for batch, _, context in backbone.calls] == [(1, [0.0])] * 3


def test_every_step_is_told_and_may_stop_the_work(start):
    told = []

    def step(loss=None):
        told.append("step")
        if told.count("step") == 2:
            raise Stopped(2)

    watcher = types.SimpleNamespace(stage=lambda title, total: told.append((title, total)), step=step)
    with pytest.raises(Stopped):
        invert(Oracle(), start, steps=3, progress=watcher)
    assert told == [("Inverting", 3), "step", "step"]


@pytest.mark.parametrize("verb", ["sample", "invert"])
def test_a_video_that_is_not_finite_is_not_handed_out(start, verb):
    backbone = Oracle(predict=lambda latents, t, context: latents * float("nan"))
    with pytest.raises(Diverged):
        plain(backbone, start, 2) if verb == "sample" else invert(backbone, start, steps=2)


@pytest.mark.parametrize("verb", ["sample", "invert"])
def test_nothing_is_kept_for_gradients_even_while_the_network_is_trained(start, verb):
    weight = torch.nn.Parameter(torch.tensor(0.1))
    backbone = Oracle(predict=lambda latents, t, context: weight * latents)
    found = plain(backbone, start, 2) if verb == "sample" else invert(backbone, start, steps=2)
    assert not found.requires_grad


@pytest.mark.parametrize("steps", [0, 1001])
def test_an_impossible_number_of_steps_is_refused(start, steps):
    with pytest.raises(UsageError):
        plain(Oracle(), start, steps)


def test_a_real_network_gives_the_same_video_twice_and_inverts_nearly(exact_backbone):
    start = torch.randn(1, *exact_backbone.latent_shape, generator=generator(0))
    video = plain(exact_backbone, start, 10)
    assert torch.equal(plain(exact_backbone, start, 10), video)
    assert not video.requires_grad
    noise = invert(exact_backbone, video, steps=100)
    back = plain(exact_backbone, noise, 100)
    assert (back - video).abs().mean() < 0.1 * video.abs().mean()


def watched(start, seed, eta):
    """All latents on the way, and the video at the end."""
    backbone = Oracle(predict=lambda latents, t, context: seen.append((t, latents.clone())) or 0.5 * latents)
    seen = []
    context = backbone.embed(["a cat"])
    made = sample(backbone, context, start, course=Course(20, eta=eta), negative_embedding=None, seed=seed)
    return seen, made


def test_fresh_noise_is_decided_by_the_seed_and_is_not_the_start_noise(start):
    _, plain_video = watched(start, 1, 0.0)
    assert torch.equal(watched(start, 2, 0.0)[1], plain_video)
    first = watched(start, 1, 1.0)[1]
    assert torch.equal(watched(start, 1, 1.0)[1], first)
    assert not torch.equal(watched(start, 2, 1.0)[1], first)
    assert not torch.equal(first, plain_video)
    nothing = torch.zeros_like(start)
    seen, _ = watched(nothing, 3, 1.0)
    fresh = next(latents for _, latents in seen if latents.any())
    own = torch.randn(SHAPE, generator=generator(3))
    assert torch.nn.functional.cosine_similarity(fresh.flatten(), own.flatten(), dim=0).abs() < 0.5


def test_while_it_is_decided_what_moves_where_no_noise_is_renewed(start):
    plainly, renewed = watched(start, 1, 0.0)[0], watched(start, 1, 1.0)[0]
    same = [t for (t, a), (_, b) in zip(plainly, renewed, strict=True) if torch.equal(a, b)]
    assert min(same) <= SETTLED * 1000 < min(t for t in same if t != min(same))
