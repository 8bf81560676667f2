"""Prices of a fleet scenario: machines, electricity, space and capital in one currency."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tokenmill.catalog.sites import site as catalogue_site
from tokenmill.catalog.tariffs import tariff
from tokenmill.cost.electricity import local_tariff, mean_per_kwh
from tokenmill.cost.exchange import Rates, rates
from tokenmill.cost.hourly import purchase_price
from tokenmill.cost.money import CURRENCIES, Money
from tokenmill.errors import BadRecord, InputError, NoPrice
from tokenmill.physics.cooling import plant
from tokenmill.physics.facility import Hall, power_train, yearly_power
from tokenmill.placement.platform import platform
from tokenmill.planner.fleet.fields import Calendar, at_year
from tokenmill.planner.fleet.question import FleetScenario, SiteEntry, SystemEntry

__all__ = ["FleetPrices", "fleet_prices", "in_coins"]

_LOAD = 0.7  # of the IT power that a hall is built for, where its PUE is taken


@dataclass(frozen=True)
class FleetPrices:
    """Unit prices in the scenario's currency, by period; those of machines in whole coins.

    buy, resale [S][T + 1] of one machine, upkeep [S][T] of one machine and period;
    per_kwh [J][T]; space [J] per kW of IT feed and month; pue [J]; capital [years], infinite
    where there is no limit.
    """

    buy: tuple[tuple[Money, ...], ...]
    resale: tuple[tuple[Money, ...], ...]
    upkeep: tuple[tuple[Money, ...], ...]
    per_kwh: tuple[tuple[Money, ...], ...]
    space: tuple[Money, ...]
    pue: tuple[float, ...]
    capital: tuple[float, ...]


@dataclass
class _Desk:
    """Looks prices up, converts them, and notes what a reader must know of them."""

    scenario: FleetScenario
    origin: str
    exchange: Rates
    today: datetime.date
    notes: list[str]

    def convert(self, amount: Money, key: str) -> Money:
        """An amount in the scenario's currency. Raises: BadRecord without a rate."""
        try:
            return self.exchange.convert(amount, self.scenario.currency)
        except InputError:
            into = self.scenario.currency
            raise BadRecord(
                self.origin, key,
                f"no exchange rate from {amount.currency} to {into}; "
                f'add rates = ["{amount.currency}=1.25 {into}"]',
            ) from None  # fmt: skip

    def machine(self, name: str, system: SystemEntry) -> Money:
        """The price of one machine today, stated or on record. Raises: BadRecord, NoPrice."""
        key = f"systems.{name}.price"
        if system.price is not None:
            if system.price.nano == 0:
                raise BadRecord(self.origin, key, "a price must be above zero")
            return self.convert(system.price, key)
        where = platform(system.hardware or name)
        slug = where.system.slug if where.name == where.system.slug else ""
        try:
            entry, count = purchase_price(
                slug, where.accelerator.slug, where.machine_gpus,
                region=self.scenario.region or None, today=self.today,
            )  # fmt: skip
        except NoPrice:
            raise NoPrice(
                name, f'state one in {self.origin}: systems.{name}.price = "$250,000"'
            ) from None
        age = ", older than a year" if entry.is_stale(self.today) else ""
        host = " for the GPUs without their host" if count > 1 else ""
        self.notes.append(
            f"{name}: {count} x {entry.amount:,.0f} {entry.currency}{host}, {entry.date}, "
            f"{entry.source.title}{age}"
        )
        return self.convert(Money.of(entry.amount, entry.currency) * count, key)

    def per_kwh(self, name: str, site: SiteEntry) -> Money:
        """The price of a kWh today, stated or that of the place. Raises: BadRecord, NoPrice."""
        key = f"sites.{name}.tariff"
        if site.tariff is not None:
            return self.convert(site.tariff, key)
        place = catalogue_site(site.place)
        found = tariff(place.tariff) if place.tariff else local_tariff(
            place.electricity, place.electricity_kind)  # fmt: skip
        age = ", older than a year" if found.is_stale(self.today) else ""
        self.notes.append(
            f"{name}: electricity by {found.name}, {found.date}, {found.source.title}{age}"
        )
        return self.convert(mean_per_kwh(found), key)

    def pue(self, name: str, site: SiteEntry) -> float:
        """PUE, stated or from the climate of the place with a kind of cooling."""
        if site.pue is not None:
            return site.pue
        place, cooling = catalogue_site(site.place), plant(site.cooling)
        hall = Hall(max(site.power), cooling, power_train())
        pue = float(yearly_power(_LOAD * hall.rated_it_w, place, hall).pue)
        self.notes.append(f"{name}: PUE {pue:.3f} from the climate, {site.cooling}")
        return pue


