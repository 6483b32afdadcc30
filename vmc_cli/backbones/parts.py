"""The parts of a model in diffusers layout, loaded from its folder or built without weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny, DDIMScheduler
from safetensors import SafetensorError
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from vmc_cli.backbones import Origin, config, folders
from vmc_cli.backbones.base import Schedule
from vmc_cli.errors import IncompatibleError

_CODECS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny, "AutoencoderDC": AutoencoderDC}
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, NotImplementedError, SafetensorError)


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


def blueprint_surroundings(source: Origin | Path) -> dict[str, Any]:
    """As `load_surroundings`, on the current device and without weights; nobody can be told a prompt."""
    vae = config(source, "vae")
    return {
        "vae": _CODECS[vae["_class_name"]].from_config(vae),
        "text_encoder": CLIPTextModel(CLIPTextConfig.from_dict(config(source, "text_encoder"))),
        "tokenizer": None,
        "schedule": Schedule(
            torch.linspace(0.99, 0.01, 1000, device="cpu"), torch.ones(1, device="cpu"), "epsilon"
        ),
        "revision": "",
        "device": torch.device("meta"),
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
