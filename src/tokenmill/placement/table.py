"""StepTable: the seconds and joules of one engine step, as tables for the event engine.

A step with p prefill and b decoding tokens of n sequences and ctx context tokens costs
linear[p + b] + sequence[n] + prefill terms + decode_ctx[b] x ctx + decode_window[b] x windowed
ctx. The tables are `StepTimes` evaluated at every count, so the closed form and the simulation
are one truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["StepTable"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StepTable:
    """Costs of one step of one instance; seconds [s] and joules [J] in step.

    linear [tokens + 1] by tokens; sequence [sequences + 1] by sequences, with the fixed part of
    decode attention; decode_ctx, decode_window [sequences + 1] per context token (and per token
    inside the window of `window_tokens`); prefill_chunk, prefill_token, prefill_pair,
    prefill_window_pair per chunk, token and (query, key) pair. idle_w [W] is drawn between steps.
    Joules are of the whole instance, above idle.
    """

    linear_s: Array
    sequence_s: Array
    decode_ctx_s: Array
    decode_window_s: Array
    prefill_chunk_s: float
    prefill_pair_s: float
    prefill_window_pair_s: float
    linear_j: Array
    sequence_j: Array
    decode_ctx_j: Array
    decode_window_j: Array
    prefill_chunk_j: float
    prefill_pair_j: float
    prefill_window_pair_j: float
    window_tokens: int
    idle_w: float
