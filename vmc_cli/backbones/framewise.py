"""What families have in common that code each frame alone, with an autoencoder, and prompts with CLIP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny, DDIMScheduler
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from vmc_cli.backbones import Spec, folders
from vmc_cli.backbones.base import Backbone, Schedule, Site
from vmc_cli.errors import IncompatibleError

_CODECS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny, "AutoencoderDC": AutoencoderDC}
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, NotImplementedError, SafetensorError)

BLOCK = r".+\.{}\.\d+\.transformer_blocks\.\d+\."
MATRIX = r"(to_q|to_k|to_v|to_out\.0)"
Roles = Sequence[tuple[str, str, str]]
"""Path of a module -> its role, and which of its sizes is the width of its block."""

SPATIAL: Roles = (
    (BLOCK.format("attentions") + r"attn1\." + MATRIX, "spatial-self-attention", "out_features"),
    (BLOCK.format("attentions") + r"attn2\." + MATRIX, "spatial-cross-attention", "out_features"),
    (BLOCK.format("attentions") + r"ff\.(net\.0\.proj)", "spatial-feed-forward", "in_features"),
    (BLOCK.format("attentions") + r"ff\.(net\.2)", "spatial-feed-forward", "out_features"),
)


def temporal(name: str) -> Roles:
    """The roles in the temporal transformers that a network calls ``name``."""
    block = BLOCK.format(name)
    return (
        (block + r"attn[12]\." + MATRIX, "temporal-attention", "out_features"),
        (block + r"ff\.(net\.0\.proj)", "temporal-feed-forward", "in_features"),
        (block + r"ff\.(net\.2)", "temporal-feed-forward", "out_features"),
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
    return ("up", 2 ** (deepest - int(number))) if kind == "up_blocks" else ("mid", 2**deepest)


class FrameBackbone(Backbone):
    """A network over the latents of single frames, with its CLIP text encoder and its autoencoder."""

    roles: Roles

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
        self.network = network.eval().requires_grad_(False).to(device)
        # Small beside the network, and sensitive: these two compute in float32 whatever they were stored in.
        self._vae = vae.eval().requires_grad_(False).to(device, torch.float32)
        self._text_encoder = text_encoder.eval().requires_grad_(False).to(device, torch.float32)
        self._tokenizer = tokenizer
        self._scale, self._shift = vae.config.scaling_factor, vae.config.get("shift_factor") or 0.0

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
            return self._text_encoder(torch.tensor(ids, device=self.device)).last_hidden_state
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
        return find_sites(self.network, self.roles)


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


def load_surroundings(folder: Path, **scheduler: Any) -> dict[str, Any]:
    """All but the network of the model in ``folder``, as `FrameBackbone` takes it.

    ``scheduler`` replaces entries of its scheduler's configuration. For use inside `loading`.
    """
    kind = folders.read_json(folder / "vae" / "config.json").get("_class_name")
    if kind not in _CODECS:
        raise IncompatibleError(f"{folder / 'vae'} holds a {kind}; it must be one of {', '.join(_CODECS)}.")
    text_encoder = load_part(CLIPTextModel, folder / "text_encoder", trust_remote_code=False)
    tokenizer = CLIPTokenizer.from_pretrained(
        folder / "tokenizer",
        model_max_length=text_encoder.config.max_position_embeddings,
        local_files_only=True,
        trust_remote_code=False,
    )
    return {
        "vae": load_part(_CODECS[kind], folder / "vae"),
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "schedule": load_schedule(folder / "scheduler", **scheduler),
    }


def load_part(kind: Any, folder: Path, **options: Any) -> Any:
    """A part of a model, from safetensors files only; nothing is fetched.

    Libraries fill in missing weights at random and only warn: here it is an `IncompatibleError`.
    """
    model, found = kind.from_pretrained(
        folder,
        variant=folders.variant(folder),
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    if missing := sorted(found["missing_keys"]):
        raise IncompatibleError(f"{folder} lacks {len(missing)} weights, {missing[0]} among them.")
    return model


def load_schedule(folder: Path, **changes: Any) -> Schedule:
    """The noise schedule that the scheduler in ``folder`` describes, whichever sampler it is made for.

    Betas of any kind, rescaled to end in nothing but noise or not, and what the network predicts.

    Raises `IncompatibleError` when it describes something else than noise added with betas.
    """
    config = {**folders.read_json(folder / "scheduler_config.json"), **changes}
    flows = config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction"
    if flows or not {"beta_schedule", "trained_betas"} & {key for key, value in config.items() if value}:
        raise IncompatibleError(
            f"The schedule in {folder} ({config.get('_class_name')}) does not add noise by betas.",
            "Only such models can be used here.",
        )
    scheduler = DDIMScheduler.from_config(config)
    return Schedule(scheduler.alphas_cumprod, scheduler.final_alpha_cumprod, scheduler.config.prediction_type)


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Load a model from ``folder`` inside, without a word; what the libraries raise becomes one sentence.

    Raises `IncompatibleError`.
    """
    diffusers.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    default = torch.get_default_dtype()
    try:
        yield
    except _UNREADABLE as error:
        message = f"The folder {folder} does not hold a whole model: {error}"
        raise IncompatibleError(message) from error
    finally:
        torch.set_default_dtype(default)  # diffusers changes it while loading, and not back when that fails


def _require_fit(spec: Spec, network: Any, vae: Any, text_encoder: Any, factor: int) -> None:
    if network.config.in_channels != vae.config.latent_channels:
        raise IncompatibleError(f"The network and the autoencoder of {spec.name} do not fit together.")
    if network.config.cross_attention_dim != text_encoder.config.hidden_size:
        raise IncompatibleError(f"The network and the text encoder of {spec.name} do not fit together.")
    if spec.height % factor or spec.width % factor:
        raise IncompatibleError(
            f"{spec.width}x{spec.height} is no size for {spec.name}: multiples of {factor} are."
        )
