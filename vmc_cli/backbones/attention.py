"""How attention is computed where the libraries' own way is slow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor


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
