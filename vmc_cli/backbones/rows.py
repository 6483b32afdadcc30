"""The published models, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from vmc_cli.backbones import sprites
from vmc_cli.backbones.spec import MOTION_MODULES, Origin, Spec
from vmc_cli.course import Course
from vmc_cli.recipe import ROLES

_VAE: Mapping[str, Any] = MappingProxyType(
    {
        "_class_name": "AutoencoderKL",
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
    }
)
"""The autoencoder of Stable Diffusion, which the video models took over."""

_TEXT_TO_VIDEO = MappingProxyType(
    {
        "unet": MappingProxyType({}),  # the defaults of UNet3DConditionModel are this model
        "vae": _VAE,
        "text_encoder": MappingProxyType(
            {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 23,
                "num_attention_heads": 16,
                "hidden_act": "gelu",
            }
        ),
    }
)
"""ModelScope, and with it ZeroScope."""

_STABLE_DIFFUSION = Origin(
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    configs=MappingProxyType(
        {
            "unet": MappingProxyType({"sample_size": 64, "cross_attention_dim": 768}),
            "vae": _VAE,
            "text_encoder": MappingProxyType(
                {
                    "hidden_size": 768,
                    "intermediate_size": 3072,
                    "num_hidden_layers": 12,
                    "num_attention_heads": 12,
                }
            ),
        }
    ),
)

ADAPTERS: Mapping[str, Origin] = MappingProxyType(
    {
        "v1-5-2": Origin(
            "guoyww/animatediff-motion-adapter-v1-5-2",
            "504374388860e52e206813f44f1ab60a3814152a",
            parts=(".",),
            configs=MappingProxyType({".": MappingProxyType({"use_motion_mid_block": True})}),
            sha256=MappingProxyType(
                {
                    "diffusion_pytorch_model.fp16.safetensors": (
                        "5fd196988206cfac90bab1dc56cc59fdd12035492f74ff0662eb6eed5113c547"
                    )
                }
            ),
        ),
        "v1-5-3": Origin(
            "guoyww/animatediff-motion-adapter-v1-5-3",
            "ef7fcf78c36475845ed0c567434ac9c5f962f3bb",
            parts=(".",),
            configs=MappingProxyType({".": MappingProxyType({"use_motion_mid_block": False})}),
        ),
    }
)
"""The motion adapters that make a video model of a Stable Diffusion 1.5."""

_ANIMATEDIFF = "CreativeML OpenRAIL-M; adapter Apache-2.0"
_ANY_CHECKPOINT = (
    "Any Stable Diffusion 1.5 in diffusers layout takes its place: --backbone FOLDER, or FOLDER+v1-5-3."
)

_SPATIAL = tuple(
    f"{role}/{projection}" for role in ROLES if role.startswith("spatial-") for projection in ROLES[role]
)

# memory_gib: `costs`, counted in 16 bits for the method vmc at the level low.
ROWS: tuple[Spec, ...] = (
    Spec(
        name="sprites",
        family="unet3d",
        sources=(sprites.WEIGHTS,),
        frames=8,
        height=64,
        width=64,
        fps=8.0,
        licence="Apache-2.0",
        summary="small sprites on painted places, made for learning motions on a laptop; comes with vmc",
        advice="sprites draws emoji-like things only: for real footage choose another backbone.",
        recipes=MappingProxyType(
            {
                "vmc": {
                    "learning_rate": 4e-3,
                    "full_learning_rate": 1e-3,
                    "rank": 16,
                    "steps": 75,
                    "batch": 4,
                    "inversion_steps": 25,
                    "noise": "inverted",
                    "recoloured": True,
                    "acts_until": 0.5,
                },
                # Crops show sprites in sizes that it does not know.
                "token": {"learning_rate": 1e-3, "steps": 700, "augmented": 0, "acts_until": 0.5},
                "director": {"acts_until": 0.5},  # else the clip's place comes along, and everything glares
                # It has to learn to draw what it never saw, for which it needs all that draws; above 0.6 it
                # would change places and ways.
                "subject": {
                    "trains": _SPATIAL,
                    "rank": None,
                    "learning_rate": 2e-4,
                    "steps": 800,
                    "acts_from": 0.6,
                    "panned": True,
                    "augmented": 20,
                },
                "inversion": {"guidance": None},  # 10 as in the paper makes its colours glare
            }
        ),
        # Without fresh noise its small errors add up to shapes that nobody can name.
        course=Course(30, "dpm++", guidance=5.0, guide_from=0.5, still_guidance=3.0, eta=1.0),
        method="actors",
        acted=sprites.acted,
        reconstruction_floor=22.0,  # its own world lies at 22 to 30 dB, real footage mostly at 16 to 22
    ),
    Spec(
        name="zeroscope",
        family="unet3d",
        # `main` of this repository holds pickles only; this commit is the converted one.
        sources=(
            Origin(
                "cerspense/zeroscope_v2_576w",
                "1f35e3dc3350d649f342bb7618fe34ac8fae5c9e",
                configs=_TEXT_TO_VIDEO,
            ),
        ),
        frames=24,
        height=320,
        width=576,
        fps=8.0,
        licence="CC BY-NC 4.0",
        summary="real footage at 576x320, without a watermark; a further trained modelscope",
        advice="Not for commercial use.",
        memory_gib=MappingProxyType({"weights": 2.6, "learn": 6.1, "generate": 2.2}),
    ),
    Spec(
        name="modelscope",
        family="unet3d",
        sources=(
            Origin(
                "ali-vilab/text-to-video-ms-1.7b",
                "8227dddca75a8561bf858d604cc5dae52b954d01",
                configs=_TEXT_TO_VIDEO,
            ),
        ),
        frames=16,
        height=256,
        width=256,
        fps=8.0,
        licence="CC BY-NC 4.0",
        summary="real footage at 256x256, often with a stock footage watermark",
        advice="Not for commercial use.",
        memory_gib=MappingProxyType({"weights": 2.6, "learn": 3.9, "generate": 1.3}),
    ),
    *(
        Spec(
            name=name,
            family="animatediff",
            sources=(_STABLE_DIFFUSION, ADAPTERS[adapter]),
            frames=16,
            height=512,
            width=512,
            fps=8.0,
            licence=_ANIMATEDIFF,
            summary=f"Stable Diffusion 1.5 with the motion adapter {adapter}",
            advice=_ANY_CHECKPOINT,
            memory_gib=MappingProxyType({"weights": 2.4, "learn": learn, "generate": 1.7}),
            recipes=MOTION_MODULES,
        )
        for name, adapter, learn in (("animatediff", "v1-5-2", 5.5), ("animatediff-v1-5-3", "v1-5-3", 5.4))
    ),
)
