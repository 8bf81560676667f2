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

__all__ = ["Steady", "steady", "tail"]

Scalar = Any
_Z = (0.0, 1.2816, 1.6449, 2.3263, 3.0902)  # normal quantiles at PERCENTILES
# Answers shorter than the median feel each prefill more; read off simulated conversation hours of
# three fleets at 17, 36 and 65 % prefill load.
_SHORT_ANSWERS = 1.6
_BUSIEST = 0.98  # a queue this full no longer has a useful mean wait


@dataclass(frozen=True, slots=True)
class Steady:
    """Steady state per layout and batch, arrays [layouts, batches].

    batch [sequences decoding, mean]; requests_per_s [1/s, one instance]; step_s, decode_step_s,
    mixed_step_s [s]; mixed_share [1] of steps that carry a prefill chunk; tpot_s, ttft_s [s,
    mean]; prefill_s [s, one prompt without waiting]; prefill_load [1] busy share of prefill;
    concurrency [requests in the instance].
    """

    batch: Scalar
    requests_per_s: Scalar
    step_s: Scalar
    decode_step_s: Scalar
    mixed_step_s: Scalar
    mixed_share: Scalar
    tpot_s: Scalar
    ttft_s: Scalar
    prefill_s: Scalar
    prefill_load: Scalar
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
    batch = np.asarray(batch, float)
    budget = np.maximum(engine.step_tokens - batch, 64.0)
    chunk = np.minimum(prompt, budget)
    chunks = prompt / chunk
    # prefill keeps pace with decode only while a request's chunks are no more than its steps
    batch = np.minimum(batch, np.maximum(output / chunks, 1.0))
    decode, mixed = times.both_steps_s(
        np.maximum(batch, 1.0), demand.context_mean, chunk, (prompt - chunk) / 2.0
    )
    # whose prefills a decoding request meets: all but its own where users wait for answers, as many
    # as there are requests where arrivals know nothing of each other (PASTA)
    others = np.maximum(batch - 1.0, 0.0) if closed else batch
    share = np.minimum(chunks * others / output, 1.0)
    step = decode + share * (mixed - decode)
    rate = batch / (output * step)
    alone = chunks * mixed + engine.request_s
    load = rate * chunks * mixed
    busy = np.minimum(load, _BUSIEST)
    spread = 1.0 + demand.prompt_variation
    if closed:
        wait = 0.5 * busy * chunks * mixed * spread
    else:
        bursts = 0.5 * (demand.burstiness + demand.prompt_variation)
        wait = np.maximum(bursts, 0.5 * spread * min(demand.burstiness, 1.0)) * (
            busy / (1.0 - busy) * chunks * mixed
        )
    ttft = alone + wait + 0.5 * step
    return Steady(
        batch=batch, requests_per_s=rate, step_s=step, decode_step_s=decode, mixed_step_s=mixed,
        mixed_share=share, tpot_s=step, ttft_s=ttft, prefill_s=alone, prefill_load=load,
        wait_s=wait, concurrency=rate * (ttft + step * (output - 1.0)), chunk_tokens=chunk,
    )  # fmt: skip


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
    return ttft, state.tpot_s + _Z[at] * crowding * jitter


def spread_of(demand: Demand) -> float:
    """Second moment of prompt lengths over their squared mean; bursts count as much."""
    return 1.0 + max(demand.prompt_variation, demand.burstiness - 1.0, 0.0)
