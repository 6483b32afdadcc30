import copy
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.vmc_cli.conftest import TOKENS, tiny_spec, write_tiny_model
from vmc_cli import backbones
from vmc_cli.backbones import unet3d
from vmc_cli.errors import IncompatibleError, VmcError


@pytest.fixture(scope="module", params=["AutoencoderTiny", "AutoencoderKL", "AutoencoderDC"])
def backbone(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_tiny_model(folder, request.param)
    return backbones.load(tiny_spec(folder), "cpu")


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def copied(tiny_folder, tmp_path):
    """A model on disk that a test may break."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    return folder


def test_frames_become_latents_and_frames_again(backbone, frames):
    latents = backbone.encode(frames)
    assert latents.shape == (1, *backbone.latent_shape) == (1, 4, 4, 4, 4)
    assert latents.dtype is torch.float32
    assert torch.equal(latents, backbone.encode(frames))
    decoded = backbone.decode(latents)
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8


def test_each_frame_is_coded_alone_and_in_its_place(backbone, frames):
    latents = backbone.encode(frames)
    assert torch.equal(backbone.encode(frames[::-1]), latents.flip(2))
    assert np.array_equal(backbone.decode(latents.flip(2)), backbone.decode(latents)[::-1])


def test_latents_are_scaled_as_the_codec_says(backbone, frames):
    vae = backbone._vae
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        coded = vae.encode(pixels)
        raw = coded.latent_dist.mean if hasattr(coded, "latent_dist") else coded[0]
        back = vae.decode(raw).sample
    expected = raw.permute(1, 0, 2, 3)[None] * vae.config.scaling_factor
    torch.testing.assert_close(backbone.encode(frames), expected, rtol=1e-4, atol=1e-5)
    levels = ((back.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(backbone.decode(backbone.encode(frames)).astype(float) - levels).max() <= 1


def test_prompts_are_padded_and_cut_to_the_text_encoder(backbone):
    embedded = backbone.embed(["a cat", "", "a very long prompt " * 20])
    assert embedded.shape == (3, TOKENS, 16)
    assert not torch.equal(embedded[0], embedded[1])
    assert torch.equal(backbone.embed(["a cat"])[0], embedded[0])


def test_a_prediction_has_the_shape_of_its_latents_and_depends_on_all_it_is_given(backbone):
    latents = torch.randn(2, *backbone.latent_shape, generator=torch.Generator().manual_seed(0))
    context = backbone.embed(["a cat", "a bird"])
    with torch.no_grad():
        base = backbone.predict(latents, torch.tensor([10, 900]), context)
        assert base.shape == latents.shape
        assert base.dtype is torch.float32
        assert not torch.allclose(base, backbone.predict(latents, 10, context))
        assert not torch.allclose(base, backbone.predict(latents, torch.tensor([10, 900]), context.flip(0)))
        alone = backbone.predict(latents[:1], 10, context[:1])
        assert (alone - base[:1]).abs().max() < 0.1 * base.abs().max()


def test_frames_see_each_other(backbone):
    latents = torch.randn(1, *backbone.latent_shape, generator=torch.Generator().manual_seed(0))
    changed = latents.clone()
    changed[:, :, 0] += 1
    with torch.no_grad():
        context = backbone.embed(["a cat"])
        difference = backbone.predict(changed, 500, context) - backbone.predict(latents, 500, context)
    assert difference[:, :, 3].abs().max() > 1e-3


def test_everything_is_frozen_and_in_evaluation_mode(backbone):
    for part in (backbone.network, backbone._vae, backbone._text_encoder):
        assert not any(parameter.requires_grad for parameter in part.parameters())
        assert not any(module.training for module in part.modules())


@pytest.mark.parametrize("batch", [1, 2])
def test_quickened_computes_what_the_stock_network_does(tiny_folder, batch):
    from diffusers import UNet3DConditionModel

    stock = UNet3DConditionModel.from_pretrained(tiny_folder, subfolder="unet").eval()
    quick = copy.deepcopy(stock)
    unet3d.quicken(quick)
    assert any(isinstance(module, unet3d.TemporalConvolution) for module in quick.modules())
    assert quick.state_dict().keys() == stock.state_dict().keys()
    latents, context = torch.randn(batch, 4, 4, 8, 8), torch.randn(batch, TOKENS, 16)
    wanted, found = (
        network(latents.requires_grad_(), 500, context, return_dict=False)[0] for network in (stock, quick)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(output.square().sum(), latents)[0] for output in (wanted, found)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_a_temporal_convolution_is_the_3d_one():
    plain = torch.nn.Conv3d(3, 5, (3, 1, 1), padding=(1, 0, 0)).double()
    quick = copy.deepcopy(plain)
    quick.__class__ = unet3d.TemporalConvolution
    for shape in ((1, 3, 8, 4, 6), (2, 3, 1, 5, 1)):
        video = torch.randn(shape, dtype=torch.float64)
        torch.testing.assert_close(quick(video), plain(video))
        strided = torch.randn(shape[0], shape[2], 3, *shape[3:], dtype=torch.float64).transpose(1, 2)
        torch.testing.assert_close(quick(strided), plain(strided))


def test_the_projection_of_a_temporal_layer_gets_one_dense_matrix(tiny_backbone):
    seen = []
    layer = tiny_backbone.network.down_blocks[0].temp_attentions[0].proj_in
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].is_contiguous()))
    with torch.no_grad():
        tiny_backbone.predict(torch.randn(1, *tiny_backbone.latent_shape), 5, tiny_backbone.embed(["a"]))
    hook.remove()
    assert seen == [True]


def test_every_role_is_found_by_name(tiny_backbone):
    names = {site.name: site for site in tiny_backbone.sites()}
    block = "transformer_blocks.0"
    expected = {
        f"down_blocks.0.temp_attentions.0.{block}.attn2.to_k": ("temporal-attention", "to_k", 16),
        f"mid_block.temp_attentions.0.{block}.attn1.to_out.0": ("temporal-attention", "to_out.0", 32),
        f"up_blocks.1.temp_attentions.1.{block}.ff.net.2": ("temporal-feed-forward", "net.2", 32),
        f"down_blocks.0.temp_attentions.0.{block}.ff.net.0.proj": ("temporal-feed-forward", "net.0.proj", 16),
        "up_blocks.2.temp_convs.0.conv4.3": ("temporal-convolution", "conv4.3", 16),
        "down_blocks.0.temp_attentions.0.proj_in": ("temporal-projection", "proj_in", 16),
        "mid_block.temp_attentions.0.proj_out": ("temporal-projection", "proj_out", 32),
        "transformer_in.proj_in": ("temporal-input", "proj_in", 64),
        f"transformer_in.{block}.attn1.to_out.0": ("temporal-input", "attn1.to_out.0", 64),
        f"transformer_in.{block}.ff.net.0.proj": ("temporal-input", "ff.net.0.proj", 64),
        f"down_blocks.1.attentions.0.{block}.attn1.to_q": ("spatial-self-attention", "to_q", 32),
        f"down_blocks.0.attentions.0.{block}.attn2.to_v": ("spatial-cross-attention", "to_v", 16),
        "mid_block.resnets.1.conv1": ("spatial-convolution", "conv1", 32),
        "up_blocks.2.resnets.0.conv2": ("spatial-convolution", "conv2", 16),
    }
    for name, (role, projection, channels) in expected.items():
        site = names[name]
        assert (site.role, site.projection, site.channels) == (role, projection, channels)
        assert site.layer is tiny_backbone.network.get_submodule(name)
    assert len(names) == len(tiny_backbone.sites())
    places = {(site.section, site.scale) for site in names.values() if site.role == "temporal-input"}
    assert places == {("in", 1)}


def test_a_text_encoder_in_the_old_spelling_is_the_same(copied, tiny_backbone):
    path = copied / "text_encoder" / "model.safetensors"
    weights = load_file(path)
    assert not any(key.startswith("text_model.") for key in weights)
    save_file({f"text_model.{key}": weights[key] for key in weights}, path, metadata={"format": "pt"})
    old = backbones.load(tiny_spec(copied), "cpu")
    assert torch.equal(old.embed(["a cat"]), tiny_backbone.embed(["a cat"]))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_missing_weights_are_an_error_and_never_random(copied, part):
    [path] = (copied / part).glob("*.safetensors")
    weights = load_file(path)
    weights.pop(sorted(weights)[3])
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(IncompatibleError, match="lacks 1 weights"):
        backbones.load(tiny_spec(copied), "cpu")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickled_weights_are_never_opened(copied, part, monkeypatch):
    [path] = (copied / part).glob("*.safetensors")
    torch.save(load_file(path), path.with_name(path.name.replace("safetensors", "bin")))
    path.unlink()
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("a pickle was opened"))
    with pytest.raises(IncompatibleError, match="pickles") as caught:
        backbones.load(tiny_spec(copied), "cpu")
    assert caught.value.hint.endswith(f"vmc backbones convert {copied}")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_one_sentence(copied, part):
    shutil.rmtree(copied / part)
    with pytest.raises(VmcError) as caught:
        backbones.load(tiny_spec(copied), "cpu")
    assert caught.value.code in (5, 7)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("kept", [0, 9, 2000])
def test_a_file_cut_short_is_one_sentence(copied, part, kept):
    [path] = (copied / part).glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(IncompatibleError):
        backbones.load(tiny_spec(copied), "cpu")


def test_a_configuration_of_something_else_is_one_sentence(copied):
    path = copied / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "block_out_channels": "many"}))
    with pytest.raises(IncompatibleError, match="does not hold a whole model"):
        backbones.load(tiny_spec(copied), "cpu")
    assert torch.get_default_dtype() is torch.float32


def test_a_foreign_codec_is_refused(copied):
    path = copied / "vae" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "_class_name": "AutoencoderOobleck"}))
    with pytest.raises(IncompatibleError, match="AutoencoderOobleck"):
        backbones.load(tiny_spec(copied), "cpu")


def test_a_model_stored_in_half_precision_still_codes_and_embeds_in_float32(copied, tiny_backbone):
    for part in ("unet", "vae", "text_encoder"):
        [path] = (copied / part).glob("*.safetensors")
        save_file({k: v.half() for k, v in load_file(path).items()}, path, metadata={"format": "pt"})
    config = copied / "text_encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "float16"}))
    half = backbones.load(tiny_spec(copied), "cpu")
    assert half.dtype is tiny_backbone.dtype
    assert half.embed(["a cat"]).dtype is torch.float32
    torch.testing.assert_close(half.embed(["a cat"]), tiny_backbone.embed(["a cat"]), rtol=1e-2, atol=1e-2)
    frames = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    assert half.encode(frames).dtype is torch.float32


def test_loading_says_nothing(copied, capfd):
    backbones.load(tiny_spec(copied), "cpu")
    said = capfd.readouterr()
    assert said.out == said.err == ""


def test_vectors_stand_for_their_word_wherever_it_is_said_and_receive_gradients(tiny_backbone):
    prompts = ["a pll cat", "pll pll", "a dog"]
    bare = tiny_backbone.embed(prompts)
    own = tiny_backbone.word_vectors("pll")
    torch.testing.assert_close(tiny_backbone.embed_with(prompts, {"pll": own}), bare)
    other = torch.nn.Parameter(own + 1)
    found = tiny_backbone.embed_with(prompts, {"pll": other})
    torch.testing.assert_close(found[2], bare[2])
    torch.testing.assert_close(found[0, :2], bare[0, :2])  # before the word nothing changes
    assert not torch.allclose(found[0, 2:5], bare[0, 2:5])
    found[:2].sum().backward()
    assert other.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in tiny_backbone._text_encoder.parameters())
    torch.testing.assert_close(tiny_backbone.embed(prompts), bare)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_more_or_fewer_vectors_than_pieces_stand_for_a_word(tiny_backbone, count):
    letters = "qwerty"[:count]  # a piece each
    vectors = torch.cat([tiny_backbone.word_vectors(letter) for letter in letters])
    found = tiny_backbone.embed_with(["a pll cat", "pll dog pll"], {"pll": vectors})
    said = " ".join(letters)
    expected = tiny_backbone.embed([f"a {said} cat", f"{said} dog {said}"])
    torch.testing.assert_close(found, expected)


def test_what_no_longer_fits_beside_many_vectors_is_cut_off(tiny_backbone):
    vectors = tiny_backbone.word_vectors("q").expand(40, -1)
    found = tiny_backbone.embed_with(["a pll cat"], {"pll": vectors})
    assert found.shape == tiny_backbone.embed(["a"]).shape
    torch.testing.assert_close(found[0, :3], tiny_backbone.embed(["a q q"])[0, :3])


def test_the_width_of_the_text_encoder_is_known_before_loading(tiny_backbone, tiny_folder):
    assert backbones.text_width(tiny_spec(tiny_folder)) == tiny_backbone.embed(["a"]).shape[-1]
