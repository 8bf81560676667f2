"""Attention over compressed entries (DeepSeek-V4): what a layer costs, in latent attention's terms.

A query reads a short window of tokens and, beyond it, one entry for every `rate` tokens: all of
them, or those that an indexer chose. An entry is one key-value vector for all heads, as in latent
attention, whose kernels it is priced by; nobody measured its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tokenmill.physics import attention
from tokenmill.physics.chip import Chip
from tokenmill.work.architecture import CompressedAttention
from tokenmill.work.language import compressed_shares

__all__ = ["decode_coefficients", "prefill_coefficients"]

Scalar = Any
_ROPE = 64  # values of a vector that carry its position (DeepSeek-V4's configuration)


def decode_coefficients(
    chip: Chip, mixer: CompressedAttention, rows: Scalar, tp: Scalar, span: int, cache: str,
    engine: str,
) -> tuple[Scalar, Scalar, Scalar]:  # fmt: skip
    """(base [s], [s] per context token, [s] per token inside `span`) of a layer's decode step.

    Parameters: chip; mixer; rows, sequences on a rank; tp; span [tokens] of the model's bounded
    attention; cache format and engine by name.
    """
    cost = attention.mla_decode_coefficients(
        chip, rows, np.ceil(mixer.heads / tp), mixer.head_dim - _ROPE, _ROPE, kv_dtype=cache,
        engine=engine,
    )  # fmt: skip
    full, bounded = compressed_shares(mixer, span)
    index = mixer.index_dim / max(mixer.rate, 1) / chip.memory_bytes_per_s
    return cost.base_s, cost.s_per_token * full + index, cost.s_per_token * bounded


def prefill_coefficients(
    chip: Chip, mixer: CompressedAttention, tp: Scalar, span: int, cache: str, engine: str
) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """([s] per chunk, token, (query, key) pair, pair inside `span`) of a layer's prefill.

    Parameters: as in `decode_coefficients`.
    """
    cost = attention.mla_prefill_coefficients(
        chip, np.ceil(mixer.heads / tp), mixer.head_dim - _ROPE, _ROPE, mixer.head_dim,
        kv_dtype=cache, engine=engine,
    )  # fmt: skip
    full, bounded = compressed_shares(mixer, span)
    scored = 2.0 * mixer.index_heads * mixer.index_dim / max(mixer.rate, 1)
    index = scored / chip.flop_per_s("bf16")
    return (
        cost.base_s + np.zeros_like(tp), cost.s_per_token, cost.s_per_pair * full + index,
        cost.s_per_pair * bounded,
    )  # fmt: skip
