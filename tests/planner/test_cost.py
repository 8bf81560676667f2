"""Costs by the hour and by the piece: additive, equal to closed forms, sourced, never zero."""

from __future__ import annotations

import datetime
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenmill as tm
from tokenmill.catalog.tariffs import tariff
from tokenmill.cost.breakeven import cheapest
from tokenmill.cost.electricity import mean_per_kwh
from tokenmill.cost.money import Money
from tokenmill.errors import DoesNotFit, InputError, NoPrice, Unsupported
from tokenmill.planner.cost.answer import CostAnswer, Way
from tokenmill.planner.cost.cost import cost
from tokenmill.planner.cost.question import cost_question

TODAY = datetime.date(2026, 11, 28)
DESK: dict[str, Any] = {"on": "rtx-4090", "units": ("robot-hour=8",), "region": "JP"}


def ask(**given_: Any) -> CostAnswer:
    return cost(cost_question(**given_), today=TODAY)


def way(answer: CostAnswer, name: str) -> Way:
    return next(one for one in answer.ways if one.name == name)


@given(
    use=st.floats(0.01, 1.0), years=st.floats(0.5, 20.0), resale=st.floats(0.0, 1.0),
    rate=st.floats(0.0, 0.5), network=st.floats(0.0, 1.0), currency=st.sampled_from(["JPY", "EUR"]),
)  # fmt: skip
@settings(max_examples=25)
def test_every_total_is_the_sum_of_its_lines(
    use: float, years: float, resale: float, rate: float, network: float, currency: str
) -> None:
    answer = ask(
        on="dgx-h100", gpus=8, gpu_hours=6000.0, utilisation=use, life_years=years, resale=resale,
        finance_rate=rate, network=network, currency=currency, site="tokyo", software="$4,500",
    )  # fmt: skip
    for one in answer.ways:
        for statement in (one.per_hour, *one.per_unit.values()):
            assert statement.total.nano == sum(line.money.nano for line in statement.lines)
        # the straight line over utilisation says what the statement says
        slack = 4 + 1e-9 * one.per_hour.total.nano
        assert abs(one.option.per_hour(use).nano - one.per_hour.total.nano) <= slack
        unit = one.per_unit["trained model"].total.amount
        assert unit == pytest.approx(one.per_hour.total.amount * 6000.0 / 8 / use, rel=1e-6)
    labels = [line.label for line in way(answer, "buy").per_hour.lines]
    for word in ("depreciation", "finance", "upkeep", "electricity", "space", "staff", "software"):
        assert any(word in label for label in labels), word
    assert ("network: depreciation" in labels) == (network > 0)


def test_an_hour_of_a_card_at_home_by_hand() -> None:
    answer = ask(**DESK, utilisation=0.25, life_years=5.0, resale=0.2, finance_rate=0.0, upkeep=0.0,
                 prices=("rtx-4090=¥300,000", "jp=¥40/kWh"))  # fmt: skip
    bought = way(answer, "buy")
    mean_kw = (0.25 * answer.busy_w + 0.75 * answer.idle_w) / 1000.0
    expected = 300_000 * 0.8 / 5.0 / 8760.0 + mean_kw * 40.0
    assert bought.per_hour.total.amount == pytest.approx(expected, rel=1e-6)
    assert bought.per_unit["robot-hour"].total.amount == pytest.approx(expected / 8.0 / 0.25)
    assert bought.purchase == Money.of(300_000, "JPY") and answer.pue == 1.0


def test_tokens_in_and_out_pay_the_whole_hour() -> None:
    answer = ask(on="h100", model="llama-3.1-8b", utilisation=0.4)
    rates = {one.name: one.per_s * 3600.0 * 0.4 for one in answer.made}
    for one in answer.ways:
        paid = sum(
            one.per_unit[name].total.amount * rates[name]
            for name in ("million input tokens", "million output tokens")
        )
        assert paid == pytest.approx(one.per_hour.total.amount, rel=1e-6)
    assert {one.name for one in answer.ways} == {
        "buy", "rent on demand", "rent reserved", "rent spot", "API"}  # fmt: skip
    assert way(answer, "API").per_unit["million output tokens"].total == Money.of(0.08, "USD")


