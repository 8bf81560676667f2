"""The shopper's till: what cards cost, what their electricity costs a year, and one of the work."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.catalog.figure import Figure
from tokenmill.catalog.prices import Price, given, price, prices
from tokenmill.cost.electricity import energy_cost
from tokenmill.cost.exchange import Rates, rates
from tokenmill.cost.money import Line, Money, Statement
from tokenmill.cost.ownership import Ownership, owning_per_year
from tokenmill.errors import NoPrice
from tokenmill.physics.power import Node, node_w
from tokenmill.planner.shop.question import Job, ShopQuestion
from tokenmill.planner.shop.use import Use

__all__ = [
    "IDLE", "PURCHASE", "CardPrice", "Costs", "Till", "costs", "desktop", "hours_per_year",
    "meter_w", "pc_host", "pc_yearly", "till",
]  # fmt: skip

_DAYS = 365.0
PURCHASE, IDLE = "purchase", "idle"
_HOUR_S = 3600.0
# Street prices first; a list price at launch stands in where there is none.
_KINDS = {
    "either": ("purchase-new", "purchase-used", "purchase-launch"),
    "new": ("purchase-new", "purchase-launch"),
    "used": ("purchase-used",),
}
_TARIFFS = ("electricity-residential", "electricity-commercial", "electricity-industrial")
_PC, _HOST = "workstation-1x", "power-node-workstation"


@dataclass(frozen=True, slots=True)
class CardPrice:
    """One card's price with the range its source gives, in the till's currency."""

    amount: Money
    low: Money
    high: Money
    entry: Price
    stale: bool

    @property
    def launch(self) -> bool:
        """Whether it is a list price at launch, which no shop may ask today."""
        return self.entry.kind == "purchase-launch"

    @property
    def used(self) -> bool:
        """Whether it is second-hand."""
        return self.entry.kind == "purchase-used"


@dataclass(frozen=True)
class Till:
    """Prices in one currency: the user's own first, then the records."""

    currency: str
    region: str
    exchange: Rates
    own: tuple[Price, ...]
    today: datetime.date
    tariff: Price
    per_kwh: Money

    def card(self, slug: str, condition: str) -> CardPrice:
        """The price of one card: a fresh street price, an old one, the list price at launch;
        of equals new before used, the region's own, the newest.

        Parameters: slug; condition, "new", "used" or "either". Raises: NoPrice with the remedy.
        """
        stated = [one for one in self.own if slug in one.items and one.per == "unit"]
        if stated:
            return self._told(stated[-1])
        kinds = _KINDS[condition]
        found = prices(slug, kinds, region=self.region, date=self.today)
        if not found:
            raise NoPrice(
                f"{slug} ({condition})",
                f'give one with --price "{slug}={_EXAMPLE.get(self.currency, "$500")}"',
            )

        def rank(entry: Price) -> tuple[bool, bool, int]:
            launch = entry.kind == "purchase-launch"
            return launch, entry.is_stale(self.today), kinds.index(entry.kind)

        return self._told(min(found, key=rank))

    def _told(self, entry: Price) -> CardPrice:
        value, low, high = (
            self.exchange.convert(Money.of(amount, entry.currency), self.currency)
            for amount in (entry.amount, entry.low, entry.high)
        )
        return CardPrice(value, low, high, entry, entry.is_stale(self.today))

    def convert(self, amount: float, currency: str) -> Money:
        """An amount in the till's currency. Raises: InputError without a rate."""
        return self.exchange.convert(Money.of(amount, currency), self.currency)


_EXAMPLE = {"JPY": "¥80,000", "USD": "$500", "EUR": "€500"}


def till(question: ShopQuestion, *, today: datetime.date | None = None) -> Till:
    """The till of a question.

    Raises: NoPrice where the region has no tariff; InputError for prices or rates that cannot
    be read, and without a rate to the currency.
    """
    day = today or datetime.date.today()
    exchange = rates(date=day)
    for text in question.rates:
        exchange = exchange.replaced(text, today=day)
    own = tuple(given(text, today=day) for text in question.prices)
    place = question.home.lower()
    meters = [one for one in own if one.per == "kWh"]
    tariff = meters[-1] if meters else price(place, _TARIFFS, region=question.home, date=day)
    per_kwh = exchange.convert(Money.of(tariff.amount, tariff.currency), question.money)
    return Till(question.money, question.home, exchange, own, day, tariff, per_kwh)


def pc_host() -> Figure:
    """What the rest of a PC draws [W], its range and how firm that is."""
    return load.system(_PC).figure("host_power")


