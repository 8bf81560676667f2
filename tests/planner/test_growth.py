"""Growth: curves of progress, the loop against arithmetic by hand, rebound against theory."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenmill.cost.exchange import rates
from tokenmill.errors import BadRecord, TokenmillError, UnknownName, Unsupported
from tokenmill.planner.fleet.capacity import Capacity
from tokenmill.planner.fleet.question import WorkloadEntry
from tokenmill.planner.growth import loop as growth_loop
from tokenmill.planner.growth.answer import GrowthAnswer
from tokenmill.planner.growth.generations import (
    Generation,
    curves,
    fitted,
    frontier,
    generations,
    speed,
    student,
)
from tokenmill.planner.growth.growth import growth
from tokenmill.planner.growth.loop import Paths, play
from tokenmill.planner.growth.question import Policy, growth_scenario, read_growth
from tokenmill.planner.growth.world import World

BASE: dict[str, Any] = {
    "start": "2027", "years": 4, "samples": 60, "seed": 3, "rates": ["USD=¥150"],
    "demand": {
        "tokens_per_s": "40 ktokens/s", "peak": 2.0, "lag": "180 days",
        "growth": {"value": "20 %", "low": "5 %", "high": "40 %"},
        "elasticity": {"value": 1.0, "low": 0.6, "high": 1.4},
    },
    "first": {
        "accelerator": "h100-sxm", "price": "$30,000", "around": 0.5, "life": "4 years",
        "tokens_per_s": 800.0, "watts_busy": "900 W", "watts_idle": "250 W", "resale": "10 %",
    },
    "site": {"tariff": "$0.12", "pue": 1.3},
    "progress": {"vendor": "NVIDIA", "cadence": "1.5 years"},
    "policies": ["never", "replace 2", "cautious", "expand"],
}  # fmt: skip


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    table = copy.deepcopy(BASE)
    change(table)
    return table


def grown(table: dict[str, Any]) -> GrowthAnswer:
    return growth(growth_scenario(table))


@pytest.fixture(scope="module")
def answer() -> GrowthAnswer:
    return grown(BASE)


# Progress


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(3, 1.638), (5, 1.476), (10, 1.372), (30, 1.310), (1000, 1.282)]
)
def test_students_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert student(0.9, freedom) == pytest.approx(quantile, abs=2e-3)


def test_a_line_through_exact_growth_is_that_growth() -> None:
    curve = fitted("speed", [(2016 + k, 3.0 * 1.5**k) for k in range(8)])
    assert curve.factor == pytest.approx(1.5)
    assert curve.low == pytest.approx(1.5) and curve.high == pytest.approx(1.5)
    assert curve.at(2030) == pytest.approx(3.0 * 1.5**14)
    assert curve.doubling_years == pytest.approx(math.log(2) / math.log(1.5))


def test_the_interval_of_a_slope_holds_the_truth_four_times_in_five() -> None:
    dice = np.random.default_rng(1)
    years = np.array([2016.3, 2017.5, 2018.2, 2020.4, 2020.9, 2022.7, 2024.9, 2026.0])
    held = 0
    for _ in range(600):
        values = np.exp(0.4 * (years - 2016) + dice.normal(0, 0.3, len(years)))
        curve = fitted("speed", zip(years.tolist(), values.tolist(), strict=True))
        held += curve.low <= math.exp(0.4) <= curve.high
    assert 0.75 <= held / 600 <= 0.85


def test_too_few_points_are_refused() -> None:
    with pytest.raises(Unsupported, match="too few"):
        fitted("speed", [(2020, 1.0), (2021, 2.0)])
    with pytest.raises(Unsupported, match="too few"):
        fitted("speed", [(2020, 1.0), (2020, 2.0), (2020, 3.0)])


def generation(slug: str, released: float, pace: float) -> Generation:
    return Generation(slug, slug, "V", released, 1e15, 1e12, pace, 500.0, 1e4, "vendor")


def test_only_those_faster_than_all_before_are_generations() -> None:
    line = [("a", 2016, 1.0), ("b", 2018, 0.9), ("c", 2018, 2.0), ("d", 2020, 2.02),
            ("e", 2021, 4.0), ("f", 2022, 3.9)]  # fmt: skip
    found = frontier(generation(slug, year, pace) for slug, year, pace in line)
    assert [one.slug for one in found] == ["a", "c", "e"]


def test_speed_is_the_harmonic_mean_of_its_parts() -> None:
    assert speed(2e15, 1e12, 1.0) == pytest.approx(2.0)
    assert speed(2e15, 3e12, 0.0) == pytest.approx(3.0)
    assert speed(2e15, 3e12, 0.5) == pytest.approx(1 / (0.5 / 2 + 0.5 / 3))


def test_the_catalogue_shows_arithmetic_outgrow_memory_and_both_outgrow_watts() -> None:
    found = frontier(generations("NVIDIA", "16-bit", 0.5, "USD", rates()))
    lines = curves(found)
    assert len(found) >= 6
    assert lines["arithmetic"].low > lines["bandwidth"].factor
    assert 1.0 < lines["speed per watt"].factor < lines["speed"].factor
    assert 1.0 < lines["arithmetic"].doubling_years < 2.0
    best = curves(frontier(generations("NVIDIA", "best", 0.5, "USD", rates())))
    assert best["speed"].factor > lines["speed"].factor


# The loop


def world(
    elasticity: float = 0.0, *, pace: float = 1.0, watts: float = 1.0, price: float = 1.0,
    every: float = 1.0, growth_a_year: float = 0.0, per_kwh: float = 0.1, years: int = 4,
) -> World:  # fmt: skip
    """One sample; each generation `pace` faster, at `watts` the power and `price` the price."""
    count = int(years / every) + 1
    k = np.arange(count)[None, :]
    released = np.where(k == 0, -np.inf, every * k)
    return World(
        released=released, tokens_per_s=800.0 * pace**k, watts_busy=900.0 * watts**k,
        watts_idle=250.0 * watts**k, price=30e3 * price**k, growth=np.array([growth_a_year]),
        elasticity=np.array([elasticity]), per_kwh=np.full((1, 4 * years), per_kwh),
    )  # fmt: skip


def played(policy: str, given: World, change: Callable[[dict[str, Any]], object]) -> Paths:
    def prepared(table: dict[str, Any]) -> None:
        table["policies"] = [policy]
        change(table)

    scenario = growth_scenario(changed(prepared))
    return play(scenario, given, scenario.policies[0])


def test_never_changing_is_arithmetic() -> None:
    told = played("never", world(growth_a_year=0.3, pace=2.0), lambda t: None)
    years = np.arange(16) / 4
    demand = 40e3 * 1.3**years
    assert told.demand_per_s[0] == pytest.approx(demand)
    assert told.tokens_per_s[0] == pytest.approx(demand)
    gpus = demand * 2.0 / 800.0
    assert told.gpus[0] == pytest.approx(gpus)
    watts = gpus * (250.0 + (900.0 - 250.0) * 0.5) * 1.3
    assert told.power_w[0] == pytest.approx(watts)
    assert told.electricity[0] == pytest.approx(watts / 1e3 * 8760 / 4 * 0.1)
    assert told.upkeep[0] == pytest.approx(gpus * 45e3 * 0.03 / 4)
    # a sixteenth of the first fleet is due every quarter, and growth comes on top
    bought = told.spent[0] / 45e3
    assert bought[0] == pytest.approx(gpus[0] / 16)
    assert bought[1:] == pytest.approx(np.diff(gpus) + gpus[0] / 16)
    assert told.resold[0] == pytest.approx(gpus[0] / 16 * 45e3 * 0.1)
    assert told.price[0] == pytest.approx(np.full(16, told.price[0, 0]))


def test_the_price_of_tokens_is_all_that_a_machine_costs() -> None:
    told = played("never", world(), lambda t: None)
    factor = 0.05 / (1 - 1.05**-4)
    owning = 45e3 * ((1 - 0.1 * 1.05**-4) * factor + 0.03)
    energy = (250.0 + 650.0 / 2) * 1.3 / 1e3 * 8760 * 0.1
    millions = 400.0 * 365.25 * 86400 / 1e6
    assert told.price[0, 0] == pytest.approx((owning + energy) / millions)


def test_users_answer_a_price_by_its_power() -> None:
    for policy in ("replace 2", "expand"):
        told = played(policy, world(0.8, pace=2.0, growth_a_year=0.1), lambda t: None)
        base = 40e3 * 1.1 ** (np.arange(16) / 4)
        expected = base * (told.price[0] / told.price[0, 0]) ** -0.8
        assert told.demand_per_s[0] == pytest.approx(expected)
        assert told.price[0, -1] < told.price[0, 0]


def cheap(table: dict[str, Any]) -> None:
    """Machines that cost next to nothing, users that follow the price at once."""
    table["demand"]["lag"] = 0
    table["first"] |= {"resale": 0, "upkeep": 0, "around": 0}


@pytest.mark.parametrize(("elasticity", "direction"), [(0.5, -1), (1.0, 0), (1.5, 1)])
def test_where_power_is_all_the_cost_energy_turns_at_an_elasticity_of_one(
    elasticity: float, direction: int
) -> None:
    """Energy is use times joules a token, use goes with (joules a token) ** -elasticity."""
    given = world(elasticity, pace=2.0, years=8)
    free = replace(given, price=np.full_like(given.price, 1e-6))
    energies = []
    for policy in ("expand", "never"):
        told = played(policy, free, lambda t: (cheap(t), t.update(years=8)))
        energies.append(told.power_w[0, 20:].sum())  # once users have followed
    ratio = math.log(energies[0] / energies[1])
    if direction == 0:
        assert abs(ratio) < 0.15
    else:
        assert math.copysign(1.0, ratio) == direction and abs(ratio) > 1.0


def test_where_machines_are_all_the_cost_and_no_cheaper_nothing_rebounds() -> None:
    given = world(2.0, watts=0.5, per_kwh=1e-9)
    told = [played(policy, given, lambda t: None) for policy in ("replace 4", "never")]
    assert told[0].tokens_per_s.sum() == pytest.approx(told[1].tokens_per_s.sum(), rel=1e-6)
    assert told[0].power_w[0, -1] < 0.6 * told[1].power_w[0, -1]


def test_a_power_limit_leaves_demand_unserved() -> None:
    def limited(table: dict[str, Any]) -> None:
        table["site"]["power"] = "130 kW"

    told = played("never", world(growth_a_year=0.5), limited)
    most = told.gpus[0] * 900.0 * 1.3
    assert (most <= 130e3 * (1 + 1e-9)).all()
    assert told.tokens_per_s[0, -1] < told.demand_per_s[0, -1]
    assert told.tokens_per_s[0, -1] == pytest.approx(told.gpus[0, -1] * 800.0 / 2)


def states(policy: str, given: World) -> list[tuple[Any, Any]]:
    """(count [slots], age in years [slots], generation [slots]) of every quarter."""
    scenario = growth_scenario(changed(lambda t: t.update(policies=[policy])))
    run = growth_loop._Play(scenario, given, growth_loop._Terms(scenario, scenario.policies[0]))
    found = []
    for step in range(16):
        run._step(step)
        age = (step - run.born) / 4
        found.append((age[run.count[0] > 0], run.kind[0][run.count[0] > 1e-9]))
    return found


def test_policies_do_what_they_say() -> None:
    given = world(pace=1.6, growth_a_year=0.4)
    never, two, careful, expand = (
        states(policy, given) for policy in ("never", "replace 2", "cautious", "expand")
    )
    assert all((kinds == 0).all() for _, kinds in never)
    assert max(ages.max() for ages, _ in never) > 3
    assert max(ages.max() for ages, _ in two) < 2
    for step, (_, kinds) in enumerate(careful):
        assert kinds.max() <= max(step / 4 - 1, 0)  # generation k comes out in year k
    newest = [kinds.max() for _, kinds in expand]
    assert newest[4] == 1 and newest[8] == 2 and newest[12] == 3
    slow = world(pace=1.01, growth_a_year=0.4)
    assert max(ages.max() for ages, _ in states("expand", slow)) > 3  # nothing to gain, all kept


# The answer


def test_money_is_the_sum_of_its_lines(answer: GrowthAnswer) -> None:
    for path in answer.paths:
        assert path.money.total.nano == sum(line.money.nano for line in path.money.lines)
        assert path.money.total.nano % 10**7 == 0  # whole cents


def test_bands_are_ordered_and_shares_are_shares(answer: GrowthAnswer) -> None:
    for path in answer.paths:
        for name, band in path.bands.items():
            assert len(band.middle) == 4
            for low, middle, high in zip(band.low, band.middle, band.high, strict=True):
                assert low <= middle <= high, name
        assert all(0 <= share <= 1 for share in path.bands["unserved"].high)
        for total in path.totals.values():
            assert total.low <= total.value <= total.high


def test_the_same_seed_gives_the_same_answer(answer: GrowthAnswer) -> None:
    assert grown(BASE).to_dict() == answer.to_dict()
    assert grown(changed(lambda t: t.update(seed=4))).to_dict() != answer.to_dict()


def test_doubt_widens_the_bands(answer: GrowthAnswer) -> None:
    def sure(table: dict[str, Any]) -> None:
        table["demand"] |= {"growth": "20 %", "elasticity": 1.0}

    certain = grown(changed(sure))
    for policy in ("never", "replace 2"):
        wide, narrow = (one.path(policy).totals["tokens"] for one in (answer, certain))
        assert wide.high / wide.low > narrow.high / narrow.low
    never = certain.path("never").totals["energy_j"]
    assert never.high == pytest.approx(never.low)


def test_energy_rises_with_elasticity_and_turns_where_it_says() -> None:
    def at(elasticity: float) -> GrowthAnswer:
        def long(table: dict[str, Any]) -> None:
            table |= {"years": 8, "policies": policies}
            table["demand"] |= {"elasticity": elasticity, "growth": 0.2}

        return grown(changed(long))

    policies = ["replace 4", "cautious", "expand"]
    low, high = at(0.2), at(2.2)
    for policy in policies:
        cold, hot = low.path(policy).rebound, high.path(policy).rebound
        assert cold is not None and hot is not None
        assert cold.energy_ratio.value < 1 < hot.energy_ratio.value
        assert cold.flip is not None and 0.2 < cold.flip.value < 2.2
        turned = at(cold.flip.value).path(policy).rebound
        assert turned is not None
        assert turned.energy_ratio.value == pytest.approx(1.0, abs=0.12)
        assert "higher efficiency raises total energy where" in hot.words
        assert hot.eaten is not None and hot.eaten.value > 1 and cold.eaten is not None
        assert cold.eaten.value < 1


def test_json_holds_plain_finite_values(answer: GrowthAnswer) -> None:
    plain = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert [path["policy"] for path in plain["paths"]] == BASE["policies"]
    assert plain["curves"][0]["moore_doubling_years"] == 2.0
    assert all("Moore's law" in curve["words"] for curve in plain["curves"])


BAD: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("speling", lambda t: t.update(speling=1)),
    ("demand.elastic", lambda t: t["demand"].update(elastic=1)),
    ("years", lambda t: t.update(years=0)),
    ("samples", lambda t: t.update(samples=1)),
    ("start", lambda t: t.update(start="soon")),
    ("demand.tokens_per_s", lambda t: t["demand"].update(tokens_per_s="0 tokens/s")),
    ("demand.tokens_per_s", lambda t: t["demand"].update(tokens_per_s=float("nan"))),
    ("demand.elasticity", lambda t: t["demand"].update(elasticity=-1)),
    ("demand.growth", lambda t: t["demand"].update(growth={"value": 0.1, "low": 0.2, "high": 1})),
    ("demand.growth", lambda t: t["demand"].update(growth=float("inf"))),
    ("demand.growth", lambda t: t["demand"].update(growth={"value": 0.1, "least": 0.2})),
    ("demand.peak", lambda t: t["demand"].update(peak=0.5)),
    ("first.life", lambda t: t["first"].update(life=0)),
    ("first.price", lambda t: t["first"].update(price="$0")),
    ("first", lambda t: t["first"].pop("watts_idle")),
    ("site.pue", lambda t: t["site"].update(pue=float("nan"))),
    ("site.tariff", lambda t: t["site"].update(tariff="¥0")),
    ("site.tariff", lambda t: t["site"].pop("tariff")),
    ("rates.0", lambda t: t.update(rates=["dollars"])),
    ("policies", lambda t: t.update(policies=["replace"])),
    ("policies", lambda t: t.update(policies=["replace 0"])),
    ("policies", lambda t: t.update(policies=[])),
    ("once", lambda t: t.update(policies=["never", "never"])),
]  # fmt: skip


@pytest.mark.parametrize(("key", "change"), BAD)
def test_bad_input_is_one_line_with_its_key(
    key: str, change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(BadRecord) as caught:
        grown(changed(change))
    assert key in str(caught.value) and "\n" not in str(caught.value)


def test_names_and_gaps_of_the_catalogue_are_told() -> None:
    with pytest.raises(UnknownName, match="h100"):
        grown(changed(lambda t: t["first"].update(accelerator="h10")))
    with pytest.raises(Unsupported, match="rtx-4090"):
        grown(changed(lambda t: t["first"].update(accelerator="rtx-4090")))
    with pytest.raises(TokenmillError, match="too few"):
        grown(changed(lambda t: t["progress"].update(vendor="Nobody")))


def test_what_a_gpu_does_is_asked_where_it_is_not_stated(root: Path) -> None:
    asked: list[tuple[str, str]] = []

    def capacity_of(workload: WorkloadEntry, hardware: str) -> Capacity:
        asked.append((workload.model, hardware))
        return Capacity(16.0, 7200.0, 2000.0, 8, "fake", tokens_per_s=6400.0)

    scenario = read_growth(root / "docs" / "examples" / "growth.toml", {"samples": 20})
    answer = growth(scenario, capacity_of=capacity_of)
    assert asked == [("llama-3.3-70b", "h100-sxm")]
    first = answer.path("never").bands["gpus"].middle[0]
    assert first >= 200e3 * 2.0 / 800.0
    assert answer.currency == "JPY" and answer.notes


def test_a_policy_is_named_by_its_years() -> None:
    scenario = growth_scenario(changed(lambda t: t.update(policies=["replace 3.5"])))
    assert scenario.policies == (Policy(name="replace 3.5", kind="replace", years=3.5),)
