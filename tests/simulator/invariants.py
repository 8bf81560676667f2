"""INV-1 to INV-10 as checks of one run; each says what must hold of any run."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from simulator.scenarios import Scenario
from tokenmill.simulator.played import Played
from tokenmill.simulator.policies import Status, Stop

__all__ = ["INVARIANTS"]


def inv_1_requests_are_conserved(scenario: Scenario, played: Played) -> None:
    gone = played.count(Status.DONE, Status.REJECTED, Status.TIMED_OUT)
    unsent = played.count(Status.UNSENT)
    assert gone + played.running + unsent == len(scenario.requests)
    if played.stopped is Stop.FINISHED:
        assert played.running == 0
        if scenario.run.persistent:
            assert unsent == 0
    done = played.done
    np.testing.assert_array_equal(
        played.generated_tokens[done], scenario.requests.output_tokens[done]
    )


def inv_2_the_clock_never_goes_back(scenario: Scenario, played: Played) -> None:
    assert (np.diff(played.journal.time_s) >= 0).all()
    assert (np.diff(played.series.time_s) >= 0).all()


def inv_3_arrival_schedule_first_token_done(scenario: Scenario, played: Played) -> None:
    done = played.done
    times = [played.arrival_s, played.schedule_s, played.first_token_s, played.done_s]
    for earlier, later in pairwise(times):
        assert (earlier[done] <= later[done]).all()
    refused = np.isin(played.status, (Status.REJECTED, Status.TIMED_OUT))
    assert np.isnan(played.schedule_s[refused]).all()
    assert np.isnan(played.done_s[played.status < Status.DONE]).all()


def inv_4_blocks_are_conserved(scenario: Scenario, played: Played) -> None:
    blocks = played.series.kv_blocks
    total = [pool.scheduling.kv_blocks * pool.most_replicas for pool in scenario.pools]
    assert (blocks >= 0).all()
    assert (blocks <= total).all()
    if played.stopped is Stop.FINISHED:
        # a sent KV cache is held until it has arrived, which may be after the last event
        assert (blocks[-1] == 0).all()


def inv_6_no_step_beats_its_table(scenario: Scenario, played: Played) -> None:
    done = np.flatnonzero(played.done & (played.preemptions == 0))
    if any(pool.failures for pool in scenario.pools):
        return
    least_s = min(
        float(pool.table.linear_s.min() + pool.table.sequence_s.min()) for pool in scenario.pools
    )
    most_rate = max(pool.scheduling.tokens_per_step for pool in scenario.pools)
    output = np.maximum(scenario.requests.output_tokens[done], 1)
    # all sequences share one clock of accepted guesses: a step may bring the token of the next one
    ahead = 1 if most_rate > 1.0 else 0
    steps = 1 + np.ceil(np.maximum(output - 1 - ahead, 0) / most_rate - 1e-9)
    took_s = played.done_s[done] - played.schedule_s[done]
    assert (took_s >= steps * least_s * (1 - 1e-9)).all()


def inv_7_power_between_idle_and_limit(scenario: Scenario, played: Played) -> None:
    for number, pool in enumerate(scenario.pools):
        power_w = played.series.power_w[:, number]
        took = np.diff(played.series.time_s, prepend=0.0) > 1e-6
        assert (power_w[took] <= pool.power_limit_w * pool.most_replicas * (1 + 1e-9)).all()
        if not (pool.autoscaling or pool.failures):
            assert (power_w[took] >= pool.table.idle_w * pool.replicas * (1 - 1e-6)).all()


def inv_8_energy_is_the_integral_of_power(scenario: Scenario, played: Played) -> None:
    length_s = np.diff(played.series.time_s, prepend=0.0)
    integral = float((played.series.power_w * length_s[:, np.newaxis]).sum())
    assert integral == pytest.approx(played.energy_total_j, rel=1e-9, abs=1e-9)


def inv_10_energy_adds_up(scenario: Scenario, played: Played) -> None:
    work_j = played.replicas.work_j.sum()
    assert played.energy_j.sum() == pytest.approx(work_j, rel=1e-9, abs=1e-9)
    assert (played.energy_j >= -1e-9).all()
    idle_j = played.energy_total_j - work_j
    assert idle_j >= -1e-9 * max(work_j, 1.0)


# INV-5 and INV-9 compare two runs; they stand in test_invariants.py
INVARIANTS = (
    inv_1_requests_are_conserved,
    inv_2_the_clock_never_goes_back,
    inv_3_arrival_schedule_first_token_done,
    inv_4_blocks_are_conserved,
    inv_6_no_step_beats_its_table,
    inv_7_power_between_idle_and_limit,
    inv_8_energy_is_the_integral_of_power,
    inv_10_energy_adds_up,
)
