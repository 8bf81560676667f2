"""From columns of the solved programme to a plan in machines, places and money."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenmill.cost.electricity import JOULES_PER_KWH
from tokenmill.cost.money import Line, Money, Statement
from tokenmill.planner.fleet.answer import (
    FleetPlan,
    Move,
    Placement,
    SiteUse,
    Stock,
    Worth,
    YearBill,
)
from tokenmill.planner.fleet.prices import in_coins
from tokenmill.planner.fleet.problem import FleetProblem
from tokenmill.planner.fleet.program import Program
from tokenmill.planner.fleet.solve import Solution

__all__ = ["tell_fleet"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TRACE = 1e-6  # of a machine: loads below it are the dust of a solver


@dataclass(frozen=True)
class _Counts:
    """Whole machines in place, delivered and retired [S, J, T], and loads [columns]."""

    machines: Ints
    delivered: Ints
    retired: Ints
    load: Floats


def tell_fleet(
    problem: FleetProblem, program: Program, solution: Solution, worth: tuple[Worth, ...]
) -> FleetPlan:
    """The plan that a solution stands for; totals are sums of their lines."""
    machines, delivered, retired = (
        np.rint(block.of(solution.columns)).astype(np.int64)
        for block in (program.machines, program.delivered, program.retired)
    )
    counts = _Counts(machines, delivered, retired, program.load.of(solution.columns))
    use = tuple(_uses(problem, program, counts))
    flows = list(_flows(problem, counts, use))
    prices = problem.prices
    return FleetPlan(
        bought=tuple(_moves(problem, counts.delivered, prices.buy, ordered=True)),
        retired=tuple(_moves(problem, counts.retired, prices.resale, ordered=False)),
        stock=tuple(_stock(problem, counts.machines)),
        placements=tuple(_placements(problem, program, counts)),
        use=use,
        by_year=tuple(_years(problem, flows)),
        cash=_statement(problem, flows),
        present=_statement(problem, [flow.discounted(problem) for flow in flows]),
        gap=solution.gap,
        worth=worth,
    )


@dataclass(frozen=True, slots=True)
class _Flow:
    """Money at the beginning of a period, in whole yen or cents, so that sums print exactly."""

    period: int
    label: str
    money: Money

    def discounted(self, problem: FleetProblem) -> _Flow:
        factor = float(problem.discount[self.period])
        return _flow(self.period, self.label, self.money * factor)


def _flow(period: int, label: str, amount: Money) -> _Flow:
    return _Flow(period, label, in_coins(amount))


def _flows(problem: FleetProblem, counts: _Counts, use: tuple[SiteUse, ...]) -> Iterator[_Flow]:
    """Every amount of the plan, by period and kind."""
    prices, periods = problem.prices, range(problem.calendar.count)
    for s, system in enumerate(problem.systems):
        for t in periods:
            bought, sold, held = (
                int(part[s, :, t].sum())
                for part in (counts.delivered, counts.retired, counts.machines)
            )
            yield _flow(t, f"{system}: machines", prices.buy[s][t] * bought)
            yield _flow(t, f"{system}: upkeep", prices.upkeep[s][t] * held)
            yield _flow(t, f"{system}: resale", -(prices.resale[s][t] * sold))
        last = int(counts.machines[s, :, -1].sum())
        value = -(prices.resale[s][-1] * last)
        yield _flow(problem.calendar.count, f"{system}: value left at the end", value)
    for j, one in enumerate(use):
        for t in periods:
            kwh = one.energy_j[t] / JOULES_PER_KWH
            feed_kw = float((counts.machines[:, j, t] * problem.feed_w).sum() / 1e3)
            yield _flow(t, f"{one.site}: electricity", prices.per_kwh[j][t] * kwh)
            rent = prices.space[j] * (feed_kw * problem.calendar.months)
            yield _flow(t, f"{one.site}: space", rent)


def _statement(problem: FleetProblem, flows: list[_Flow]) -> Statement:
    """Flows summed by label, those that are nothing left out."""
    sums: dict[str, int] = {}
    for flow in flows:
        sums[flow.label] = sums.get(flow.label, 0) + flow.money.nano
    currency = problem.scenario.currency
    lines = (Line(label, Money(nano, currency)) for label, nano in sums.items() if nano)
    return Statement.of(lines, currency)


def _years(problem: FleetProblem, flows: list[_Flow]) -> Iterator[YearBill]:
    """The bill of every year; what is left at the end counts in the last."""
    cal = problem.calendar
    last = cal.count - 1
    for year in range(problem.scenario.years):
        inside = [flow for flow in flows if cal.year(min(flow.period, last)) == year]
        first = cal.label(year * cal.per_year)
        yield YearBill(f"from {first}" if cal.start % 12 else first[:4],
                       _statement(problem, inside))  # fmt: skip


def _moves(
    problem: FleetProblem, counts: Ints, prices: tuple[tuple[Money, ...], ...], *, ordered: bool
) -> Iterator[Move]:
    """Purchases or retirements in order of time."""
    cal = problem.calendar
    for s, j, t in sorted(np.argwhere(counts).tolist(), key=lambda at: (at[2], at[0], at[1])):
        machines = int(counts[s, j, t])
        yield Move(
            system=problem.systems[s], site=problem.sites[j], machines=machines,
            gpus=machines * problem.gpus[s],
            ordered=cal.label(t - int(problem.lead[s])) if ordered else "",
            period=cal.label(t), money=prices[s][t] * machines,
        )  # fmt: skip


def _stock(problem: FleetProblem, machines: Ints) -> Iterator[Stock]:
    for s, j in np.argwhere(machines.any(axis=2)).tolist():
        row = tuple(int(n) for n in machines[s, j])
        yield Stock(problem.systems[s], problem.sites[j], row)


def _placements(problem: FleetProblem, program: Program, counts: _Counts) -> Iterator[Placement]:
    """Loads of note, by workload and time, the largest share first."""
    carried = counts.load * problem.capacity_per_s[program.workload, program.system]
    shares = carried / problem.demand_per_s[program.workload, program.period]
    order = np.lexsort((-shares, program.period, program.workload))
    for at in order[counts.load[order] > _TRACE].tolist():
        yield Placement(
            workload=problem.workloads[program.workload[at]],
            period=problem.calendar.label(int(program.period[at])),
            system=problem.systems[program.system[at]], site=problem.sites[program.site[at]],
            machines=float(counts.load[at]), share=float(shares[at]),
        )  # fmt: skip


def _uses(problem: FleetProblem, program: Program, counts: _Counts) -> Iterator[SiteUse]:
    """Power and energy of each site; energy by the mean load, power by its peak."""
    above = problem.busy_w[program.workload, program.system] - problem.idle_w[program.system]
    shape = problem.power_w.shape
    idle_w = np.einsum("s,sjt->jt", problem.idle_w, counts.machines)
    peak_w, mean_w = idle_w.copy(), idle_w.copy()
    at = (program.site, program.period)
    np.add.at(peak_w, at, counts.load * above)
    np.add.at(mean_w, at, counts.load * above * problem.mean_load[program.workload])
    energy_j = mean_w * problem.pue[:, None] * problem.hours * 3600.0
    for j in range(shape[0]):
        yield SiteUse(
            site=problem.sites[j],
            peak_w=tuple((peak_w[j] * problem.pue[j]).tolist()),
            limit_w=tuple(problem.power_w[j].tolist()),
            energy_j=tuple(energy_j[j].tolist()),
        )
