"""Engines with kernels of their own: how far they stray from the kernels on record.

The kernels on record are those of the large serving engines. llama.cpp, Ollama, ExLlama and MLC
bring others: products with 16-bit accumulation whatever the weights, activations in 32 bits moved
once for each small kernel, attention that writes its scores to memory, small weights unpacked
before a large product, experts one by one. Each habit is a figure of the engine's record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tokenmill.physics.chip import Chip
from tokenmill.placement.engines import Engine

__all__ = [
    "activations_s",
    "experts_extra_s",
    "own_chip",
    "paced_s",
    "scores_s",
    "unpacking_s",
    "unshared_reads",
]

Scalar = Any
_REACHED = 0.95  # share of the memory bandwidth that the best streaming reads reach
_L2_SPEED = 4.0  # rate of the L2 cache over that of memory
_FEW = 32.0  # rows up to which small weights are multiplied as they are stored


def own_chip(engine: Engine, chip: Chip) -> Chip:
    """The chip as an engine's own kernels use it: shares of its arithmetic and of its bandwidth."""
    if engine.accumulate_bits != 16:
        return chip
    return replace(
        chip,
        memory_bytes_per_s=chip.memory_bytes_per_s * engine.stream_share,
        peaks={name: peak * engine.tensor_share for name, peak in chip.peaks.items()},
    )


def paced_s(
    engine: Engine, chip: Chip, seconds: Scalar, flop: Scalar, peak: str, memory_bytes: Scalar
) -> Scalar:  # fmt: skip
    """Times of kernels [s] at the pace of the engine, never faster than the roofline.

    Parameters: seconds of the kernels on record, or of the engine's own on `own_chip`; flop and
    memory_bytes [B] that they compute and move, drawing on `peak`. Where the kernels are those on
    record, the share of arithmetic and of reading says which of the two paces counts.
    """
    if engine.tensor_share == engine.stream_share == 1.0:
        return seconds
    compute_s = flop / chip.flop_per_s(peak)
    memory_s = memory_bytes / chip.memory_bytes_per_s
    if engine.accumulate_bits != 16:
        part = compute_s / (compute_s + memory_s)
        seconds = seconds * (part / engine.tensor_share + (1.0 - part) / engine.stream_share)
    return np.maximum(seconds, np.maximum(compute_s, memory_s / _REACHED))


def activations_s(engine: Engine, chip: Chip, rows: Scalar, moved_bytes: Scalar) -> Scalar:
    """Time beyond the fused 16-bit kernels that moved_bytes [B] for `rows` are counted in [s].

    What one kernel leaves for the next stays in the L2 cache as far as it fits.
    """
    if engine.activation_passes == 1.0:
        return 0.0
    extra = (engine.activation_passes - 1.0) * moved_bytes
    kept = chip.l2_bytes / (chip.l2_bytes + moved_bytes + 1.0)
    return extra / chip.memory_bytes_per_s * (1.0 - kept + kept / _L2_SPEED)


def unpacking_s(
    engine: Engine, chip: Chip, rows: Scalar, weights: Scalar, stored_bytes: float
) -> Scalar:
    """Time [s] to write `weights` of stored_bytes [B] each in 16 bits before a large product.

    Parameters: rows of the product; few of them are multiplied from the weights as stored.
    """
    if not engine.unpack or stored_bytes >= 2.0:
        return 0.0
    once_s = weights * (stored_bytes + 2.0) / chip.memory_bytes_per_s
    return np.where(np.asarray(rows) > _FEW, once_s, 0.0)


def scores_s(engine: Engine, chip: Chip, heads: Scalar) -> tuple[Scalar, Scalar]:
    """Moving scores through memory: ([s] per query, [s] per query-key pair) of one layer.

    Whole rectangles of scores are computed, masked or not: half a chunk more for each query.
    """
    pair_s = heads * engine.score_bytes / chip.memory_bytes_per_s
    return pair_s * engine.step_tokens / 2.0, pair_s


def unshared_reads(engine: Engine, heads: Scalar, kv_heads: Scalar) -> Scalar:
    """How often a cached value is read in decoding: once, or again for queries that share it."""
    return 1.0 + engine.unshared * (heads / kv_heads - 1.0)


def experts_extra_s(
    engine: Engine, chip: Chip, tokens: Scalar, rows: Scalar, touched: Scalar, each: Scalar
) -> Scalar:
    """What the experts of a chunk cost beyond grouped products on record [s].

    Parameters: tokens of the step; rows in all and experts touched on this GPU; each, weights of
    one expert. Rows are padded to tiles as wide as the step allows, or experts run one by one.
    """
    if not engine.expert_tile and not engine.host_expert_s:
        return 0.0
    mean = rows / np.maximum(touched, 1.0)
    tile = np.minimum(engine.expert_tile, tokens)
    padding = np.maximum(np.maximum(mean + tile / 2.0, tile) - mean, 0.0) * (tile > _FEW)
    peak = chip.flop_per_s("bf16") * chip.pick("gemm", "bf16").compute_efficiency
    padding_s = 2.0 * touched * padding * each / (peak * engine.tensor_share)
    return padding_s + engine.host_expert_s * touched * (np.asarray(tokens) > _FEW)
