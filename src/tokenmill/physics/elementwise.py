"""Kernels that only move bytes: norms, activations, rotary embeddings, residual sums, copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.physics.chip import Chip, Stream

__all__ = ["moved_s", "stream_s"]

Array = NDArray[np.float64]


def moved_s(chip: Chip, c: Stream, moved_bytes: Any, kernels: Any = 1.0) -> Array:
    """Time of `kernels` launches under given constants that move bytes [B] between them."""
    launch_s = c.launch_clocks * np.asarray(kernels, float) / chip.boost_hz
    bandwidth = chip.stream_bytes_per_s(c.memory_efficiency, c.sm_bytes_per_clock)
    result: Array = launch_s + np.asarray(moved_bytes, float) / bandwidth
    return result


def stream_s(chip: Chip, moved_bytes: Any, kernels: Any = 1.0, engine: str = "any") -> Array:
    """Time of `kernels` launches inside a CUDA graph that move bytes between them.

    Parameters: moved_bytes [B] read and written in all; kernels [launches].
    Returns: seconds [s].
    Raises: NoCalibration.
    """
    return moved_s(chip, chip.pick("stream", "any", engine), moved_bytes, kernels)