@lru_cache(maxsize=1)
def desktop() -> Node:
    """A desktop PC around one or more cards: host, fans, power supply, as the catalogue says."""
    figures = load.calibration(_HOST).figures
    return Node(
        pc_host().value, figures["fan_share"].value,
        figures["supply_efficiency"].value,
    )  # fmt: skip


def meter_w(cards_w: float, *, host: bool = False) -> float:
    """Power at the wall [W] of cards that draw `cards_w` [W], alone or with the PC around them."""
    pc = desktop()
    node = pc if host else Node(0.0, pc.fan_share, pc.supply_efficiency)
    return float(node_w(node, cards_w, 1))


@dataclass(frozen=True, slots=True)
class Costs:
    """A year of some cards in money, line by line, and their electricity in joules at the wall.

    purchase, a year's share of it, None where no price is known; working, electricity of each
    workload in the order asked (zero for what does not run); idle, electricity of the cards in
    the other hours that the PC is on.
    """

    purchase: Line | None
    working: tuple[Line, ...]
    idle: Line
    energy_j: float

    @property
    def electricity(self) -> Statement:
        """The electricity of a year."""
        return Statement((*self.working, self.idle), self.idle.money.currency)

    @property
    def yearly(self) -> Statement:
        """Everything on record: the purchase, where its price is known, and electricity."""
        bought = (self.purchase,) if self.purchase else ()
        return Statement((*bought, *self.working, self.idle), self.idle.money.currency)

    def shares(self, uses: Sequence[Use]) -> tuple[Money | None, ...]:
        """The year shared out to the workloads that run; the shares add up to the whole.

        A workload bears its own electricity, and its part by hours of purchase and idling; the
        last one takes what rounding leaves. None for what does not run.
        """
        running = [at for at, use in enumerate(uses) if use.runs]
        hours = sum(uses[at].job.hours for at in running)
        both = self.yearly.total - Statement(self.working, self.idle.money.currency).total
        left, shares = both, [None] * len(uses)  # type: tuple[Money, list[Money | None]]
        for at in running:
            part = left if at == running[-1] else both * (uses[at].job.hours / hours)
            left = left - part
            shares[at] = self.working[at].money + part
        return tuple(shares)


def costs(
    question: ShopQuestion, uses: Sequence[Use], count: int, card: CardPrice | None, idle_w: float,
    on_hours: float, per_kwh: Money,
) -> Costs:  # fmt: skip
    """What `count` cards cost a year.

    Parameters: question, for life and resale; uses; card, the price of one, None where unknown;
    idle_w [W] of one card; on_hours [h a day] that the PC is on; per_kwh.
    """
    working, total_j = [], 0.0
    for use in uses:
        line, energy_j = _electricity(use.job.model, use.card_w.value, use.runs * use.job.hours,
                                      per_kwh)  # fmt: skip
        working.append(line)
        total_j += energy_j
    busy = sum(use.job.hours for use in uses if use.runs)
    idle, energy_j = _electricity(IDLE, idle_w * count, max(on_hours - busy, 0.0), per_kwh)
    purchase = None if card is None else _owned(card.amount * count, question)
    return Costs(purchase, tuple(working), idle, total_j + energy_j)


def pc_yearly(on_hours: float, per_kwh: Money) -> Money:
    """A year's electricity of the PC without its cards, `on_hours` [h a day] on."""
    host_w = meter_w(0.0, host=True)
    return energy_cost(host_w * on_hours * _HOUR_S * _DAYS, per_kwh)


def hours_per_year(job: Job) -> float:
    """Hours of work a year [h]."""
    return job.hours * _DAYS


def _electricity(name: str, cards_w: float, hours: float, per_kwh: Money) -> tuple[Line, float]:
    """A year of some hours a day at a power [W] of the cards, and its energy at the wall [J]."""
    energy_j = meter_w(cards_w) * hours * _HOUR_S * _DAYS
    basis = f"{cards_w:.0f} W, {hours:g} h a day"
    return Line(f"electricity: {name}", energy_cost(energy_j, per_kwh), basis), energy_j


def _owned(price_of_all: Money, question: ShopQuestion) -> Line:
    """A year's share of the purchase: straight over its life, less what a sale brings back."""
    terms = Ownership(question.life_years, question.resale, finance_rate=0.0, upkeep=0.0)
    yearly = owning_per_year(price_of_all, terms)
    return Line(PURCHASE, yearly.total, f"{question.life_years:g} years")
