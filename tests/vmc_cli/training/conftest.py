"""Learning for a few steps, on a model smaller still than the tiny one."""

from functools import cache

import pytest
import torch

from tests.vmc_cli.conftest import load_exact, tiny_spec, untouched, write_tiny_model
from vmc_cli import backbones
from vmc_cli.device import generator
from vmc_cli.errors import Stopped
from vmc_cli.recipes import RECIPES
from vmc_cli.training import train

RECIPE = RECIPES["vmc"].adjusted({"steps": 4, "rank": 2, "learning_rate": 1e-3})


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


def same(a, b):
    return a.tensors.keys() == b.tensors.keys() and all(
        torch.equal(a.tensors[k], b.tensors[k]) for k in a.tensors
    )


def clips(backbone):
    """Latents of two clips of noise."""
    source = generator(11)
    return [torch.randn(1, *backbone.latent_shape, generator=source) for _ in range(2)]


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """A random model of two blocks on disk; read only."""
    folder = tmp_path_factory.mktemp("small")
    write_tiny_model(folder, blocks=2)
    return folder


@pytest.fixture(scope="session")
def _small(small_folder):
    return backbones.load(tiny_spec(small_folder), "cpu")


@pytest.fixture(scope="session")
def _small_exact(small_folder):
    return load_exact(small_folder)


@pytest.fixture
def backbone(_small):
    with untouched(_small) as backbone:
        yield backbone


@pytest.fixture
def exact_backbone(_small_exact):
    with untouched(_small_exact) as backbone:
        yield backbone


@pytest.fixture
def latents(backbone):
    return clips(backbone)


def lesson(backbone):
    """What trains `backbone` on its clips."""
    latents, embedding = clips(backbone), backbone.embed(["a cat is walking"])

    def run(recipe=RECIPE, seed=0, **options):
        return train(backbone, latents, embedding, recipe, seed=seed, **options)

    return run


@pytest.fixture
def learn(backbone):
    return lesson(backbone)


@pytest.fixture(scope="session")
def whole(_small):
    """What learning with a rank gives from the first step to the last, worked out once for all tests."""
    run = lesson(_small)
    return cache(lambda rank=RECIPE.rank: run(RECIPE.adjusted({"rank": rank})))
