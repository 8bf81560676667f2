"""Owning and renting: depreciation, finance, electricity, running costs, price per token."""

from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.catalog.prices import RENT, price
from tokenmill.catalog.tariffs import tariff
from tokenmill.cost.electricity import energy_cost, local_tariff, mean_per_kwh, yearly_cost
from tokenmill.cost.exchange import rates
from tokenmill.cost.hourly import (
    Running,
    as_money,
    owned_per_hour,
    per_million_tokens,
    per_unit,
    purchase_price,
    rented_per_hour,
)
from tokenmill.cost.money import Line, Money, Statement
from tokenmill.cost.ownership import HOURS_PER_YEAR, Ownership, annuity_factor, owning_per_year
from tokenmill.errors import InputError, NoPrice

TODAY = datetime.date(2026, 11, 23)


def usd(amount: float) -> Money:
    return Money.of(amount, "USD")


@given(st.just(0.0) | st.floats(1e-4, 0.5), st.floats(0.5, 30.0))
def test_an_annuity_pays_the_price_back(rate: float, years: float) -> None:
    factor = annuity_factor(rate, years)
    discounted = years if rate == 0 else (1 - (1 + rate) ** -years) / rate
    assert factor * discounted == pytest.approx(1.0, rel=1e-6)


@given(
    st.floats(0.0, 1e7), st.floats(1.0, 10.0), st.floats(0.0, 1.0), st.floats(0.0, 0.3),
)  # fmt: skip
def test_a_year_of_owning_is_the_annuity_of_price_less_resale(
    cost: float, years: float, resale: float, rate: float
) -> None:
    terms = Ownership(life_years=years, resale=resale, finance_rate=rate, upkeep=0.0)
    yearly = owning_per_year(usd(cost), terms)
    expected = cost * (1 - resale * (1 + rate) ** -years) * annuity_factor(rate, years)
    assert yearly.total.amount == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert yearly.total.nano == sum(line.money.nano for line in yearly.lines)


def test_without_interest_owning_is_depreciation() -> None:
    yearly = owning_per_year(usd(40_000.0), Ownership(4.0, 0.25, 0.0, 0.0))
    assert yearly.total == usd(7_500.0)


