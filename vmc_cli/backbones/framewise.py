"""What families have in common that code each frame alone, with an autoencoder, and prompts with CLIP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from vmc_cli.backbones import Spec, attention, compiling, placement
from vmc_cli.backbones.base import Backbone, Schedule, Site
from vmc_cli.device import available_memory
from vmc_cli.errors import IncompatibleError

TRANSFORMER = r".+\.{}\.\d+\."
BLOCK = TRANSFORMER + r"transformer_blocks\.\d+\."
MATRIX = r"(to_q|to_k|to_v|to_out\.0)"
Roles = Sequence[tuple[str, str, str]]
"""Path of a module -> its role, and which of its sizes is the width of its block."""

SPATIAL: Roles = (
    (BLOCK.format("attentions") + r"attn1\." + MATRIX, "spatial-self-attention", "out_features"),
    (BLOCK.format("attentions") + r"attn2\." + MATRIX, "spatial-cross-attention", "out_features"),
    (BLOCK.format("attentions") + r"ff\.(net\.0\.proj)", "spatial-feed-forward", "in_features"),
    (BLOCK.format("attentions") + r"ff\.(net\.2)", "spatial-feed-forward", "out_features"),
    (r".+\.resnets\.\d+\.(conv[12])", "spatial-convolution", "out_channels"),
)


def densify(layer: nn.Module) -> None:
    """Let ``layer`` see contiguous tensors only.

    What enters a temporal transformer is a view of one video, whose strides turn one matrix product into h*w
    tiny ones.
    """
    layer.register_forward_pre_hook(_contiguous, with_kwargs=True)


def _contiguous(module: nn.Module, inputs: Any, named: Any) -> Any:
    return tuple(x.contiguous() for x in inputs), {key: x.contiguous() for key, x in named.items()}


def temporal(name: str) -> Roles:
    """The roles in the temporal transformers that a network calls ``name``."""
    block, transformer = BLOCK.format(name), TRANSFORMER.format(name)
    return (
        (block + r"attn[12]\." + MATRIX, "temporal-attention", "out_features"),
        (block + r"ff\.(net\.0\.proj)", "temporal-feed-forward", "in_features"),
        (block + r"ff\.(net\.2)", "temporal-feed-forward", "out_features"),
        (transformer + "(proj_in)", "temporal-projection", "in_features"),
        (transformer + "(proj_out)", "temporal-projection", "out_features"),
    )


def find_sites(network: nn.Module, roles: Roles) -> list[Site]:
    """See `Backbone.sites`."""
    sites = []
    for name, module in network.named_modules():
        for pattern, role, width in roles:
            if match := re.fullmatch(pattern, name):
                place = _place(network, name)
                sites.append(Site(name, role, match[1], module, getattr(module, width), *place))
    return sites


def _place(network: nn.Module, name: str) -> tuple[str, int]:
    """Section and scale of the block that a module is in: each block down but the last halves the grid."""
    kind, number, *_ = name.split(".")
    deepest = len(network.down_blocks) - 1
    if kind == "down_blocks":
        return "down", 2 ** int(number)
    if kind == "up_blocks":
        return "up", 2 ** (deepest - int(number))
    return ("mid", 2**deepest) if kind == "mid_block" else ("in", 1)


class FrameBackbone(Backbone):
    """A network over the latents of single frames, with its CLIP text encoder and its autoencoder."""

    roles: Roles
    stands_on: torch.device
    """Of a blueprint: the device that it was made for."""

    def __init__(
        self,
        *,
        spec: Spec,
        revision: str,
        network: Any,
        vae: AutoencoderKL | AutoencoderTiny | AutoencoderDC,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        schedule: Schedule,
        device: torch.device,
    ) -> None:
        levels = vae.config.get("block_out_channels") or vae.config.encoder_block_out_channels
        factor = 2 ** (len(levels) - 1)
        _require_fit(spec, network, vae, text_encoder, factor)
        self.spec, self.revision, self.device, self.dtype = spec, revision, device, network.dtype
        self.schedule = schedule
        channels = vae.config.latent_channels
        self.latent_shape = (channels, spec.frames, spec.height // factor, spec.width // factor)
        self.network = network.eval().requires_grad_(False)
        self.attend_by("auto")
        # Small beside the network, and sensitive: these two compute in float32 whatever they were stored in.
        # They come to the device when they are needed.
        self._vae = vae.eval().requires_grad_(False).to(torch.float32)
        self._text_encoder = text_encoder.eval().requires_grad_(False).to(torch.float32)
        self._tokenizer = tokenizer
        if placement.size(self.network) < available_memory(device):
            try:
                self.network.to(device)
            except torch.OutOfMemoryError:  # what is left is in pieces
                self.network.to("cpu")
        self._scale, self._shift = vae.config.scaling_factor, vae.config.get("shift_factor") or 0.0

    @torch.no_grad()
    def encode(self, frames: np.ndarray[Any, Any]) -> Tensor:
        """See `Backbone.encode`. The mode of the autoencoder's distribution, one frame at a time."""
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        with placement.resident(self._vae, self.device):
            latents = torch.cat(
                [self.encode_frame(each[None].to(self.device, torch.float32) / 127.5 - 1) for each in pixels]
            )
        return ((latents - self._shift) * self._scale).transpose(0, 1)[None]

    def encode_frame(self, pixels: Tensor) -> Tensor:
        """(1, 3, H, W) from -1 to 1 to (1, C, h, w), not scaled."""
        encoded = self._vae.encode(pixels)
        latents: Tensor = encoded.latent_dist.mode() if "latent_dist" in encoded else encoded[0]
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor) -> np.ndarray[Any, Any]:
        """See `Backbone.decode`. One frame at a time, which bounds the memory."""
        scaled = latents[0].transpose(0, 1).to(self.device, torch.float32) / self._scale + self._shift
        with placement.resident(self._vae, self.device):
            frames = [_to_bytes(self.decode_frame(frame[None])).cpu() for frame in scaled]
        return torch.cat(frames).permute(0, 2, 3, 1).contiguous().numpy()

    def decode_frame(self, latents: Tensor) -> Tensor:
        """The inverse of `encode_frame`, about."""
        pixels: Tensor = self._vae.decode(latents).sample
        return pixels

    @torch.no_grad()
    def embed(self, prompts: Sequence[str]) -> Tensor:
        """See `Backbone.embed`. What does not fit into the text encoder is cut off."""
        return self.embed_with(prompts, {})

    def word_vectors(self, word: str) -> Tensor:
        """See `Backbone.word_vectors`."""
        pieces = self._pieces(word)
        if self._tokenizer.unk_token_id in pieces:
            raise IncompatibleError(f"The text encoder of {self.spec.name} cannot spell {word!r}.")
        return self._text_encoder.get_input_embeddings().weight[pieces].detach().clone().to(self.device)

    def embed_with(self, prompts: Sequence[str], vectors: Mapping[str, Tensor]) -> Tensor:
        """See `Backbone.embed_with`."""
        tokens = self._tokenizer(list(prompts), padding="max_length", truncation=True)
        pieces = {word: self._pieces(word) for word in vectors}
        ids, places = [], []
        for row, line in enumerate(tokens.input_ids):
            told, found = _spliced(line, pieces, {word: len(each) for word, each in vectors.items()})
            ids.append(told)
            places += [(row, *place) for place in found]

        def replaced(module: nn.Module, inputs: tuple[Any, ...], found: Tensor) -> Tensor:
            found = found.clone()
            for row, begin, word in places:
                stretch = found[row, begin : begin + len(vectors[word])]
                stretch[:] = vectors[word][: len(stretch)].to(found)
            return found

        handle = self._text_encoder.get_input_embeddings().register_forward_hook(replaced)
        try:
            with self.listening():
                return self._text_encoder(torch.tensor(ids, device=self.device)).last_hidden_state
        finally:
            handle.remove()

    def _pieces(self, word: str) -> list[int]:
        pieces: list[int] = self._tokenizer(word, add_special_tokens=False).input_ids
        return pieces

    def predict(self, latents: Tensor, t: Tensor | int, embedding: Tensor) -> Tensor:
        """See `Backbone.predict`."""
        if not self.is_resident:  # there was no room for it when it was loaded
            raise MemoryError
        timesteps = torch.as_tensor(t).to(self.device)
        noisy, told = latents.to(self.dtype), embedding.to(self.dtype)
        return self.network(noisy, timesteps, told, return_dict=False)[0].float()

    def attend_by(self, asked: str) -> str:
        """See `Backbone.attend_by`."""
        name, kernel = attention.chosen(asked, self.device)
        self._attend(kernel)
        return attention.NAMES[name]

    def attend_as_on(self, device: torch.device) -> None:
        """See `Backbone.attend_as_on`."""
        self.stands_on = device
        self._attend(attention.float32 if device.type == "cpu" else attention.sdpa)

    def _attend(self, kernel: attention.Kernel) -> None:
        self.network.set_attn_processor(attention.FusedAttention(kernel))

    def listening(self) -> AbstractContextManager[None]:
        """See `Backbone.listening`."""
        return placement.resident(self._text_encoder, self.device)

    def offloaded(self) -> AbstractContextManager[None]:
        """See `Backbone.offloaded`."""
        return placement.offloaded(self.network, self.device, self.blocks)

    def compiled(self) -> AbstractContextManager[None]:
        """See `Backbone.compiled`."""
        return compiling.compiled(self.network)

    @property
    def blocks(self) -> list[nn.Module]:
        """The large parts of the network, in the order in which they compute."""
        network = self.network
        return [*network.down_blocks, network.mid_block, *network.up_blocks]

    @property
    def embedding_shape(self) -> tuple[int, int]:
        """(L, D) of an embedded prompt."""
        config = self._text_encoder.config
        return config.max_position_embeddings, config.hidden_size

    @property
    def surroundings(self) -> tuple[nn.Module, nn.Module]:
        """Text encoder and autoencoder, which are on the device only while they compute."""
        return self._text_encoder, self._vae

    def _find_sites(self) -> list[Site]:
        return find_sites(self.network, self.roles)


