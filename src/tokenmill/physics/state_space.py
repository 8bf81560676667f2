"""State-space and linear-attention layers: a constant state per sequence instead of a cache.

Decode reads and writes the state of each sequence once. Prefill walks a sequence in chunks:
products inside a chunk, one state hand-over between chunks. References: Dao and Gu 2024
(Mamba-2, arXiv:2405.21060); Yang et al. 2024 (gated delta networks, arXiv:2412.06464).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.physics.chip import Chip, Scan

__all__ = ["gdn_decode_s", "gdn_prefill_s", "mamba2_decode_s", "mamba2_prefill_s"]

Array = NDArray[np.float64]


def _decode_s(chip: Chip, kind: str, batch: Any, state: Any, channels: Any, engine: str) -> Array:
    c: Scan = chip.pick("scan_decode", kind, engine)
    moved = np.asarray(batch, float) * (8.0 * state + 8.0 * channels)
    launch_s = 2.0 * c.launch_clocks / chip.boost_hz
    result: Array = launch_s + moved / (chip.memory_bytes_per_s * c.memory_efficiency)
    return result


def _prefill_s(
    chip: Chip, kind: str, batch: Any, tokens: Any, flop: Any, token_bytes: Any, chunk: float,
    engine: str,
) -> Array:  # fmt: skip
    c: Scan = chip.pick("scan_prefill", kind, engine)
    rows = np.asarray(batch, float) * np.asarray(tokens, float)
    memory_s = rows * token_bytes / (chip.memory_bytes_per_s * c.memory_efficiency)
    compute_s = rows * flop / (chip.flop_per_s("bf16") * c.compute_efficiency)
    serial = c.chunk_clocks * np.ceil(np.asarray(tokens, float) / chunk)
    fixed_s = (2.0 * c.launch_clocks + serial) / chip.boost_hz
    result: Array = fixed_s + memory_s + compute_s
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
    return _decode_s(chip, "mamba2", batch, inner * state_dim, inner + 2.0 * groups * state_dim,
                     engine)  # fmt: skip


def mamba2_prefill_s(
    chip: Chip, batch: Any, tokens: Any, heads: Any, head_dim: Any, state_dim: Any,
    groups: Any = 8.0, chunk: float = 256.0, engine: str = "any",
) -> Array:  # fmt: skip
    """Time of one Mamba-2 layer over `batch` sequences of `tokens` each.

    Parameters: as in `mamba2_decode_s`; chunk [tokens].
    Returns: seconds [s].
    """
    inner = np.asarray(heads, float) * head_dim
    flop = 2.0 * inner * chunk + 4.0 * inner * state_dim + 2.0 * groups * chunk * state_dim
    return _prefill_s(chip, "mamba2", batch, tokens, flop, 10.0 * inner, chunk, engine)


def gdn_decode_s(
    chip: Chip, batch: Any, key_heads: Any, value_heads: Any, key_dim: Any = 128.0,
    value_dim: Any = 128.0, engine: str = "any",
) -> Array:  # fmt: skip
    """Time of one decode step of one gated-delta layer: short convolution and delta rule.

    Parameters: batch [sequences]; key_heads, value_heads on this GPU; dims [values].
    Returns: seconds [s].
    """
    value, key = np.asarray(value_heads, float) * value_dim, np.asarray(key_heads, float) * key_dim
    return _decode_s(chip, "gdn", batch, value * key_dim, 2.0 * key + value, engine)


def gdn_prefill_s(
    chip: Chip, batch: Any, tokens: Any, key_heads: Any, value_heads: Any, key_dim: Any = 128.0,
    value_dim: Any = 128.0, chunk: float = 64.0, engine: str = "any",
) -> Array:  # fmt: skip
    """Time of one gated-delta layer over `batch` sequences of `tokens` each.

    Parameters: as in `gdn_decode_s`; chunk [tokens].
    Returns: seconds [s].
    """
    value, key = np.asarray(value_heads, float) * value_dim, np.asarray(key_heads, float) * key_dim
    flop = 8.0 * value * key_dim + 4.0 * value * chunk + 4.0 * key * chunk
    return _prefill_s(chip, "gdn", batch, tokens, flop, 8.0 * (2.0 * key + value), chunk, engine)
