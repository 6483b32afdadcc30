"""What every recipe promises, whatever it trains: a contract over the table."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.vmc_cli.conftest import fingerprint
from tests.vmc_cli.motions.conftest import clip
from tests.vmc_cli.test_delta import predicted
from vmc_cli import adapters
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.course import Course
from vmc_cli.delta import attached
from vmc_cli.device import generator
from vmc_cli.motions import Footage, Preview, file_sizes, generate, learn
from vmc_cli.recipe import SUBJECT
from vmc_cli.recipes import KINDS, RECIPES
from vmc_cli.tokens import Token

TEMPORAL = r"(down_blocks\.\d|mid_block|up_blocks\.\d)\.temp_attentions\.\d\.transformer_blocks\.0"
ALL_TEMPORAL = TEMPORAL + r"\.(attn[12]\.(to_[qkv]|to_out\.0)|ff\.net\.(0\.proj|2))"
PROJECTION = TEMPORAL.replace(r"transformer_blocks\.0", "proj_(in|out)")
CONVOLUTION = r"(down_blocks\.\d|mid_block|up_blocks\.\d)\.temp_convs\.\d\.conv[1-4]\.\d"
INPUT = r"transformer_in\.(proj_(in|out)|transformer_blocks\.0\.(attn[12]\.to_.*|ff\.net\..*))"
TEXT = TEMPORAL.replace("temp_attentions", "attentions") + r"\.attn2\.to_[kv]"
OUTER = TEMPORAL.replace(r"|mid_block", "")
TABLES = OUTER + r"\.(m_qk|attn[12]\.m_v)"
# What may be trained, told apart from the table itself: the paths of modules, and how many there are on the
# tiny model, which has 7 temporal transformers: 2 down, 1 in the middle, 4 up; of these, 3 outer ones of 16
# channels and 3 of 32.
TRAINED = {
    "vmc": (TEMPORAL + r"\.attn[12]\.to_[qkv]", 7 * 6),
    "director": (ALL_TEMPORAL, 7 * (2 * 4 + 2)),
    "subject": (TEXT, 7 * 2),
    "token": (
        "|".join((ALL_TEMPORAL, PROJECTION, CONVOLUTION, INPUT, TEXT)),
        (7 + 1) * (2 * 4 + 2 + 2) + 11 * 4 + 7 * 2,
    ),
    "actors": (TEMPORAL + r"\.(m_qk|attn[12]\.m_v)", 7 * 3),
    "inversion": (TABLES, 3 * 3),
    "inversion/object": (TABLES, 3 * 3),
    "inversion/camera": (TABLES, 6 * 3),
    "inversion/hybrid": (TABLES, 6 * 3),
}
METHODS = {
    **RECIPES,
    **{
        f"{method}/{kind}": RECIPES[method].adjusted({**changes, "kind": kind})
        for method, kinds in KINDS.items()
        for kind, changes in kinds.items()
    },
}
EVERY = pytest.mark.parametrize("method", METHODS)


def quick(method):
    recipe = METHODS[method]
    inversion = min(recipe.inversion_steps, 1)
    changes = {"steps": 1, "inversion_steps": inversion, "learning_rate": 1e-2}
    return recipe.adjusted({**changes, "rank": recipe.rank and 2, "augmented": min(recipe.augmented, 1)})


_LEARNED = {}  # a seed decides everything, so once is enough


def learned_now(backbone, recipe, prompt="a bird is walking", token=None, **wishes):
    subject = recipe.learns == SUBJECT
    token = Token("X*", "sks") if subject else token
    itself = recipe.adjusted({"actors": 0})
    footage = Footage.of(backbone, [clip(1, frames=1 if subject else 4)], itself, token=token)
    footage = replace(footage, acted=[*footage.latents] * recipe.actors)  # the tiny model knows nobody
    return learn(backbone, footage, name="walk", prompt=prompt, recipe=recipe, seed=0, **wishes)


def learned(backbone, method):
    if method not in _LEARNED:
        _LEARNED[method] = learned_now(backbone, quick(method))
    return _LEARNED[method]


def module_of(key):
    return re.sub(r"(\.lora_[AB]\.weight|\.diff)$", "", key.removeprefix("unet."))


@EVERY
def test_exactly_the_named_parameters_receive_a_gradient(tiny_backbone, method):
    adapter = adapters.place(tiny_backbone, quick(method).adaptation)
    before = fingerprint(tiny_backbone.network)
    with adapter.trained(generator(0)) as trainable:
        with torch.no_grad():
            for number, parameter in enumerate(trainable.parameters.values()):
                parameter.add_(torch.randn(parameter.shape, generator=generator(number)), alpha=0.1)
        latents = torch.randn(1, *tiny_backbone.latent_shape, generator=generator(0))
        prediction = tiny_backbone.predict(latents, 500, tiny_backbone.embed(["a cat"]))
        prediction.square().sum().backward()
        assert all(parameter.grad.any() for parameter in trainable.parameters.values())
        ours = {id(parameter) for parameter in trainable.parameters.values()}
        assert not [
            name
            for name, parameter in tiny_backbone.network.named_parameters()
            if (parameter.requires_grad or parameter.grad is not None) and id(parameter) not in ours
        ]
    assert fingerprint(tiny_backbone.network) == before
    pattern, count = TRAINED[method]
    modules = {module_of(key) for key in trainable.parameters}
    assert all(re.fullmatch(pattern, module) for module in modules)
    assert len(modules) == count


@EVERY
def test_the_saved_file_holds_exactly_what_is_named(tiny_backbone, method):
    before = fingerprint(tiny_backbone.network)
    delta = learned(tiny_backbone, method)
    assert fingerprint(tiny_backbone.network) == before
    pattern, count = TRAINED[method]
    modules = {module_of(key) for key in delta.weights}
    assert all(re.fullmatch(pattern, module) for module in modules)
    assert len(modules) == count
    beside = {"subject": {"token", "preview"}}.get(method, {"start_noise", "latents", "preview"})
    assert delta.tensors.keys() - delta.weights.keys() == beside
    assert delta.card.recipe == quick(method).to_card()
    assert delta.card.kind == METHODS[method].learns


@EVERY
def test_the_network_is_bit_for_bit_as_before_and_strength_0_leaves_it_alone(tiny_backbone, method):
    delta = learned(tiny_backbone, method)
    before, bare = fingerprint(tiny_backbone.network), predicted(tiny_backbone)
    with attached(tiny_backbone, [(delta, 0.0)]):
        assert fingerprint(tiny_backbone.network) == before
        assert torch.equal(predicted(tiny_backbone), bare)
    with attached(tiny_backbone, [(delta, 1.0)]):
        assert not torch.equal(predicted(tiny_backbone), bare)
    assert fingerprint(tiny_backbone.network) == before
    assert torch.equal(predicted(tiny_backbone), bare)


@EVERY
def test_strength_0_from_random_noise_equals_no_motion(tiny_backbone, method, monkeypatch):
    monkeypatch.setattr(tiny_backbone, "spec", replace(tiny_backbone.spec, course=Course(2)))
    without = generate(tiny_backbone, "a cat", noise="random", seed=3).frames
    deltas = [(learned(tiny_backbone, method), 0.0)]
    assert np.array_equal(
        generate(tiny_backbone, "a cat", noise="random", seed=3, deltas=deltas).frames, without
    )


@EVERY
def test_a_video_can_be_made_with_it(tiny_backbone, method):
    video = generate(tiny_backbone, "a cat", deltas=[(learned(tiny_backbone, method), 1.0)], course=Course(1))
    assert video.frames.shape == (4, 32, 32, 3)


@EVERY
def test_its_files_have_the_size_that_is_told_before_learning(tiny_backbone, method, tmp_path):
    checkpoint = Checkpoint(tmp_path, every=1)
    seen, recipe = [], quick(method)
    preview = Preview(1, lambda *sample: seen.append(sample))
    delta = learned_now(tiny_backbone, recipe, checkpoint=checkpoint, preview=preview)
    assert all(
        torch.equal(delta.tensors[key], value)
        for key, value in learned(tiny_backbone, method).tensors.items()
    )
    assert [steps for steps, _ in seen] == [1]
    motion_size, state_size = file_sizes(tiny_backbone, recipe, clips=1)
    written = sum(tensor.nbytes for tensor in delta.tensors.values())
    assert 0 <= motion_size - written <= 4 * 3 * (64**2 - 32**2)
    [state] = checkpoint.folder.glob("*.safetensors")
    kept = safetensors.numpy.load_file(state).values()
    assert 0 < sum(tensor.nbytes for tensor in kept) - state_size < 10_000


def test_a_tokens_vectors_are_learned_and_saved_only_where_the_recipe_says_so(tiny_backbone):
    token = Token("V*", "pll")
    recipe = quick("token").adjusted({"trains_token": True})
    wishes = {"prompt": "a bird doing the V*", "token": token}
    before = fingerprint(tiny_backbone.network)
    encoder = {name: value.clone() for name, value in tiny_backbone._text_encoder.state_dict().items()}
    delta = learned_now(tiny_backbone, recipe, **wishes)
    bare = learned_now(tiny_backbone, recipe.adjusted({"trains_token": False}), **wishes)
    assert delta.tensors.keys() - bare.tensors.keys() == {"token"}
    own = tiny_backbone.word_vectors("pll")
    assert delta.tensors["token"].shape == own.shape == (3, 16)
    assert not torch.allclose(delta.tensors["token"].float(), own, atol=1e-3)
    assert fingerprint(tiny_backbone.network) == before
    after = tiny_backbone._text_encoder.state_dict()
    assert all(torch.equal(after[name], value) for name, value in encoder.items())
    assert generate(tiny_backbone, "a cat doing the V*", deltas=[(delta, 1.0)], course=Course(1)).frames.any()
    assert not delta.vectors(tiny_backbone, 0.0)
    half = delta.vectors(tiny_backbone, 0.5)["pll"]
    torch.testing.assert_close(half, (own + delta.tensors["token"].float()) / 2)


def test_the_model_reads_the_word_for_the_token(tiny_backbone, monkeypatch):
    token = Token("V*", "pll")
    delta = learned_now(tiny_backbone, quick("token"), prompt="a bird doing the V*", token=token)
    asked = []
    original = type(tiny_backbone).embed
    monkeypatch.setattr(
        type(tiny_backbone), "embed", lambda self, prompts: asked.extend(prompts) or original(self, prompts)
    )
    generate(tiny_backbone, "a cat doing the V*", deltas=[(delta, 1.0)], negative="no V*", course=Course(1))
    assert asked == ["a cat doing the pll", "no pll"]
