"""StepTable: the seconds and joules of one engine step, as tables for the event engine.

A step with p prefill and b decoding tokens of n sequences and ctx context tokens costs
linear[p + b] + sequence[n] + prefill terms + decode_ctx[b] x ctx + decode_window[b] x windowed
ctx. The tables are `StepTimes` evaluated at every count, so the closed form and the simulation
are one truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.physics.power import PowerConstants, drawn_w
from tokenmill.placement.energy import parts_joules
from tokenmill.placement.parts import Part
from tokenmill.placement.steps import StepTimes

__all__ = ["StepTable", "step_table"]

Array = NDArray[np.float64]
Scalar = Any
_FINE = 64  # counts up to this are always evaluated one by one


@dataclass(frozen=True, slots=True, eq=False)
class StepTable:
    """Costs of one step of one instance; seconds [s] and joules [J] in step.

    linear [tokens + 1] by tokens; sequence [sequences + 1] by sequences, with the fixed part of
    decode attention; decode_ctx, decode_window [sequences + 1] per context token (and per token
    inside the window of `window_tokens`); prefill_chunk, prefill_pair,
    prefill_window_pair per chunk and (query, key) pair, for which prefill_key and
    prefill_window_key per key of a chunk are the least. idle_w [W] is drawn between steps.
    Joules are of the whole instance and hold its idle power while it steps.
    """

    linear_s: Array
    sequence_s: Array
    decode_ctx_s: Array
    decode_window_s: Array
    prefill_chunk_s: float
    prefill_pair_s: float
    prefill_window_pair_s: float
    prefill_key_s: float
    prefill_window_key_s: float
    linear_j: Array
    sequence_j: Array
    decode_ctx_j: Array
    decode_window_j: Array
    prefill_chunk_j: float
    prefill_pair_j: float
    prefill_window_pair_j: float
    prefill_key_j: float
    prefill_window_key_j: float
    window_tokens: int
    idle_w: float


def step_table(
    times: StepTimes, power: PowerConstants, *, max_tokens: int, max_sequences: int,
    coarse: bool = False,
) -> StepTable:  # fmt: skip
    """Tables of a single layout.

    Parameters: times over one layout; power constants of its GPU; max_tokens of a step and
    max_sequences at once, the last index of the tables; coarse, to evaluate every count up to 64
    and one in forty beyond, with straight lines between them: ten times faster, 1 % off.
    Returns: a StepTable. What prefill costs per token is folded in exactly: every token of the
    step pays it in `linear`, and each sequence gets one token's worth back in `sequence`.
    """
    gpus = float(times.grid.gpus.ravel()[0])
    tokens = _counts(max_tokens, coarse)
    counts = _counts(max_sequences, coarse)
    linear_s, linear_j = _costs(power, gpus, tuple(times.linear_parts(tokens)), tokens)
    sequence_s, sequence_j = _costs(power, gpus, tuple(times.sequence_parts(counts)), counts)
    base, ctx, window = (_row(x, counts) for x in times.decode_coefficients(counts))
    chunk, token, pair, window_pair = (float(np.ravel(x)[0]) for x in times.prefill_coefficients())
    key, window_key = (float(np.ravel(x)[0]) for x in times.prefill_reads())
    # attention streams its cache at decode and multiplies at prefill: its watts per second of
    # work are those of a part that does nothing else
    decode_w = _attention_watts(power, times.attention_part(np.array([[8.0]]), 4096.0)) * gpus
    prefill_w = _attention_watts(power, times.prefill_part(np.array([[2048.0]]), 0.0)) * gpus
    host_w = (power.idle_w + power.active_w) * gpus
    sequence_s, sequence_j = sequence_s + base, sequence_j + base * decode_w
    linear_s, sequence_s = _folded(linear_s, sequence_s, token)
    linear_j, sequence_j = _folded(linear_j, sequence_j, token * prefill_w)
    linear_s[0] = linear_j[0] = sequence_s[0] = sequence_j[0] = 0.0
    return StepTable(
        linear_s=linear_s, sequence_s=sequence_s, decode_ctx_s=ctx, decode_window_s=window,
        prefill_chunk_s=chunk + token, prefill_pair_s=pair, prefill_window_pair_s=window_pair,
        prefill_key_s=key, prefill_window_key_s=window_key,
        linear_j=linear_j, sequence_j=sequence_j, decode_ctx_j=ctx * decode_w,
        decode_window_j=window * decode_w,
        prefill_chunk_j=chunk * host_w + token * prefill_w, prefill_pair_j=pair * prefill_w,
        prefill_window_pair_j=window_pair * prefill_w,
        prefill_key_j=key * prefill_w, prefill_window_key_j=window_key * prefill_w,
        window_tokens=times.window_tokens, idle_w=power.idle_w * gpus,
    )  # fmt: skip


def _folded(linear: Array, sequence: Array, token: float) -> tuple[Array, Array]:
    """The cost of a prefill token put into the table by tokens, and out of that by sequences.

    Where a sequence costs less than a token, both tables stay positive and a step that only
    decodes stays exact; one that prefills as well is told a little short.
    """
    sequence = sequence - token * np.arange(len(sequence))
    short = np.maximum(-sequence, 0.0)
    reach = np.minimum(np.arange(len(linear)), len(sequence) - 1)
    return linear + token * np.arange(len(linear)) - short[reach], np.maximum(sequence, 0.0)


def _counts(most: int, coarse: bool) -> Array:
    """Counts from 0 to `most` at which a table is evaluated [1, n]."""
    every = np.arange(most + 1.0)
    if coarse and most > _FINE:
        far = np.geomspace(_FINE, most, int(40.0 * np.log(most / _FINE)) + 2)
        every = np.unique(np.concatenate((every[:_FINE], np.round(far))))
    return every[None, :]


def _row(values: Scalar, counts: Array) -> Array:
    """Values at counts as a whole table, straight lines between them."""
    at = counts[0]
    row = np.ascontiguousarray(np.broadcast_to(values, (1, at.size))[0], dtype=float)
    if at.size == at[-1] + 1.0:
        return row
    filled: Array = np.interp(np.arange(at[-1] + 1.0), at, row)
    return filled


def _costs(
    power: PowerConstants, gpus: float, parts: tuple[Part, ...], counts: Array
) -> tuple[Array, Array]:
    """(seconds, joules of the instance) of parts over the table's counts.

    Each table entry's power is bent towards the limit by itself, so that no step can pass it.
    """
    seconds = sum(part.seconds for part in parts)
    above = parts_joules(power, parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.where(seconds > 0, above / seconds, 0.0)
    joules = drawn_w(power, power.idle_w + wanted) * seconds * gpus
    return _row(seconds, counts), _row(joules, counts)


def _attention_watts(power: PowerConstants, part: Part) -> float:
    """Power of one GPU [W] while it does nothing but attention."""
    seconds = float(np.ravel(part.seconds)[0])
    if seconds <= 0:
        return power.idle_w
    above = float(np.ravel(parts_joules(power, (part,)))[0])
    return float(drawn_w(power, power.idle_w + above / seconds))