def test_the_spans_name_what_brute_force_finds_cheapest() -> None:
    answer = ask(on="h100", model="llama-3.3-70b", gpus=2, concurrency=64.0, utilisation=0.5)
    options = [one.option for one in answer.ways]
    for left, right in pairwise(answer.spans):
        assert left.end == right.start
    for step in range(1, 100):
        best = cheapest(options, step / 100)
        here = [s for s in answer.spans if s.start <= step / 100 <= s.end]
        assert best.name in {span.option.name for span in here}
    for one in answer.crossings:
        a, b = (way(answer, name).option.per_hour(one.utilisation).amount
                for name in (one.first, one.second))  # fmt: skip
        assert a == pytest.approx(b, rel=1e-6)


def test_a_tariff_by_the_hour_pays_for_the_hours_of_work() -> None:
    night, day = (
        ask(**DESK, utilisation=0.2, hours=span, tariff="kepco-seasonal-2018")
        for span in ("23-7", "9-17")
    )
    lines = [
        next(x for x in way(one, "buy").per_hour.lines if x.label == "electricity")
        for one in (night, day)
    ]
    assert lines[0].money < lines[1].money
    load = [night.idle_w + (night.busy_w - night.idle_w) * 0.6 * (hour in (23, *range(7)))
            for hour in range(24)]  # fmt: skip
    expected = mean_per_kwh(tariff("kepco-seasonal-2018"), load).amount * sum(load) / 24 / 1000.0
    assert lines[0].money.amount == pytest.approx(expected, rel=1e-6)
    assert night.stale and any(one.stale and "hour" in one.what for one in night.origins)
    # the grid is cleaner in the hours of sun
    assert day.carbon.running.kg < night.carbon.running.kg


def test_the_tornado_moves_the_unit_cost_and_is_sorted() -> None:
    answer = ask(on="rtx-4090", model="sdxl-1.0", region="JP", utilisation=0.2)
    assert answer.swung == "buy"
    widths = [one.width for one in answer.tornado]
    assert widths == sorted(widths, reverse=True) and min(widths) > 0
    now = way(answer, "buy").per_unit["image"].total.amount
    for one in answer.tornado:
        low, high = sorted((one.at_low, one.at_high))
        assert low * (1 - 1e-6) <= now <= high * (1 + 1e-6)
    moved = {one.name: one for one in answer.tornado}
    again = ask(on="rtx-4090", model="sdxl-1.0", region="JP", utilisation=0.2, life_years=6.0)
    assert moved["years of life"].at_high == pytest.approx(
        way(again, "buy").per_unit["image"].total.amount, rel=1e-4
    )


def test_carbon_is_energy_times_the_grid_and_a_share_of_making() -> None:
    answer = ask(on="h100", model="llama-3.1-8b", utilisation=0.5, site="lulea")
    mean_kw = 0.5 * (answer.busy_w + answer.idle_w) / 1000.0 * answer.pue
    assert answer.carbon.running.kg == pytest.approx(mean_kw * answer.carbon.mean_per_kwh.kg)
    assert answer.carbon.making.kg == pytest.approx(164.0 / (4 * 8760.0))
    tokyo = ask(on="h100", model="llama-3.1-8b", utilisation=0.5, site="tokyo")
    assert answer.carbon.running.kg < tokyo.carbon.running.kg
    assert answer.carbon.cleanest.kg <= answer.carbon.mean_per_kwh.kg <= answer.carbon.dirtiest.kg


@given(use=st.floats(0.05, 0.5), more=st.floats(1.01, 2.0))
@settings(max_examples=20)
def test_more_use_never_makes_a_bought_unit_dearer(use: float, more: float) -> None:
    one, other = (way(ask(**DESK, utilisation=u), "buy") for u in (use, use * more))
    assert other.per_unit["robot-hour"].total <= one.per_unit["robot-hour"].total
    assert one.per_hour.total <= other.per_hour.total


