"""A fleet scenario in numbers: every price in one currency, every capacity asked, as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenmill.cost.money import Money
from tokenmill.errors import BadRecord, Infeasible, InputError, NoPlan, Unsupported
from tokenmill.planner.fleet.capacity import Capacity, CapacityOf, capacity
from tokenmill.planner.fleet.fields import Calendar, at_year
from tokenmill.planner.fleet.prices import FleetPrices, fleet_prices
from tokenmill.planner.fleet.question import FleetScenario, SystemEntry, WorkloadEntry

__all__ = ["Cohort", "Declined", "FleetProblem", "fleet_problem"]

Floats = NDArray[np.float64]
HOURS_PER_MONTH = 730.0


@dataclass(frozen=True, slots=True)
class Declined:
    """A system that cannot run a workload, and why."""

    workload: str
    system: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cohort:
    """Machines in place or on order: indices of system and site, there from `arrives` until
    before `expires` [period]."""

    system: int
    site: int
    machines: int
    arrives: int
    expires: int


@dataclass(frozen=True)
class FleetProblem:
    """Arrays over workloads W, systems S, sites J and periods T.

    demand_per_s [W, T]; capacity_per_s [W, S], zero where a system cannot run a workload;
    busy_w [W, S], idle_w [S] of one machine at the wall; mean_load [W]; allowed [W, J];
    pue [J]; power_w [J, T] at the meter; most_machines [J]; life, earliest, latest [S] in
    periods (first and last delivery), most_bought [S] each period; capital [years] in currency
    (infinite where there is no limit); discount [T + 1].
    """

    scenario: FleetScenario
    calendar: Calendar
    workloads: tuple[str, ...]
    systems: tuple[str, ...]
    sites: tuple[str, ...]
    demand_per_s: Floats
    capacity_per_s: Floats
    busy_w: Floats
    idle_w: Floats
    mean_load: Floats
    allowed: NDArray[np.bool_]
    pue: Floats
    power_w: Floats
    most_machines: Floats
    life: NDArray[np.int64]
    earliest: NDArray[np.int64]
    latest: NDArray[np.int64]
    lead: NDArray[np.int64]
    most_bought: Floats
    gpus: tuple[int, ...]
    existing: tuple[Cohort, ...]
    capital: Floats
    discount: Floats
    prices: FleetPrices
    declined: tuple[Declined, ...]
    notes: tuple[str, ...]

    @property
    def hours(self) -> float:
        """Hours [h] in a period."""
        return self.calendar.months * HOURS_PER_MONTH

    @property
    def feed_w(self) -> Floats:
        """The highest draw of one machine of each system [S] over the workloads it runs [W]."""
        return np.asarray(np.maximum(self.idle_w, self.busy_w.max(axis=0)))

    def amount(self, value: float) -> Money:
        """A number in the currency of the scenario as money."""
        return Money.of(float(value), self.scenario.currency)


def fleet_problem(
    scenario: FleetScenario,
    *,
    origin: str = "scenario",
    capacity_of: CapacityOf = capacity,
    progress: Callable[[str], None] | None = None,
) -> FleetProblem:
    """A scenario with every price, tariff and capacity looked up.

    Parameters: scenario; origin, its file for messages; capacity_of, asked for every workload
    and system whose capacity the scenario does not state; progress, told what is looked up.
    Raises: BadRecord naming origin and key; NoPrice; NoPlan for a workload that no system
    can run inside its limits.
    """
    cal = scenario.calendar
    table, declined = _capacities(scenario, origin, capacity_of, progress)
    prices, notes = fleet_prices(scenario, origin)
    workloads, systems = list(scenario.workloads.values()), list(scenario.systems.values())
    cells = [[table.get((w, s)) for s in scenario.systems] for w in scenario.workloads]
    return FleetProblem(
        scenario=scenario,
        calendar=cal,
        workloads=tuple(scenario.workloads),
        systems=tuple(scenario.systems),
        sites=tuple(scenario.sites),
        demand_per_s=np.array([_demand(one, cal) for one in workloads]),
        capacity_per_s=_cells(cells, "requests_per_s"),
        busy_w=_cells(cells, "watts_busy"),
        idle_w=_cells(cells, "watts_idle").max(axis=0),
        mean_load=np.array([one.mean_load for one in workloads]),
        allowed=np.array([
            [not one.sites or site in one.sites for site in scenario.sites] for one in workloads
        ]),
        pue=np.array(prices.pue),
        power_w=np.array([
            [at_year(site.power, cal.year(t)) for t in range(cal.count)]
            for site in scenario.sites.values()
        ]),
        most_machines=np.array([site.machines or np.inf for site in scenario.sites.values()]),
        life=np.array([max(cal.periods(one.life), 1) for one in systems]),
        earliest=np.array([_first(one, cal) for one in systems]),
        latest=np.array([_last(one, cal) for one in systems]),
        lead=np.array([cal.periods(one.lead) for one in systems]),
        most_bought=np.array([one.most_per_period or np.inf for one in systems]),
        gpus=tuple(_gpus(table, name, one) for name, one in scenario.systems.items()),
        existing=_existing(scenario, cal, origin),
        capital=np.array(prices.capital),
        discount=np.array([
            (1.0 + scenario.discount) ** -cal.years(t) for t in range(cal.count + 1)
        ]),
        prices=prices,
        declined=declined,
        notes=notes,
    )  # fmt: skip


def _cells(cells: list[list[Capacity | None]], name: str) -> Floats:
    return np.array([[getattr(c, name) if c else 0.0 for c in row] for row in cells])


def _gpus(table: dict[tuple[str, str], Capacity], name: str, system: SystemEntry) -> int:
    return system.gpus or max((c.gpus for (_, s), c in table.items() if s == name), default=0)


def _demand(workload: WorkloadEntry, cal: Calendar) -> list[float]:
    """Peak rate [1/s] in every period: it grows within a year too, and is 0 outside its dates."""
    begins = 0 if workload.begins is None else cal.first_from(workload.begins)
    ends = cal.count if workload.ends is None else cal.first_from(workload.ends)
    rates, rate = [], workload.rate
    for period in range(cal.count):
        rates.append(rate if begins <= period < ends else 0.0)
        rate *= (1.0 + at_year(workload.growth, cal.year(period))) ** (1.0 / cal.per_year)
    return rates


def _first(system: SystemEntry, cal: Calendar) -> int:
    """First period of delivery: ordered at the start, or when it becomes available."""
    ordered = 0 if system.available is None else max(0, cal.first_from(system.available))
    return ordered + cal.periods(system.lead)


def _last(system: SystemEntry, cal: Calendar) -> int:
    if system.withdrawn is None:
        return cal.count
    return cal.first_from(system.withdrawn) - 1 + cal.periods(system.lead)


def _existing(scenario: FleetScenario, cal: Calendar, origin: str) -> tuple[Cohort, ...]:
    cohorts = []
    for index, one in enumerate(scenario.existing):
        life = max(cal.periods(scenario.systems[one.system].life), 1) - cal.periods(one.age)
        if life <= 0:
            raise BadRecord(
                origin, f"existing.{index}.age",
                f"the machines are at the end of the life of {one.system}; leave them out",
            )  # fmt: skip
        arrives = 0 if one.arrives is None else max(0, cal.first_from(one.arrives))
        system = list(scenario.systems).index(one.system)
        site = list(scenario.sites).index(one.site)
        cohorts.append(Cohort(system, site, one.machines, arrives, arrives + life))
    return tuple(cohorts)


def _capacities(
    scenario: FleetScenario, origin: str, capacity_of: CapacityOf,
    progress: Callable[[str], None] | None,
) -> tuple[dict[tuple[str, str], Capacity], tuple[Declined, ...]]:  # fmt: skip
    table: dict[tuple[str, str], Capacity] = {}
    declined: list[Declined] = []
    for workload_name, workload in scenario.workloads.items():
        before = len(declined)
        for name, system in scenario.systems.items():
            if progress is not None:
                progress(f"{workload_name} on {name}")
            try:
                found = _one(workload_name, workload, name, system, origin, capacity_of)
            except (Infeasible, Unsupported) as problem:
                declined.append(Declined(workload_name, name, str(problem)))
            else:
                table[workload_name, name] = found
        if len(declined) - before == len(scenario.systems):
            reasons = [f"{one.system}: {one.reason}" for one in declined[before:]]
            raise NoPlan(
                f"no system of the scenario can run {workload_name} inside its limits; "
                f"{reasons[0]}",
                reasons=reasons,
            )
    return table, tuple(declined)


def _one(
    workload_name: str, workload: WorkloadEntry, name: str, system: SystemEntry, origin: str,
    capacity_of: CapacityOf,
) -> Capacity:  # fmt: skip
    """One capacity: as the scenario states it, else asked."""
    stated = workload.on.get(name)
    key = f"workloads.{workload_name}.on.{name}"
    if stated is None:
        if workload.on and not workload.model:
            raise Infeasible(f"no capacity is stated under on.{name} and no model is named")
        found = capacity_of(workload, system.hardware or name)
        if system.watts_idle is None:
            return found
        return Capacity(
            found.requests_per_s, found.watts_busy, system.watts_idle, found.gpus, found.basis
        )
    idle = stated.watts_idle if system.watts_idle is None else system.watts_idle
    if idle is None:
        raise BadRecord(origin, key, "state watts_idle too, here or under the system")
    try:
        return Capacity(stated.requests_per_s, stated.watts_busy, idle, system.gpus or 0)
    except InputError as problem:
        raise BadRecord(origin, key, str(problem)) from None
