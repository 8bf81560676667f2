"""Finalists under real traffic: the fewest replicas that hold, and a plan that says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.planner.plan import plan
from tokenmill.planner.question import Question, question
from tokenmill.planner.verify import _fewest, _layout, verify, verify_plan


def asked(**changes: object) -> Question:
    return question(
        **{"models": "llama-3.1-8b", "hardware": "h100,l40s", "ttft_s": 1.0, **changes}
    )  # fmt: skip


@given(start=st.integers(1, 50), more=st.integers(0, 200), needed=st.integers(1, 300))
def test_the_smallest_count_is_found(start: int, more: int, needed: int) -> None:
    most, tried = start + more, []

    def holds(count: int) -> bool:
        assert 1 <= count <= most
        tried.append(count)
        return count >= needed

    assert _fewest(holds, start, most) == (needed if needed <= most else None)
    assert len(tried) <= 24


def test_a_layout_is_read_from_its_text() -> None:
    for text in ("TP1", "TP4·PP2", "TP2·DP4·EP8"):
        assert str(_layout(text)) == text


def test_the_fewest_replicas_keep_the_limits_and_one_less_does_not() -> None:
    wanted = asked(hardware="l40s", tpot_s=0.04, rate_per_s=12.0, prompt_tokens=800,
                   output_tokens=100)  # fmt: skip
    (option,) = plan(wanted).options
    found = verify(wanted, option.outcomes[0])
    assert found.holds and found.runs >= 1
    told = found.outcome
    assert told.ttft_s.at(95) <= 1.0 and told.tpot_s.at(95) <= 0.04
    assert told.gpus == told.replicas * (option.gpus // option.outcomes[0].replicas)
    # an estimate with far too many or too few replicas leads to the same number
    for replicas in (1, 5 * told.replicas):
        other = replace(option.outcomes[0], replicas=replicas, gpus=replicas)
        assert verify(wanted, other).outcome.replicas == told.replicas
    impossible = wanted.model_copy(update={"tpot_s": 1e-4})
    assert not verify(impossible, option.outcomes[0]).holds


def test_a_slice_of_a_large_load_stands_for_all_of_it() -> None:
    wanted = asked(hardware="l40s", rate_per_s=300.0, prompt_tokens=500, output_tokens=50)
    (option,) = plan(wanted).options
    told = verify(wanted, option.outcomes[0]).outcome
    assert told.replicas > 8
    assert told.requests_per_s == pytest.approx(300.0, rel=0.1)
    assert told.gpus % told.replicas == 0


def test_a_plan_that_was_played() -> None:
    wanted = asked()
    closed = plan(wanted)
    played = verify_plan(wanted, closed)
    assert {option.hardware for option in played.options} == {"h100-sxm", "l40s"}
    assert "2 of 2 finalists hold" in played.notes[-1]
    for option in played.options:
        assert option.ttft_s <= 1.0 and option.tpot_s <= 0.1
        assert option.per_hour is not None
    one = verify_plan(wanted, closed, finalists=1)
    assert len(one.options) == 1 and "1 further" in one.notes[-1]


def test_several_models_are_each_played() -> None:
    wanted = asked(models="llama-3.1-8b,qwen3-8b", hardware="h100", rate_per_s=2.0)
    (option,) = verify_plan(wanted, plan(wanted)).options
    assert [outcome.model for outcome in option.outcomes] == ["llama-3.1-8b", "qwen3-8b"]
    assert option.gpus == sum(outcome.gpus for outcome in option.outcomes)
