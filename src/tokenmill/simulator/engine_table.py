# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""What a step costs: a StepTable as buffers, and the sums over it."""

from __future__ import annotations

import numpy as np

from tokenmill.errors import InputError
from tokenmill.simulator.engine_batch import Batch
from tokenmill.simulator.engine_order import floats
from tokenmill.simulator.engine_stretch import Stretch
from tokenmill.simulator.policies import Pool

__all__ = ["Table"]


class Table:
    """Seconds and joules of steps of one replica.

    Parameters: pool; slowness [1], a factor on all seconds.
    Raises: InputError where the StepTable is too short or holds a negative or no number.
    """

    def __init__(self, pool: Pool, slowness: float) -> None:
        steps, wanted = pool.table, pool.scheduling
        tokens, sequences = wanted.token_budget, wanted.max_sequences
        self.linear_s = _column(pool, "linear_s", tokens)
        self.linear_j = _column(pool, "linear_j", tokens)
        self.sequence_s = _column(pool, "sequence_s", sequences)
        self.sequence_j = _column(pool, "sequence_j", sequences)
        self.decode_ctx_s = _column(pool, "decode_ctx_s", sequences)
        self.decode_ctx_j = _column(pool, "decode_ctx_j", sequences)
        self.decode_window_s = _column(pool, "decode_window_s", sequences)
        self.decode_window_j = _column(pool, "decode_window_j", sequences)
        self.chunk_s, self.chunk_j = steps.prefill_chunk_s, steps.prefill_chunk_j
        self.pair_s, self.pair_j = steps.prefill_pair_s, steps.prefill_pair_j
        self.window_pair_s = steps.prefill_window_pair_s
        self.window_pair_j = steps.prefill_window_pair_j
        self.window = int(steps.window_tokens)
        self.idle_w = steps.idle_w
        self.slowness = slowness
        self.priced_s = 0.0
        self.priced_j = 0.0
        self.verified = 1 + wanted.draft_tokens

    def pairs(self, tokens: int, context: int) -> float:
        """Query-key pairs of a chunk."""
        return 1.0 * tokens * context + 0.5 * tokens * (tokens + 1)

    def windowed_pairs(self, tokens: int, context: int) -> float:
        """Query-key pairs of a chunk within the window."""
        growing = max(0, min(self.window - context, tokens))
        return self.pairs(growing, context) + 1.0 * (tokens - growing) * self.window

    def price_chunk(self, tokens: int, context: int) -> None:
        """Set priced_s [s] and priced_j [J] to what one prefill chunk adds to a step."""
        pairs = self.pairs(tokens, context)
        self.priced_s = self.chunk_s + self.pair_s * pairs
        self.priced_j = self.chunk_j + self.pair_j * pairs
        if self.window > 0:
            pairs = self.windowed_pairs(tokens, context)
            self.priced_s += self.window_pair_s * pairs
            self.priced_j += self.window_pair_j * pairs

    def price(
        self, stretch: Stretch, batch: Batch, decoders: int, chunks: int, tokens: int,
        seconds: float, joules: float,
    ) -> None:  # fmt: skip
        """Set the first step of a stretch and how it grows.

        Parameters: decoders [count] in the step, all of the batch or none; chunks [count] of
        prefill with tokens [tokens], seconds [s] and joules [J] of their own.
        """
        in_step = tokens + decoders * self.verified
        seconds += self.linear_s[in_step] + self.sequence_s[decoders + chunks]
        joules += self.linear_j[in_step] + self.sequence_j[decoders + chunks]
        stretch.slope_s = stretch.slope_j = 0.0
        if decoders > 0:
            # every sequence sees the token it makes
            contexts = batch.written_sum + batch.decoders
            seconds += self.decode_ctx_s[decoders] * contexts
            joules += self.decode_ctx_j[decoders] * contexts
            grow = decoders * batch.rate
            stretch.slope_s = self.decode_ctx_s[decoders] * grow * self.slowness
            stretch.slope_j = self.decode_ctx_j[decoders] * grow
            if self.window > 0:
                windowed = batch.windowed()
                seconds += self.decode_window_s[decoders] * windowed
                joules += self.decode_window_j[decoders] * windowed
                grow = batch.inside * batch.rate
                stretch.slope_s += self.decode_window_s[decoders] * grow * self.slowness
                stretch.slope_j += self.decode_window_j[decoders] * grow
        stretch.step_s = seconds * self.slowness
        stretch.step_j = joules


def _column(pool: Pool, name: str, size: int) -> memoryview[float]:
    column = np.ascontiguousarray(getattr(pool.table, name), dtype=np.float64)
    if len(column) <= size:
        raise InputError(
            f"pool {pool.name}: {name} of the step table ends at {len(column) - 1}, the "
            f"scheduling needs {size}; make a longer table"
        )
    if not (column >= 0.0).all() or not np.isfinite(column).all():
        raise InputError(
            f"pool {pool.name}: {name} of the step table holds a value that is negative or not "
            "a number; correct the table"
        )
    return floats(column)
