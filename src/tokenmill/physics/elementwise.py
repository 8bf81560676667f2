"""Kernels that only move bytes: norms, activations, rotary embeddings, residual sums, copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.physics.chip import Chip, Stream

__all__ = ["stream_s"]

Array = NDArray[np.float64]


def stream_s(chip: Chip, moved_bytes: Any, kernels: Any = 1.0, engine: str = "any") -> Array:
    """Time of `kernels` launches inside a CUDA graph that move bytes between them.

    Parameters: moved_bytes [B] read and written in all; kernels [launches].
    Returns: seconds [s].
    Raises: NoCalibration.
    """
    c: Stream = chip.pick("stream", "any", engine)
    bandwidth = chip.memory_bytes_per_s * c.memory_efficiency
    moved_s = np.asarray(moved_bytes, float) / bandwidth
    launch_s = c.launch_clocks / chip.boost_hz
    result: Array = launch_s * np.asarray(kernels, float) + moved_s
    return result
