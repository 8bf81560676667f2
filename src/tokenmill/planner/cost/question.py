"""What a person asks of costs: a machine, what it makes, how it is used, where, on what terms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tokenmill.catalog import load
from tokenmill.catalog.load import names
from tokenmill.catalog.sites import Site, site
from tokenmill.cost.money import Money, money
from tokenmill.cost.ownership import Ownership
from tokenmill.errors import InputError
from tokenmill.planner.pricing import code
from tokenmill.planner.shop.question import first_wrong

__all__ = ["CostQuestion", "cost_question"]

_CURRENCY = {"JP": "JPY", "US": "USD"}
_EURO = frozenset({"EU", "DE", "FI", "IE", "FR", "NL", "ES", "IT"})
_SITES = {"JP": "tokyo", "US": "ashburn", "EU": "frankfurt"}
_HOURS = 24
_MONEY = ("space", "staff", "software")


class CostQuestion(BaseModel):
    """What do an hour, a million tokens, an image or another unit cost: bought, rented, hosted?

    `on`, GPU or system, and `gpus` of it; `model`, a language or image model as
    MODEL[@FORMAT][:WIDTHxHEIGHT:STEPS]; `units`, other things made as NAME=COUNT for each busy
    hour; `gpu_hours` of a model to train. `utilisation`, busy part of all hours; `hours`, local
    hours of the day with work, as "22-6"; `tariff`, one of the catalogue. `space` for each kW of
    feed and month, `staff` for a person and year, `software` for a GPU and year; `network`, as
    a part of the price of the machines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    on: str
    model: str = ""
    gpus: int = 1
    units: tuple[str, ...] = ()
    gpu_hours: float | None = None
    prompt_tokens: float = 1024.0
    output_tokens: float = 256.0
    concurrency: float = 16.0
    weights: str = ""
    engine: str = ""
    utilisation: float = 0.5
    hours: str = ""
    site: str = ""
    tariff: str = ""
    pue: float | None = None
    cooling: str = "air-chiller"
    life_years: float = 4.0
    resale: float = 0.0
    finance_rate: float = 0.05
    upkeep: float = 0.03
    space: Money | None = None
    staff: Money | None = None
    machines_per_person: float = 500.0
    software: Money | None = None
    network: float = 0.0
    currency: Literal["", "USD", "JPY", "EUR"] = ""
    region: str = ""
    prices: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        values = dict(given) if isinstance(given, Mapping) else {}
        for key in _MONEY:
            if isinstance(values.get(key), str):
                values[key] = money(values[key], what=key)
        for key in ("region", "currency"):
            if isinstance(values.get(key), str):
                values[key] = code(values[key])
        for key in ("units", "prices", "rates"):
            if isinstance(values.get(key), str):
                values[key] = (values[key],)
        return values

    @model_validator(mode="after")
    def _sane(self) -> Self:
        for key, least, most in (
            ("gpus", 1, 1_000_000), ("utilisation", 0, 1), ("gpu_hours", 0, 1e12),
            ("concurrency", 0, 1e9), ("pue", 1, 10), ("machines_per_person", 0, 1e9),
            ("network", 0, 2),
        ):  # fmt: skip
            value = getattr(self, key)
            open_ = least == 0 and key != "network"
            if value is not None and not (
                math.isfinite(value) and (value > least if open_ else value >= least)
                and value <= most
            ):  # fmt: skip
                bound = f"above {least:g}" if open_ else f"at least {least:g}"
                raise ValueError(f"{key} must be {bound} and at most {most:g}, not {value:g}")
        self.terms  # noqa: B018 - refused now rather than after the prediction
        most = len(self.busy_hours) / _HOURS
        if self.utilisation > most + 1e-9:
            raise ValueError(
                f"utilisation {self.utilisation:g} does not fit into {self.hours}, which is "
                f"{most:.3g} of the day"
            )
        return self

    @property
    def terms(self) -> Ownership:
        """The terms of a purchase. Raises: InputError."""
        return Ownership(self.life_years, self.resale, self.finance_rate, self.upkeep)

    @property
    def home(self) -> str:
        """The region whose prices count: stated, that of the site, or that of the currency."""
        stated = self.region or (site(self.site).country if self.site else "")
        return stated or {"JPY": "JP", "EUR": "EU"}.get(self.currency, "US")

    @property
    def place(self) -> Site:
        """The site whose climate, grid and tariff count.

        Raises: UnknownName; InputError for a region without a site.
        """
        if self.site:
            return site(self.site)
        for name in (_SITES.get(self.home, ""), *names("sites")):
            if name and (name == _SITES.get(self.home) or site(name).country == self.home):
                return site(name)
        raise InputError(
            f"no site on record in {self.home}; name one with --site ({', '.join(names('sites'))})"
        )

    @property
    def money(self) -> str:
        """The currency of the answer: the region's own unless another is asked for."""
        return self.currency or _CURRENCY.get(self.home, "EUR" if self.home in _EURO else "USD")

    @property
    def busy_hours(self) -> tuple[int, ...]:
        """The local hours of the day in which work may run. Raises: InputError."""
        if not self.hours.strip():
            return tuple(range(_HOURS))
        start, dash, end = (part.strip() for part in self.hours.partition("-"))
        if not (dash and start.isdecimal() and end.isdecimal()) or max(int(start), int(end)) > 24:
            raise InputError(f'hours: "{self.hours[:20]}" is not a span of the day; write "22-6"')
        first, last = int(start) % _HOURS, int(end) % _HOURS
        count = (last - first) % _HOURS or _HOURS
        return tuple((first + step) % _HOURS for step in range(count))

    @property
    def made(self) -> tuple[tuple[str, float], ...]:
        """(name, count for each busy hour) of the units that are stated. Raises: InputError."""
        return tuple(_unit(text) for text in self.units)


def _unit(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        count = float(number)
    except ValueError:
        count = math.nan
    if not name.strip() or not 0 < count < math.inf:
        raise InputError(
            f'cannot read "{text[:40]}"; write NAME=COUNT, the count made in each busy hour and '
            'above zero, such as "robot-hour=8"'
        )
    return " ".join(name.split()), count


def cost_question(**given: Any) -> CostQuestion:
    """A checked question from keyword arguments. Raises: InputError in one line; UnknownName."""
    try:
        asked = CostQuestion(**given)
    except ValidationError as problem:
        raise first_wrong(problem, CostQuestion) from None
    if asked.model:
        load.model(asked.model.partition(":")[0].partition("@")[0])
    asked.made  # noqa: B018 - refused now rather than after the prediction
    asked.place  # noqa: B018
    return asked
