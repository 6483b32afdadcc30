"""What a step costs at the published sizes, which is kept; and that a real step takes what is counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.benchmarks.costs import published
from tests.vmc_cli.conftest import tiny_spec
from vmc_cli import adapters, backbones, costs, motions
from vmc_cli.backbones import Spec, placement
from vmc_cli.backbones.checkpointing import checkpointed
from vmc_cli.backbones.framewise import FrameBackbone
from vmc_cli.costs import LEVELS, Cost, Meter
from vmc_cli.device import compute_dtype, generator
from vmc_cli.recipe import Recipe
from vmc_cli.recipes import RECIPES
from vmc_cli.sampling import guided
from vmc_cli.training import Lesson

GIB = 2**30
CPU, CUDA, META = torch.device("cpu"), torch.device("cuda"), torch.device("meta")
VMC = RECIPES["vmc"].adjusted({"rank": 8})

# TFLOP and GiB of a step of learning at the level low, and of generating at high, at the row's own size.
ROWS = {
    "zeroscope": (1_411_233_860, (59.40, 6.13), (42.79, 5.36)),
    "modelscope": (1_411_233_860, (13.30, 3.90), (9.77, 3.90)),
    "animatediff": (1_312_730_244, (51.60, 5.46), (35.50, 4.49)),
    "animatediff-v1-5-3": (1_276_658_564, (51.39, 5.39), (35.35, 4.42)),
}
# The same at 16 frames of 576x320, at each level: high, medium, low.
LEARNING = ((28.59, 18.81), (34.26, 7.37), (39.61, 4.96))
GENERATING = ((28.51, 4.45), (28.51, 3.90), (28.51, 1.72))

# The papers' step of learning, in float32 with full matrices, at the row's own size.
PUBLISHED = {"zeroscope": (44.12, 54.43), "animatediff": (38.40, 46.25)}


def blueprint(spec: Spec) -> FrameBackbone:
    found = backbones.blueprint(spec, CUDA, torch.bfloat16)
    assert isinstance(found, FrameBackbone)
    return found


def rounded(cost: Cost) -> tuple[float, float]:
    return round(cost.flops / 1e12, 2), round(cost.peak / GIB, 2)


def near(wanted: tuple[float, float]) -> object:
    return pytest.approx(wanted, rel=0.005)


@pytest.mark.parametrize("name", ROWS)
def test_the_published_models_cost_what_they_did(name: str) -> None:
    parameters, learning, generating = ROWS[name]
    backbone = blueprint(backbones.find(name))
    assert sum(parameter.numel() for parameter in backbone.network.parameters()) == parameters
    assert rounded(costs.learning(backbone, VMC, "low")) == near(learning)
    assert rounded(costs.generating(backbone, "high")) == near(generating)
    told = {
        "weights": placement.size(backbone.network),
        "learn": costs.learning(backbone, RECIPES["vmc"], "low").peak,
        "generate": costs.generating(backbone, "low").peak,
    }
    assert {what: round(size / GIB, 1) for what, size in told.items()} == backbone.spec.memory_gib


def test_sixteen_frames_are_learned_and_generated_on_small_cards() -> None:
    backbone = blueprint(dataclasses.replace(backbones.find("zeroscope"), frames=16))
    learning = [costs.learning(backbone, VMC, level) for level in LEVELS]
    generating = [costs.generating(backbone, level) for level in LEVELS]
    assert [rounded(cost) for cost in learning] == [near(each) for each in LEARNING]
    assert [rounded(cost) for cost in generating] == [near(each) for each in GENERATING]
    assert rounded(costs.learning(backbone, VMC, costs.IN_BYTES)) == near((39.61, 3.90))
    assert learning[-1].peak <= 5.2 * GIB
    assert generating[0].peak <= 4.5 * GIB
    full = costs.learning(backbone, VMC.adjusted({"rank": None}), "low")
    assert rounded(full) == near((40.37, 5.78))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_step_that_the_papers_describe_costs_what_it_did(name: str) -> None:
    assert rounded(published(backbones.find(name))) == near(PUBLISHED[name])


def test_every_row_that_can_be_fetched_is_kept() -> None:
    assert set(ROWS) == {spec.name for spec in backbones.BACKBONES.values() if spec.origins}


def test_full_matrices_of_zeroscope_are_a_file_of_149_megabytes() -> None:
    recipe = RECIPES["vmc"].adjusted({"rank": None})
    size, _ = motions.file_sizes(blueprint(backbones.find("zeroscope")), recipe, 1)
    assert size == pytest.approx(148.7e6, rel=0.01)


def test_each_clip_of_the_director_has_a_path_with_its_moments() -> None:
    backbone, recipe = blueprint(backbones.find("sprites")), RECIPES["director"]
    one, three = (costs.learning(backbone, recipe, "low", clips) for clips in (1, 3))
    numbers = adapters.Paths(backbone, recipe.aside, 1, generator(0)).parameters.values()
    assert three.peak - one.peak == 2 * sum(3 * each.nbytes for each in numbers)
    assert three.flops == one.flops


def test_each_clip_of_a_step_counts() -> None:
    backbone = backbones.blueprint(backbones.find("sprites"), CPU, compute_dtype(CPU))
    recipes = [RECIPES["vmc"].adjusted({"batch": batch}) for batch in (1, 3)]
    one, three = (costs.learning(backbone, recipe, "high") for recipe in recipes)
    assert three.flops == pytest.approx(3 * one.flops, rel=0.02)
    assert three.peak > one.peak
    assert three.kernels == pytest.approx(one.kernels, rel=0.02)  # what makes a batch worth it


def test_a_matrix_product_is_counted_by_hand() -> None:
    layer = nn.Linear(8, 16, device=META)
    tokens = torch.empty(4, 8, device=META)
    with torch.no_grad(), Meter(META) as meter:
        layer(layer(tokens).view(8, 8)).square_()
    assert meter.flops == 2 * 4 * 8 * 16 + 2 * 8 * 8 * 16
    assert meter.kernels == 3  # neither the view nor the transposed weight is one
    assert meter.peak == 4 * (4 * 16 + 8 * 16)


def test_what_is_not_needed_any_more_does_not_count() -> None:
    with Meter(META) as meter:
        kept = torch.empty(10, device=META)
        for _ in range(5):
            view = torch.empty(100, device=META).view(10, 10)[0]
            del view
    assert meter.peak == 4 * (10 + 100)
    assert kept.numel() == 10


def test_a_layout_that_was_seen_before_costs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = blueprint(dataclasses.replace(backbones.find("sprites")))
    count = costs.learning.__wrapped__
    known = count(backbone, VMC, "medium")
    assert count(backbone, VMC, "medium") == known
    monkeypatch.setattr(costs, "_computed", costs._counted)
    assert count(backbone, VMC, "medium") == known


@pytest.mark.parametrize("family", ["unet3d", "animatediff"])
def test_a_blueprint_is_the_model_in_a_folder_without_its_weights(
    family: str, tiny_folder: object, tmp_path: object, request: pytest.FixtureRequest
) -> None:
    from tests.vmc_cli.conftest import write_tiny_animatediff

    folder = tiny_folder
    if family == "animatediff":
        folder = tmp_path
        write_tiny_animatediff(folder)
    spec = tiny_spec(folder, family)
    real = backbones.load(spec, "cpu")
    found = backbones.blueprint(spec, CPU, real.dtype)
    layouts = [
        {name: (value.shape, value.dtype) for name, value in each.network.named_parameters()}
        for each in (real, found)
    ]
    assert layouts[0] == layouts[1]
    assert {value.device.type for value in found.network.parameters()} == {"meta"}
    assert found.latent_shape == real.latent_shape
    assert found.embedding_shape == real.embedding_shape
    assert [site.name for site in found.sites()] == [site.name for site in real.sites()]
    assert [placement.size(each) for each in found.surroundings] == [
        placement.size(each) for each in real.surroundings
    ]


@pytest.fixture(scope="module")
def sprites() -> FrameBackbone:
    found = backbones.load(backbones.find("sprites"), "cpu")
    assert isinstance(found, FrameBackbone)
    return found


def allocated(work: Callable[[], object]) -> int:
    """Bytes at the peak that the CPU's allocator gave during ``work``."""
    from torch._C._profiler import _EventType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    changes, events = [], list(profiled.profiler.kineto_results.experimental_event_tree())
    while events:
        event = events.pop()
        events += event.children
        if event.tag == _EventType.Allocation:
            changes.append((event.start_time_ns, event.extra_fields.alloc_size))
    living = peak = 0
    for _, size in sorted(changes):
        living += size
        peak = max(peak, living)
    return peak


