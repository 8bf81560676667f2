"""What costs are told as: ways to get the work done, their statements, break-even, carbon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenmill.catalog.prices import Price
from tokenmill.cost.breakeven import Option, Span
from tokenmill.cost.carbon import Emissions
from tokenmill.cost.exchange import Rate
from tokenmill.cost.money import Money, Statement
from tokenmill.cost.sensitivity import Swing
from tokenmill.planner.cost.work import Made
from tokenmill.planner.plain import plain

__all__ = ["Carbon", "CostAnswer", "Crossing", "Origin", "Way"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a price comes from: what it is for, the record, and whether it is over a year old."""

    what: str
    entry: Price
    stale: bool


@dataclass(frozen=True, slots=True)
class Way:
    """One way to get the work done: buying, a kind of rent, or a hosted model.

    per_hour, of the calendar at the utilisation asked, line by line; per_unit, the same for one
    of each unit; option, its straight line over utilisation; purchase, paid at the start.
    """

    name: str
    per_hour: Statement
    per_unit: Mapping[str, Statement]
    option: Option
    purchase: Money | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """The utilisation at which two ways cost the same."""

    first: str
    second: str
    utilisation: float


@dataclass(frozen=True, slots=True)
class Carbon:
    """Greenhouse gas of a calendar hour and of one unit, each with its range.

    running, of the electricity; making, the share of the machines; cleanest and dirtiest [kg],
    a kWh of the grid at 13:00 and at 1:00 local time; per_unit, of the first unit made.
    """

    site: str
    running: Emissions
    making: Emissions
    making_kind: str
    mean_per_kwh: Emissions
    cleanest: Emissions
    dirtiest: Emissions
    per_unit: Emissions | None
    source: str

    @property
    def total(self) -> Emissions:
        """Running and making together."""
        return self.running + self.making


@dataclass(frozen=True, slots=True)
class CostAnswer:
    """What the work costs, every way that has a price on record.

    ways, the cheapest first; missing, why others are not there, with the remedy; spans, which
    way is cheapest over the utilisation; tornado of the cost of one `made[0]` by `swung`.
    """

    hardware: str
    gpus: int
    words: str
    currency: str
    utilisation: float
    hours: str
    made: tuple[Made, ...]
    busy_w: float
    idle_w: float
    pue: float
    ways: tuple[Way, ...]
    missing: tuple[str, ...]
    crossings: tuple[Crossing, ...]
    spans: tuple[Span, ...]
    swung: str
    tornado: tuple[Swing, ...]
    carbon: Carbon
    origins: tuple[Origin, ...]
    exchange: tuple[Rate, ...]
    notes: tuple[str, ...]
    kind: str

    @property
    def stale(self) -> bool:
        """Whether any price behind the answer is older than a year."""
        return any(one.stale for one in self.origins)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, every figure in its base unit, money as amount and currency."""
        told: dict[str, Any] = plain(self)
        told["carbon"]["total"] = plain(self.carbon.total)
        told["spans"] = [
            {"way": one.option.name, "start": one.start, "end": one.end} for one in self.spans
        ]
        return told
