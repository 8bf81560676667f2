"""Bits that the matrices of an operation take in a weight format, scales included.

The mixtures of llama.cpp keep value and down projections in finer blocks than the rest, and
matrices whose rows are no multiple of 256 values in other blocks altogether.
Reference: llama.cpp, `llama_tensor_get_type` and the formats of ggml-quants.
"""

from __future__ import annotations

from statistics import fmean

from tokenmill.work.ops import ExpertBlock, Matmul
from tokenmill.work.precision import WeightFormat

__all__ = ["stored_bits"]

_ROW = 256  # values that one block of the k formats holds
_RAGGED = {2.625: 4.5, 3.4375: 4.5, 4.5: 5.5, 5.5: 6.0, 6.5625: 8.5}


def stored_bits(op: Matmul | ExpertBlock, weights: WeightFormat) -> float:
    """Mean bits per stored value of an operation's matrices."""
    if isinstance(op, ExpertBlock):
        inward = _blocks((weights.expert_bits,), op.experts.input_width or op.hidden, weights)
        down = _blocks(weights.down_blocks or (weights.expert_bits,), op.experts.width, weights)
        return ((op.matrices - 1) * inward + down) / op.matrices
    if op.part == "attention":
        return _attention(op, weights)
    if op.part == "feed-forward":
        finer = weights.down_blocks if op.name.endswith("down") else ()
        return _blocks(finer or (weights.feed_forward_bits,), op.k, weights)
    return weights.head_bits if op.part == "head" else 16.0


def _attention(op: Matmul, weights: WeightFormat) -> float:
    plain = _blocks((weights.attention_bits,), op.k, weights)
    if not (op.grouped_n and weights.value_blocks):
        return plain
    values = op.grouped_n / 2.0 / (op.n + op.grouped_n)  # of keys and values, the values
    return plain + values * (_blocks(weights.value_blocks, op.k, weights) - plain)


def _blocks(blocks: tuple[float, ...], row: int, weights: WeightFormat) -> float:
    """Mean bits of blocks in equal parts, over rows of so many values."""
    if weights.gguf and row % _ROW:
        return fmean(_RAGGED.get(bits, bits) for bits in blocks)
    return fmean(blocks)
