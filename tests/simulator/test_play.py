"""play(): what it refuses, when it stops, and that its ways agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from simulator.scenarios import step_table
from tokenmill.errors import DoesNotFit, InputError, UnknownName
from tokenmill.simulator import engine, interpreted
from tokenmill.simulator import play as play_module
from tokenmill.simulator.play import Run, play
from tokenmill.simulator.policies import (
    Autoscaling,
    Failures,
    Handoff,
    Pool,
    Router,
    Scheduling,
    Status,
    Stop,
)
from tokenmill.simulator.power_cap import shared_power_limits
from tokenmill.simulator.requests import Requests
from tokenmill.work.traffic import Prefixes

LIMITS = Scheduling(token_budget=64, max_sequences=8, kv_blocks=60)
POOL = Pool("a", step_table(64, 8), LIMITS)


def some(count: int = 200, rate_per_s: float = 3.0) -> Requests:
    rng = np.random.default_rng(count)
    return Requests(
        np.cumsum(rng.exponential(1 / rate_per_s, count)),
        rng.integers(1, 100, count),
        rng.integers(1, 50, count),
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arrival_s": [0.0, np.nan]}, "arrival_s[1] is nan"),
        ({"arrival_s": [0.0, -1.0]}, "arrival_s[1] is -1.0"),
        ({"prompt_tokens": [0, 1]}, "prompt_tokens[0] is 0"),
        ({"output_tokens": [1, -1]}, "output_tokens[1] is -1"),
        ({"output_tokens": [1, 2**40]}, "output_tokens[1] is 1099511627776"),
        ({"prompt_tokens": [1.5, 1]}, "a whole number"),
        ({"prompt_tokens": [1]}, "shape (1,) for 2 requests"),
        ({"prompt_tokens": ["a", "b"]}, "give numbers"),
        ({"after": [0, 0]}, "after[0] is 0; a request can only follow an earlier one"),
        ({"prefixes": Prefixes(np.array([0]), np.array([]), 16)}, "offsets must number 3"),
    ],
)
def test_requests_say_what_is_wrong_and_where(change: dict[str, object], words: str) -> None:
    given = {"arrival_s": [0.0, 1.0], "prompt_tokens": [1, 1], "output_tokens": [1, 1]}
    with pytest.raises(InputError) as caught:
        Requests(**(given | change))  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def short_table() -> SimpleNamespace:
    return step_table(63, 8)


def negative_table() -> SimpleNamespace:
    table = step_table(64, 8)
    table.linear_s[5] = -1.0
    return table


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(LIMITS, kv_blocks=0), "kv_blocks is 0"),
        (lambda: replace(LIMITS, max_sequences=65), "65 sequences need 65 tokens a step"),
        (lambda: replace(LIMITS, acceptance=1.0), "acceptance is 1.0"),
        (lambda: replace(POOL, replicas=0), "replicas is 0"),
        (lambda: replace(POOL, power_limit_w=1.0), "not above the idle power"),
        (lambda: replace(POOL, slowness=(1.0, 1.0)), "slowness"),
        (lambda: Autoscaling(3, 2, target=1.0), "minimum is 3"),
        (lambda: Failures(0.0, 1.0), "mtbf_s is 0.0"),
        (lambda: Handoff("b", token_s=-1.0), "token_s is -1.0"),
        (lambda: Run(sample_rows=3), "sample_rows is 3"),
        (lambda: play(some(), []), "pools of different names"),
        (lambda: play(some(), [POOL, POOL]), "pools of different names"),
        (lambda: play(some(), [replace(POOL, table=short_table())]), "make a longer table"),
        (lambda: play(some(), [replace(POOL, table=negative_table())]), "negative"),
        (lambda: play(some(), [POOL], Run(tenant_limits=(1,))), "tenant limits without tenants"),
        (lambda: play(replace(some(2), pool=np.array([0, 1])), [POOL]), "pool[1] is 1"),
        (lambda: play(some(), [POOL], Run(power_cap_w=1.0)), "not above the 100 W"),
    ],
)
def test_contradictions_are_refused_in_one_line(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_handoff_needs_a_later_pool() -> None:
    with pytest.raises(UnknownName):
        play(some(), [replace(POOL, handoff=Handoff("b"))])
    with pytest.raises(InputError, match="list that after"):
        play(some(), [replace(POOL, name="b"), replace(POOL, handoff=Handoff("b"))])


def test_prefix_blocks_must_divide_into_kv_blocks() -> None:
    prefixes = Prefixes(np.array([0, 1]), np.array([1]), 24)
    caching = replace(POOL, scheduling=replace(LIMITS, prefix_cache=True))
    with pytest.raises(InputError, match="do not divide"):
        play(replace(some(1), prefixes=prefixes), [caching])


def test_a_run_stops_at_its_budget_of_events_and_says_so() -> None:
    played = play(some(), [POOL], Run(events=100))
    assert played.stopped is Stop.EVENTS
    assert played.events == 100
    assert "budget of events" in played.note
    assert played.running + played.count(Status.UNSENT, Status.DONE) == 200


def test_a_run_stops_at_its_time() -> None:
    played = play(some(), [POOL], Run(until_s=10.0))
    assert played.stopped is Stop.UNTIL
    assert played.end_s == played.series.time_s[-1] == 10.0
    assert played.running > 0
    assert played.note.startswith("stopped at 10 s because its time was limited")


def test_a_run_stops_at_its_computing_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_module, "SLICE", 50)
    played = play(some(), [POOL], Run(wall_s=1e-9))
    assert played.stopped is Stop.WALL
    assert "computing time" in played.note


def test_a_run_that_needs_too_much_memory_does_not_start() -> None:
    with pytest.raises(DoesNotFit):
        play(some(), [POOL], Run(memory_bytes=1000))


def test_a_run_in_which_nothing_can_happen_ends() -> None:
    # the only replica is down for ever, as far as this run is concerned
    broken = replace(POOL, failures=Failures(1e-3, 1e12))
    played = play(some(3), [broken], Run(until_s=1e9))
    assert played.stopped is Stop.UNTIL
    assert played.running == 3


def test_ctrl_c_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupts:
        def monotonic(self) -> float:
            raise KeyboardInterrupt

    monkeypatch.setattr(play_module, "time", Interrupts())
    with pytest.raises(KeyboardInterrupt):
        play(some(), [POOL], Run(events=10**6))


def test_requests_may_come_in_any_order() -> None:
    requests = some()
    shuffled = np.random.default_rng(1).permutation(len(requests))
    mixed = Requests(
        requests.arrival_s[shuffled],
        requests.prompt_tokens[shuffled],
        requests.output_tokens[shuffled],
    )
    for pool in (POOL, replace(POOL, replicas=2, router=Router.LEAST_OUTSTANDING)):
        one, other = play(requests, [pool]), play(mixed, [pool])
        np.testing.assert_array_equal(one.done_s[shuffled], other.done_s)


def test_no_requests() -> None:
    empty = np.zeros(0)
    played = play(Requests(empty, empty, empty), [POOL])
    assert len(played) == 0
    assert played.stopped is Stop.FINISHED
    assert math.isnan(played.gaps.quantile_s(0.5))


@pytest.mark.parametrize("router", [Router.ROUND_ROBIN, Router.RANDOM])
def test_cores_do_not_change_a_byte(router: Router) -> None:
    pools = [replace(POOL, replicas=3, router=router), replace(POOL, name="b", router=router)]
    requests = replace(some(300, 20.0), pool=np.arange(300) % 2)
    one = play(requests, pools, Run(seed=4))
    two = play(requests, pools, Run(seed=4, cores=2))
    # a budget of events keeps all replicas in one loop
    loop = play(requests, pools, Run(seed=4, events=10**7))
    for other in (two, loop):
        assert other.done_s.tobytes() == one.done_s.tobytes()
        assert other.energy_j.tobytes() == one.energy_j.tobytes()
        np.testing.assert_array_equal(other.gaps.counts, one.gaps.counts)
        np.testing.assert_allclose(other.series.energy_j, one.series.energy_j, rtol=1e-9)
    assert two.series.energy_j.tobytes() == one.series.energy_j.tobytes()


def test_long_series_keep_their_size() -> None:
    fine = play(some(), [POOL], Run(sample_s=0.01, sample_rows=100_000))
    short = play(some(), [POOL], Run(sample_s=0.01, sample_rows=64))
    assert len(short.series.time_s) <= 65
    assert len(fine.series.time_s) > 1000
    assert short.series.energy_j.sum() == pytest.approx(fine.series.energy_j.sum())
    # every row that is left is one that was there
    at = np.searchsorted(fine.series.time_s, short.series.time_s[:-1] - 1e-9)
    np.testing.assert_allclose(fine.series.time_s[at], short.series.time_s[:-1])
    np.testing.assert_array_equal(fine.series.batch[at], short.series.batch[:-1])


def test_a_power_cap_holds_at_every_instant() -> None:
    pools = [replace(POOL, replicas=2), replace(POOL, name="b")]
    free = play(some(300, 30.0), pools, Run(sample_s=0.01, sample_rows=10**5))
    cap_w = 0.8 * float(free.series.power_w.sum(axis=1).max())
    capped = play(some(300, 30.0), pools, Run(power_cap_w=cap_w, sample_s=0.01, sample_rows=10**5))
    power_w = capped.series.power_w.sum(axis=1)
    took = np.diff(capped.series.time_s, prepend=0.0) > 1e-6
    assert power_w[took].max() <= cap_w * (1 + 1e-9)
    assert capped.end_s > free.end_s


def test_a_generous_power_cap_changes_nothing() -> None:
    assert shared_power_limits([POOL], 1e9) == [POOL]


def test_energy_without_time_cannot_be_capped() -> None:
    table = step_table(64, 8)
    table.sequence_s = np.zeros(9)
    with pytest.raises(InputError, match="energy without time"):
        shared_power_limits([replace(POOL, table=table)], 150.0)


def test_failures_move_requests_and_cost_time() -> None:
    calm = replace(POOL, replicas=3, router=Router.LEAST_OUTSTANDING)
    fragile = replace(calm, failures=Failures(30.0, 10.0))
    steady = play(some(), [calm])
    shaken = play(some(), [fragile], Run(seed=1))
    assert shaken.count(Status.DONE) == 200
    assert shaken.replicas.prefill_tokens.sum() > steady.replicas.prefill_tokens.sum()
    again = play(some(), [fragile], Run(seed=1))
    assert again.done_s.tobytes() == shaken.done_s.tobytes()
    assert play(some(), [fragile], Run(seed=2)).done_s.tobytes() != shaken.done_s.tobytes()


def test_an_interpreted_engine_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TOKENMILL_INTERPRETED", raising=False)
    monkeypatch.setattr(play_module, "is_compiled", lambda module: False)
    play_module._modules.cache_clear()
    play(some(3), [POOL])
    play(some(3), [POOL])
    play_module._modules.cache_clear()
    notice = capsys.readouterr().err
    assert notice.count("the engine is not compiled here") == 1
    assert len(notice.splitlines()) == 1


def test_sources_load_beside_the_usual_modules() -> None:
    (copy,) = interpreted.load_source("engine")
    assert copy is not engine
    assert (copy.__file__ or "").endswith("engine.py")
    import tokenmill.simulator.engine as usual

    assert usual is engine