@pytest.mark.parametrize(
    "terms",
    [{"life_years": 0.0}, {"life_years": math.nan}, {"resale": 1.5}, {"finance_rate": -0.1},
     {"upkeep": math.nan}],
)  # fmt: skip
def test_terms_out_of_range_are_refused(terms: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Ownership(**terms)


def test_a_negative_price_is_refused() -> None:
    with pytest.raises(InputError, match="negative"):
        owning_per_year(usd(-1.0), Ownership())


def test_a_flat_tariff_costs_the_same_at_any_hour() -> None:
    japan = local_tariff("jp")
    night = [1.0] * 6 + [0.0] * 18
    assert mean_per_kwh(japan) == mean_per_kwh(japan, night) == Money.of(28.98, "JPY")
    # 1 kW through the mean year of 365.25 days.
    assert yearly_cost(1000.0, japan).amount == pytest.approx(28.98 * 24 * 365.25)


def test_time_of_use_rewards_the_night() -> None:
    seasonal = tariff("kepco-seasonal-2018")
    night = [1.0] * 7 + [0.0] * 16 + [1.0]
    day = [0.0] * 10 + [1.0] * 8 + [0.0] * 6
    assert mean_per_kwh(seasonal, night) == Money.of(10.51, "JPY")
    assert mean_per_kwh(seasonal, night) < mean_per_kwh(seasonal) < mean_per_kwh(seasonal, day)


@given(
    st.lists(st.floats(0.0, 10.0), min_size=24, max_size=24).filter(lambda load: sum(load) > 0.1)
)
def test_a_mean_price_lies_within_the_tariff(load: list[float]) -> None:
    seasonal = tariff("kepco-seasonal-2018")
    assert 10.51 - 1e-9 <= mean_per_kwh(seasonal, load).amount <= 53.23 + 1e-9


@pytest.mark.parametrize("load", [[1.0] * 23, [0.0] * 24, [-1.0] + [1.0] * 23, [math.nan] * 24])
def test_a_bad_load_shape_is_refused(load: list[float]) -> None:
    with pytest.raises(InputError):
        mean_per_kwh(local_tariff("jp"), load)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_energy_is_joules_from_zero_up(bad: float) -> None:
    with pytest.raises(InputError):
        energy_cost(bad, usd(0.1))


def test_no_tariff_is_not_zero() -> None:
    with pytest.raises(NoPrice, match="kWh"):
        local_tariff("atlantis")


def _owned(**changes: object) -> Statement:
    arguments: dict[str, object] = {
        "facility_power_w": 6_000.0, "electricity_per_kwh": usd(0.1),
        "terms": Ownership(4.0, 0.0, 0.0, 0.0),
        "running": Running(usd(150.0), usd(110_000.0), 500.0, usd(4_500.0), 0.1),
        "feed_power_w": 10_000.0,
    }  # fmt: skip
    return owned_per_hour(usd(350_400.0), 8, **(arguments | changes))  # type: ignore[arg-type]


def test_owning_has_a_line_for_everything_and_adds_up() -> None:
    by_label = {line.label: line.money.amount for line in _owned().lines}
    assert by_label["hardware: depreciation"] == pytest.approx(10.0)
    assert by_label["network: depreciation"] == pytest.approx(1.0)
    assert by_label["electricity"] == pytest.approx(0.6)
    assert by_label["space"] == pytest.approx(150.0 * 12 * 10 / HOURS_PER_YEAR)
    assert by_label["staff"] == pytest.approx(110_000.0 / 500 / HOURS_PER_YEAR)
    assert by_label["software"] == pytest.approx(8 * 4_500.0 / HOURS_PER_YEAR)
    assert _owned().total.nano == sum(line.money.nano for line in _owned().lines)


@pytest.mark.parametrize(
    "changes",
    [{"facility_power_w": -1.0}, {"facility_power_w": math.nan}, {"feed_power_w": math.inf},
     {"electricity_per_kwh": Money.of(15.0, "JPY")}],
)  # fmt: skip
def test_bad_owning_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        _owned(**changes)


def test_bad_running_costs_are_refused() -> None:
    with pytest.raises(InputError):
        Running(machines_per_person=0.0)
    with pytest.raises(InputError):
        Running(network_share=math.nan)


def test_rent_names_its_date_and_source_and_age() -> None:
    fresh = as_money(price("h100-sxm", RENT), rates(), "JPY", TODAY)
    assert "2026-05" in fresh.basis and "older" not in fresh.basis
    old = as_money(price("t4", RENT), rates(), "USD", TODAY)
    assert "older than a year" in old.basis
    assert rented_per_hour(fresh, 8).total == fresh.money * 8
    with pytest.raises(InputError):
        rented_per_hour(Line("x", usd(0.0)), 1)
    with pytest.raises(InputError):
        rented_per_hour(fresh, 0)


def test_a_machine_price_wins_over_that_of_its_gpus() -> None:
    rack, count = purchase_price("gb200-nvl72", "gb200", 72)
    assert count == 1 and rack.amount > 1e6
    card, count = purchase_price("workstation-2x", "rtx-4090", 2)
    assert count == 2 and "rtx-4090" in card.items
    with pytest.raises(NoPrice):
        purchase_price("", "a30", 1)


@given(
    st.floats(0.01, 500.0), st.floats(1.0, 1e6), st.floats(1.0, 1e6), st.floats(0.0, 1.0),
    st.floats(0.01, 1.0),
)  # fmt: skip
def test_input_and_output_prices_pay_for_the_hour(
    hourly: float, tokens_in: float, tokens_out: float, prefill: float, busy: float
) -> None:
    per_hour = Statement.of([Line("all", usd(hourly))], "USD")
    made = per_million_tokens(
        per_hour, tokens_in, tokens_out, prefill_share=prefill, utilisation=busy
    )
    million_in, million_out = (rate * 3600 * busy / 1e6 for rate in (tokens_in, tokens_out))
    assert made.input is not None and made.output is not None
    paid = made.input.total.amount * million_in + made.output.total.amount * million_out
    slack = 1e-9 * (million_in + million_out + 1)
    assert paid == pytest.approx(hourly, rel=1e-9, abs=slack)
    blended = made.blended.total.amount * (million_in + million_out)
    assert blended == pytest.approx(hourly, rel=1e-9, abs=slack)


@pytest.mark.parametrize(
    "change", [{"utilisation": 0.0}, {"utilisation": 1.1}, {"prefill_share": math.nan}]
)
def test_parts_out_of_range_are_refused(change: dict[str, float]) -> None:
    per_hour = Statement.of([Line("all", usd(1.0))], "USD")
    with pytest.raises(InputError):
        per_million_tokens(per_hour, 1.0, 1.0, **({"prefill_share": 0.5} | change))


def test_no_tokens_no_price_per_token() -> None:
    per_hour = Statement.of([Line("all", usd(1.0))], "USD")
    with pytest.raises(InputError, match="tokens per second"):
        per_million_tokens(per_hour, 0.0, 0.0, prefill_share=0.5)
    only_output = per_million_tokens(per_hour, 0.0, 10.0, prefill_share=0.0)
    assert only_output.input is None and only_output.output == only_output.blended


def test_cost_per_image_or_trained_model() -> None:
    per_hour = Statement.of([Line("all", usd(3.6))], "USD")
    assert per_unit(per_hour, 2.0).total == usd(0.0005)
    assert per_unit(per_hour, 1 / 86400.0).total.amount == pytest.approx(3.6 * 24)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError):
            per_unit(per_hour, bad)
