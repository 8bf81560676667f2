"""How long a prefill chunk reads the cache of what came before it.

A short chunk behind a long context waits for the memory, not for arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tokenmill.physics.chip import Chip
from tokenmill.work import language
from tokenmill.work.architecture import (
    Architecture,
    Attention,
    CompressedAttention,
    LatentAttention,
    Mixer,
)
from tokenmill.work.ops import Attend
from tokenmill.work.precision import CacheFormat

__all__ = ["cache_ways", "prefill_reads"]

Scalar = Any
_FAR = 2.0**40  # tokens, beyond any window


def prefill_reads(
    arch: Architecture, cache: CacheFormat, chip: Chip, tp: Scalar
) -> tuple[Scalar, Scalar]:
    """Least time to read the cache that a chunk attends to, at the peak rate of the memory.

    Parameters: arch; cache format; chip; tp, tensor ranks.
    Returns: seconds per key [s], and per key inside the window [s], of all layers.
    """
    key = window_key = np.zeros_like(tp)
    for op in language.operations(arch):
        if isinstance(op, Attend):
            at_0, at_1, at_far, at_twice = (
                language.attend_work(op, 1.0, at, 1.0, cache, absorbed=False).cache_bytes
                for at in (0.0, 1.0, _FAR, 2.0 * _FAR)
            )
            full = (at_twice - at_far) / _FAR
            rate = cache_ways(op.mixer, tp) * chip.memory_bytes_per_s
            key = key + full / rate
            window_key = window_key + (at_1 - at_0 - full) / rate
    return key, window_key


def cache_ways(mixer: Mixer, tp: Scalar) -> Scalar:
    """Over how many tensor ranks a layer's cache is divided; the others hold copies."""
    if isinstance(mixer, LatentAttention | CompressedAttention):
        return 1.0
    return np.minimum(tp, mixer.kv_heads) if isinstance(mixer, Attention) else tp
