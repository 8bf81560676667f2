"""Text encoders in front of image models: CLIP, OpenCLIP, T5 and decoders used as encoders.

Radford et al. 2021, arXiv:2103.00020 (CLIP); Raffel et al. 2020, arXiv:1910.10683 (T5). Facts
carry the names of the transformers configs; `tokens` is the padded prompt length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenmill.work.network import Kernel, Network, attend, elementwise, linear

__all__ = ["text_encoder"]


def text_encoder(facts: Mapping[str, Any]) -> Network:
    """Encoding one prompt.

    Parameters: facts: hidden_size, num_hidden_layers, num_attention_heads, intermediate_size,
    vocab_size and tokens [tokens]; optionally head_dim, num_key_value_heads, gated (three
    feed-forward matrices), bias or qkv_bias, positions (learned), relative_buckets (T5),
    projection_dim.
    Returns: the network, per prompt; embeddings are stored, not streamed.
    """
    width, tokens = int(facts["hidden_size"]), float(facts["tokens"])
    layers = int(facts["num_hidden_layers"])
    kernels = [kernel.times(layers) for kernel in _layer(facts, width, tokens)]
    kernels.append(_norm(tokens * width, width, facts))
    if facts.get("projection_dim"):
        kernels.append(linear(1, width, int(facts["projection_dim"]), bias=False))
    rows = int(facts["vocab_size"]) * (2 if facts.get("untied_head") else 1)
    embedded = (rows + int(facts.get("positions", 0))) * width
    embedded += int(facts.get("relative_buckets", 0)) * int(facts["num_attention_heads"])
    return Network("text_encoder", tuple(kernels), float(embedded))


def _layer(facts: Mapping[str, Any], width: int, tokens: float) -> list[Kernel]:
    heads, inner = int(facts["num_attention_heads"]), int(facts["intermediate_size"])
    head_dim = int(facts.get("head_dim", width // heads))
    groups = int(facts.get("num_key_value_heads", heads))
    bias, gated = bool(facts.get("bias", False)), bool(facts.get("gated", False))
    qkv_bias = bool(facts.get("qkv_bias", bias))
    across, values = heads * head_dim, tokens * width
    return [
        _norm(values, width, facts).times(2),
        linear(tokens, width, across, bias=qkv_bias),
        linear(tokens, width, groups * head_dim, bias=qkv_bias, count=2),
        attend(tokens, tokens, heads, head_dim),
        linear(tokens, across, width, bias=bias),
        linear(tokens, width, inner, bias=bias, count=2 if gated else 1),
        elementwise(tokens * inner * (5 if gated else 3), 3, tokens * inner * 2),
        linear(tokens, inner, width, bias=bias),
        elementwise(values * 6, 2, values * 6),
    ]


def _norm(values: float, width: int, facts: Mapping[str, Any]) -> Kernel:
    """Layer norm in one kernel, or T5's root mean square norm in six."""
    if facts.get("bias", False):
        return elementwise(2 * values, 1, 2 * values, weights=2 * width)
    return elementwise(14 * values, 6, 2 * values, weights=width)
