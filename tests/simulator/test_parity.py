"""Compiled = interpreted = step by step, for random scenarios of every policy.

The default run draws a few hundred; TOKENMILL_PARITY=10000 asks for that many.
"""

from __future__ import annotations

import os

import numpy as np
from hypothesis import given, settings

from simulator.scenarios import (
    Scenario,
    assert_same,
    scenarios,
    step_by_step,
    without_steps_apart,
)
from tokenmill.simulator.play import play

COUNT = int(os.environ.get("TOKENMILL_PARITY", "250"))


@settings(max_examples=COUNT)
@given(scenarios())
def test_engine_agrees_with_step_by_step(scenario: Scenario) -> None:
    played = play(scenario.requests, scenario.pools, scenario.run)
    slow = step_by_step(scenario, played.end_s)
    assert_same(played, slow, scenario.exact)


@settings(max_examples=max(COUNT // 4, 50))
@given(scenarios())
def test_compiled_is_interpreted_to_the_last_bit(scenario: Scenario) -> None:
    one = play(scenario.requests, scenario.pools, scenario.run)
    other = play(scenario.requests, scenario.pools, scenario.run, interpreted=True)
    assert not other.compiled
    assert_same_bytes(one, other)


@settings(max_examples=max(COUNT // 4, 50))
@given(scenarios())
def test_fleet_and_solo_agree_to_the_last_bit(scenario: Scenario) -> None:
    one = play(scenario.requests, scenario.pools, scenario.run)
    forced = without_steps_apart(scenario)
    other = play(forced.requests, forced.pools, forced.run)
    assert_same_bytes(one, other)


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
