"""Random scenarios for the engine, and how to compare what different players make of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from simulator.step_player import StepPlayer
from tokenmill.simulator.play import Run
from tokenmill.simulator.played import Played
from tokenmill.simulator.policies import (
    Autoscaling,
    Batching,
    Failures,
    Handoff,
    Pool,
    Preemption,
    Router,
    Scheduling,
)
from tokenmill.simulator.requests import Requests
from tokenmill.work.traffic import Prefixes

GRID = 2.0**-16
IDLE_W = 100.0


@dataclass(frozen=True)
class Scenario:
    requests: Requests
    pools: tuple[Pool, ...]
    run: Run
    exact: bool  # all times are multiples of GRID, so sums of them do not round


def step_table(
    tokens: int, sequences: int, *, rng: Any = None, exact: bool = False, window: int = 0
) -> SimpleNamespace:
    """A step table with about the proportions of a real one, at random or the same each time."""
    rng = rng or np.random.default_rng(0)

    def number(low: float, high: float, size: int | None = None) -> Any:
        values = rng.uniform(low, high, size)
        return np.ceil(values / GRID) * GRID if exact else values

    def rising(low: float, high: float, size: int) -> Any:
        return np.cumsum(number(0.0, 2.0 * high / size, size)) + number(low, 2 * low)

    t, b = tokens + 1, sequences + 1
    seconds = {
        "linear": rising(0.01, 0.2, t),
        "sequence": rising(0.001, 0.01, b),
        "decode_ctx": number(1e-6, 1e-4, b),
        "decode_window": number(1e-6, 1e-4, b),
        "prefill_chunk": number(0.0, 1e-3),
        "prefill_pair": number(1e-8, 1e-6),
        "prefill_window_pair": number(1e-8, 1e-6),
        "prefill_key": number(1e-7, 1e-5),
        "prefill_window_key": number(1e-7, 1e-5),
    }
    # every part of a step draws at least the idle power
    watts = {name: rng.uniform(IDLE_W, 8.0 * IDLE_W, np.shape(s)) for name, s in seconds.items()}
    return SimpleNamespace(
        **{f"{name}_s": value for name, value in seconds.items()},
        **{f"{name}_j": value * watts[name] for name, value in seconds.items()},
        window_tokens=window,
        idle_w=IDLE_W,
    )


@st.composite
def schedulings(draw: Any, *, sends: bool = False) -> Scheduling:
    """Small limits, so that all of them bite."""
    drafts = draw(st.sampled_from([0, 0, 0, 1, 3]))
    sequences = draw(st.integers(1, 8))
    block = draw(st.sampled_from([1, 4, 16, 16]))
    return Scheduling(
        token_budget=sequences * (1 + drafts) + draw(st.integers(0, 80)),
        max_sequences=sequences,
        kv_blocks=draw(st.integers(3, 24)) * 16 // block,
        batching=draw(st.sampled_from(list(Batching))),
        block_tokens=block,
        watermark=draw(st.sampled_from([0.0, 0.0, 0.1])),
        preemption=draw(st.sampled_from(list(Preemption))),
        swap_token_s=draw(st.sampled_from([0.0, GRID])),
        prefix_cache=draw(st.booleans()),
        draft_tokens=drafts,
        acceptance=draw(st.sampled_from([0.3, 0.8])) if drafts else 0.0,
        priorities=draw(st.sampled_from([1, 1, 3])),
    )


@st.composite
def pools(draw: Any, name: str, exact: bool, rng: Any, next_pool: str = "") -> Pool:
    scheduling = draw(schedulings())
    window = draw(st.sampled_from([0, 0, 7, 40]))
    table = step_table(
        scheduling.token_budget, scheduling.max_sequences, rng=rng, exact=exact, window=window
    )
    replicas = draw(st.sampled_from([1, 1, 2, 3]))
    scales = draw(st.sampled_from([False, False, True]))
    fails = draw(st.sampled_from([False, False, True])) and not exact
    scaling = Autoscaling(
        minimum=1, maximum=replicas + 1, target=draw(st.sampled_from([1.5, 4.0])),
        interval_s=0.4375, startup_s=0.3125, cooldown_s=0.875,
    )  # fmt: skip
    handoff = Handoff(next_pool, "link", 2 * GRID, draw(st.sampled_from([0.0, 8 * GRID])))
    return Pool(
        name, table, scheduling,
        replicas=replicas,
        router=draw(st.sampled_from(list(Router))),
        queue_limit=draw(st.sampled_from([0, 0, 2])),
        timeout_s=draw(st.sampled_from([math.inf, math.inf, 0.625])),
        slowness=draw(st.sampled_from([(), (1.5,)])),
        power_limit_w=math.inf if exact else draw(st.sampled_from([math.inf, 260.0, 420.0])),
        handoff=handoff if next_pool else None,
        autoscaling=scaling if scales else None,
        failures=Failures(3.0, 0.7) if fails else None,
        balance_slack=draw(st.sampled_from([1.0, 32.0])),
    )  # fmt: skip


@st.composite
def scenarios(draw: Any) -> Scenario:
    exact = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(["one", "one", "two", "handoff"]))
    listed = [draw(pools("first", exact, rng, "second" if shape == "handoff" else ""))]
    if shape != "one":
        listed.append(draw(pools("second", exact, rng)))
    n = draw(st.integers(1, 40))
    span_s = draw(st.sampled_from([0.0, 1.0, 10.0]))
    arrival_s = np.sort(rng.uniform(0.0, span_s, n))
    if exact:
        arrival_s = np.round(arrival_s / (64 * GRID)) * 64 * GRID
    chained = draw(st.sampled_from([False, False, True]))
    after = np.array([rng.integers(-1, i) if i else -1 for i in range(n)])
    tenants = draw(st.sampled_from([(), (), (2, 30)]))
    requests = Requests(
        arrival_s,
        rng.integers(1, draw(st.sampled_from([6, 60, 200])), n),
        rng.integers(0, draw(st.sampled_from([3, 30, 120])), n),
        priority=rng.integers(0, 4, n) if draw(st.booleans()) else None,
        tenant=rng.integers(0, 2, n) if tenants else None,
        pool=rng.integers(0, 2, n) if shape == "two" else None,
        after=np.where(rng.random(n) < 0.7, after, -1) if chained else None,
        delay_s=np.round(rng.uniform(0, 0.5, n) / GRID) * GRID if chained else None,
        prefixes=some_prefixes(rng, n) if draw(st.booleans()) else None,
    )
    run = Run(
        seed=draw(st.integers(0, 99)),
        concurrency=draw(st.sampled_from([0, 0, 3])),
        persistent=draw(st.booleans()),
        tenant_limits=tenants,
        journal_rows=100_000,
        sample_s=0.3,
        sample_rows=16,
        until_s=draw(st.sampled_from([60.0, 60.0, 2.0])),
    )
    return Scenario(requests, tuple(listed), run, exact)


def some_prefixes(rng: Any, n: int) -> Prefixes:
    """Prompts as paths down a small tree, so that many share their beginnings."""
    paths = []
    for _ in range(n):
        node, path = 0, []
        for _ in range(rng.integers(0, 8)):
            node = node * 3 + int(rng.integers(1, 4))
            path.append(node % 997)
        paths.append(path)
    offsets = np.concatenate([[0], np.cumsum([len(path) for path in paths])])
    return Prefixes(offsets, np.array([x for path in paths for x in path], np.int64), 16)


def step_by_step(scenario: Scenario, end_s: float) -> SimpleNamespace:
    player = StepPlayer(scenario.requests, scenario.pools, scenario.run)
    return player.play().result(end_s)


def assert_same(played: Played, slow: SimpleNamespace, exact: bool) -> None:
    """The same order of events, and the same numbers to 1e-9 (to the last bit where exact)."""
    journal = played.journal
    fast = list(
        zip(journal.event.tolist(), journal.request.tolist(), journal.replica.tolist(), strict=True)
    )
    other = [row[1:] for row in slow.journal]
    if fast != other:
        for place, (mine, theirs) in enumerate(zip(fast, other, strict=False)):
            assert mine == theirs, (place, journal.time_s[place], slow.journal[place])
        assert len(fast) == len(other)
    tolerance = 0.0 if exact else 1e-9
    for name in ("status", "preemptions", "generated_tokens", "replica"):
        np.testing.assert_array_equal(getattr(played, name), getattr(slow, name), name)
    for name in ("arrival_s", "schedule_s", "first_token_s", "done_s"):
        np.testing.assert_allclose(
            getattr(played, name), getattr(slow, name), rtol=tolerance, err_msg=name
        )
    np.testing.assert_allclose(
        journal.time_s, [row[0] for row in slow.journal], rtol=tolerance, err_msg="journal"
    )
    np.testing.assert_allclose(played.energy_j, slow.energy_j, rtol=1e-9, atol=1e-9)
    for name, column in (
        ("energy_j", slow.replica_j), ("work_j", slow.work_j), ("busy_s", slow.busy_s),
    ):  # fmt: skip
        np.testing.assert_allclose(
            getattr(played.replicas, name), column, rtol=1e-9, atol=1e-9, err_msg=name
        )
    np.testing.assert_array_equal(played.replicas.prefill_tokens, slow.prefill)
    np.testing.assert_array_equal(played.replicas.cached_tokens, slow.cached)
    assert_same_gaps(played, slow)


def assert_same_gaps(played: Played, slow: SimpleNamespace) -> None:
    for counts, gaps in zip(played.gaps.counts, slow.gaps, strict=True):
        assert counts.sum() == len(gaps)
        reached = np.cumsum(counts)
        expected = np.cumsum(np.histogram(gaps, played.gaps.edges_s)[0])
        # a gap at the edge of two bins may fall on either side of it
        assert (reached[:-1] <= expected[1:]).all()
        assert (reached[1:] >= expected[:-1]).all()


def without_steps_apart(scenario: Scenario) -> Scenario:
    """The same scenario, forced through the fleet's loop (a budget of events asks for it)."""
    return replace(scenario, run=replace(scenario.run, events=10_000_000))
