"""Engines with kernels of their own: how far they stray from the kernels on record.

The kernels on record are those of the large serving engines. llama.cpp, Ollama, ExLlama and MLC
bring others: products with 16-bit accumulation whatever the weights, activations in 32 bits moved
once for each small kernel, attention that writes its scores to memory, small weights unpacked
before a large product, experts one by one. Each habit is a figure of the engine's record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tokenmill.physics.chip import Chip
from tokenmill.placement.engines import Engine

__all__ = [
    "activations_s",
    "block_scales_s",
    "cached_token_s",
    "expert_chip",
    "expert_kernels",
    "experts_extra_s",
    "own_chip",
    "own_kernel_s",
    "paced_s",
    "scores_s",
    "unpacked_few_s",
    "unpacking_s",
]

Scalar = Any
_REACHED = 0.95  # share of the memory bandwidth that the best streaming reads reach
_L2_SPEED = 4.0  # rate of the L2 cache over that of memory
_L2_BYTES = 24.0  # [B] that a multiprocessor draws from the L2 cache in a clock, gathering blocks
_RIDGE = 280.0  # [FLOP/B] where 16-bit products turn from reading to computing (H100, B200)
_TILE = 16.0  # rows of the smallest tile of a matrix unit
# Share of the matrix peak that products of single warps reach where the peak takes groups of warps
# (Luo et al. 2024, arXiv:2402.13499, table 7: 62.9 % of the peak of the H100).
_WARP = {"hopper": 0.63, "blackwell": 0.63, "blackwell-ultra": 0.63}
_VECTORS = 8.0  # rows up to which products are those of vectors
_FEW = 32.0  # rows up to which small weights are multiplied as they are stored


def own_chip(engine: Engine, chip: Chip, *, few: bool = False) -> Chip:
    """The chip as an engine's own kernels use it: shares of its arithmetic and of its bandwidth.

    Parameters: few, for a product of a few rows, which vector units compute without padding them
    to the tile of a matrix unit.
    """
    if engine.accumulate_bits != 16:
        return chip
    padded = _TILE if few else _WARP.get(chip.architecture, 1.0)
    return replace(
        chip,
        memory_bytes_per_s=chip.memory_bytes_per_s * engine.stream_share,
        peaks={name: peak * engine.tensor_share * padded for name, peak in chip.peaks.items()},
    )


def expert_chip(engine: Engine, chip: Chip) -> Chip:
    """The chip as kernels of the engine for experts use it: those of single warps reach less."""
    warp = _WARP.get(chip.architecture, 1.0)
    if not engine.wide_experts or warp == 1.0:
        return chip
    return replace(chip, peaks={name: peak * warp for name, peak in chip.peaks.items()})


def own_kernel_s(
    engine: Engine, chip: Chip, rows: Scalar, kernel: Callable[[Chip], Scalar]
) -> Scalar:
    """Time [s] of a kernel of the engine for `rows`, given what it costs on a chip."""
    seconds = kernel(own_chip(engine, chip))
    if engine.accumulate_bits != 16:
        return seconds
    few = kernel(own_chip(engine, chip, few=True))
    return np.where(np.asarray(rows) <= _VECTORS, few, seconds)


def paced_s(
    engine: Engine, chip: Chip, seconds: Scalar, flop: Scalar, peak: str, memory_bytes: Scalar,
    share: float = 1.0,
) -> Scalar:  # fmt: skip
    """Times of kernels [s] at the pace of the engine, never faster than the roofline.

    Parameters: seconds of the kernels on record, or of the engine's own on `own_chip`; flop and
    memory_bytes [B] that they compute and move, drawing on `peak`; share, of the pace of
    products that this kind of product reaches. Where the kernels are those on
    record, their arithmetic intensity says which of the two paces counts: it belongs to the
    kernel, so that a chip with more bandwidth is never slower (INV-9).
    """
    if engine.tensor_share == engine.stream_share == share == 1.0:
        return seconds
    compute_s = flop / chip.flop_per_s(peak)
    memory_s = memory_bytes / chip.memory_bytes_per_s
    if engine.accumulate_bits != 16:
        width = chip.flop_per_s(peak) / chip.flop_per_s("bf16")
        part = flop / (flop + memory_bytes * _RIDGE * width)
        seconds = seconds * (
            part / (engine.tensor_share * share) + (1.0 - part) / engine.stream_share
        )
    return np.maximum(seconds, np.maximum(compute_s, memory_s / _REACHED))


def unpacked_few_s(chip: Chip, rows: Scalar, weights: Scalar, stored_bytes: float) -> Scalar:
    """Least time [s] to turn narrow weights into values for a product of a few rows."""
    if not chip.unpack_ops or stored_bytes >= 2.0:
        return 0.0
    least_s = weights * chip.unpack_ops / (chip.peaks["fp32"] / 2.0)  # two FLOP an instruction
    return np.where(np.asarray(rows) <= _VECTORS, least_s, 0.0)


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


def cached_token_s(
    engine: Engine, chip: Chip, seconds: Scalar, heads: Scalar, kv_heads: Scalar, head_dim: Scalar,
    value_bytes: float,
) -> Scalar:  # fmt: skip
    """Decode attention per cached token [s], where the queries of a group may not share it.

    Parameters: seconds of the kernels on record, which multiply all queries of a group at once;
    heads, kv_heads on this GPU; head_dim [values]; value_bytes [B] of a cached value. Older
    kernels multiply query by query on the vector units, which then bound them, while the cache is
    still read about once; a narrow value is unpacked anew for each query, which takes about as
    many instructions as the two products it serves. Beams may be multiplied together, but each
    fetches the prompt for itself, from the L2 cache.
    """
    group = heads / kv_heads
    seconds = seconds * (1.0 + engine.unshared * (group - 1.0))
    if not engine.vector_share:
        return seconds
    flop = 4.0 * heads * head_dim * engine.beams * (1.0 if value_bytes >= 2.0 else 2.0)
    peak = chip.peaks.get("fp32", chip.flop_per_s("bf16"))
    together = (engine.grouped_least <= group) & (group <= engine.grouped_most)
    together = together & (engine.grouped_odd | (group == 1.0) | (group % 2.0 == 0.0))
    if engine.beams > 1.0:
        together = engine.grouped_beams
        fetched = 2.0 * kv_heads * head_dim * value_bytes * engine.beams
        seconds = np.maximum(seconds, fetched / (_L2_BYTES * chip.sm_count * chip.boost_hz))
    return np.maximum(seconds, np.where(together, 0.0, flop / (peak * engine.vector_share)))


def block_scales_s(engine: Engine, chip: Chip, dtype: str) -> float:
    """Time [s] of scaling the activations of one product by blocks, in a kernel of its own.

    Chips that multiply no 8-bit floats leave activations as they are.
    """
    return engine.block_s if dtype == "fp8_block" and "fp8" in chip.peaks else 0.0


def expert_kernels(engine: Engine, chip: Chip, dtype: str) -> str:
    """The arithmetic whose kernels an engine's experts run on."""
    if engine.accumulate_bits == 16:
        return "bf16"
    blocks = engine.block_experts and dtype == "fp8" and "fp8" in chip.peaks
    return "fp8_block" if blocks else dtype


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
