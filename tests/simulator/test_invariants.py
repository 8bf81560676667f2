"""INV-1 to INV-10 on random scenarios of every policy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.invariants import INVARIANTS
from simulator.scenarios import Scenario, scenarios, schedulings, step_table
from tokenmill.simulator.play import Run, play
from tokenmill.simulator.played import Played
from tokenmill.simulator.policies import Event, Pool, Preemption, Status, Stop
from tokenmill.simulator.requests import Requests

SOME = settings(max_examples=60)


@pytest.mark.parametrize("holds", INVARIANTS)
@SOME
@given(scenario=scenarios())
def test_holds(holds: Callable[[Scenario, Played], None], scenario: Scenario) -> None:
    holds(scenario, run(scenario))


def run(scenario: Scenario) -> Played:
    return play(scenario.requests, scenario.pools, scenario.run)


@SOME
@given(scenarios())
def test_inv_5_same_seed_same_bytes(scenario: Scenario) -> None:
    one, two = (
        run(scenario),
        play(scenario.requests, scenario.pools, replace(scenario.run, cores=2)),
    )
    for name in ("schedule_s", "first_token_s", "done_s", "energy_j"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.series.energy_j.tobytes() == two.series.energy_j.tobytes()


@SOME
@given(schedulings(), st.integers(0, 999), st.floats(0.1, 1.0))
def test_inv_9_more_is_never_slower(wanted: object, seed: int, factor: float) -> None:
    """One user after another: a faster table or more memory can only help."""
    rng = np.random.default_rng(seed)
    # swapping costs time that recomputing may not, so memory alone is compared with recompute
    wanted = replace(wanted, preemption=Preemption.RECOMPUTE)
    n = 8
    requests = Requests(np.zeros(n), rng.integers(1, 60, n), rng.integers(0, 60, n))
    table = step_table(wanted.token_budget, wanted.max_sequences, rng=rng)
    faster = SimpleNamespace(**vars(table))
    faster.linear_s = table.linear_s * factor
    faster.decode_ctx_s = table.decode_ctx_s * factor
    more = replace(wanted, kv_blocks=wanted.kv_blocks * 3)
    base = play(requests, [Pool("a", table, wanted)], Run(concurrency=1))
    quick = play(requests, [Pool("a", faster, wanted)], Run(concurrency=1))
    roomy = play(requests, [Pool("a", table, more)], Run(concurrency=1))
    both = base.done
    for better in (quick, roomy):
        assert better.done[both].all()
        took_s = better.done_s - better.arrival_s
        assert (took_s[both] <= (base.done_s - base.arrival_s)[both] * (1 + 1e-9)).all()


@SOME
@given(scenarios())
def test_inv_9_a_machine_twice_as_fast_needs_half_the_time(scenario: Scenario) -> None:
    """All requests at once: halving every time of the table halves every time of the run."""
    if len(scenario.pools) > 1 or scenario.pools[0].autoscaling or scenario.pools[0].failures:
        return
    pool = replace(scenario.pools[0], timeout_s=math.inf, power_limit_w=math.inf, slowness=())
    pool = replace(pool, scheduling=replace(pool.scheduling, swap_token_s=0.0))
    half = SimpleNamespace(**vars(pool.table))
    for name in [name for name in vars(half) if name.endswith("_s")]:
        setattr(half, name, getattr(half, name) * 0.5)
    nought = np.zeros(len(scenario.requests))
    requests = replace(scenario.requests, arrival_s=nought, after=None, delay_s=nought)
    options = replace(scenario.run, until_s=math.inf)
    slow = play(requests, [pool], options)
    fast = play(requests, [replace(pool, table=half)], options)
    np.testing.assert_allclose(fast.done_s * 2.0, slow.done_s, rtol=1e-9)


def test_the_scenarios_reach_every_corner() -> None:
    """The generator is worth its name: every event and every way to end occurs in it."""
    seen: set[int] = set()
    statuses: set[int] = set()
    stops: set[Stop] = set()
    bounds = np.zeros(5)
    corners = {"swap": 0, "evicted": 0, "cached": 0, "late": 0}

    @settings(max_examples=300)
    @given(scenarios())
    def look(scenario: Scenario) -> None:
        played = run(scenario)
        seen.update(played.journal.event.tolist())
        statuses.update(played.status.tolist())
        stops.add(played.stopped)
        bounds[:] += played.replicas.bound_s.sum(axis=0)
        corners["evicted"] += int(played.replicas.evicted_prefixes.sum())
        corners["cached"] += int(played.replicas.cached_tokens.sum())
        swaps = any(pool.scheduling.preemption is Preemption.SWAP for pool in scenario.pools)
        corners["swap"] += int(swaps and played.preemptions.sum() > 0)
        corners["late"] += int(played.count(Status.TIMED_OUT) > 0)

    look()
    assert seen == {int(event) for event in Event}
    assert {Status.DONE, Status.REJECTED, Status.TIMED_OUT, Status.UNSENT} <= statuses
    assert {Stop.FINISHED, Stop.UNTIL} <= stops
    assert (bounds > 0).all()
    assert all(count > 0 for count in corners.values()), corners