def _to_bytes(pixels: Tensor) -> Tensor:
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def _spliced(
    ids: list[int], pieces: Mapping[str, list[int]], sizes: Mapping[str, int]
) -> tuple[list[int], list[tuple[int, str]]]:
    """``ids`` with room for ``sizes`` vectors wherever a word's pieces stand, and where each begins.

    As long as before: padding, or what no longer fits, goes; padding fills what is left. The last one stays.
    """
    *line, end = ids
    found, places, at = [], [], 0
    while at < len(line):
        word = next((word for word, own in pieces.items() if own and line[at : at + len(own)] == own), None)
        if word is not None and len(found) < len(line):
            places.append((len(found), word))
        found += [line[at]] if word is None else [end] * sizes[word]
        at += 1 if word is None else len(pieces[word])
    return [*(found + [end] * len(line))[: len(line)], end], places


def _require_fit(spec: Spec, network: Any, vae: Any, text_encoder: Any, factor: int) -> None:
    if network.config.in_channels != vae.config.latent_channels:
        raise IncompatibleError(f"The network and the autoencoder of {spec.name} do not fit together.")
    if network.config.cross_attention_dim != text_encoder.config.hidden_size:
        raise IncompatibleError(f"The network and the text encoder of {spec.name} do not fit together.")
    if spec.height % factor or spec.width % factor:
        raise IncompatibleError(
            f"{spec.width}x{spec.height} is no size for {spec.name}: multiples of {factor} are."
        )
