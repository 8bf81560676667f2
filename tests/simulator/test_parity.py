"""Compiled = interpreted = step by step, for random scenarios of every policy.

The default run draws a few hundred; `-m slow` draws 10,000, or as many as TOKENMILL_PARITY says.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings

from simulator.invariants import INVARIANTS
from simulator.scenarios import (
    Scenario,
    assert_same,
    scenarios,
    step_by_step,
    without_steps_apart,
)
from tokenmill.simulator.play import play

COUNT = 250
MANY = int(os.environ.get("TOKENMILL_PARITY", "10000"))


@settings(max_examples=COUNT)
@given(scenarios())
def test_engine_agrees_with_step_by_step(scenario: Scenario) -> None:
    played = play(scenario.requests, scenario.pools, scenario.run)
    slow = step_by_step(scenario, played.end_s)
    assert_same(played, slow, scenario.exact)


@settings(max_examples=COUNT // 4)
@given(scenarios())
def test_compiled_is_interpreted_to_the_last_bit(scenario: Scenario) -> None:
    one = play(scenario.requests, scenario.pools, scenario.run)
    other = play(scenario.requests, scenario.pools, scenario.run, interpreted=True)
    assert not other.compiled
    assert_same_bytes(one, other)


@settings(max_examples=COUNT // 4)
@given(scenarios())
def test_fleet_and_solo_agree_to_the_last_bit(scenario: Scenario) -> None:
    one = play(scenario.requests, scenario.pools, scenario.run)
    forced = without_steps_apart(scenario)
    other = play(forced.requests, forced.pools, forced.run)
    assert_same_bytes(one, other)


@pytest.mark.slow
def test_all_of_it_on_ten_thousand_scenarios() -> None:
    """Step by step, interpreted, both loops, and every invariant, on each of many scenarios."""
    passed = 0

    @settings(max_examples=MANY)
    @given(scenarios())
    def check(scenario: Scenario) -> None:
        nonlocal passed
        played = play(scenario.requests, scenario.pools, scenario.run)
        assert_same(played, step_by_step(scenario, played.end_s), scenario.exact)
        interpreted = play(scenario.requests, scenario.pools, scenario.run, interpreted=True)
        assert_same_bytes(played, interpreted)
        forced = without_steps_apart(scenario)
        assert_same_bytes(played, play(forced.requests, forced.pools, forced.run))
        for holds in INVARIANTS:
            holds(scenario, played)
        passed += 1
        if passed % 500 == 0:
            print(f"{passed:,} scenarios agree", flush=True)

    check()
    assert passed >= MANY


def assert_same_bytes(one: object, other: object) -> None:
    for name in (
        "arrival_s", "schedule_s", "first_token_s", "done_s", "energy_j", "status",
        "preemptions", "generated_tokens", "replica",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    for part in ("series", "replicas", "gaps", "journal"):
        mine, theirs = getattr(one, part), getattr(other, part)
        for name in mine.__slots__:
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), name)
