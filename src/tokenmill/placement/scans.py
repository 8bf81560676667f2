"""Prefill of state-space layers in the form of step times: so much per chunk and per token."""

from __future__ import annotations

from typing import Any

import numpy as np

from tokenmill.physics import state_space
from tokenmill.physics.chip import Chip
from tokenmill.work.architecture import GatedDeltaNet, Mamba2, Mixer

__all__ = ["scan_coefficients"]

Scalar = Any


def scan_coefficients(chip: Chip, mixer: Mixer, tp: Scalar, engine: str) -> tuple[Scalar, Scalar]:
    """A state-space prefill as ([s] per chunk, [s] per token): a line through whole blocks.

    Parameters: chip; mixer of the layer; tp ranks that share it; engine, whose kernels.
    """
    if not isinstance(mixer, Mamba2 | GatedDeltaNet):
        return np.zeros_like(tp), np.zeros_like(tp)

    def seconds(tokens: float) -> Scalar:
        if isinstance(mixer, Mamba2):
            return state_space.mamba2_prefill_s(
                chip, 1.0, tokens, mixer.heads / tp, mixer.head_dim, mixer.state_dim,
                groups=np.maximum(mixer.groups / tp, 1.0), chunk=float(mixer.chunk),
                engine=engine,
            )  # fmt: skip
        return state_space.gdn_prefill_s(
            chip, 1.0, tokens, mixer.key_heads / tp, mixer.value_heads / tp,
            mixer.key_dim, mixer.value_dim, chunk=float(mixer.chunk), engine=engine,
        )  # fmt: skip

    near, far = 8.0 * mixer.chunk, 16.0 * mixer.chunk
    slope = (seconds(far) - seconds(near)) / (far - near)
    return np.maximum(seconds(near) - slope * near, 0.0), slope
