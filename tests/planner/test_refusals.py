"""Plans: what is ranked is right, and what is refused becomes possible by its checked change."""

from __future__ import annotations

import pytest

from tokenmill.planner.answer import Option, Plan
from tokenmill.planner.plan import answer_on, plan
from tokenmill.planner.question import Question, question

AWKWARD = {
    "no time to first token": {"ttft_s": "1 us"},
    "no time per token": {"tpot_s": "10 us"},
    "a few yen": {"budget": "¥10", "currency": "JPY"},
    "a few yen in dollars": {"budget": "¥10"},
    "a cent an hour": {"budget": "$0.01", "budget_per": "hour"},
    "a light bulb": {"power_w": "60 W"},
    "one GPU for many": {"gpus": 1, "rate_per_s": 500.0},
    "too large": {"models": ("llama-3.1-405b",)},
    "too large in 16 bits": {"weights": ("bf16",), "models": ("llama-3.3-70b",), "gpus": 1},
    "all at once": {"ttft_s": "1 us", "tpot_s": "10 us", "power_w": "60 W"},
}


def asked(**given: object) -> Question:
    values: dict[str, object] = {
        "models": ("llama-3.1-8b",), "hardware": ("rtx-4090", "h100-sxm"),
        "prompt_tokens": 1000.0, "output_tokens": 200.0, "rate_per_s": 3.0,
    }  # fmt: skip
    return question(**{**values, **given})


@pytest.mark.parametrize("name", AWKWARD)
def test_a_checked_change_makes_it_possible(name: str) -> None:
    wanted = asked(**AWKWARD[name])
    answer = plan(wanted)
    assert answer.refused, "the question was meant to be refused somewhere"
    for refusal in answer.refused:
        assert refusal.message and "\n" not in refusal.message
        if refusal.checked:
            changed = Question(**{**wanted.model_dump(), **refusal.change})
            hardware = changed.hardware[0] if "hardware" in refusal.change else refusal.hardware
            assert isinstance(answer_on(changed, hardware), Option)
    assert any(refusal.checked for refusal in answer.refused)


@pytest.fixture(scope="module")
def answer() -> Plan:
    return plan(asked(hardware=("rtx-4090", "l40s", "h100-sxm", "b200-sxm")))


def test_the_ranking_follows_the_goal(answer: Plan) -> None:
    costs = [option.per_hour.amount for option in answer.options if option.per_hour]
    assert costs == sorted(costs) and len(costs) == len(answer.options) > 1


def test_every_option_is_inside_the_limits(answer: Plan) -> None:
    for option in answer.options:
        assert option.ttft_s <= answer.ttft_limit_s * 1.05
        assert option.tpot_s <= answer.tpot_limit_s * 1.05
        carried = sum(outcome.requests_per_s for outcome in option.outcomes)
        assert carried == pytest.approx(3.0, rel=0.02)


def test_the_front_holds_the_best_of_each_kind(answer: Plan) -> None:
    front = [(o.per_hour.amount, o.tpot_s, o.joules_per_output_token)
             for o in answer.pareto if o.per_hour]  # fmt: skip
    for one in front:
        beaten = [x for x in front if x != one and all(a <= b for a, b in zip(x, one, strict=True))]
        assert not beaten
    cheapest, fastest, greenest = answer.cheapest, answer.fastest, answer.greenest
    assert cheapest and fastest and greenest and cheapest.per_hour
    assert cheapest.per_hour.amount == min(x[0] for x in front)
    assert fastest.tpot_s == min(x[1] for x in front)
    assert greenest.joules_per_output_token == min(x[2] for x in front)


def test_money_adds_up_to_the_last_digit(answer: Plan) -> None:
    for option in answer.options:
        money = option.outcomes[0].money
        assert sum(round(line["amount"] * 10**9) for line in money["lines"]) == round(
            money["per_hour"]["amount"] * 10**9
        )


def test_several_models_share_the_answer() -> None:
    both = plan(asked(models=("llama-3.1-8b", "mixtral-8x7b"), hardware=("h100-sxm",)))
    option = both.options[0]
    assert [outcome.model for outcome in option.outcomes] == ["llama-3.1-8b", "mixtral-8x7b"]
    assert option.gpus == sum(outcome.gpus for outcome in option.outcomes)
