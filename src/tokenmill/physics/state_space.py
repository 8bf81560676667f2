"""State-space and linear-attention layers: a constant state per sequence instead of a cache.

Decode reads and writes the state of each sequence once. Prefill walks a sequence in chunks:
products inside a chunk, one state hand-over between chunks. References: Dao and Gu 2024
(Mamba-2, arXiv:2405.21060); Yang et al. 2024 (gated delta networks, arXiv:2412.06464).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.physics.chip import Chip, Conv, Scan, Stream
from tokenmill.physics.elementwise import moved_s

__all__ = [
    "GDN_CHUNK",
    "chunk_scan_s",
    "conv_s",
    "gdn_decode_s",
    "gdn_prefill_s",
    "gdn_token_cost",
    "mamba2_decode_s",
    "mamba2_prefill_s",
    "state_update_s",
]

Array = NDArray[np.float64]

GDN_CHUNK = 64.0  # tokens that the delta rule solves at once
_CONV_BYTES = 16.0  # per channel: three past values read and written, one in, one out, 16 bits


def conv_s(
    chip: Chip, kind: str, batch: Any, tokens: Any, channels: Any, engine: str = "any"
) -> Array:
    """Time of the short convolution of one layer.

    Parameters: kind, "gdn" or "mamba2"; batch [sequences]; tokens of each, 0 = one decode step;
    channels [values].
    Returns: seconds [s].
    """
    batch, tokens = np.asarray(batch, float), np.asarray(tokens, float)
    if not np.any(tokens > 0.0):
        one: Stream = chip.pick("conv_decode", kind, engine)
        return moved_s(chip, one, batch * channels * _CONV_BYTES)
    c: Conv = chip.pick("conv_prefill", kind, engine)
    sequences_s = c.sequence_clocks * batch * channels / (1024.0 * chip.boost_hz)
    streaming = Stream(c.launch_clocks, c.memory_efficiency, c.sm_bytes_per_clock)
    result: Array = sequences_s + moved_s(chip, streaming, batch * tokens * channels * 4.0)
    return result


def state_update_s(chip: Chip, kind: str, batch: Any, state: Any, engine: str = "any") -> Array:
    """Time of one decode step of the recurrence of one layer.

    Parameters: kind; batch [sequences]; state [values per sequence], read and written in 32 bits.
    Returns: seconds [s].
    """
    c: Stream = chip.pick("scan_decode", kind, engine)
    return moved_s(chip, c, np.asarray(batch, float) * state * 8.0)


def chunk_scan_s(
    chip: Chip, kind: str, batch: Any, tokens: Any, state: Any, token_bytes: Any,
    token_flop: Any, chunk: float, engine: str = "any",
) -> Array:  # fmt: skip
    """Time of the chunked recurrence of one layer over `batch` sequences of `tokens` each.

    Parameters: kind; state [values per sequence]; token_bytes [B], token_flop [FLOP] per token;
    chunk [tokens].
    Returns: seconds [s].
    """
    c: Scan = chip.pick("scan_prefill", kind, engine)
    batch, tokens = np.asarray(batch, float), np.asarray(tokens, float)
    rows = batch * tokens
    moved = batch * state * 8.0 + rows * token_bytes
    memory_s = moved / chip.stream_bytes_per_s(c.memory_efficiency, c.sm_bytes_per_clock)
    compute_s = rows * token_flop / (chip.flop_per_s("bf16") * c.compute_efficiency)
    serial_s = c.chunk_clocks * np.ceil(tokens / chunk) / chip.boost_hz
    parallel_s = memory_s + compute_s
    scan_s = np.maximum(serial_s, parallel_s) + c.exposed * np.minimum(serial_s, parallel_s)
    result: Array = c.launch_clocks / chip.boost_hz + scan_s
    return result


def mamba2_decode_s(
    chip: Chip, batch: Any, heads: Any, head_dim: Any, state_dim: Any, groups: Any = 8.0,
    engine: str = "any",
) -> Array:  # fmt: skip
    """Time of one decode step of one Mamba-2 layer: short convolution and state update.

    Parameters: batch [sequences]; heads, groups on this GPU; head_dim, state_dim [values].
    Returns: seconds [s].
    """
    inner = np.asarray(heads, float) * head_dim
    channels = inner + 2.0 * np.asarray(groups, float) * state_dim
    update_s = state_update_s(chip, "mamba2", batch, inner * state_dim, engine)
    return conv_s(chip, "mamba2", batch, 0.0, channels, engine) + update_s


def mamba2_prefill_s(
    chip: Chip, batch: Any, tokens: Any, heads: Any, head_dim: Any, state_dim: Any,
    groups: Any = 8.0, chunk: float = 256.0, engine: str = "any",
) -> Array:  # fmt: skip
    """Time of one Mamba-2 layer over `batch` sequences of `tokens` each.

    Parameters: as in `mamba2_decode_s`; chunk [tokens].
    Returns: seconds [s].
    """
    inner = np.asarray(heads, float) * head_dim
    channels = inner + 2.0 * np.asarray(groups, float) * state_dim
    flop = 2.0 * inner * chunk + 4.0 * inner * state_dim + 2.0 * groups * chunk * state_dim
    token_bytes = 2.0 * channels + 4.0 * inner
    scan_s = chunk_scan_s(
        chip, "mamba2", batch, tokens, inner * state_dim, token_bytes, flop, chunk, engine
    )
    return conv_s(chip, "mamba2", batch, tokens, channels, engine) + scan_s


def gdn_decode_s(
    chip: Chip, batch: Any, key_heads: Any, value_heads: Any, key_dim: Any = 128.0,
    value_dim: Any = 128.0, engine: str = "any",
) -> Array:  # fmt: skip
    """Time of one decode step of one gated-delta layer: short convolution and delta rule.

    Parameters: batch [sequences]; key_heads, value_heads on this GPU; dims [values].
    Returns: seconds [s].
    """
    value, key = np.asarray(value_heads, float) * value_dim, np.asarray(key_heads, float) * key_dim
    update_s = state_update_s(chip, "gdn", batch, value * key_dim, engine)
    return conv_s(chip, "gdn", batch, 0.0, 2.0 * key + value, engine) + update_s


def gdn_token_cost(
    value: Any, channels: Any, key_dim: Any, chunk: float = GDN_CHUNK
) -> tuple[Any, Any]:
    """(FLOP, bytes) per token of the chunked gated delta rule.

    Parameters: value, channels [values per token]; key_dim [values]; chunk [tokens].
    """
    flop = 8.0 * value * key_dim + (2.0 * channels + 2.0 * value) * chunk
    return flop, 2.0 * channels + 4.0 * value


def gdn_prefill_s(
    chip: Chip, batch: Any, tokens: Any, key_heads: Any, value_heads: Any, key_dim: Any = 128.0,
    value_dim: Any = 128.0, chunk: float = GDN_CHUNK, engine: str = "any",
) -> Array:  # fmt: skip
    """Time of one gated-delta layer over `batch` sequences of `tokens` each.

    Parameters: as in `gdn_decode_s`; chunk [tokens].
    Returns: seconds [s].
    """
    value, key = np.asarray(value_heads, float) * value_dim, np.asarray(key_heads, float) * key_dim
    channels = 2.0 * key + value
    flop, token_bytes = gdn_token_cost(value, channels, key_dim, chunk)
    scan_s = chunk_scan_s(
        chip, "gdn", batch, tokens, value * key_dim, token_bytes, flop, chunk, engine
    )
    return conv_s(chip, "gdn", batch, tokens, channels, engine) + scan_s
