"""A fleet scenario: workloads that grow, sites with limits, systems to buy, machines in place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tokenmill.errors import InputError
from tokenmill.planner.fleet.fields import (
    Amount,
    Amounts,
    Calendar,
    Change,
    Changes,
    Date,
    Fraction,
    Limit,
    Part,
    Rate,
    Seconds,
    Table,
    Watts,
    WattsByYear,
    calendar,
    checked,
    read_scenario,
)

__all__ = [
    "Existing", "FleetScenario", "GivenCapacity", "SiteEntry", "SystemEntry", "WorkloadEntry",
    "fleet_scenario", "read_fleet",
]  # fmt: skip

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Tokens = Annotated[float, Field(ge=1, le=1e8, allow_inf_nan=False)]


class GivenCapacity(Table):
    """What one machine of a system does for a workload, where the user states it.

    requests_per_s inside the limits; watts_busy, watts_idle at the wall [W].
    """

    requests_per_s: Rate
    watts_busy: Watts
    watts_idle: Watts | None = None


class WorkloadEntry(Table):
    """One workload: its peak rate and growth, its model and limits, where it may run.

    `rate` is the peak to provide for in the first period; `growth` a year, one value or one for
    every year; `mean_load` the mean over the peak, which energy is counted by; `on` states
    capacities by system instead of asking the planner.
    """

    rate: Rate
    growth: Changes = (0.0,)
    mean_load: Part = 1.0
    model: str = ""
    prompt_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    ttft: Limit = 2.0
    tpot: Limit = 0.1
    percentile: Annotated[float, Field(ge=50, le=99.9)] = 95.0
    weights: str = ""
    engine: str = "vllm"
    sites: tuple[str, ...] = ()
    begins: Date | None = None
    ends: Date | None = None
    on: dict[str, GivenCapacity] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.model and not self.on:
            raise ValueError("name a model, or state capacities: on.SYSTEM.requests_per_s")
        return self


class SiteEntry(Table):
    """One site: power at the meter (one value or one a year), its cost, what it can hold.

    `place` is a site of the catalogue, asked where `tariff` (per kWh) is left out and, with
    `cooling` (air-chiller, air-economiser, evaporative, warm-water), where `pue` is;
    `space` is paid for each kW of IT feed and month.
    """

    power: WattsByYear
    place: str = ""
    pue: Annotated[float, Field(ge=1, le=5)] | None = None
    cooling: str = ""
    tariff: Amount | None = None
    tariff_growth: Change = 0.0
    space: Amount | None = None
    machines: Count | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.tariff is None and not self.place:
            raise ValueError('give a tariff, such as tariff = "¥29", or the place of a record')
        if self.pue is None and not (self.place and self.cooling):
            raise ValueError("give a pue, or both a place and a kind of cooling")
        return self


class SystemEntry(Table):
    """One kind of machine: its price, its terms, when it can be had.

    `hardware` is a name of the catalogue (the entry's own where left out); `price` of one
    machine, from the catalogue where left out; `price_growth` a year; `resale`, what a used
    machine brings as a part of what a new one costs that day; `upkeep`, part of the price
    paid every year; `lead`, from order to delivery; paid on delivery.
    """

    hardware: str = ""
    price: Amount | None = None
    price_growth: Change = 0.0
    resale: Fraction = 0.0
    upkeep: Fraction = 0.03
    life: Seconds = 5.0 * 365.25 * 86400.0
    lead: Seconds = 0.0
    available: Date | None = None
    withdrawn: Date | None = None
    most_per_period: Count | None = None
    watts_idle: Watts | None = None
    gpus: Count | None = None


class Existing(Table):
    """Machines in place at the start, or on order: their age, or the date they arrive."""

    system: str
    site: str
    machines: Count
    age: Seconds = 0.0
    arrives: Date | None = None


class FleetScenario(Table):
    """What to buy, when, for which workloads, where, and when to retire it?

    `capital` limits purchases of each year of the scenario (one value or one a year);
    `discount` a year; `gap` is how far from the best plan the answer may be.
    """

    name: str = "fleet"
    currency: Literal["JPY", "USD", "EUR"] = "USD"
    start: Date
    years: Annotated[int, Field(ge=1, le=40)]
    periods_per_year: Literal[1, 2, 4, 12] = 4
    discount: Fraction = 0.05
    capital: Amounts | None = None
    rates: tuple[str, ...] = ()
    region: str = ""
    gap: Annotated[Part, Field(ge=1e-6)] = 0.01
    time_limit: Annotated[Seconds, Field(gt=0)] = 20.0
    workloads: Annotated[dict[str, WorkloadEntry], Field(min_length=1)]
    sites: Annotated[dict[str, SiteEntry], Field(min_length=1)]
    systems: Annotated[dict[str, SystemEntry], Field(min_length=1)]
    existing: tuple[Existing, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name, workload in self.workloads.items():
            for system in workload.on:
                _present(f"workloads.{name}.on", system, self.systems)
            for site in workload.sites:
                _present(f"workloads.{name}.sites", site, self.sites)
        for index, one in enumerate(self.existing):
            _present(f"existing.{index}.system", one.system, self.systems)
            _present(f"existing.{index}.site", one.site, self.sites)
        return self

    @property
    def calendar(self) -> Calendar:
        """The periods of the scenario."""
        return calendar(self.start, self.years, self.periods_per_year)


def _present(key: str, name: str, table: dict[str, Any]) -> None:
    if name not in table:
        raise InputError(f'{key}: "{name}" is not in the scenario, which has {", ".join(table)}')


def read_fleet(path: Path, given: dict[str, Any] | None = None) -> FleetScenario:
    """A fleet scenario from a TOML file, under values that win over it, such as {"gap": "2 %"}.

    Raises: BadRecord naming file and key.
    """
    return read_scenario(path, FleetScenario, given)


def fleet_scenario(table: dict[str, Any], origin: str = "scenario") -> FleetScenario:
    """A fleet scenario from plain values. Raises: BadRecord naming origin and key."""
    return checked(table, FleetScenario, origin)
