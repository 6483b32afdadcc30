"""The family of UNet3DConditionModel: 2D layers on each frame, temporal layers on each pixel, CLIP text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
import transformers
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet3DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from vmc_cli.backbones import Spec
from vmc_cli.backbones.base import Backbone, Schedule, Site
from vmc_cli.device import choose_device, compute_dtype
from vmc_cli.errors import IncompatibleError

_CODECS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny, "AutoencoderDC": AutoencoderDC}

_BLOCK = r".+\.{}\.\d+\.transformer_blocks\.\d+\."
_MATRIX = r"(to_q|to_k|to_v|to_out\.0)"
# Path of a module -> its role, and which of its sizes is the width of its block. transformer_in, the temporal
# layer before the blocks, has no role: VMC leaves it alone.
_ROLES = (
    (_BLOCK.format("temp_attentions") + r"attn[12]\." + _MATRIX, "temporal-attention", "out_features"),
    (_BLOCK.format("temp_attentions") + r"ff\.(net\.0\.proj)", "temporal-feed-forward", "in_features"),
    (_BLOCK.format("temp_attentions") + r"ff\.(net\.2)", "temporal-feed-forward", "out_features"),
    (r".+\.temp_convs\.\d+\.(conv1\.2|conv[234]\.3)", "temporal-convolution", "out_channels"),
    (_BLOCK.format("attentions") + r"attn1\." + _MATRIX, "spatial-self-attention", "out_features"),
    (_BLOCK.format("attentions") + r"ff\.(net\.0\.proj)", "spatial-feed-forward", "in_features"),
    (_BLOCK.format("attentions") + r"ff\.(net\.2)", "spatial-feed-forward", "out_features"),
    (_BLOCK.format("attentions") + r"attn2\." + _MATRIX, "spatial-cross-attention", "out_features"),
)


class TemporalConvolution(nn.Conv3d):
    """A convolution along time, kernel (k, 1, 1), computed as the same in 2D over (time, pixels): faster."""

    def forward(self, video: Tensor) -> Tensor:
        """(B, C, F, h, w) -> (B, C', F, h, w)."""
        flat = F.conv2d(video.flatten(3), self.weight.squeeze(-1), self.bias, padding=self.padding[:2])
        return flat.reshape(*flat.shape[:3], *video.shape[3:])


class Float32Attention:
    """Attention for CPUs, where the kernel for float32 runs twice as fast as that for bfloat16."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, N, C) that look at ``encoder_hidden_states`` (B, L, D), or at each other."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        query, key, value = (x.float().unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in projected)
        with torch.autocast("cpu", enabled=False):
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        output = attended.transpose(1, 2).flatten(2).to(hidden_states.dtype)
        return attn.to_out[1](attn.to_out[0](output))


def quicken(network: UNet3DConditionModel, device: torch.device) -> None:
    """Compute the same with faster kernels; parameters and their names stay as they are."""
    for module in network.modules():
        if type(module) is nn.Conv3d and module.kernel_size == (3, 1, 1):
            module.__class__ = TemporalConvolution
        if isinstance(module, TransformerTemporalModel):
            # Its view of one video has strides that turn one matrix product into h*w tiny ones.
            module.proj_in.register_forward_pre_hook(_contiguous)
    if device.type == "cpu":
        network.set_attn_processor(Float32Attention())


def find_sites(network: UNet3DConditionModel) -> list[Site]:
    """See `Backbone.sites`."""
    sites = []
    for name, module in network.named_modules():
        for pattern, role, width in _ROLES:
            if match := re.fullmatch(pattern, name):
                place = _place(network, name)
                sites.append(Site(name, role, match[1], module, getattr(module, width), *place))
    return sites


def _place(network: UNet3DConditionModel, name: str) -> tuple[str, int]:
    """Section and scale of the block that a module is in: each block down but the last halves the grid."""
    kind, number, *_ = name.split(".")
    deepest = len(network.down_blocks) - 1
    if kind == "down_blocks":
        return "down", 2 ** int(number)
    return ("up", 2 ** (deepest - int(number))) if kind == "up_blocks" else ("mid", 2**deepest)


class UNet3D(Backbone):
    """A UNet3DConditionModel with its CLIP text encoder and its autoencoder of single frames."""

    def __init__(
        self,
        *,
        spec: Spec,
        revision: str,
        network: UNet3DConditionModel,
        vae: AutoencoderKL | AutoencoderTiny | AutoencoderDC,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        scheduler: DDIMScheduler,
        device: torch.device,
    ) -> None:
        levels = vae.config.get("block_out_channels") or vae.config.encoder_block_out_channels
        factor = 2 ** (len(levels) - 1)
        _require_fit(spec, network, vae, text_encoder, factor)
        self.spec, self.revision, self.device, self.dtype = spec, revision, device, network.dtype
        alphas, final = scheduler.alphas_cumprod, scheduler.final_alpha_cumprod
        self.schedule = Schedule(alphas, final, scheduler.config.prediction_type)
        channels = vae.config.latent_channels
        self.latent_shape = (channels, spec.frames, spec.height // factor, spec.width // factor)
        self.network = network.eval().requires_grad_(False).to(device)
        # Small beside the network, and sensitive: these two compute in float32 whatever they were stored in.
        self._vae = vae.eval().requires_grad_(False).to(device, torch.float32)
        self._text_encoder = text_encoder.eval().requires_grad_(False).to(device, torch.float32)
        self._tokenizer = tokenizer
        self._scale, self._shift = vae.config.scaling_factor, vae.config.get("shift_factor") or 0.0
        quicken(network, device)

    @torch.no_grad()
    def encode(self, frames: np.ndarray[Any, Any]) -> Tensor:
        """See `Backbone.encode`. The mode of the autoencoder's distribution, one frame at a time."""
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        latents = torch.cat(
            [self._encode(frame[None].to(self.device, torch.float32) / 127.5 - 1) for frame in pixels]
        )
        return ((latents - self._shift) * self._scale).transpose(0, 1)[None]

    def _encode(self, pixels: Tensor) -> Tensor:
        encoded = self._vae.encode(pixels)
        latents: Tensor = encoded.latent_dist.mode() if "latent_dist" in encoded else encoded[0]
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor) -> np.ndarray[Any, Any]:
        """See `Backbone.decode`. One frame at a time, which bounds the memory."""
        scaled = latents[0].transpose(0, 1).to(self.device, torch.float32) / self._scale + self._shift
        frames = [self._vae.decode(frame[None]).sample for frame in scaled]
        pixels = ((torch.cat(frames).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    @torch.no_grad()
    def embed(self, prompts: Sequence[str]) -> Tensor:
        """See `Backbone.embed`. What does not fit into the text encoder is cut off."""
        return self.embed_with(prompts, {})

    def word_vectors(self, word: str) -> Tensor:
        """See `Backbone.word_vectors`."""
        pieces = self._pieces(word)
        if self._tokenizer.unk_token_id in pieces:
            raise IncompatibleError(f"The text encoder of {self.spec.name} cannot spell {word!r}.")
        return self._text_encoder.get_input_embeddings().weight[pieces].detach().clone()

    def embed_with(self, prompts: Sequence[str], vectors: Mapping[str, Tensor]) -> Tensor:
        """See `Backbone.embed_with`."""
        tokens = self._tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
        ids = tokens.input_ids.to(self.device)
        pieces = {word: torch.tensor(self._pieces(word), device=self.device) for word in vectors}

        def replaced(module: nn.Module, inputs: tuple[Any, ...], found: Tensor) -> Tensor:
            for word, own in pieces.items():
                windows = ids.unfold(1, len(own), 1)
                for row, begin in (windows == own).all(-1).nonzero().tolist():
                    middle = vectors[word][None].to(found.device, found.dtype)
                    whole = [found[row : row + 1, :begin], middle, found[row : row + 1, begin + len(own) :]]
                    found = torch.cat([found[:row], torch.cat(whole, dim=1), found[row + 1 :]])
            return found

        handle = self._text_encoder.get_input_embeddings().register_forward_hook(replaced)
        try:
            return self._text_encoder(ids).last_hidden_state
        finally:
            handle.remove()

    def _pieces(self, word: str) -> list[int]:
        pieces: list[int] = self._tokenizer(word, add_special_tokens=False).input_ids
        return pieces

    def predict(self, latents: Tensor, t: Tensor | int, embedding: Tensor) -> Tensor:
        """See `Backbone.predict`."""
        timesteps = torch.as_tensor(t).to(self.device)
        mixed = self.dtype is not torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=mixed):
            return self.network(latents, timesteps, embedding, return_dict=False)[0].float()

    def _find_sites(self) -> list[Site]:
        return find_sites(self.network)


def load(folder: Path, spec: Spec, revision: str, device: str | None) -> UNet3D:
    """The model in ``folder``, in diffusers layout: unet, vae, text_encoder, tokenizer and scheduler.

    Weights are read from safetensors files only, and nothing is fetched.

    Raises `IncompatibleError` when a part is not there, incomplete, or of another kind.
    """
    chosen = choose_device(device)
    _hush()
    default = torch.get_default_dtype()
    try:
        kind = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8")).get("_class_name")
        if kind not in _CODECS:
            raise IncompatibleError(
                f"{folder / 'vae'} holds a {kind}; it must be one of {', '.join(_CODECS)}."
            )
        text_encoder = _whole(CLIPTextModel, folder, "text_encoder", trust_remote_code=False)
        return UNet3D(
            spec=spec,
            revision=revision,
            network=_whole(UNet3DConditionModel, folder, "unet", torch_dtype=compute_dtype(chosen)),
            vae=_whole(_CODECS[kind], folder, "vae"),
            text_encoder=text_encoder,
            tokenizer=CLIPTokenizer.from_pretrained(
                folder / "tokenizer",
                model_max_length=text_encoder.config.max_position_embeddings,
                local_files_only=True,
                trust_remote_code=False,
            ),
            scheduler=DDIMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True),
            device=chosen,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        message = f"The folder {folder} does not hold a whole model: {error}"
        raise IncompatibleError(message) from error
    finally:
        torch.set_default_dtype(default)  # diffusers changes it while loading, and not back when that fails


def _whole(kind: Any, folder: Path, part: str, **options: Any) -> Any:
    """A part of the model. Libraries fill in missing weights at random and only warn: here it is an error."""
    model, found = kind.from_pretrained(
        folder,
        subfolder=part,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    if missing := sorted(found["missing_keys"]):
        raise IncompatibleError(f"{folder / part} lacks {len(missing)} weights, {missing[0]} among them.")
    return model


def _hush() -> None:
    """Keep the libraries' own progress bars and advice about configurations off stderr."""
    diffusers.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def _require_fit(spec: Spec, network: Any, vae: Any, text_encoder: Any, factor: int) -> None:
    if network.config.in_channels != vae.config.latent_channels:
        raise IncompatibleError(f"The network and the autoencoder of {spec.name} do not fit together.")
    if network.config.cross_attention_dim != text_encoder.config.hidden_size:
        raise IncompatibleError(f"The network and the text encoder of {spec.name} do not fit together.")
    if spec.height % factor or spec.width % factor:
        raise IncompatibleError(
            f"{spec.width}x{spec.height} is no size for {spec.name}: multiples of {factor} are."
        )


def _contiguous(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].contiguous(),)
