"""Attention: queries against cached keys and values, for prefill, decode and encoders.

Decode reads the cache once, so it is affine in the tokens read. Prefill computes query-key
pairs, block by block, so it is affine in new tokens and pairs. Both are exposed as
coefficients: sums over an arithmetic progression of contexts then have a closed form.
References: Dao et al. 2022 (FlashAttention), 2023 (flash decoding); DeepSeek-V2 report 2.1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenmill.physics.chip import Chip, Decode, Prefill
from tokenmill.work.language import attended_pairs

__all__ = [
    "DecodeCost",
    "PrefillCost",
    "decode_attention_coefficients",
    "decode_attention_s",
    "encoder_attention_s",
    "mla_decode_coefficients",
    "mla_decode_s",
    "mla_prefill_coefficients",
    "mla_prefill_s",
    "prefill_attention_coefficients",
    "prefill_attention_s",
]

Array = NDArray[np.float64]

_CACHE_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.125, "q8_0": 1.0625, "q4_0": 0.5625}
_BLOCK = 128.0  # queries of one prefill thread block
_EXPONENTIALS_PER_CLOCK = 16.0  # of one multiprocessor, CUDA programming guide, table 5
_BLOCKS = 128.0  # thread blocks that half fill a memory pipe
_MLA_HEADS = 64.0  # heads that share one block of latent decode attention
_FEW_HEADS = 16.0  # heads that kernels of their own serve: the least that a matrix unit takes
_WIDTH = 128.0  # head width that thread blocks are made for
_SPLIT = 256.0  # cached tokens of a sequence from which on several blocks share it
_NARROW = 0.15  # share of a decode kernel's fixed time that goes with the width of heads below 128
_CONTEXT = 2048.0  # tokens of a sequence where its context is not known: serving's usual


class DecodeCost(NamedTuple):
    """seconds = base_s + s_per_token x (context tokens summed over the batch)."""

    base_s: Any
    s_per_token: Any


class PrefillCost(NamedTuple):
    """seconds = base_s + s_per_token x tokens + s_per_pair x pairs + s_per_key x keys.

    Tokens and (query, key) pairs are summed over the batch; keys are those that the last query
    of the longest sequence sees (its context and new tokens, or its window).
    """

    base_s: Any
    s_per_token: Any
    s_per_pair: Any
    s_per_key: Any

    def seconds(self, tokens: Any, pairs: Any, keys: Any) -> Any:
        """Seconds [s] of tokens, pairs and keys [count]."""
        products_s = self.s_per_pair * pairs + self.s_per_key * keys
        return self.base_s + self.s_per_token * tokens + products_s


def _cache_bytes(kv_dtype: str) -> float:
    return _CACHE_BYTES.get(kv_dtype, 2.0)


def _decode(
    chip: Chip, c: Decode, batch: Any, blocks: Any, token_bytes: Any, token_flop: Any,
    context: Any, launched: Any = 1.0,
) -> DecodeCost:  # fmt: skip
    waves = np.maximum(blocks / chip.sm_count - c.hidden_waves, 0.0)
    tokens = np.square(np.asarray(context, float))
    launch = c.launch_clocks * launched + c.combine_clocks * tokens / (tokens + _SPLIT**2)
    base_s = (launch + c.block_clocks * waves) / chip.boost_hz
    ramp = 1.0 + c.ramp / (1.0 + blocks / _BLOCKS)
    bandwidth = chip.stream_bytes_per_s(c.memory_efficiency, c.sm_bytes_per_clock)
    memory_s = token_bytes / bandwidth * ramp
    compute_s = token_flop / (chip.flop_per_s("bf16") * c.compute_efficiency)
    serial_s = c.serial_clocks / (chip.boost_hz * np.maximum(batch, 1.0))
    cubes = memory_s * memory_s * memory_s + compute_s * compute_s * compute_s
    return DecodeCost(base_s, np.cbrt(cubes + serial_s * serial_s * serial_s))


def decode_attention_coefficients(
    chip: Chip, batch: Any, heads: Any, kv_heads: Any, head_dim: Any, kv_dtype: str = "bf16",
    window: Any = 0, engine: str = "any", context: Any = _CONTEXT,
) -> DecodeCost:  # fmt: skip
    """Decode attention of one layer as (base_s, s_per_token), exact for a constant batch.

    Parameters: chip; batch [sequences]; heads, kv_heads on this GPU; head_dim [values];
    kv_dtype of the cache; window [tokens, 0 = none]; engine; context [tokens of a sequence],
    which says whether blocks share it. The cost per token counts tokens that are read:
    with a window, min(context, window) of each sequence.
    Returns: DecodeCost [s, s per token].
    Raises: NoCalibration, NoPeak.
    """
    c: Decode = chip.pick("decode", kv_dtype, engine)
    heads, kv_heads = np.asarray(heads, float), np.asarray(kv_heads, float)
    head_dim = np.asarray(head_dim, float)
    group = heads / kv_heads
    weight = np.where(group > 1.0, 1.0 + c.group * group / 8.0, c.single)
    weight = weight * np.where(np.asarray(window) > 0, group**c.unpacked, 1.0)
    batch = np.asarray(batch, float)
    width = head_dim / _WIDTH
    blocks = batch * kv_heads * (1.0 + np.maximum(width, 1.0)) / 2.0 * weight
    token_bytes = 2.0 * kv_heads * head_dim * _cache_bytes(kv_dtype)
    launched = 1.0 - _NARROW * (1.0 - np.minimum(width, 1.0))
    return _decode(chip, c, batch, blocks, token_bytes, 4.0 * heads * head_dim, context, launched)


def decode_attention_s(
    chip: Chip, batch: Any, context_tokens: Any, heads: Any, kv_heads: Any, head_dim: Any,
    kv_dtype: str = "bf16", window: Any = 0, engine: str = "any",
) -> Array:  # fmt: skip
    """Time of decode attention of one layer: one query per sequence against its cache.

    Parameters: context_tokens [tokens, summed over the batch]; window [tokens per sequence,
    0 = none] bounds what each of `batch` equal sequences reads; others as in
    `decode_attention_coefficients`.
    Returns: seconds [s].
    """
    read, window = np.asarray(context_tokens, float), np.asarray(window, float)
    cost = decode_attention_coefficients(
        chip, batch, heads, kv_heads, head_dim, kv_dtype, window, engine, read / batch
    )
    reach = np.where(window > 0, np.asarray(batch, float) * window, np.inf)
    read = np.minimum(read, reach)
    result: Array = cost.base_s + cost.s_per_token * read
    return result


def _prefill(
    chip: Chip, c: Prefill, peak: float, sequences: Any, heads: Any, width: Any,
    token_bytes: Any, key_bytes: Any, empty: Any = _BLOCK / 2.0,
) -> PrefillCost:  # fmt: skip
    """Costs of blocks of 128 queries of one head; a pair costs 2 x width FLOP per head.

    Queries and outputs move token_bytes per new token; the cache key_bytes per key, and new
    keys pass through it. A sequence leaves `empty` rows of its last block.
    """
    sequences = np.asarray(sequences, float)
    clocks_per_s = chip.sm_count * chip.boost_hz  # of all multiprocessors
    products_s = 2.0 * width / (peak * c.compute_efficiency)
    products_s = products_s * np.where(width > 2.0 * _WIDTH, c.wide, 1.0)
    head_pair_s = products_s + c.exponential / (_EXPONENTIALS_PER_CLOCK * clocks_per_s)
    row_s = c.block_clocks * heads / (_BLOCK * clocks_per_s)
    bandwidth = chip.stream_bytes_per_s(c.memory_efficiency, c.sm_bytes_per_clock)
    token_bytes = token_bytes + c.cache * key_bytes
    base_s = c.launch_clocks / chip.boost_hz + row_s * c.padding * empty * sequences
    key_s = c.span * _BLOCK * chip.sm_count * head_pair_s + sequences * key_bytes / bandwidth
    return PrefillCost(base_s, row_s + token_bytes / bandwidth, heads * head_pair_s, key_s)


def prefill_attention_coefficients(
    chip: Chip, heads: Any, kv_heads: Any, head_dim: Any, dtype: str = "bf16",
    kv_dtype: str = "bf16", engine: str = "any", sequences: Any = 1.0, empty: Any = _BLOCK / 2.0,
) -> PrefillCost:  # fmt: skip
    """Prefill attention of one layer as (base_s, s_per_token, s_per_pair, s_per_key).

    Parameters: chip; heads, kv_heads on this GPU; head_dim [values]; dtype of the products
    (bf16 or fp8); kv_dtype of the cache; engine; sequences in the step; empty [rows], what each
    leaves of its last block of 128.
    `work.language.attended_pairs` counts pairs under causality and windows.
    Returns: PrefillCost [s, s per token, s per pair, s per key].
    Raises: NoCalibration, NoPeak.
    """
    mixed = dtype != "fp8" and _cache_bytes(kv_dtype) < 2.0
    c: Prefill = chip.pick("prefill", "bf16+fp8" if mixed else dtype, engine)
    heads, head_dim = np.asarray(heads, float), np.asarray(head_dim, float)
    kv_values = 2.0 * np.asarray(kv_heads, float) * head_dim
    token_bytes = 4.0 * heads * head_dim
    peak, key_bytes = chip.flop_per_s(_peak(chip, dtype)), kv_values * _cache_bytes(kv_dtype)
    return _prefill(chip, c, peak, sequences, heads, 2.0 * head_dim, token_bytes, key_bytes, empty)


def _peak(chip: Chip, dtype: str) -> str:
    return "fp8" if dtype == "fp8" and "fp8" in chip.peaks else "bf16"


def prefill_attention_s(
    chip: Chip, batch: Any, new_tokens: Any, context_tokens: Any, heads: Any, kv_heads: Any,
    head_dim: Any, window: int = 0, dtype: str = "bf16", kv_dtype: str = "bf16",
    engine: str = "any",
) -> Array:  # fmt: skip
    """Time of causal prefill attention of one layer.

    Parameters: batch [sequences] of new_tokens each after context_tokens each [tokens per
    sequence]; window [tokens, 0 = none]; others as in `prefill_attention_coefficients`.
    Returns: seconds [s].
    """
    cost = prefill_attention_coefficients(
        chip, heads, kv_heads, head_dim, dtype, kv_dtype, engine, batch, _empty_rows(new_tokens)
    )
    return _causal_s(cost, batch, new_tokens, context_tokens, window)


def _empty_rows(tokens: Any) -> Array:
    """Query rows that a sequence of `tokens` leaves empty in its last thread block."""
    rows: Array = _BLOCK * np.ceil(np.asarray(tokens, float) / _BLOCK) - tokens
    return rows


def _causal_s(cost: PrefillCost, batch: Any, new: Any, context: Any, window: int) -> Array:
    batch, new, context = (np.asarray(x, float) for x in (batch, new, context))
    keys = np.minimum(new + context, window) if window else new + context
    pairs = batch * attended_pairs(new, context, window)
    if window:  # tiles of 128 queries and keys reach beyond the window at one end
        pairs = pairs + _BLOCK * batch * np.clip(new + context - window, 0.0, new)
    result: Array = cost.seconds(batch * new, pairs, keys)
    return result


def encoder_attention_s(
    chip: Chip, batch: Any, tokens: Any, heads: Any, head_dim: Any, engine: str = "any"
) -> Array:
    """Time of bidirectional attention of one encoder layer (vision, speech, embeddings).

    Parameters: batch [sequences] of `tokens` each; heads on this GPU; head_dim [values].
    Returns: seconds [s].
    """
    c: Prefill = chip.pick("encoder", "bf16", engine)
    heads, head_dim = np.asarray(heads, float), np.asarray(head_dim, float)
    peak, each = chip.flop_per_s("bf16"), 4.0 * heads * head_dim
    padded = 32.0 * np.ceil(head_dim / 32.0)  # kernels come in such widths; encoders have 72, 80
    cost = _prefill(chip, c, peak, batch, heads, 2.0 * padded, each, each, _empty_rows(tokens))
    rows = np.asarray(batch, float) * np.asarray(tokens, float)
    result: Array = cost.seconds(rows, rows * tokens, np.asarray(tokens, float))
    return result


def mla_decode_coefficients(
    chip: Chip, batch: Any, heads: Any, latent_dim: float = 512.0, rope_dim: float = 64.0,
    kv_dtype: str = "bf16", engine: str = "any", context: Any = _CONTEXT,
) -> DecodeCost:  # fmt: skip
    """Absorbed latent decode attention of one layer as (base_s, s_per_token).

    Parameters: chip; batch [sequences]; heads on this GPU; latent_dim, rope_dim [values per
    cached token]; kv_dtype; engine; context as in `decode_attention_coefficients`.
    Returns: DecodeCost [s, s per token].
    """
    c: Decode = chip.pick("mla_decode", kv_dtype, engine)
    batch, heads = np.asarray(batch, float), np.asarray(heads, float)
    few = heads <= _FEW_HEADS
    blocks = batch * np.where(few, c.single, np.maximum(heads / _MLA_HEADS, 1.0))
    token_bytes = (latent_dim + rope_dim) * _cache_bytes(kv_dtype)
    computed = np.where(few, _FEW_HEADS, np.maximum(heads, c.tile))
    token_flop = 2.0 * computed * (2.0 * latent_dim + rope_dim)
    return _decode(chip, c, batch, blocks, token_bytes, token_flop, context)


def mla_decode_s(
    chip: Chip, batch: Any, context_tokens: Any, heads: Any, latent_dim: float = 512.0,
    rope_dim: float = 64.0, kv_dtype: str = "bf16", engine: str = "any",
) -> Array:  # fmt: skip
    """Time of absorbed latent decode attention of one layer.

    Parameters: context_tokens [tokens, summed over the batch]; others as in
    `mla_decode_coefficients`.
    Returns: seconds [s].
    """
    read = np.asarray(context_tokens, float)
    cost = mla_decode_coefficients(
        chip, batch, heads, latent_dim, rope_dim, kv_dtype, engine, read / batch
    )
    result: Array = cost.base_s + cost.s_per_token * read
    return result


def mla_prefill_coefficients(
    chip: Chip, heads: Any, nope_dim: float = 128.0, rope_dim: float = 64.0,
    value_dim: float = 128.0, kv_dtype: str = "bf16", engine: str = "any", sequences: Any = 1.0,
    empty: Any = _BLOCK / 2.0,
) -> PrefillCost:  # fmt: skip
    """Latent prefill attention of one layer, not absorbed, as coefficients.

    Parameters: chip; heads on this GPU; nope_dim + rope_dim [values] of queries and keys,
    value_dim [values]; kv_dtype; engine; sequences in the step and their empty rows.
    Returns: PrefillCost [s, s per token, s per pair, s per key].
    """
    c: Prefill = chip.pick("mla_prefill", kv_dtype, engine)
    heads = np.asarray(heads, float)
    width = nope_dim + rope_dim + value_dim
    peak = chip.flop_per_s("bf16")
    each = 2.0 * heads * width  # keys and values are expanded from the latent, in 16 bits
    return _prefill(chip, c, peak, sequences, heads, width, each, each, empty)


def mla_prefill_s(
    chip: Chip, batch: Any, new_tokens: Any, context_tokens: Any, heads: Any,
    nope_dim: float = 128.0, rope_dim: float = 64.0, value_dim: float = 128.0,
    kv_dtype: str = "bf16", engine: str = "any",
) -> Array:  # fmt: skip
    """Time of causal latent prefill attention of one layer.

    Parameters: batch [sequences] of new_tokens after context_tokens each; others as in
    `mla_prefill_coefficients`.
    Returns: seconds [s].
    """
    cost = mla_prefill_coefficients(
        chip, heads, nope_dim, rope_dim, value_dim, kv_dtype, engine, batch, _empty_rows(new_tokens)
    )
    return _causal_s(cost, batch, new_tokens, context_tokens, 0)
