"""Methods: a row for each paper, with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from vmc_cli.recipe import EMBEDDED, ROLES, SUBJECT, Recipe


def _all(role: str) -> tuple[str, ...]:
    return tuple(f"{role}/{projection}" for projection in ROLES[role])


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "vmc": Recipe(
            method="vmc",
            paper="Jeong, Park, Ye: VMC, CVPR 2024 (arXiv 2312.00845)",
            trains=EMBEDDED,
            rank=16,
            loss="residual-cosine",
            stride=1,
            learning_rate=1e-4,
            weight_decay=0.01,
            betas=(0.9, 0.999),
            clip_norm=1.0,
            steps=400,
            inversion_steps=75,
        ),
        "actors": Recipe(
            method="actors",
            paper="ours: embeddings as in Motion Inversion, VMC's objective, the way acted out by others",
            trains=EMBEDDED,
            rank=None,
            loss="residual-cosine",
            stride=1,
            learning_rate=1e-1,
            weight_decay=0.01,
            betas=(0.9, 0.999),
            clip_norm=1.0,
            steps=90,
            batch=4,
            inversion_steps=25,
            timesteps="early",
            adapter="embedding",
            noise="random",
            actors=6,
        ),
        "inversion": Recipe(
            method="inversion",
            paper="Wang et al.: Motion Inversion for Video Customization (arXiv 2403.20193)",
            trains=EMBEDDED,
            rank=None,
            loss="mse",
            stride=1,
            learning_rate=5e-2,
            weight_decay=0.01,
            betas=(0.9, 0.999),
            clip_norm=1.0,  # not told; as VMC
            steps=800,
            inversion_steps=50,
            invariant_prompt=False,
            adapter="embedding",
            blocks="widest",
            values="difference",
            noise="blend",
            guidance=10.0,
            kind="object",
        ),
        "director": Recipe(
            method="director",
            paper="Zhao et al.: MotionDirector, ECCV 2024 (arXiv 2310.08465)",
            trains=(*_all("temporal-attention"), *_all("temporal-feed-forward")),
            rank=32,
            loss="debiased",
            stride=1,
            learning_rate=5e-4,
            weight_decay=0.01,
            betas=(0.9, 0.999),
            clip_norm=1.0,
            steps=150,
            inversion_steps=50,
            invariant_prompt=False,
            noise="blend",
            noise_of_several="random",
            aside=(*_all("spatial-self-attention"), *_all("spatial-feed-forward")),
        ),
        "token": Recipe(
            method="token",
            paper="Materzynska et al.: Customizing Motion, V* (arXiv 2312.04966)",
            trains=(
                *_all("temporal-attention"),
                *_all("temporal-feed-forward"),
                *_all("temporal-projection"),
                *_all("temporal-convolution"),
                *_all("temporal-input"),
                "spatial-cross-attention/to_k",
                "spatial-cross-attention/to_v",
            ),
            rank=16,
            loss="mse",
            stride=1,
            learning_rate=1e-4,  # for low rank, which the paper does not train
            full_learning_rate=5e-6,
            weight_decay=0.01,
            betas=(0.9, 0.999),
            clip_norm=1.0,
            steps=3000,
            inversion_steps=50,
            timesteps="early",
            invariant_prompt=False,
            noise="random",
            augmented=8,
            needs_token=True,
        ),
        "subject": Recipe(
            method="subject",
            paper="Materzynska et al.: Customizing Motion, V* (arXiv 2312.04966), its subjects",
            trains=("spatial-cross-attention/to_k", "spatial-cross-attention/to_v"),
            rank=16,
            loss="mse",
            stride=1,
            learning_rate=1e-4,  # this and all below but the token: not told
            weight_decay=0.01,
            betas=(0.9, 0.999),
            clip_norm=1.0,
            steps=500,
            inversion_steps=0,
            invariant_prompt=False,
            noise="random",
            needs_token=True,
            trains_token=True,
            learns=SUBJECT,
        ),
    }
)

KINDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "inversion": {
            "object": {},
            "camera": {"loss": "debiased", "steps": 300, "blocks": "outer", "values": "none"},
            "hybrid": {"blocks": "outer"},
        },
    }
)
"""Method -> kind of motion -> what differs from the method's row."""
