"""Break-even of rent, buy and API against brute force; the tornado table; carbon."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.catalog.load import names
from tokenmill.catalog.sites import embodied_kg, site
from tokenmill.cost.breakeven import (
    Option,
    break_even,
    cheapest,
    envelope,
    hosted,
    owned,
    rented,
)
from tokenmill.cost.carbon import embodied_share_kg, grid_kg_per_kwh, operational_kg
from tokenmill.cost.money import Line, Money, Statement
from tokenmill.cost.sensitivity import Range, tornado
from tokenmill.errors import InputError


def usd(amount: float) -> Money:
    return Money.of(amount, "USD")


costs = st.integers(0, 10**12).map(lambda nano: Money(nano, "USD"))
options = st.builds(Option, st.sampled_from(["rent", "buy", "API"]), costs, costs)


@given(options, options)
def test_at_break_even_both_cost_the_same(one: Option, other: Option) -> None:
    at = break_even(one, other)
    if at is None:
        gaps = [one.per_hour(u).nano - other.per_hour(u).nano for u in (0.0, 1.0)]
        assert gaps[0] * gaps[1] > 0  # no crossing between the ends
    else:
        assert 0 <= at <= 1
        slack = 2 + 1e-12 * max(one.per_hour(1.0).nano, other.per_hour(1.0).nano)
        assert abs(one.per_hour(at).nano - other.per_hour(at).nano) <= slack


@given(st.lists(options, min_size=1, max_size=5))
def test_the_envelope_is_what_brute_force_finds(several: list[Option]) -> None:
    spans = envelope(several)
    assert spans[0].start == 0.0 and spans[-1].end == 1.0
    for left, right in pairwise(spans):
        assert left.end == right.start
    for step in range(401):
        use = step / 400
        least = min(option.per_hour(use).nano for option in several)
        assert cheapest(several, use).per_hour(use).nano == least
        span = next(one for one in spans if one.start <= use <= one.end)
        assert span.option.per_hour(use).nano <= least + 2 + 1e-12 * least


def test_buy_beats_rent_above_a_known_utilisation() -> None:
    per_hour = Statement.of([Line("hardware", usd(1.0)), Line("electricity", usd(0.2))], "USD")
    buy = owned(per_hour, usd(0.05))
    assert (buy.fixed_per_hour, buy.busy_per_hour) == (usd(1.05), usd(0.15))
    rent = rented(Statement.of([Line("rent", usd(3.0))], "USD"), released_when_idle=True)
    assert break_even(buy, rent) == pytest.approx(1.05 / 2.85)
    held = rented(Statement.of([Line("rent", usd(3.0))], "USD"), released_when_idle=False)
    assert break_even(buy, held) is None
    api = hosted(usd(0.5), usd(1.0), 1000.0, 500.0)
    assert api.busy_per_hour == usd(0.5 * 3.6 + 1.0 * 1.8)
    assert [span.option.name for span in envelope([buy, rent, api])] == ["rent", "buy"]


def test_options_refuse_nonsense() -> None:
    with pytest.raises(InputError, match="negative"):
        Option("gift", usd(-1.0), usd(0.0))
    with pytest.raises(InputError, match="exchange rate"):
        Option("mixed", usd(1.0), Money.of(1.0, "JPY"))
    with pytest.raises(InputError):
        Option("ok", usd(1.0), usd(1.0)).per_hour(1.5)
    with pytest.raises(InputError):
        hosted(usd(1.0), usd(1.0), math.nan, 1.0)
    with pytest.raises(InputError):
        cheapest([], 0.5)


def test_the_tornado_ranks_by_swing() -> None:
    def answer(at: Mapping[str, float]) -> float:
        return 10 * at["price"] + at["power"] - 100 * at["utilisation"]

    rows = tornado(
        answer,
        {"power": Range(1, 2, 4), "price": Range(1, 2, 3), "utilisation": Range(0.2, 0.5, 0.9)},
    )
    assert [row.name for row in rows] == ["utilisation", "price", "power"]
    assert rows[0].at_low > rows[0].at_high  # more use is cheaper
    assert rows[1].width == pytest.approx(20.0)
    with pytest.raises(InputError):
        Range(3, 2, 1)
    with pytest.raises(InputError):
        Range(1, math.nan, 2)


@pytest.mark.parametrize("name", names("sites"))
def test_hours_of_carbon_average_to_the_mean(name: str) -> None:
    here = site(name)
    hours = [grid_kg_per_kwh(here, hour) for hour in range(24)]
    mean = grid_kg_per_kwh(here)
    assert sum(one.kg for one in hours) / 24 == pytest.approx(mean.kg)
    assert min(hours, key=lambda one: one.kg) == hours[13]
    assert all(0 <= one.low_kg <= one.kg <= one.high_kg for one in hours)


def test_carbon_of_energy_adds_up_and_follows_the_sun() -> None:
    here = site("sydney")
    even = operational_kg(3.6e9, here)
    assert even.kg == pytest.approx(1000 * here.carbon_per_kwh.value)
    assert operational_kg(3.6e9, here, [1.0] * 24).kg == pytest.approx(even.kg)
    noon = operational_kg(3.6e9, here, [float(10 <= hour <= 16) for hour in range(24)])
    night = operational_kg(3.6e9, here, [float(hour <= 5) for hour in range(24)])
    assert noon.kg < even.kg < night.kg
    both = noon + night
    assert both.kg == pytest.approx(noon.kg + night.kg)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_bad_energy_makes_no_carbon(bad: float) -> None:
    with pytest.raises(InputError):
        operational_kg(bad, site("tokyo"))


@pytest.mark.parametrize(
    ("units", "used_s", "life_s"),
    [(1, 1.0, 0.0), (1, 1.0, math.nan), (-1, 1.0, 1.0), (1, -1.0, 1.0)],
)
def test_bad_lives_are_refused(units: float, used_s: float, life_s: float) -> None:
    with pytest.raises(InputError):
        embodied_share_kg(embodied_kg("h100-sxm"), units, used_s, life_s)


def test_bad_hours_and_loads_are_refused() -> None:
    with pytest.raises(InputError):
        grid_kg_per_kwh(site("tokyo"), 24)
    with pytest.raises(InputError):
        operational_kg(1.0, site("tokyo"), [1.0] * 3)


def test_embodied_carbon_is_written_off_over_life() -> None:
    year_s = 365.25 * 86400
    share = embodied_share_kg(embodied_kg("h100-sxm"), 8, year_s, 4 * year_s)
    assert share.kg == pytest.approx(1312 / 4)
    assert share.low_kg <= share.kg <= share.high_kg
