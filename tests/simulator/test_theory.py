"""The engine against queueing theory: exact recursions on small runs, formulas on long ones.

With a step time that depends on nothing, a prompt of one token and an output of N tokens, a
replica of c seats is a queue with c servers and a service time of N steps.
"""

from __future__ import annotations

import heapq
import math
from types import SimpleNamespace

import numpy as np
import pytest

from tokenmill.simulator import engine_solo
from tokenmill.simulator.interpreted import is_compiled
from tokenmill.simulator.play import Run, play
from tokenmill.simulator.played import Played
from tokenmill.simulator.policies import Pool, Router, Scheduling
from tokenmill.simulator.requests import Requests

STEP_S = 2.0**-10
long_run = pytest.mark.skipif(
    not is_compiled(engine_solo), reason="a long run needs the compiled engine"
)


def servers(count: int) -> Pool:
    """A replica with that many seats, in which every step takes STEP_S."""
    tokens, seats = np.zeros(2 * count + 1), np.zeros(count + 1)
    table = SimpleNamespace(
        linear_s=tokens, linear_j=tokens, sequence_s=seats + STEP_S, sequence_j=seats,
        decode_ctx_s=seats, decode_ctx_j=seats, decode_window_s=seats, decode_window_j=seats,
        prefill_chunk_s=0.0, prefill_pair_s=0.0, prefill_window_pair_s=0.0,
        prefill_key_s=0.0, prefill_window_key_s=0.0,
        prefill_chunk_j=0.0, prefill_pair_j=0.0, prefill_window_pair_j=0.0,
        prefill_key_j=0.0, prefill_window_key_j=0.0,
        window_tokens=0, idle_w=0.0,
    )  # fmt: skip
    return Pool("servers", table, Scheduling(2 * count, count, 10**9))


def queue(arrival_s: np.ndarray, steps: np.ndarray) -> Requests:
    return Requests(arrival_s, np.ones(len(steps), int), steps)


def poisson(rng: np.random.Generator, count: int, rate_per_s: float) -> np.ndarray:
    return np.cumsum(rng.exponential(1.0 / rate_per_s, count))


def waits(played: Played) -> np.ndarray:
    return played.schedule_s - played.arrival_s


def test_one_server_is_lindleys_recursion() -> None:
    rng = np.random.default_rng(5)
    arrival_s = poisson(rng, 3000, 0.8)
    steps = rng.geometric(STEP_S, 3000)
    played = play(queue(arrival_s, steps), [servers(1)])
    free_s, start_s = 0.0, []
    for arrived_s, count in zip(arrival_s, steps, strict=True):
        start_s.append(max(arrived_s, free_s))
        free_s = start_s[-1] + count * STEP_S
    np.testing.assert_allclose(played.schedule_s, start_s, rtol=1e-12)
    np.testing.assert_allclose(played.done_s, start_s + steps * STEP_S, rtol=1e-12)


def test_servers_in_lockstep_are_kiefer_and_wolfowitz_with_a_grid() -> None:
    """Seats start only where a step of the replica ends, so each start is at most a step late."""
    rng = np.random.default_rng(6)
    arrival_s = poisson(rng, 3000, 2.4)
    steps = rng.geometric(STEP_S, 3000)
    played = play(queue(arrival_s, steps), [servers(3)])
    free = [0.0, 0.0, 0.0]
    start_s = []
    for arrived_s, count in zip(arrival_s, steps, strict=True):
        start_s.append(max(arrived_s, heapq.heappop(free)))
        heapq.heappush(free, start_s[-1] + count * STEP_S)
    late_s = played.schedule_s - start_s
    assert np.quantile(np.abs(late_s), 0.5) <= STEP_S
    assert np.mean(played.schedule_s - arrival_s) == pytest.approx(
        np.mean(start_s - arrival_s), rel=0.01
    )


@long_run
def test_m_m_1() -> None:
    rng = np.random.default_rng(1)
    rate, count = 0.5, 3_000_000
    played = play(queue(poisson(rng, count, rate), rng.geometric(STEP_S, count)), [servers(1)])
    assert waits(played).mean() == pytest.approx(rate / (1.0 - rate), rel=0.01)
    sojourn_s = played.done_s - played.arrival_s
    for share in (0.5, 0.9, 0.99):
        expected_s = -math.log(1.0 - share) / (1.0 - rate)
        assert np.quantile(sojourn_s, share) == pytest.approx(expected_s, rel=0.01)


@long_run
def test_m_d_1() -> None:
    rng = np.random.default_rng(2)
    rate, count = 0.6, 3_000_000
    played = play(queue(poisson(rng, count, rate), np.full(count, 1024)), [servers(1)])
    assert waits(played).mean() == pytest.approx(rate / (2.0 * (1.0 - rate)), rel=0.01)


@long_run
@pytest.mark.parametrize("seats", [2, 8])
def test_m_m_c(seats: int) -> None:
    rng = np.random.default_rng(3)
    load, count = 0.7, 3_000_000
    offered = load * seats
    played = play(queue(poisson(rng, count, offered), rng.geometric(STEP_S, count)),
                  [servers(seats)])  # fmt: skip
    last = offered**seats / math.factorial(seats) / (1.0 - load)
    busy = last / (last + sum(offered**k / math.factorial(k) for k in range(seats)))
    # an arrival at a busy replica waits half a step on average for the step to end
    grid_s = STEP_S / 2.0
    expected_s = busy / (seats - offered) + grid_s
    assert waits(played).mean() == pytest.approx(expected_s, rel=0.01)


@long_run
def test_littles_law() -> None:
    """Time average of requests inside (sampled) = rate x mean time inside."""
    rng = np.random.default_rng(4)
    count = 300_000
    requests = queue(poisson(rng, count, 2.0), rng.geometric(STEP_S, count))
    played = play(requests, [servers(3)], Run(sample_s=0.25, sample_rows=2_000_000))
    inside = (played.series.batch + played.series.queue).mean()
    expected = (played.done_s - played.arrival_s).sum() / played.end_s
    assert inside == pytest.approx(expected, rel=0.001)


@long_run
def test_random_routing_splits_a_poisson_stream() -> None:
    """Each of two replicas behind a random router is an M/M/1 queue of its own."""
    from dataclasses import replace

    rng = np.random.default_rng(8)
    rate, count = 0.5, 3_000_000
    pool = replace(servers(1), replicas=2, router=Router.RANDOM)
    requests = queue(poisson(rng, count, 2 * rate), rng.geometric(STEP_S, count))
    played = play(requests, [pool], Run(seed=3))
    assert waits(played).mean() == pytest.approx(rate / (1.0 - rate), rel=0.01)
    assert np.bincount(played.replica) == pytest.approx(count / 2, rel=0.01)
