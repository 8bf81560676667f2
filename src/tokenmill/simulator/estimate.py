"""The closed form: steady state of continuous batching over whole grids of layouts and batches.

With b sequences decoding and requests of p prompt and o output tokens, a request completes every
o/b steps and brings ceil(p/c) chunks of prefill, so a share f = ceil(p/c) b/o of the steps carries
a chunk of c tokens of others; b below 1 is an instance that often has nothing to do. The mean step
T = T_decode + f (T_mixed - T_decode) is the time per output token. Prefills queue as in M/G/1
(Pollaczek-Khinchine, with Kingman's factor for bursts). Everything is a function of b; a rate or a
concurrency is met by looking b up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmill.placement.steps import StepTimes
from tokenmill.work.workload import PERCENTILES, Demand

__all__ = ["Steady", "held", "steady", "tail"]

Scalar = Any
_Z = (0.0, 1.2816, 1.6449, 2.3263, 3.0902)  # normal quantiles at PERCENTILES
# Answers shorter than the median feel each prefill more; read off simulated conversation hours of
# three fleets at 17, 36 and 65 % prefill load.
_SHORT_ANSWERS = 1.6
_ROUNDS = 4  # of a fixed point between the users of a closed load and whom they meet
_BUSIEST = 0.98  # a queue this full no longer has a useful mean wait


@dataclass(frozen=True, slots=True)
class Steady:
    """Steady state per layout and batch, arrays [layouts, batches].

    batch [sequences decoding, mean]; requests_per_s [1/s, one instance]; step_s, decode_step_s,
    mixed_step_s [s]; chunks_per_step [1] of prefill; mixed_share [1] of the steps of a decoding
    request that carry another's chunk; tpot_s, ttft_s [s, mean]; prefill_s [s, one prompt without
    waiting]; prefill_load [1] busy share of prefill; busy [1] of the time steps run; wait_s [s,
    mean] for the prefills of others; concurrency [requests in the instance].
    """

    batch: Scalar
    requests_per_s: Scalar
    step_s: Scalar
    decode_step_s: Scalar
    mixed_step_s: Scalar
    chunks_per_step: Scalar
    mixed_share: Scalar
    tpot_s: Scalar
    ttft_s: Scalar
    prefill_s: Scalar
    prefill_load: Scalar
    busy: Scalar
    wait_s: Scalar
    concurrency: Scalar
    chunk_tokens: Scalar


def steady(times: StepTimes, demand: Demand, batch: Scalar, *, closed: bool = False) -> Steady:
    """Steady state with `batch` sequences decoding at once on each layout of `times`.

    Parameters: times over n layouts; demand (lengths, burstiness); batch, array [m] or [n, m];
    closed: a fixed number of users, who queue less than open arrivals do.
    Returns: Steady of arrays [n, m].
    """
    engine = times.engine
    prompt, output = demand.prompt_mean, max(demand.output_mean, 1.0)
    # prefill keeps pace with decode only while a request's chunks are no more than its steps
    most = max(output / max(prompt / engine.step_tokens, 1.0), 1.0)
    batch = np.minimum(np.asarray(batch, float), most)
    chunk = np.minimum(prompt, np.maximum(engine.step_tokens - batch, 64.0))
    chunks = prompt / chunk
    batch = np.minimum(batch, np.maximum(output / chunks, 1.0))
    decode, mixed = times.both_steps_s(
        np.maximum(batch, 1.0), demand.context_mean, chunk, (prompt - chunk) / 2.0
    )
    longer = mixed - decode
    alone = (chunks - 1.0) * mixed + np.maximum(mixed, _trip_s(times, prompt)) + engine.request_s
    share = np.minimum(chunks * batch / output, 1.0)
    rate = batch / (output * (decode + share * longer))
    load = rate * chunks * mixed
    wait = _waits(demand, load, closed=closed) * chunks * mixed
    # arrivals that know nothing of each other meet what there is on average (PASTA), users who
    # wait for their answers meet all but themselves
    others = 1.0 - 1.0 / np.maximum(batch, 1.0) if closed else 1.0
    for _ in range(_ROUNDS if closed else 1):
        tpot = decode + others * share * longer
        ttft = alone + others * wait + 0.5 * tpot
        users = rate * (ttft + tpot * (output - 1.0))
        others = 1.0 - 1.0 / np.maximum(users, 1.0) if closed else 1.0
    steps = output / np.maximum(batch, 1.0)  # that a request accounts for
    step = (chunks * mixed + np.maximum(steps - chunks, 0.0) * decode) / steps
    return Steady(
        batch=batch, requests_per_s=rate, step_s=step, decode_step_s=decode, mixed_step_s=mixed,
        chunks_per_step=chunks / steps, mixed_share=others * share, tpot_s=tpot, ttft_s=ttft,
        prefill_s=alone, prefill_load=load, busy=np.minimum(rate * steps * step, 1.0),
        wait_s=others * wait, concurrency=users, chunk_tokens=chunk,
    )  # fmt: skip


def _trip_s(times: StepTimes, prompt: float) -> Scalar:
    """A chunk whole through all stages of a pipeline [s]: micro-batches do not share it."""
    stages = times.grid.pp
    if not np.any(stages > 1):
        return 0.0
    chunk = min(prompt, float(times.engine.step_tokens))
    return times.linear_s(chunk * stages) + times.prefill_attention_s(chunk, 0.0)


def _waits(demand: Demand, load: Scalar, *, closed: bool) -> Scalar:
    """Mean wait for a prefill over its own time [1], at a load [1]."""
    busy = np.minimum(load, _BUSIEST)
    spread = 1.0 + demand.prompt_variation
    if closed:
        return 0.5 * busy * spread
    bursts = 0.5 * (demand.burstiness + demand.prompt_variation)
    return np.maximum(bursts, 0.5 * spread * min(demand.burstiness, 1.0)) * busy / (1.0 - busy)


def held(offered: float, row: Scalar, batches: Scalar) -> float:
    """Sequences decoding at once at which a rate (or a number of users) reaches what is offered.

    Parameters: offered [unit of row]; row, growing with batches [sequences], equal arrays [n]. A
    thin load keeps a batch in proportion; one beyond the row gets the last batch.
    """
    grown = np.maximum.accumulate(np.asarray(row, float))
    if offered < grown[0]:
        return float(batches[0] * offered / grown[0])
    return float(np.exp(np.interp(np.log(offered), np.log(grown), np.log(batches))))


def tail(state: Steady, demand: Demand, percentile: float) -> tuple[Scalar, Scalar]:
    """TTFT and TPOT at a percentile [s]: the longer of a long prompt and a long queue.

    A queue's tail is exponential; a prompt's tail is that of the demand; TPOT varies with how many
    prefills meet a request of median length.
    """
    at = int(np.searchsorted(PERCENTILES, percentile - 1e-9))
    at = min(at, len(PERCENTILES) - 1)
    missing = 1.0 - percentile / 100.0
    longer = demand.prompt_quantiles[at] / max(demand.prompt_mean, 1.0)
    busy = np.clip(state.prefill_load, 1e-9, _BUSIEST)
    queue = state.wait_s / busy * np.maximum(np.log(busy / missing), 0.0)
    residual = 0.5 * state.step_s
    own = state.prefill_s
    ttft = np.maximum(own * longer + state.wait_s, own + queue) + residual
    meetings = np.maximum(demand.output_quantiles[0], 1.0)
    share = np.clip(state.mixed_share, 0.0, 1.0)
    jitter = (state.mixed_step_s - state.decode_step_s) * np.sqrt(share * (1 - share) / meetings)
    # prompts differ, and a queue that is long for one request is long for its neighbours
    crowding = _SHORT_ANSWERS * np.sqrt(spread_of(demand)) / (1.0 - busy) ** 0.75
    # no token waits longer than for the chunk of a long prompt
    longest = np.maximum(state.mixed_step_s * max(longer, 1.0), state.tpot_s)
    return ttft, np.minimum(state.tpot_s + _Z[at] * crowding * jitter, longest)


def spread_of(demand: Demand) -> float:
    """Second moment of prompt lengths over their squared mean; bursts count as much."""
    return 1.0 + max(demand.prompt_variation, demand.burstiness - 1.0, 0.0)
