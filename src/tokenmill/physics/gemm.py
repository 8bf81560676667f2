"""Matrix products y[m, n] = x[m, k] W[k, n]: memory traffic against waves of tiles.

Thread blocks compute tiles of y, one wave of them per pass over the multiprocessors; the
library takes the tile that finishes first. Few tiles split the reduction until it is too
short to be worth a block of its own. References: NVIDIA, "Matrix multiplication background"
(tile and wave quantisation); Williams et al. 2009, doi:10.1145/1498765.1498785 (roofline).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.physics.arithmetic import arithmetic
from tokenmill.physics.chip import Chip, Gemm

__all__ = ["gemm_s"]

Array = NDArray[np.float64]

_TILE_M = np.array([16.0, 64.0, 128.0, 128.0])
_TILE_N = np.array([64.0, 64.0, 64.0, 128.0])


def gemm_s(
    chip: Chip, dtype: str, m: Any, n: Any, k: Any, engine: str = "any",
    weight_bytes: float | None = None, *, quantised: bool = False,
) -> Array:  # fmt: skip
    """Time of one matrix product inside a CUDA graph, weights read from memory.

    Parameters: chip; dtype as in `physics.arithmetic`; m rows (tokens), n columns, k the
    reduction [values, any shapes that broadcast]; engine, whose kernels; weight_bytes [B per
    weight], where the format stores other than its usual width; quantised, whether the kernel
    before leaves activations in their narrow format, as static scales allow.
    Returns: seconds [s], broadcast shape.
    Raises: UnknownName, NoPeak, NoCalibration.
    """
    kind = arithmetic(chip, dtype)
    c: Gemm = chip.pick("gemm", kind.constants, engine)
    peak = chip.flop_per_s(kind.peak)
    m, n, k = np.asarray(m, float), np.asarray(n, float), np.asarray(k, float)
    stored = kind.weight_bytes if weight_bytes is None else weight_bytes
    moved = stored * n * k + m * (kind.activation_bytes * k + 2.0 * n)
    memory_s = moved / (chip.memory_bytes_per_s * c.memory_efficiency)
    compute_s = _tiles_s(chip, c, peak, kind.activation_bytes, m, n, k)
    compute_s = compute_s * (1.0 + c.throttle * compute_s / (compute_s + 1e-3))
    block_s = _block_s(chip, c, stored, n, k)
    cubes = memory_s * memory_s * memory_s + compute_s * compute_s * compute_s
    work_s = np.cbrt(cubes + block_s * block_s * block_s)
    if kind.activation_bytes < 2.0 and not quantised:
        read_s = (2.0 + kind.activation_bytes) / (chip.memory_bytes_per_s * c.memory_efficiency)
        row_s = c.row_clocks / (chip.sm_count * chip.boost_hz)
        work_s = work_s + m * (row_s + read_s * k)
    fixed = c.launch_clocks + c.latency_clocks * np.log1p(memory_s * 1e6)
    result: Array = fixed / chip.boost_hz + work_s
    return result


def _block_s(chip: Chip, c: Gemm, stored: float, n: Array, k: Array) -> Array:
    """Seconds of the busiest multiprocessor streaming weights, 128 columns to a block.

    Narrow products occupy few multiprocessors, and each draws its weights at its own pace.
    """
    depth = np.maximum(np.minimum(k, c.split_k), k * np.ceil(n / 128.0) / chip.sm_count)
    seconds: Array = depth * (128.0 * stored / (c.sm_bytes_per_clock * chip.boost_hz))
    return seconds


def _tiles_s(chip: Chip, c: Gemm, peak: float, size: float, m: Array, n: Array, k: Array) -> Array:
    """Seconds of the tensor cores: waves x time of one tile, under the best tile for the shape."""
    sm_flop_per_s = peak * c.compute_efficiency / chip.sm_count
    l2_bytes_per_s = c.l2_bytes_per_clock * chip.boost_hz
    # per reduction step: the tile's products, or its operands from L2, whichever is slower
    step_s = np.maximum(
        2.0 * _TILE_M * _TILE_N / sm_flop_per_s, (_TILE_M + _TILE_N) * size / l2_bytes_per_s
    )
    axis = (-1, *(1,) * max(m.ndim, n.ndim, k.ndim))  # tiles come first: minima are fast there
    rows, columns, step_s = (x.reshape(axis) for x in (_TILE_M, _TILE_N, step_s))
    fill = np.ceil(m / rows) * np.ceil(n / columns) / chip.sm_count
    depth = np.maximum(k * np.minimum(fill, 1.0), np.minimum(k, c.split_k))
    waves = np.maximum(fill, 1.0)
    waves = waves + c.quantisation * (np.ceil(waves) - waves)
    time_s = waves * depth * step_s
    best: Array = time_s.min(axis=0)
    usual = np.where(m <= 64.0, time_s[1], np.where(m <= 128.0, time_s[2], time_s[3]))
    seconds: Array = best + c.rigidity * (usual - best)
    return seconds
