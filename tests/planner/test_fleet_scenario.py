"""Fleet scenarios: bad input in one line, money that adds up, limits kept, conflicts, worth."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenmill.errors import BadRecord, Infeasible, NoPlan, TokenmillError, Unsupported
from tokenmill.planner.fleet import solve as fleet_solve
from tokenmill.planner.fleet.answer import FleetAnswer, FleetPlan
from tokenmill.planner.fleet.capacity import Capacity
from tokenmill.planner.fleet.fleet import fleet
from tokenmill.planner.fleet.highs import Relaxed
from tokenmill.planner.fleet.problem import fleet_problem
from tokenmill.planner.fleet.program import Program, fleet_program
from tokenmill.planner.fleet.question import WorkloadEntry, fleet_scenario, read_fleet

pytest.importorskip("highspy", reason="the fleet extra is not installed")

BASE: dict[str, Any] = {
    "start": "2027-Q1", "years": 3, "currency": "JPY", "rates": ["USD=¥150"], "gap": 0.001,
    "capital": "¥900,000,000",
    "workloads": {
        "chat": {
            "rate": "20 req/s", "growth": ["50 %", "30 %"], "mean_load": "50 %",
            "on": {"old": {"requests_per_s": 2.0, "watts_busy": "6 kW"},
                   "new": {"requests_per_s": 6.0, "watts_busy": "10 kW"}},
        },
        "code": {
            "rate": "6 req/s", "growth": "20 %", "sites": ["tokyo"],
            "on": {"old": {"requests_per_s": 1.0, "watts_busy": "7 kW"},
                   "new": {"requests_per_s": 2.0, "watts_busy": "11 kW"}},
        },
    },
    "sites": {
        "tokyo": {"power": "150 kW", "pue": 1.4, "tariff": "¥29"},
        "ishikari": {"power": "400 kW", "pue": 1.15, "tariff": "¥25", "space": "¥15,000"},
    },
    "systems": {
        "old": {"price": "$150,000", "life": "4 years", "watts_idle": "2 kW", "gpus": 8,
                "resale": "20 %"},
        "new": {"price": "¥60,000,000", "price_growth": "-15 %", "life": "4 years", "gpus": 8,
                "watts_idle": "3 kW", "available": "2027-Q3", "lead": "90 days",
                "resale": "30 %"},
    },
    "existing": [{"system": "old", "site": "tokyo", "machines": 18, "age": "2 years"}],
}  # fmt: skip


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    table = copy.deepcopy(BASE)
    change(table)
    return table


def answered(table: dict[str, Any]) -> FleetAnswer:
    return fleet(fleet_scenario(table))


@pytest.fixture(scope="module")
def plan() -> FleetPlan:
    answer = answered(BASE)
    assert answer.plan is not None and answer.conflict is None
    return answer.plan


def test_totals_are_the_sums_of_their_lines(plan: FleetPlan) -> None:
    assert plan.cash.total.nano == sum(bill.statement.total.nano for bill in plan.by_year)
    assert plan.cash.total.nano == sum(line.money.nano for line in plan.cash.lines)
    bought = sum(move.money.nano for move in plan.bought)
    assert bought == sum(
        line.money.nano for line in plan.cash.lines if line.label.endswith(": machines")
    )
    for bill in plan.by_year:
        assert bill.statement.total.nano == sum(line.money.nano for line in bill.statement.lines)


def test_the_printed_cost_is_the_cost_that_was_minimised(plan: FleetPlan) -> None:
    program = fleet_program(fleet_problem(fleet_scenario(BASE)))
    lower = fleet_solve.relaxed(program)
    assert lower is not None
    least = lower.cost * program.scale
    printed = plan.present.total.amount
    assert least <= printed * (1 + 1e-6)
    assert plan.gap <= 0.001
    found = fleet_solve.solve(program, lower, gap=0.001, limit_s=20.0)
    assert found is not None
    assert printed == pytest.approx(found.cost * program.scale, rel=1e-6)  # whole yen


def test_a_plan_keeps_every_limit(plan: FleetPlan) -> None:
    problem = fleet_problem(fleet_scenario(BASE))
    labels = [problem.calendar.label(t) for t in range(12)]
    for use in plan.use:
        assert all(p <= q * (1 + 1e-7) for p, q in zip(use.peak_w, use.limit_w, strict=True))
    for workload in problem.workloads:
        for label in labels:
            parts = [p.share for p in plan.placements
                     if p.workload == workload and p.period == label]  # fmt: skip
            assert sum(parts) >= 1 - 1e-6
    assert {p.site for p in plan.placements if p.workload == "code"} == {"tokyo"}
    stock = {(s.system, s.site): s.machines for s in plan.stock}
    for t, label in enumerate(labels):
        for (system, site), machines in stock.items():
            busy = [p.machines for p in plan.placements
                    if (p.period, p.system, p.site) == (label, system, site)]  # fmt: skip
            assert sum(busy) <= machines[t] + 1e-6
    spent = {year: 0.0 for year in range(3)}
    for move in plan.bought:
        spent[labels.index(move.period) // 4] += move.money.amount
    assert all(amount <= 900e6 * (1 + 1e-9) for amount in spent.values())


def test_machines_come_after_their_lead_and_leave_at_the_end_of_life(plan: FleetPlan) -> None:
    labels = answered(BASE).periods
    new = [move for move in plan.bought if move.system == "new"]
    assert new
    for move in new:
        assert labels.index(move.period) - labels.index(move.ordered) == 1
        assert move.period >= "2027 Q4"
    old = next(s for s in plan.stock if (s.system, s.site) == ("old", "tokyo"))
    had = 18
    bought = {m.period: m.machines for m in plan.bought if (m.system, m.site) == ("old", "tokyo")}
    sold = {m.period: m.machines for m in plan.retired if (m.system, m.site) == ("old", "tokyo")}
    for label, count in zip(labels, old.machines, strict=True):
        had += bought.get(label, 0) - sold.get(label, 0)
        assert had == count
    assert sum(sold.get(label, 0) for label in labels[:9]) >= 18  # two of four years were left


def test_the_same_scenario_gives_the_same_answer() -> None:
    assert answered(BASE).to_dict() == answered(BASE).to_dict()


def test_json_holds_plain_finite_values() -> None:
    text = json.dumps(answered(BASE).to_dict(), allow_nan=False)
    plain = json.loads(text)
    total = plain["plan"]["cash"]["total"]
    assert total == pytest.approx(sum(line["amount"] for line in plain["plan"]["cash"]["lines"]))


def test_nothing_is_printed_by_the_solver(capfd: pytest.CaptureFixture[str]) -> None:
    answered(BASE)
    assert capfd.readouterr() == ("", "")


def tight(power: str) -> dict[str, Any]:
    """The base scenario with little power in Tokyo, where `code` must run."""
    return changed(lambda t: t["sites"]["tokyo"].update(power=power))


@pytest.mark.parametrize("power_w", [112e3, 125e3])
def test_the_worth_of_power_is_what_a_little_more_saves(power_w: float) -> None:
    answer = answered(tight(f"{power_w} W"))
    assert answer.plan is not None
    worth = next(w for w in answer.plan.worth if (w.limit, w.name) == ("power", "tokyo"))
    assert worth.unit == "kW" and "kW at tokyo is worth ¥" in worth.words
    kept = fleet_solve.solve(*_relaxed(power_w), gap=0.001, limit_s=20.0)
    assert kept is not None

    def planned(watts: float) -> float:
        program, lower = _relaxed(watts)
        return lower.cost * program.scale

    def operated(watts: float) -> float:
        program, _ = _relaxed(watts)
        after = fleet_solve.fixed(program, kept.columns)
        assert after is not None
        return after.cost * program.scale

    for cost, told in ((planned, worth.planned), (operated, worth.operated)):
        saved_per_kw = (cost(power_w) - cost(power_w + 1.0)) * 1e3
        assert told.amount == pytest.approx(saved_per_kw, rel=1e-3, abs=1.0)


def _relaxed(watts: float) -> tuple[Program, Relaxed]:
    program = fleet_program(fleet_problem(fleet_scenario(tight(f"{watts} W"))))
    lower = fleet_solve.relaxed(program)
    assert lower is not None
    return program, lower


def test_power_in_plenty_is_worth_nothing(plan: FleetPlan) -> None:
    assert not [w for w in plan.worth if (w.limit, w.name) == ("power", "ishikari")]
    assert {w.name for w in plan.worth if w.limit == "demand"} == {"chat", "code"}


def test_a_conflict_names_its_limits_and_what_would_be_enough() -> None:
    answer = answered(tight("40 kW"))
    assert answer.plan is None and answer.conflict is not None
    assert "\n" not in answer.conflict.words
    assert any("power of tokyo" in part for part in answer.conflict.together)
    assert any("demand of code" in part for part in answer.conflict.together)
    assert not any("ishikari" in part for part in answer.conflict.together)
    share = next(r for r in answer.conflict.remedies if r.limit == "power").amounts["tokyo"]
    enough = 40e3 * (1 + share) * (1 + 1e-6)
    assert answered(tight(f"{enough} W")).plan is not None
    assert answered(tight(f"{40e3 * (1 + 0.9 * share)} W")).plan is None


def test_less_demand_as_a_conflict_says_is_enough() -> None:
    answer = answered(tight("40 kW"))
    assert answer.conflict is not None
    cuts = next(r for r in answer.conflict.remedies if r.limit == "demand").amounts
    assert {name.partition("@")[0] for name in cuts} == {"code"}
    assert all(0 < share <= 1 for share in cuts.values())


def test_a_delivery_that_comes_too_late_is_named() -> None:
    def late(table: dict[str, Any]) -> None:
        table["existing"] = []
        table["systems"]["old"]["lead"] = "300 days"

    conflict = answered(changed(late)).conflict
    assert conflict is not None
    assert "the first delivery of old (2028 Q1)" in conflict.together
    assert {remedy.limit for remedy in conflict.remedies} == {"demand"}


def test_too_little_capital_is_named_with_the_amount() -> None:
    conflict = answered(changed(lambda t: t.update(capital="¥30,000,000"))).conflict
    assert conflict is not None
    assert any(part.startswith("the capital of year") for part in conflict.together)
    more = next(r for r in conflict.remedies if r.limit == "capital")
    limits = [f"¥{30e6 * (1 + more.amounts.get(str(year), 0.0)) + 1:.0f}" for year in range(3)]
    assert answered(changed(lambda t: t.update(capital=limits))).plan is not None


def test_existing_machines_on_order_arrive_on_their_date() -> None:
    def ordered(table: dict[str, Any]) -> None:
        table["existing"].append(
            {"system": "new", "site": "tokyo", "machines": 2, "arrives": "2027-Q2"}
        )

    plan = answered(changed(ordered)).plan
    assert plan is not None
    stock = next(s for s in plan.stock if (s.system, s.site) == ("new", "tokyo"))
    sold = sum(m.machines for m in plan.retired if (m.system, m.site) == ("new", "tokyo"))
    assert stock.machines[0] == 0 and stock.machines[1] + sold >= 2


BAD: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("colour", lambda t: t.update(colour="red")),
    ("sites.tokyo.powr", lambda t: t["sites"]["tokyo"].update(powr="1 kW")),
    ("years", lambda t: t.update(years=0)),
    ("periods_per_year", lambda t: t.update(periods_per_year=0)),
    ("start", lambda t: t.update(start="2027-Q5")),
    ("workloads", lambda t: t.update(workloads={})),
    ("workloads.chat.rate", lambda t: t["workloads"]["chat"].update(rate="-1 req/s")),
    ("workloads.chat.rate", lambda t: t["workloads"]["chat"].update(rate=float("nan"))),
    ("workloads.chat.rate", lambda t: t["workloads"]["chat"].update(rate="5 kW")),
    ("workloads.chat.growth", lambda t: t["workloads"]["chat"].update(growth=float("inf"))),
    ("workloads.chat.mean_load", lambda t: t["workloads"]["chat"].update(mean_load=1.5)),
    ("sites.tokyo.pue", lambda t: t["sites"]["tokyo"].update(pue=float("nan"))),
    ("sites.tokyo.pue", lambda t: t["sites"]["tokyo"].update(pue=0.9)),
    ("sites.tokyo.power", lambda t: t["sites"]["tokyo"].update(power="0 W")),
    ("sites.tokyo.tariff", lambda t: t["sites"]["tokyo"].update(tariff="-¥29")),
    ("sites.tokyo.tariff", lambda t: t["sites"]["tokyo"].update(tariff=29)),
    ("sites.tokyo", lambda t: t["sites"]["tokyo"].pop("tariff")),
    ("systems.old.price", lambda t: t["systems"]["old"].update(price="$0")),
    ("systems.old.price", lambda t: t["systems"]["old"].update(price="€1")),
    ("systems.old.life", lambda t: t["systems"]["old"].update(life="-1 years")),
    ("systems.old.resale", lambda t: t["systems"]["old"].update(resale=1.0, price_growth=0.2)),
    ("existing.0.age", lambda t: t["existing"][0].update(age="9 years")),
    ("existing.0.site", lambda t: t["existing"][0].update(site="osaka")),
    ("on.old", lambda t: t["systems"]["old"].pop("watts_idle")),
    ("on.old", lambda t: t["systems"]["old"].update(watts_idle="9 kW")),
    ("rates.0", lambda t: t.update(rates=["USD"])),
    ("capital", lambda t: t.update(capital="3 bananas")),
    ("discount", lambda t: t.update(discount=-0.1)),
    ("gap", lambda t: t.update(gap=0)),
]  # fmt: skip


@pytest.mark.parametrize(("key", "change"), BAD)
def test_bad_input_is_one_line_with_its_key(
    key: str, change: Callable[[dict[str, Any]], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = changed(change)
    if key == "systems.old.price" and table["systems"]["old"]["price"].startswith("€"):
        monkeypatch.setattr("tokenmill.planner.fleet.prices.rates", _no_rates)
        table["rates"] = []
    with pytest.raises(BadRecord) as caught:
        answered(table)
    assert key in str(caught.value) and "\n" not in str(caught.value)


def _no_rates() -> Any:
    from tokenmill.cost.exchange import Rates

    return Rates({})


def test_a_file_is_named_in_its_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('start = "2027"\nyeras = 3\n', encoding="utf-8")
    with pytest.raises(BadRecord, match=r"mine\.toml: yeras: .*did you mean years"):
        read_fleet(path)


def test_without_the_solver_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(Unsupported, match="pip install highspy") as caught:
        answered(BASE)
    assert "\n" not in str(caught.value)


def test_capacities_come_from_the_seam_where_none_are_stated() -> None:
    asked: list[str] = []

    def capacity_of(workload: WorkloadEntry, hardware: str) -> Capacity:
        asked.append(hardware)
        if hardware == "small-card":
            raise Infeasible("weights do not fit", change="larger hardware")
        return Capacity(3.0, 8e3, 2e3, 8, "fake")

    def ask(table: dict[str, Any]) -> None:
        table["workloads"]["chat"] |= {"model": "some-model", "on": {}}
        table["systems"]["old"]["hardware"] = "small-card"
        table["systems"]["new"]["available"] = "2027"
        table["systems"]["new"]["lead"] = 0

    answer = fleet(fleet_scenario(changed(ask)), capacity_of=capacity_of)
    assert asked == ["small-card", "new"]
    assert answer.plan is not None
    assert [(d.workload, d.system) for d in answer.declined] == [("chat", "old")]
    assert "weights do not fit" in answer.declined[0].reason
    assert {p.system for p in answer.plan.placements if p.workload == "chat"} == {"new"}


def test_a_workload_that_nothing_can_run_is_refused_with_a_reason() -> None:
    def no(workload: WorkloadEntry, hardware: str) -> Capacity:
        raise Infeasible("TTFT is 3 s at best")

    table = changed(lambda t: t["workloads"]["chat"].update(model="some-model", on={}))
    with pytest.raises(NoPlan, match=r"chat.*TTFT is 3 s") as caught:
        fleet(fleet_scenario(table), capacity_of=no)
    assert len(caught.value.reasons) == 2


def test_the_gap_asked_for_is_reached_or_told() -> None:
    loose = answered(changed(lambda t: t.update(gap=0.3))).plan
    best = answered(changed(lambda t: t.update(gap=1e-6))).plan
    assert loose is not None and best is not None
    assert best.gap <= 1e-6 + 1e-9
    costs = [p.present.total.amount for p in (best, loose)]
    assert costs[0] <= costs[1] <= costs[0] / (1 - loose.gap - 1e-9)


def test_the_example_of_the_documentation_can_be_read(root: Path) -> None:
    scenario = read_fleet(root / "docs" / "examples" / "fleet.toml")

    def capacity_of(workload: WorkloadEntry, hardware: str) -> Capacity:
        return Capacity(20.0, 8e3, 2e3, 8, "fake")

    answer = fleet(scenario, origin="fleet.toml", capacity_of=capacity_of)
    assert answer.plan is not None or answer.conflict is not None


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_a_capacity_must_be_a_number_above_zero(value: float) -> None:
    for figures in ((value, 8e3, 2e3), (1.0, value, 2e3), (1.0, 8e3, value)):
        with pytest.raises(TokenmillError):
            Capacity(*figures, gpus=8)
