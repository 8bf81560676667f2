"""Prices behind a question of costs: tariff, space, staff, purchase, rent, hosted models."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tokenmill.catalog.prices import Price, given, price, prices
from tokenmill.catalog.tariffs import Tariff, flat, tariff
from tokenmill.cost.electricity import mean_per_kwh
from tokenmill.cost.exchange import Rate
from tokenmill.cost.money import Money
from tokenmill.errors import NoPrice
from tokenmill.placement.platform import Platform
from tokenmill.planner.cost.answer import Origin
from tokenmill.planner.cost.question import CostQuestion
from tokenmill.planner.pricing import PriceBook, price_book

__all__ = ["CostTill", "cost_till"]

_DESK = frozenset({"consumer", "workstation"})
_HOME = ("electricity-residential", "electricity-commercial", "electricity-industrial")
_WORKS = ("electricity-industrial", "electricity-commercial")


@dataclass
class CostTill:
    """Looks prices up, converts them, and keeps where each came from."""

    asked: CostQuestion
    where: Platform
    book: PriceBook
    today: datetime.date
    origins: list[Origin] = field(default_factory=list)

    @property
    def desk(self) -> bool:
        """Whether the GPU goes into a PC at home or in an office, without a machine hall."""
        return self.where.accelerator.market in _DESK

    def convert(self, amount: Money) -> Money:
        """An amount in the currency of the answer. Raises: InputError without a rate."""
        return self.book.exchange.convert(amount, self.asked.money)

    def noted(self, what: str, entry: Price) -> Money:
        """One unit of a price as money, its origin kept."""
        origin = Origin(what, entry, entry.is_stale(self.today))
        if origin not in self.origins:
            self.origins.append(origin)
        return self.book.exchange.price(entry, self.asked.money)

    @cached_property
    def tariff(self) -> Tariff:
        """The tariff: named, stated as a price per kWh, or that of the place.

        Raises: NoPrice, UnknownName.
        """
        if self.asked.tariff:
            named = tariff(self.asked.tariff)
            self._note_tariff(named)
            return named
        meters = [one for one in self.book.own if one.per == "kWh"]
        entry = meters[-1] if meters else self._metered()
        self.noted("electricity", entry)
        return flat(entry.items[0], entry.amount, entry.currency, entry.date, entry.source)

    def _note_tariff(self, named: Tariff) -> None:
        lows, highs = ([x for month in table for day in month for x in day]
                       for table in (named.low_per_kwh, named.high_per_kwh))  # fmt: skip
        mean = mean_per_kwh(named).amount
        self.noted("electricity by the hour, mean", Price(
            items=(named.slug,), kind="electricity-residential", amount=mean, low=min(*lows, mean),
            high=max(*highs, mean), currency=named.currency, per="kWh", date=named.date,
            source=named.source, region=named.region,
        ))  # fmt: skip

    def _metered(self) -> Price:
        place = self.asked.place
        kinds = _HOME if self.desk else (place.electricity_kind, *_WORKS)
        home = place.country.lower()
        items = (home, place.electricity) if self.desk else (place.electricity, home)
        for item in items[:-1]:
            if prices(item, kinds, region=self.asked.home, date=self.today):
                return price(item, kinds, region=self.asked.home, date=self.today)
        return price(items[-1], kinds, region=self.asked.home, date=self.today)

    def per_kwh(self, load: Sequence[float]) -> Money:
        """The mean price of a kWh for a daily load, in the currency of the answer."""
        return self.convert(mean_per_kwh(self.tariff, load))

    def running(self, kind: str, stated: Money | None) -> Money | None:
        """Space or staff, stated or of the place; None at a desk that states none."""
        if stated is not None:
            return self.convert(stated)
        if self.desk:
            return None
        home = self.asked.home.lower()
        for item in (self.asked.place.running, home, "eu" if self.asked.money == "EUR" else home):
            if prices(item, (kind,), date=self.today):
                return self.noted(kind, price(item, (kind,), date=self.today))
        raise NoPrice(f"{kind} at {self.asked.place.name}", f'state one with --{kind} "$1,000"')

    def purchase(self) -> tuple[Money, Price]:
        """What the machines cost, and the price behind it. Raises: NoPrice."""
        amount, entry = self.book.purchase(self.where, self.asked.gpus)
        self.noted("purchase", entry)
        return amount, entry

    def rent(self, kind: str) -> tuple[Money, Price]:
        """The rent of a GPU-hour of a kind, and the price behind it. Raises: NoPrice."""
        slug = self.where.accelerator.slug
        own = [one for one in self.book.own if one.per == "GPU-hour" and slug in one.items]
        if kind == "rent-on-demand" and own:
            return self.noted(kind, own[-1]), own[-1]
        if kind != "rent-on-demand" and not prices(slug, (kind,), date=self.today):
            raise NoPrice(
                f"{slug} ({kind})",
                f'add a line of kind "{kind}" to prices/*.toml in TOKENMILL_CATALOG',
            )
        entry = price(slug, (kind,), region=self.asked.home, date=self.today)
        fresh = [one for one in prices(slug, (kind,), date=self.today)
                 if not one.is_stale(self.today) and one.currency == entry.currency]  # fmt: skip
        low = min([entry.low, *(one.low for one in fresh)])
        high = max([entry.high, *(one.high for one in fresh)])
        return self.noted(kind, entry), entry.model_copy(update={"low": low, "high": high})

    def hosted(self, model: str) -> tuple[Money, Money]:
        """A hosted model's price of a million tokens in and out. Raises: NoPrice."""
        own = [one for one in self.book.own if one.per == "million tokens" and model in one.items]
        if own:
            each = self.noted("API, in and out alike", own[-1])
            return each, each
        entries = [price(model, (kind,), date=self.today) for kind in ("api-input", "api-output")]
        read, written = (self.noted(one.kind, one) for one in entries)
        return read, written

    def rates(self) -> tuple[Rate, ...]:
        """The exchange rates between the currencies that were met."""
        met = {one.entry.currency for one in self.origins} | {self.asked.money}
        known = self.book.exchange.known.values()
        if len(met) == 1:
            return ()
        direct = tuple(one for one in known if {one.currency, one.in_currency} <= met)
        return direct if len(direct) >= len(met) - 1 else tuple(known)


def cost_till(asked: CostQuestion, where: Platform, today: datetime.date | None) -> CostTill:
    """The till of a question. Raises: InputError for prices or rates that cannot be read."""
    day = today or datetime.date.today()
    book = price_book(asked.money, region="", own=asked.prices, today=day)
    exchange = book.exchange
    for text in asked.rates:
        exchange = exchange.replaced(text, today=day)
    own = tuple(given(text, today=day) for text in asked.prices)
    return CostTill(asked, where, replace(book, exchange=exchange, own=own, region=asked.home), day)