def fleet_prices(
    scenario: FleetScenario, origin: str, *, today: datetime.date | None = None
) -> tuple[FleetPrices, tuple[str, ...]]:
    """Every price of a scenario in its currency, and notes on where each comes from.

    Raises: BadRecord naming origin and key; NoPrice; UnknownName.
    """
    day = today or datetime.date.today()
    exchange = rates()
    for index, text in enumerate(scenario.rates):
        try:
            exchange = exchange.replaced(text, today=day)
        except InputError as problem:
            raise BadRecord(origin, f"rates.{index}", str(problem)) from None
    desk = _Desk(scenario, origin, exchange, day, [])
    cal, systems, sites = scenario.calendar, scenario.systems, scenario.sites
    buy = tuple(
        tuple(map(in_coins, _yearly(desk.machine(name, one), one.price_growth, cal, cal.count + 1)))
        for name, one in systems.items()
    )
    each = list(zip(systems.values(), buy, strict=True))
    resale = tuple(tuple(in_coins(price * one.resale) for price in row) for one, row in each)
    _no_trade(scenario, buy, resale, origin)
    share = cal.months / 12.0
    free = [name for name, site in sites.items() if site.space is None]
    desk.notes.append(
        "not counted: staff, network, software" + (f", space at {', '.join(free)}" if free else "")
    )
    return FleetPrices(
        buy=buy,
        resale=resale,
        upkeep=tuple(tuple(p * (one.upkeep * share) for p in row[:-1]) for one, row in each),
        per_kwh=tuple(
            _yearly(desk.per_kwh(name, site), site.tariff_growth, cal, cal.count)
            for name, site in sites.items()
        ),
        space=tuple(
            desk.convert(site.space, f"sites.{name}.space")
            if site.space is not None else Money(0, scenario.currency)
            for name, site in sites.items()
        ),
        pue=tuple(desk.pue(name, site) for name, site in sites.items()),
        capital=_capital(desk),
    ), tuple(desk.notes)  # fmt: skip


def in_coins(amount: Money) -> Money:
    """An amount in whole yen or cents, so that what is printed adds up."""
    coin = 10 ** (9 - CURRENCIES[amount.currency][1])
    return Money(round(Fraction(amount.nano, coin)) * coin, amount.currency)


def _yearly(price: Money, change: float, cal: Calendar, count: int) -> tuple[Money, ...]:
    """A price in each of `count` periods when it changes by a share every year."""
    return tuple(price * (1.0 + change) ** cal.years(t) for t in range(count))


def _capital(desk: _Desk) -> tuple[float, ...]:
    limits = desk.scenario.capital
    if limits is None:
        return (float("inf"),) * desk.scenario.years
    years = range(desk.scenario.years)
    return tuple(desk.convert(at_year(limits, year), "capital").amount for year in years)


def _no_trade(
    scenario: FleetScenario, buy: Sequence[Sequence[Money]], resale: Sequence[Sequence[Money]],
    origin: str,
) -> None:  # fmt: skip
    """Refuse machines that sell for more than they cost: the best plan would be to trade them."""
    cal, rate = scenario.calendar, 1.0 + scenario.discount
    for name, bought, sold in zip(scenario.systems, buy, resale, strict=True):
        least = float("inf")
        for period, (cost, back) in enumerate(zip(bought, sold, strict=True)):
            factor = rate ** -cal.years(period)
            if period and back.amount * factor >= least:
                raise BadRecord(
                    origin, f"systems.{name}.resale",
                    f"a used machine of {cal.label(period)} would bring what an earlier one "
                    "cost; lower resale or price_growth",
                )  # fmt: skip
            least = min(least, cost.amount * factor)