def test_a_missing_price_is_told_and_never_zero() -> None:
    answer = ask(**DESK)
    assert [one.name for one in answer.ways] == ["buy", "rent on demand"]
    assert any("rent-reserved" in words for words in answer.missing)
    unpriced = {"on": "quadro-gv100", "units": ("robot-hour=8",), "region": "JP"}
    with pytest.raises(NoPrice, match='--price "quadro-gv100='):
        ask(**unpriced)
    assert issubclass(NoPrice, Unsupported)
    stated = ask(**unpriced, prices=("quadro-gv100=¥90/GPU-hour",))
    assert [one.name for one in stated.ways] == ["rent on demand"]
    assert stated.ways[0].per_unit["robot-hour"].total == Money.of(90 / 8, "JPY")
    assert stated.swung == "rent on demand"


def test_every_price_has_a_date_and_a_source_and_old_ones_are_flagged() -> None:
    answer = ask(on="gb200-nvl72", gpus=72, gpu_hours=1e6, region="JP")
    assert all(one.entry.date and one.entry.source.title for one in answer.origins)
    bought = next(one for one in answer.origins if one.what == "purchase")
    assert bought.entry.date == "2025" and bought.stale and answer.stale
    fresh = next(one for one in ask(**DESK).origins if one.what == "purchase")
    assert not fresh.stale  # a fresh price abroad comes before one of 2023 at home


def test_the_user_s_machine_price_and_rate_win() -> None:
    given_ = {"on": "dgx-h100", "gpus": 16, "gpu_hours": 100.0, "site": "tokyo"}
    answer = ask(**given_, prices=("dgx-h100=$300,000",), rates=("USD=¥150",))
    assert way(answer, "buy").purchase == Money.of(2 * 300_000 * 150, "JPY")


@pytest.mark.parametrize(
    "wrong",
    [
        {"on": "h10"}, {"on": "h100"}, {"on": "h100", "gpu_hours": 0.0},
        {"on": "h100", "units": ("robot-hour=0",)}, {"on": "h100", "units": ("robot-hour",)},
        {"on": "h100", "model": "lama"}, {"on": "h100", "gpu_hours": 1.0, "utilisation": 0.0},
        {"on": "h100", "gpu_hours": 1.0, "utilisation": float("nan")},
        {"on": "h100", "gpu_hours": 1.0, "utilisation": 0.5, "hours": "9-17"},
        {"on": "h100", "gpu_hours": 1.0, "hours": "9 to 5"}, {"on": "h100", "gpus": 0},
        {"on": "h100", "gpu_hours": 1.0, "prices": ("h100=-5",)},
        {"on": "h100", "gpu_hours": 1.0, "prices": ("h100=$-5",)},
        {"on": "h100", "gpu_hours": 1.0, "currency": "GBP"},
        {"on": "h100", "gpu_hours": 1.0, "rates": ("USD=0",)},
        {"on": "h100", "gpu_hours": 1.0, "site": "atlantis"},
        {"on": "h100", "gpu_hours": 1.0, "tariff": "free"},
        {"on": "h100", "gpu_hours": 1.0, "region": "FR"},
        {"on": "h100", "gpu_hours": 1.0, "life_years": 0.0},
        {"on": "h100", "gpu_hours": 1.0, "staff": "many"}, {"on": "h100", "colour": "red"},
        {"on": "h100", "gpu_hours": 1.0, "pue": 0.5},
    ],
)  # fmt: skip
def test_a_wrong_question_is_one_clear_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refusal:
        ask(**wrong)
    assert "\n" not in str(refusal.value) and 10 < len(str(refusal.value)) < 400


def test_what_does_not_fit_is_refused_in_bytes() -> None:
    with pytest.raises(DoesNotFit):
        ask(on="rtx-4090", model="llama-3.3-70b")


def test_the_python_call_gives_plain_json() -> None:
    told = tm.cost_of("h100", "llama-3.1-8b", utilisation=0.3).to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["ways"][0]["per_hour"]["total"]["currency"] == "USD"