@pytest.mark.parametrize("level", costs.LEARNING_LEVELS)
def test_learning_takes_what_was_counted(sprites: FrameBackbone, level: str) -> None:
    recipe: Recipe = RECIPES["vmc"]
    counted = costs.learning(backbones.blueprint(sprites.spec, CPU, compute_dtype(CPU)), recipe, level)
    clip, told = torch.zeros(1, *sprites.latent_shape), sprites.embed(["a cat"])

    def learn() -> None:
        source = generator(0)
        adapter = adapters.place(sprites, recipe.adaptation)
        kind = costs.CHECKPOINTING[level]
        with adapter.trained(source) as trainable, checkpointed(sprites.network, kind):
            paths = adapters.Paths(sprites, (), 1, source)
            optimizer = torch.optim.AdamW(trainable.parameters.values(), fused=True)
            lesson = Lesson(
                sprites, [(clip, lambda: told)], recipe, trainable, paths, source, Tensor.backward
            )
            for _ in range(2):
                lesson.learn([0])
                optimizer.step()
                optimizer.zero_grad()

    waiting = placement.size(sprites.network) * (level == costs.IN_BYTES)
    with costs.held(sprites, recipe, level):
        weights = sum(placement.size(each) for each in (sprites.network, *sprites.surroundings))
        assert waiting + weights + allocated(learn) == pytest.approx(counted.peak, rel=0.1)


def test_generating_takes_what_was_counted(sprites: FrameBackbone) -> None:
    counted = costs.generating(backbones.blueprint(sprites.spec, CPU, compute_dtype(CPU)), "high")
    clip, told = torch.zeros(1, *sprites.latent_shape), sprites.embed(["a cat"])

    @torch.no_grad()
    def generate() -> None:
        guided(sprites, clip, 5, told, told, scale=7.5, together=True)

    weights = sum(placement.size(each) for each in (sprites.network, *sprites.surroundings))
    step = weights + allocated(generate)
    decoding = weights + allocated(lambda: sprites.decode(clip))
    assert max(step, decoding) == pytest.approx(counted.peak, rel=0.1)
