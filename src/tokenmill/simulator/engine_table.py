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


# what stands together in memory, as it is read together: of a number of tokens, of sequences
LINEAR_S, LINEAR_J, BY_TOKENS = 0, 1, 2
SEQUENCE_S, SEQUENCE_J, CTX_S, CTX_J, WINDOW_S, WINDOW_J, BY_SEQUENCES = 0, 1, 2, 3, 4, 5, 6


class Table:
    """Seconds and joules of steps of the replicas of a pool.

    Parameters: pool.
    Raises: InputError where the StepTable is too short or holds a negative or no number.
    """

    def __init__(self, pool: Pool) -> None:
        steps, wanted = pool.table, pool.scheduling
        self.tokens = _columns(pool, wanted.token_budget, "linear_s", "linear_j")
        self.sequences = _columns(
            pool, wanted.max_sequences, "sequence_s", "sequence_j", "decode_ctx_s", "decode_ctx_j",
            "decode_window_s", "decode_window_j",
        )  # fmt: skip
        self.chunk_s, self.chunk_j = steps.prefill_chunk_s, steps.prefill_chunk_j
        self.pair_s, self.pair_j = steps.prefill_pair_s, steps.prefill_pair_j
        self.window_pair_s = steps.prefill_window_pair_s
        self.window_pair_j = steps.prefill_window_pair_j
        self.key_s, self.key_j = steps.prefill_key_s, steps.prefill_key_j
        self.window_key_s, self.window_key_j = (
            steps.prefill_window_key_s,
            steps.prefill_window_key_j,
        )
        self.window = int(steps.window_tokens)
        self.idle_w = steps.idle_w
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
        keys = 1.0 * (tokens + context)
        self.priced_s = self.chunk_s + max(self.pair_s * pairs, self.key_s * keys)
        self.priced_j = self.chunk_j + max(self.pair_j * pairs, self.key_j * keys)
        if self.window > 0:
            pairs = self.windowed_pairs(tokens, context)
            keys = 1.0 * (tokens + min(context, self.window))
            self.priced_s += max(self.window_pair_s * pairs, self.window_key_s * keys)
            self.priced_j += max(self.window_pair_j * pairs, self.window_key_j * keys)

    def price(
        self, stretch: Stretch, batch: Batch, decoders: int, chunks: int, tokens: int,
        seconds: float, joules: float,
    ) -> None:  # fmt: skip
        """Set the first step of a stretch and how it grows.

        Parameters: decoders [count] in the step, all of the batch or none; chunks [count] of
        prefill with tokens [tokens], seconds [s] and joules [J] of their own.
        """
        row = (tokens + decoders * self.verified) * BY_TOKENS
        seconds += self.tokens[row + LINEAR_S]
        joules += self.tokens[row + LINEAR_J]
        row = (decoders + chunks) * BY_SEQUENCES
        seconds += self.sequences[row + SEQUENCE_S]
        joules += self.sequences[row + SEQUENCE_J]
        stretch.slope_s = stretch.slope_j = 0.0
        if decoders > 0:
            row = decoders * BY_SEQUENCES
            # every sequence sees the token it makes
            contexts = batch.written_sum + batch.decoders
            seconds += self.sequences[row + CTX_S] * contexts
            joules += self.sequences[row + CTX_J] * contexts
            grow = decoders * batch.rate
            stretch.slope_s = self.sequences[row + CTX_S] * grow
            stretch.slope_j = self.sequences[row + CTX_J] * grow
            if self.window > 0:
                windowed = batch.windowed()
                seconds += self.sequences[row + WINDOW_S] * windowed
                joules += self.sequences[row + WINDOW_J] * windowed
                grow = batch.inside * batch.rate
                stretch.slope_s += self.sequences[row + WINDOW_S] * grow
                stretch.slope_j += self.sequences[row + WINDOW_J] * grow
        stretch.step_s = seconds
        stretch.step_j = joules

    def token_j(self, tokens: int) -> float:
        """Joules of one token of a step with so many [J]."""
        return self.tokens[tokens * BY_TOKENS + LINEAR_J] / tokens

    def sequences_j(self, sequences: int) -> float:
        """Joules of a step for its sequences, whatever they do [J]."""
        return self.sequences[sequences * BY_SEQUENCES + SEQUENCE_J]


def _columns(pool: Pool, size: int, *names: str) -> memoryview[float]:
    """Columns of the step table side by side, each up to `size`."""
    columns = []
    for name in names:
        column = np.asarray(getattr(pool.table, name), dtype=np.float64)
        if len(column) <= size:
            raise InputError(
                f"pool {pool.name}: {name} of the step table ends at {len(column) - 1}, the "
                f"scheduling needs {size}; make a longer table"
            )
        if not (column >= 0.0).all() or not np.isfinite(column).all():
            raise InputError(
                f"pool {pool.name}: {name} of the step table holds a value that is negative or "
                "not a number; correct the table"
            )
        columns.append(column[: size + 1])
    return floats(np.stack(columns, axis=1).ravel())
