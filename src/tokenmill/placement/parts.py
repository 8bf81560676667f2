"""Parts of a step: what one operation costs on one GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmill.work.ops import Elementwise, ExpertBlock, Matmul

__all__ = ["Part", "counted"]

Scalar = Any


@dataclass(frozen=True, slots=True)
class Part:
    """One operation of a step on one GPU, arrays [layouts, batches].

    seconds [s]; flop [FLOP] at `dtype`; memory_bytes, link_bytes [B]; share [1] of the seconds that
    the mean GPU works, the rest it waits for the busiest; padding [FLOP] on rows of no token.
    """

    name: str
    seconds: Scalar
    flop: Scalar
    memory_bytes: Scalar
    link_bytes: Scalar
    dtype: str
    share: Scalar = 1.0
    padding: Scalar = 0.0


def counted(
    op: Matmul | ExpertBlock | Elementwise, seconds: Scalar, flop: Scalar, memory: Scalar, peak: str
) -> Part:
    """All kernels of an operation, given what one of them costs."""
    parts = (seconds * op.count, flop * op.count, memory * op.count, np.zeros_like(seconds))
    return Part(op.name, *parts, peak)
