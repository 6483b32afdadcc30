"""One step of learning beside the published one, made again from diffusers' classes in double precision."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, UNet3DConditionModel

from tests.vmc_cli.training.conftest import RECIPE
from vmc_cli import training
from vmc_cli.device import generator
from vmc_cli.training import train

CLOSE = 1e-5  # of the gradient's norm


def paper(prediction, noise):
    """VMC eq. 17: a pair of frames at a time."""
    pairs = []
    for frame in range(noise.shape[2] - 1):
        found, wanted = ((x[0, :, frame + 1] - x[0, :, frame]).flatten() for x in (prediction, noise))
        pairs.append(1 - found @ wanted / (found.norm() * wanted.norm()))
    return torch.stack(pairs).mean()


def released(prediction, noise):
    """The code of the paper: sizes of the residuals, compared over time at every pixel."""
    found, wanted = (x.diff(dim=2).abs().permute(0, 1, 3, 4, 2) for x in (prediction, noise))
    cosines = (found * wanted).sum(-1) / (found.norm(dim=-1) * wanted.norm(dim=-1))
    return (1 - cosines).mean()


def published_gradients(folder, clip, embedding, loss, seed):
    """What the papers' step gives for each trained matrix, from the same draws."""
    network = UNet3DConditionModel.from_pretrained(folder / "unet").double()
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    source = generator(seed)
    torch.randint(1, (1,), generator=source)
    t = torch.randint(scheduler.config.num_train_timesteps, (1,), generator=source)
    noise = torch.randn(clip.shape, generator=source).double()
    trained = {
        name: parameter
        for name, parameter in network.named_parameters()
        if "temp_attentions" in name and name.endswith(("to_q.weight", "to_k.weight", "to_v.weight"))
    }
    prediction = network(scheduler.add_noise(clip.double(), noise, t), t, embedding.double()).sample
    return dict(
        zip(trained, torch.autograd.grad(loss(prediction, noise), list(trained.values())), strict=True)
    )


@pytest.mark.parametrize(("name", "loss"), [("residual-cosine", paper), ("residual-cosine-abs", released)])
def test_a_step_has_the_gradient_of_the_published_one(name, loss, exact_backbone, small_folder, monkeypatch):
    found = {}

    def remember(state, clip_norm):
        found.update({key: parameter.grad.clone() for key, parameter in state._parameters.items()})

    monkeypatch.setattr(training._State, "descend", remember)
    recipe = RECIPE.adjusted({"steps": 1, "rank": None, "loss": name})
    clip = torch.randn(1, *exact_backbone.latent_shape, generator=generator(5))
    embedding = exact_backbone.embed(["a cat is walking"])
    train(exact_backbone, [clip], embedding, recipe, seed=4)
    wanted = published_gradients(small_folder, clip, embedding, loss, seed=4)
    assert {key.removeprefix("unet.").removesuffix(".diff") + ".weight" for key in found} == wanted.keys()
    for key, value in wanted.items():
        mine = found[f"unet.{key.removesuffix('.weight')}.diff"].double()
        assert (mine - value).norm() <= CLOSE * value.norm(), key
