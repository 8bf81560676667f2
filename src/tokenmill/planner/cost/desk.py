"""A question of costs with its machines and prices: the ways to get the work done, and carbon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from tokenmill.catalog import load
from tokenmill.catalog.sites import embodied_kg
from tokenmill.cost.breakeven import Option, hosted, rented
from tokenmill.cost.carbon import Emissions, embodied_share_kg, grid_kg_per_kwh, operational_kg
from tokenmill.cost.hourly import Running, owned_per_hour, per_unit, rented_per_hour
from tokenmill.cost.money import Line, Money, Statement
from tokenmill.errors import NoPrice, Unsupported
from tokenmill.physics.cooling import plant
from tokenmill.physics.facility import Hall, power_train, yearly_power
from tokenmill.planner.cost.answer import Carbon, Way
from tokenmill.planner.cost.question import CostQuestion
from tokenmill.planner.cost.till import CostTill
from tokenmill.planner.cost.work import INPUT, OUTPUT, TOKENS, Work

__all__ = ["Desk"]

_RENTS = {
    "rent-on-demand": "rent on demand", "rent-reserved": "rent reserved", "rent-spot": "rent spot",
}  # fmt: skip
_HALL_LOAD = 0.7  # of the IT power that a hall is built for
_HOUR_S, _DAY, _YEAR_S = 3600.0, 24, 8760.0 * 3600.0
_CLEANEST, _DIRTIEST = 13, 1


@dataclass
class Desk:
    """A question with the work of its machines and the prices behind it."""

    asked: CostQuestion
    work: Work
    till: CostTill

    @cached_property
    def pue(self) -> float:
        """PUE: stated, 1 at a desk, else from the climate of the site with its cooling."""
        if self.asked.pue is not None or self.till.desk:
            return self.asked.pue or 1.0
        rated_w = max(self.work.busy_w / _HALL_LOAD, 1.0)
        hall = Hall(rated_w, plant(self.asked.cooling), power_train())
        return float(yearly_power(_HALL_LOAD * hall.rated_it_w, self.asked.place, hall).pue)

    def load_w(self, utilisation: float) -> list[float]:
        """Power at the wall [W] in each local hour of the day, mean over busy and idle."""
        hours = set(self.asked.busy_hours)
        part = utilisation * _DAY / len(hours)
        swing = (self.work.busy_w - self.work.idle_w) * part
        return [self.work.idle_w + (swing if hour in hours else 0.0) for hour in range(_DAY)]

    @cached_property
    def running(self) -> Running:
        """Yearly costs besides machine and electricity. Raises: NoPrice."""
        asked, till = self.asked, self.till
        software = None if asked.software is None else till.convert(asked.software)
        return Running(
            till.running("space", asked.space), till.running("staff", asked.staff),
            asked.machines_per_person, software, asked.network,
        )  # fmt: skip

    def owned(self, utilisation: float, purchase: Money) -> Statement:
        """A calendar hour of owned machines at a utilisation, line by line."""
        load = self.load_w(utilisation)
        machines = self.work.gpus / self.work.where.machine_gpus
        running = self.running
        if running.staff_per_year is not None:
            staff = running.staff_per_year * machines
            running = Running(running.space_per_kw_month, staff, running.machines_per_person,
                              running.software_per_gpu_year, running.network_share)  # fmt: skip
        return owned_per_hour(
            purchase, self.work.gpus, facility_power_w=sum(load) / _DAY * self.pue,
            electricity_per_kwh=self.till.per_kwh(load), terms=self.asked.terms, running=running,
            feed_power_w=self.work.busy_w,
        )  # fmt: skip

    def ways(self) -> tuple[tuple[Way, ...], tuple[str, ...]]:
        """(ways with a price, the cheapest first; why the others have none). Raises: NoPrice."""
        makers: list[Callable[[], Way]] = [self._bought]
        makers += [lambda kind=kind: self._rented(kind) for kind in _RENTS]  # type: ignore[misc]
        if self.tokens:
            makers.append(self._hosted)
        self.till.tariff  # noqa: B018 - a place without a tariff is an error, not a missing way
        found: list[Way] = []
        refused: list[NoPrice] = []
        for make in makers:
            try:
                found.append(make())
            except NoPrice as missing:
                refused.append(missing)
        if not found:
            raise refused[0]
        found.sort(key=lambda way: way.per_hour.total.nano)
        return tuple(found), tuple(map(str, refused))

    @property
    def tokens(self) -> bool:
        """Whether tokens are made, which a hosted model could make too."""
        return any(one.name == OUTPUT for one in self.work.made)

    def _bought(self) -> Way:
        purchase, _ = self.till.purchase()
        most = len(self.asked.busy_hours) / _DAY
        idle = self.owned(0.0, purchase).total
        slope = (self.owned(most, purchase).total - idle) / most
        option = Option("buy", idle, slope)
        return self.way(option, self.owned(self.asked.utilisation, purchase), purchase)

    def _rented(self, kind: str) -> Way:
        each, entry = self.till.rent(kind)
        name = _RENTS[kind]
        basis = ", ".join(x for x in (entry.date, entry.provider, entry.source.title) if x)
        statement = rented_per_hour(Line(name, each, basis), self.work.gpus)
        released = kind != "rent-reserved"
        option = rented(statement, released_when_idle=released, name=name)
        hour = statement.times(self.asked.utilisation) if released else statement
        return self.way(option, hour)

    def _hosted(self) -> Way:
        """The tokens that the machines would make, at a hosted model's prices."""
        read, written = self.till.hosted(load.model(self.asked.model.partition("@")[0]).slug)
        rate = {one.name: one.per_s for one in self.work.made}
        option = hosted(read, written, rate[INPUT] * 1e6, rate[OUTPUT] * 1e6)
        hours = _HOUR_S * self.asked.utilisation
        lines = (
            Line("input tokens", read * (rate[INPUT] * hours), f"{read} a million"),
            Line("output tokens", written * (rate[OUTPUT] * hours), f"{written} a million"),
        )
        hour = Statement(lines, self.asked.money)
        both = hour.per(rate[TOKENS] * hours)
        per = {
            OUTPUT: Statement((Line("output tokens", written),), self.asked.money),
            INPUT: Statement((Line("input tokens", read),), self.asked.money), TOKENS: both,
        }  # fmt: skip
        others = {one.name: per_unit(hour, one.per_s, utilisation=self.asked.utilisation)
                  for one in self.work.made if one.name not in per}  # fmt: skip
        return Way("API", hour, per | others, option)

    def way(self, option: Option, hour: Statement, purchase: Money | None = None) -> Way:
        """A way whose hour is shared out to the units that it makes."""
        units: Mapping[str, Statement] = {
            one.name: per_unit(hour.times(one.share), one.per_s, utilisation=self.asked.utilisation)
            for one in self.work.made
        }
        return Way(option.name, hour, units, option, purchase)

    def carbon(self) -> Carbon:
        """Carbon of a calendar hour: electricity by the hours of work, and the share of making."""
        asked, work, place = self.asked, self.work, self.asked.place
        load = self.load_w(asked.utilisation)
        mean_w = sum(load) / _DAY * self.pue
        running = operational_kg(mean_w * _HOUR_S, place, load)
        try:
            each, units = embodied_kg(work.where.name), work.gpus / work.where.machine_gpus
        except Unsupported:
            limit_w, units = work.where.power.limit_w, work.gpus
            each = embodied_kg(work.where.accelerator.slug, board_power_w=limit_w)
        if work.where.name == work.where.accelerator.slug:
            units = work.gpus
        making = embodied_share_kg(each, units, _HOUR_S, asked.life_years * _YEAR_S)
        per: Emissions | None = None
        if work.main is not None:
            made = work.main.per_s * _HOUR_S * asked.utilisation
            per = (running + making).times(work.main.share / made)
        source = place.sources[place.carbon_per_kwh.source].title
        return Carbon(
            place.name, running, making, each.kind, grid_kg_per_kwh(place),
            grid_kg_per_kwh(place, _CLEANEST), grid_kg_per_kwh(place, _DIRTIEST), per, source,
        )  # fmt: skip

    def notes(self) -> tuple[str, ...]:
        """What the figures leave out."""
        left = []
        owned = next((one for one in self.till.origins if one.what == "purchase"), None)
        if owned and not self.till.desk and self.work.where.accelerator.slug in owned.entry.items:
            left.append(
                "the purchase is of GPUs alone; state the whole machine with --price, or name a "
                "system such as dgx-h100"
            )
        if self.till.desk:
            left.append("the PC around the card is not bought; its draw at work is counted")
        if self.asked.software is None:
            left.append("no software licence is counted; state one with --software")
        if not self.asked.network and not self.till.desk:
            left.append("no network is counted; state its part of the price with --network")
        if any(one.what == "rent-spot" for one in self.till.origins):
            left.append("what is rented by spot can be taken away at any time")
        if self.tokens:
            left.append("input and output tokens share the cost by the time that each takes")
        return tuple(left)
