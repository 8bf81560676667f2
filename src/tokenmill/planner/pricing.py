"""What a fleet of GPUs costs an hour and to buy, and on what basis the figure stands."""

from __future__ import annotations

import contextlib
import datetime
import math
from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog.prices import RENT, Price, given, price, prices
from tokenmill.cost.electricity import local_tariff, mean_per_kwh
from tokenmill.cost.exchange import Rates, rates
from tokenmill.cost.hourly import as_money, owned_per_hour, purchase_price, rented_per_hour
from tokenmill.cost.money import Money, Statement
from tokenmill.errors import NoPrice, UnknownName
from tokenmill.placement.platform import Platform

__all__ = ["Bill", "PriceBook", "code", "price_book"]

# How people write a place or its money.
_SPELLINGS = {
    "JAPAN": "JP", "日本": "JP", "USA": "US", "UNITED STATES": "US", "AMERICA": "US",
    "EUROPE": "EU", "GERMANY": "DE", "IRELAND": "IE", "YEN": "JPY", "¥": "JPY", "円": "JPY",
    "DOLLAR": "USD", "DOLLARS": "USD", "$": "USD", "EURO": "EUR", "EUROS": "EUR", "€": "EUR",
}  # fmt: skip
_CURRENCIES = ("EUR", "JPY", "USD")
_RENT_KINDS = tuple(kind for kind in RENT if kind != "rent-spot")


@dataclass(frozen=True, slots=True)
class Bill:
    """An hour of a fleet line by line, its purchase, and the basis in a word (rent or own).

    stale and purchase_stale: whether a price behind the hour, or that of the purchase, is older
    than a year.
    """

    per_hour: Statement
    purchase: Money | None
    basis: str
    stale: bool
    purchase_stale: bool = False


@dataclass(frozen=True)
class PriceBook:
    """Prices of a question: the user's own first, then the records; one currency for all."""

    currency: str
    region: str
    exchange: Rates
    own: tuple[Price, ...]
    today: datetime.date

    def bill(self, where: Platform, gpus: int, facility_w: float, acquire: str) -> Bill:
        """The cost of an hour of `gpus` GPUs that draw `facility_w` [W] in all.

        Parameters: acquire, "rent" or "buy"; where only the other is on record, that one is
        taken and the basis says so.
        Raises: NoPrice where neither is on record.
        """
        first, second = (self._rented, self._owned) if acquire == "rent" else (
            self._owned, self._rented)  # fmt: skip
        try:
            return first(where, gpus, facility_w)
        except NoPrice as missing:
            try:
                return second(where, gpus, facility_w)
            except NoPrice:
                raise missing from None

    def purchase(self, where: Platform, gpus: int) -> tuple[Money, Price]:
        """What buying the machines for `gpus` GPUs costs. Raises: NoPrice."""
        accelerator = where.accelerator.slug
        machine = where.name if where.name == where.system.slug else ""
        machines = math.ceil(gpus / where.machine_gpus)
        own = [item for item in self.own if item.per == "unit"]
        for name, count in ((machine, machines), (accelerator, gpus)):
            stated = [item for item in own if name in item.items]
            if stated:
                return self.exchange.price(stated[-1], self.currency) * count, stated[-1]
        entry, each = purchase_price(
            machine, accelerator, where.machine_gpus, region=self.region or None,
            today=self.today,
        )  # fmt: skip
        count = machines if each == 1 and machine else gpus
        return self.exchange.price(entry, self.currency) * count, entry

    def _rented(self, where: Platform, gpus: int, facility_w: float) -> Bill:
        entry = price(
            where.accelerator.slug, _RENT_KINDS, region=self.region or None,
            extra=[item for item in self.own if item.per == "GPU-hour"],
        )  # fmt: skip
        line = as_money(entry, self.exchange, self.currency, self.today)
        purchase, old = None, False
        with contextlib.suppress(NoPrice):
            purchase, paid = self.purchase(where, gpus)
            old = paid.is_stale(self.today)
        statement = rented_per_hour(line, gpus)
        return Bill(statement, purchase, "rent", entry.is_stale(self.today), old)

    def _owned(self, where: Platform, gpus: int, facility_w: float) -> Bill:
        amount, entry = self.purchase(where, gpus)
        per_kwh, old_tariff = self._electricity()
        statement = owned_per_hour(
            amount, gpus, facility_power_w=facility_w, electricity_per_kwh=per_kwh
        )
        old = entry.is_stale(self.today)
        return Bill(statement, amount, "own", old or old_tariff, old)

    def _electricity(self) -> tuple[Money, bool]:
        """A kWh, stated or of the region, and whether its price is older than a year."""
        meters = [item for item in self.own if item.per == "kWh"]
        if meters:
            return self.exchange.price(meters[-1], self.currency), False
        tariff = local_tariff({"JP": "jp", "": "us"}.get(self.region, self.region.lower()))
        per_kwh = self.exchange.convert(mean_per_kwh(tariff), self.currency)
        return per_kwh, tariff.is_stale(self.today)


def price_book(
    currency: str,
    *,
    region: str = "",
    own: tuple[str, ...] = (),
    today: datetime.date | None = None,
) -> PriceBook:
    """The prices to use in a currency [JPY, USD, EUR].

    Parameters: region, such as "JP", whose prices come first (JP goes with JPY); own, prices that
    the user states ("rtx-4090=$1,500"); today, for the age of prices.
    Raises: InputError.
    """
    day = today or datetime.date.today()
    if currency not in _CURRENCIES:
        raise UnknownName("currency", currency, _CURRENCIES)
    home = code(region) or ("JP" if currency == "JPY" else "")
    if home and home not in _regions():
        raise UnknownName("region", region, _regions())
    stated = tuple(given(text, today=day) for text in own)
    return PriceBook(currency, home, _rates_of(day), stated, day)


def code(text: str) -> str:
    """A region or a currency as its code: "Japan" is JP, "yen" is JPY."""
    text = " ".join(text.split()).upper()
    return _SPELLINGS.get(text, text)


@lru_cache(maxsize=1)
def _regions() -> frozenset[str]:
    """Regions that prices on record belong to."""
    return frozenset(entry.region for entry in prices() if entry.region)


@lru_cache(maxsize=4)
def _rates_of(day: datetime.date) -> Rates:
    """Exchange rates once a day of use: reading them costs more than an estimate."""
    return rates(date=day)
