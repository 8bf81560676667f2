"""What a shopper gets: offers ranked, what does not run and what would, what was turned down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenmill.catalog.boards import Board
from tokenmill.catalog.figure import Figure
from tokenmill.catalog.prices import Price
from tokenmill.cost.exchange import Rate
from tokenmill.cost.money import Money, Statement
from tokenmill.planner.plain import plain
from tokenmill.planner.shop.money import CardPrice, Costs, hours_per_year, pc_yearly
from tokenmill.planner.shop.question import Job
from tokenmill.planner.shop.use import Use
from tokenmill.simulator.outcome import Interval

__all__ = ["Offer", "Remedy", "Shop", "Shortage", "Turned", "best_rates", "ranked", "work_done"]

_LOT = {"image": 1e3, "chat": 1e6}


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change that was asked and works.

    kind and value: "form" (a number format), "context" [tokens], "size" (width), "count" (cards),
    "card" (a slug), "cap" [W], "used" (price), "budget", "power" [W], "quiet" [W], "slots";
    use, what a workload then does, where the change is for one workload; price of the other
    card, where known; keeps, the part of its speed that a card keeps.
    """

    kind: str
    value: Any
    use: Use | None = None
    price: CardPrice | None = None
    keeps: float = 1.0


@dataclass(frozen=True, slots=True)
class Shortage:
    """A workload that a card does not hold in its memory, and the changes that work.

    `use.runs` is True where it runs from the host's memory, only slower.
    """

    use: Use
    remedies: tuple[Remedy, ...]


