"""Tiny random models of the real classes, so that no test needs trained weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vmc_cli.backbones import Spec

TOKENS = 24
SIZE = 32


def write_tiny_model(
    folder: Path, codec: str = "AutoencoderTiny", prediction_type: str = "epsilon", blocks: int = 3
) -> None:
    """A model in diffusers layout: 4 latent channels, 8x smaller latents, random weights."""
    import torch
    from diffusers import UNet3DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet3DConditionModel(
            block_out_channels=(16, 32, 32)[:blocks],
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=8,
            cross_attention_dim=16,
            down_block_types=(*["CrossAttnDownBlock3D"] * (blocks - 1), "DownBlock3D"),
            up_block_types=("UpBlock3D", *["CrossAttnUpBlock3D"] * (blocks - 1)),
        )
        _fill(unet).save_pretrained(folder / "unet")
        write_surroundings(folder, codec, prediction_type)


def write_tiny_animatediff(folder: Path, mid: bool = True) -> None:
    """A Stable Diffusion of the same sizes, and in motion_adapter an adapter for it, random weights."""
    import torch
    from diffusers import MotionAdapter, UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            block_out_channels=(16, 32, 32),
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=2,
            cross_attention_dim=16,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        )
        _fill(unet).save_pretrained(folder / "unet")
        adapter = MotionAdapter(
            block_out_channels=(16, 32, 32),
            motion_layers_per_block=1,
            motion_num_attention_heads=2,
            motion_norm_num_groups=8,
            use_motion_mid_block=mid,
        )
        _fill(adapter).save_pretrained(folder / "motion_adapter")
        write_surroundings(folder, "AutoencoderKL", "epsilon")


def _fill(network: Any) -> Any:
    """No layer may start as zero, or a test of it proves nothing."""
    import torch

    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network


def write_surroundings(folder: Path, codec: str, prediction_type: str) -> None:
    """All but the network: vae, tokenizer, text_encoder and scheduler."""
    from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny, DDIMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    if codec == "AutoencoderTiny":
        vae = AutoencoderTiny(
            encoder_block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            num_encoder_blocks=(1, 1, 1, 1),
            num_decoder_blocks=(1, 1, 1, 1),
            scaling_factor=1.5,
        )
    elif codec == "AutoencoderDC":
        vae = AutoencoderDC(
            latent_channels=4,
            encoder_block_types="ResBlock",
            decoder_block_types="ResBlock",
            encoder_block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            encoder_layers_per_block=(1, 1, 1, 1),
            decoder_layers_per_block=(1, 1, 1, 1),
            encoder_qkv_multiscales=((), (), (), ()),
            decoder_qkv_multiscales=((), (), (), ()),
            upsample_block_type="pixel_shuffle",
            downsample_block_type="pixel_unshuffle",
            scaling_factor=0.7,
        )
    else:
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            norm_num_groups=4,
            latent_channels=4,
        )
    vae.save_pretrained(folder / "vae")
    tokenizer = CLIPTokenizer(vocab=_spelling(), merges=[])
    tokenizer.save_pretrained(folder / "tokenizer")
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type=prediction_type,
    ).save_pretrained(folder / "scheduler")


def write_tiny_clip(folder: Path) -> None:
    """A CLIP model of pictures and words in transformers layout, random weights."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    tokenizer = CLIPTokenizer(vocab=_spelling(), merges=[], model_max_length=TOKENS)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = {"vocab_size": len(tokenizer), "max_position_embeddings": TOKENS}
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPConfig(
            text_config={**small, **words, **ends},
            vision_config={**small, "image_size": SIZE, "patch_size": 8},
            projection_dim=12,
        )
        CLIPModel(config).save_pretrained(folder)
    side = {"height": SIZE, "width": SIZE}
    pictures = CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=side)
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)


def write_tiny_encoder(folder: Path, kind: str = "Dinov2") -> None:
    """An image encoder (Dinov2 or ViT) in transformers layout, random weights."""
    import torch
    import transformers

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = {**small, "intermediate_size": 32, "image_size": SIZE, "patch_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**sizes)
        getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    side = {"height": SIZE, "width": SIZE}
    transformers.ViTImageProcessor(size=side).save_pretrained(folder)


def _spelling() -> dict[str, int]:
    """A vocabulary of letters, each also as the last of a word."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return {token: number for number, token in enumerate(tokens)}


def tiny_spec(folder: Path, family: str = "unet3d") -> Spec:
    return Spec(
        name="tiny",
        family=family,
        sources=(folder,) if family == "unet3d" else (folder, folder / "motion_adapter"),
        frames=4,
        height=SIZE,
        width=SIZE,
        fps=8.0,
        licence="none",
        summary="random weights",
    )


def fingerprint(network: Any) -> dict[str, Any]:
    """Everything that training or merging could leave behind in a network, down to the bit."""
    import torch

    found: dict[str, Any] = {"": set(vars(network))}
    for name, module in network.named_modules():
        hooks = len(module._forward_pre_hooks), len(module._forward_hooks)
        found[f"{name}()"] = (id(module), type(module), module.training, hooks)
    for name, value in network.named_parameters():
        data = value.detach().contiguous().view(torch.uint8).numpy().tobytes()
        found[name] = (id(value), value.dtype, value.requires_grad, value.grad is None, data)
    return found


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model on disk; read only."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_model(folder)
    return folder


def load_exact(folder: Path) -> Any:
    """The backbone in `folder` in float32 everywhere, for tests of numbers."""
    import torch

    from vmc_cli import backbones
    from vmc_cli.backbones import unet3d

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unet3d, "compute_dtype", lambda device: torch.float32)
        return backbones.load(tiny_spec(folder), "cpu")


@contextmanager
def untouched(backbone: Any) -> Iterator[Any]:
    """A backbone that several tests share: each must leave its network as it was."""
    before = fingerprint(backbone.network)
    yield backbone
    assert fingerprint(backbone.network) == before


@pytest.fixture(scope="session")
def _loaded(tiny_folder: Path) -> Any:
    from vmc_cli import backbones

    return backbones.load(tiny_spec(tiny_folder), "cpu")


@pytest.fixture(scope="session")
def _loaded_exact(tiny_folder: Path) -> Any:
    return load_exact(tiny_folder)


@pytest.fixture
def tiny_backbone(_loaded: Any) -> Iterator[Any]:
    """A random backbone of 4 frames of 32x32."""
    with untouched(_loaded) as backbone:
        yield backbone


@pytest.fixture
def exact_backbone(_loaded_exact: Any) -> Iterator[Any]:
    """The same in float32 everywhere."""
    with untouched(_loaded_exact) as backbone:
        yield backbone
