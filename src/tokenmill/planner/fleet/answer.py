"""The answer to a fleet scenario: what to buy and retire, where work runs, what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from tokenmill.cost.money import Money, Statement
from tokenmill.planner.fleet.conflict import Conflict
from tokenmill.planner.fleet.problem import Declined

__all__ = [
    "FleetAnswer", "FleetPlan", "Move", "Placement", "SiteUse", "Stay", "Stock", "Worth",
    "YearBill",
]  # fmt: skip


_NOTED = 0.01  # part of a load below which a placement is not told


@dataclass(frozen=True, slots=True)
class Move:
    """Machines of one system bought for a site, or retired from it.

    `ordered` and `period` are periods in words (delivery or retirement); `money` paid or got.
    """

    system: str
    site: str
    machines: int
    gpus: int
    ordered: str
    period: str
    money: Money


@dataclass(frozen=True, slots=True)
class Stock:
    """Machines of one system at one site in every period."""

    system: str
    site: str
    machines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a workload runs in a period: machines busy with it, and the part of its load."""

    workload: str
    period: str
    system: str
    site: str
    machines: float
    share: float


@dataclass(frozen=True, slots=True)
class Stay:
    """Periods, first to last, in which a workload runs on the same systems at the same sites.

    `shares` holds (system, site, least, most part of the load), the largest first; parts below
    a hundredth are left out.
    """

    workload: str
    first: str
    last: str
    shares: tuple[tuple[str, str, float, float], ...]


@dataclass(frozen=True, slots=True)
class SiteUse:
    """Power of a site at the meter [W] at the peak of each period, its limit, energy [J]."""

    site: str
    peak_w: tuple[float, ...]
    limit_w: tuple[float, ...]
    energy_j: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class YearBill:
    """What a year costs, by kind."""

    year: str
    statement: Statement


@dataclass(frozen=True, slots=True)
class Worth:
    """What one more unit of a limit is worth, and when it binds.

    `planned`, present value over the scenario with the fleet chosen anew, at the margin
    (machines divisible); `a_month`, the same as an even payment while the limit is there;
    `operated`, present value with the machines as bought.
    """

    limit: str
    name: str
    unit: str
    when: str
    planned: Money
    a_month: Money
    operated: Money
    words: str


@dataclass(frozen=True)
class FleetPlan:
    """A plan: purchases, retirements, machines, placements, power, money, worth of limits.

    `cash` is the sum over all years of `by_year`; `present` is the same discounted to the
    start, the cost that was minimised, at most `gap` above the best possible.
    """

    bought: tuple[Move, ...]
    retired: tuple[Move, ...]
    stock: tuple[Stock, ...]
    placements: tuple[Placement, ...]
    use: tuple[SiteUse, ...]
    by_year: tuple[YearBill, ...]
    cash: Statement
    present: Statement
    gap: float
    worth: tuple[Worth, ...]

    @property
    def stays(self) -> tuple[Stay, ...]:
        """Placements told as stays: runs of periods on the same systems and sites."""
        return tuple(_stays(self.placements))


def _stays(placements: tuple[Placement, ...]) -> Iterator[Stay]:
    """Placements come by workload and period."""
    seen: list[tuple[str, list[str], dict[tuple[str, str], list[float]]]] = []
    for (workload, period), group in groupby(placements, lambda one: (one.workload, one.period)):
        here = {(one.system, one.site): one.share for one in group if one.share >= _NOTED}
        if not (seen and seen[-1][0] == workload and seen[-1][2].keys() == here.keys()):
            seen.append((workload, [], {place: [] for place in here}))
        seen[-1][1].append(period)
        for place, share in here.items():
            seen[-1][2][place].append(share)
    for workload, periods, places in seen:
        shares = [(*place, min(parts), max(parts)) for place, parts in places.items()]
        yield Stay(workload, periods[0], periods[-1], tuple(sorted(shares, key=lambda x: -x[3])))


@dataclass(frozen=True)
class FleetAnswer:
    """A plan, or the conflict that leaves none; one of the two is None."""

    name: str
    currency: str
    periods: tuple[str, ...]
    plan: FleetPlan | None
    conflict: Conflict | None
    declined: tuple[Declined, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; money as amount and currency, statements with their totals."""
        return {
            "name": self.name, "currency": self.currency, "periods": list(self.periods),
            "plan": None if self.plan is None else _plain(self.plan),
            "conflict": None if self.conflict is None
            else {**asdict(self.conflict), "words": self.conflict.words},
            "declined": [asdict(one) for one in self.declined], "notes": list(self.notes),
        }  # fmt: skip


def _plain(value: Any) -> Any:
    """Plain values of nested answers."""
    if isinstance(value, Money):
        return {"amount": value.amount, "currency": value.currency}
    if isinstance(value, Statement):
        lines = [
            {"label": line.label, "amount": line.money.amount, "basis": line.basis}
            for line in value.lines
        ]
        return {"lines": lines, "total": value.total.amount, "currency": value.currency}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