@dataclass(frozen=True, slots=True)
class Turned:
    """A card that is out: the limit, what it needs and what there is, and changes that work.

    limit: memory, budget, price, power, quiet, slots, cap (no more than idling takes), form (it
    goes into no slot) or unsupported; needs and has in the unit of the limit (bytes, money,
    watts, slots); message, the form, or what tokenmill refused to predict; price of one card,
    None where unknown.
    """

    card: str
    count: int
    limit: str
    needs: float = 0.0
    has: float = 0.0
    message: str = ""
    price: CardPrice | None = None
    remedies: tuple[Remedy, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """Some equal cards in a PC, and what they do for the workloads.

    uses in the order asked; limit_w [W] of one card as sold, or the cap set on it; idle_w [W] of
    one card; busy_w [W] of all cards in the workload that draws most; wall_w [W] of the whole PC
    then, most_wall_w with every card at its limit; costs of a year; price of one card, None
    where unknown; used, its price second-hand where on record; board, None where unknown;
    draw_kind, how firm the power constants of its family are; work, part of the work of the
    fastest cards looked at that is done in the same hours, 0 to 1.
    """

    card: str
    name: str
    count: int
    uses: tuple[Use, ...]
    memory_bytes: float
    limit_w: float
    idle_w: float
    busy_w: Interval
    wall_w: float
    most_wall_w: float
    costs: Costs
    price: CardPrice | None
    used: CardPrice | None
    board: Board | None
    draw_kind: str
    work: float = 0.0
    shortages: tuple[Shortage, ...] = ()

    @property
    def runs(self) -> int:
        """How many of the workloads run [count]."""
        return sum(use.runs for use in self.uses)

    @property
    def purchase(self) -> Money | None:
        """What all its cards cost, None where no price is known."""
        return None if self.price is None else self.price.amount * self.count

    @property
    def yearly(self) -> Statement:
        """A year of purchase and electricity, line by line."""
        return self.costs.yearly

    @property
    def between(self) -> tuple[Money, Money] | None:
        """A year at the low and the high end of price and draw, None where no price is known."""
        if self.price is None or self.costs.purchase is None:
            return None
        ends = []
        for end in ("low", "high"):
            bought = self.costs.purchase.money * (getattr(self.price, end).amount
                                                  / self.price.amount.amount)  # fmt: skip
            total = bought + self.costs.idle.money
            for use, line in zip(self.uses, self.costs.working, strict=True):
                if use.runs:
                    total += line.money * (getattr(use.card_w, end) / use.card_w.value)
            ends.append(total)
        return ends[0], ends[1]

    @property
    def shares(self) -> tuple[Money | None, ...]:
        """The year's cost by workload; they add up to its total."""
        return self.costs.shares(self.uses)

    @property
    def unit_costs(self) -> tuple[Money | None, ...]:
        """What a thousand images or a million tokens cost out of the year, by workload.

        None where it does not run and where no price is known.
        """
        return tuple(
            None
            if share is None or self.price is None
            else share * (_LOT[use.job.kind] / (use.per_s.value * hours_per_year(use.job) * 3600.0))
            for use, share in zip(self.uses, self.shares, strict=True)
        )

    def score(self, goal: str) -> float:
        """What it does per unit of money a year, per joule, or at all; the higher the better.

        Goals: "money" (0 where no price is known), "power", "speed".
        """
        if goal == "speed":
            return self.work
        if goal == "power":
            return self.work / self.costs.energy_j if self.costs.energy_j > 0 else 0.0
        return 0.0 if self.price is None else self.work / self.yearly.total.amount


def best_rates(offers: Iterable[Offer], jobs: int) -> tuple[float, ...]:
    """The highest rate [1/s] found for each of `jobs` workloads."""
    rows = [[use.per_s.value for use in offer.uses] for offer in offers]
    return tuple(max((row[at] for row in rows), default=0.0) for at in range(jobs))


def work_done(uses: Sequence[Use], best: Sequence[float]) -> float:
    """The part of the fastest cards' work that is done in the same hours, by hours, 0 to 1."""
    hours = sum(use.job.hours for use in uses)
    done = sum(
        use.job.hours * use.per_s.value / most
        for use, most in zip(uses, best, strict=True) if most > 0
    )  # fmt: skip
    return done / hours


def ranked(offers: Iterable[Offer], goal: str) -> tuple[Offer, ...]:
    """Offers by how many workloads run, then by a goal, the best first; equal ones by name."""
    return tuple(sorted(offers, key=lambda one: (-one.runs, -one.score(goal), one.card, one.count)))


@dataclass(frozen=True, slots=True)
class Shop:
    """The shopper's answer.

    offers, the best of each card, ranked by `goal`; turned, cards that are out; unmodelled, uses
    that were named and nobody predicts; named, whether the cards were; top, how many offers are
    told in full; tariff with its date and source; exchange, the rates that were needed; host [W],
    the rest of the PC; intervals, the kind of source behind the 80 % intervals.
    """

    jobs: tuple[Job, ...]
    unmodelled: tuple[str, ...]
    goal: str
    condition: str
    region: str
    currency: str
    on_hours: float
    life_years: float
    resale: float
    named: bool
    top: int
    offers: tuple[Offer, ...]
    turned: tuple[Turned, ...]
    tariff: Price
    tariff_stale: bool
    per_kwh: Money
    exchange: tuple[Rate, ...]
    host: Figure
    intervals: str
    question: Mapping[str, Any]

    @property
    def pc_yearly(self) -> Money:
        """A year's electricity of the rest of the PC while it is on; no card's cost holds it."""
        return pc_yearly(self.on_hours, self.per_kwh)

    @property
    def hours(self) -> float:
        """Hours of work a day over all workloads."""
        return sum(job.hours for job in self.jobs)

    def best(self, goal: str) -> Offer | None:
        """The best offer for a goal among those that run most of what was asked."""
        return next(iter(ranked(self.offers, goal)), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, every figure in its base unit, money as amount and currency."""
        told: dict[str, Any] = plain(self)
        for row, offer in zip(told["offers"], self.offers, strict=True):
            row["runs"] = offer.runs
            row["purchase"] = plain(offer.purchase)
            row["yearly"] = plain(offer.yearly)
            row["between"] = plain(offer.between)
            row["shares"] = plain(offer.shares)
            row["unit_costs"] = plain(offer.unit_costs)
            row["scores"] = {goal: offer.score(goal) for goal in ("money", "power", "speed")}
        told["pc_yearly"] = plain(self.pc_yearly)
        for goal in ("money", "power", "speed"):
            best = self.best(goal)
            told[f"best_{goal}"] = None if best is None else best.card
        return told
