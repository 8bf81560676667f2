"""A growth scenario: demand that answers to price, a first fleet, policies to compare."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tokenmill.errors import InputError
from tokenmill.planner.fleet.fields import (
    Amount,
    Date,
    Fraction,
    Limit,
    Part,
    Seconds,
    Table,
    Watts,
    checked,
    read_scenario,
)
from tokenmill.planner.growth.generations import Formats
from tokenmill.units import parse

__all__ = [
    "DemandEntry", "FirstFleet", "GrowthScenario", "Policy", "Progress", "SiteTerms", "Spread",
    "growth_scenario", "read_growth",
]  # fmt: skip

YEAR_S = 365.25 * 86400.0


class Spread(Table):
    """An uncertain number: low and high hold 80 % of it between them."""

    value: float
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"low <= value <= high is needed, not {self.low}, {self.value}, "
                             f"{self.high}")  # fmt: skip
        return self


def _spread(dimension: str, least: float, most: float) -> BeforeValidator:
    """Read a number with or without bounds: "30 %" or { value = "30 %", low = ..., high = ... }."""

    def number(value: Any) -> float:
        if not isinstance(value, str | int | float):
            raise InputError('write a number, or { value = "30 %", low = "10 %", high = "50 %" }')
        found = parse(value, dimension)
        if not (math.isfinite(found) and least <= found <= most):
            raise InputError(f"{value} is outside {least:g} to {most:g}")
        return found

    def read(value: object) -> Any:
        if isinstance(value, Spread):
            return value
        if isinstance(value, Mapping):
            return {key: number(one) for key, one in value.items()}
        middle = number(value)
        return {"value": middle, "low": middle, "high": middle}

    return BeforeValidator(read)


_POLICY = re.compile(r"^(never|expand|cautious|replace (\d+(?:\.\d+)?))$")


class Policy(Table):
    """When machines are replaced, and by what.

    never: always the first generation, at the end of life. replace N: machines leave after N
    years, for what is best then. cautious: only what has been on sale for a year, kept to the
    end of life, with a reserve. expand: the best there is, as soon as running an old machine
    costs more than all of a new one; prices follow the newest generation at once.
    """

    name: str
    kind: Literal["never", "replace", "cautious", "expand"]
    years: float | None = None


def _policy(value: object) -> Any:
    if isinstance(value, Policy):
        return value
    match = _POLICY.match(value) if isinstance(value, str) else None
    if match is None or (match[2] and not 0.25 <= float(match[2]) <= 30):
        raise InputError(f'{value!r} is no policy; write never, "replace 4", cautious or expand')
    kind = match[1].split()[0]
    return {"name": match[1], "kind": kind, "years": float(match[2]) if match[2] else None}


class DemandEntry(Table):
    """Demand: tokens a second at the start, its own growth, and its answer to the price.

    `growth` a year at an unchanged price; `elasticity`: 1 % off the price brings so many
    percent more use; `lag`, the time in which users follow a new price; `peak`, peak over mean.
    """

    tokens_per_s: Annotated[float, BeforeValidator(lambda v: _tokens(v))]
    growth: Annotated[Spread, _spread("1", -0.9, 10.0)]
    elasticity: Annotated[Spread, _spread("1", 0.0, 5.0)]
    lag: Seconds = YEAR_S
    peak: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = 2.0


def _tokens(value: object) -> float:
    if not isinstance(value, str | int | float):
        raise InputError('write a rate, such as "50 k tokens/s"')
    found = parse(value, "tokens/s")
    if not 0 < found < 1e18:
        raise InputError(f"{value} is outside above 0 to 1e18 tokens/s")
    return found


class FirstFleet(Table):
    """The fleet at the start, all of one accelerator, its ages spread over its life.

    What one GPU does comes from the planner for `model`, or is stated: tokens_per_s of output,
    watts_busy and watts_idle at the wall [W] with its share of the machine. `around` is the
    price of the machine and network around a GPU, as a part of the price of the GPU.
    """

    accelerator: str
    price: Amount | None = None
    around: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = 0.0
    life: Annotated[Seconds, Field(gt=0)] = 5.0 * YEAR_S
    upkeep: Fraction = 0.03
    resale: Fraction = 0.0
    tokens_per_s: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    watts_busy: Watts | None = None
    watts_idle: Watts | None = None
    model: str = ""
    prompt_tokens: Annotated[float | None, Field(ge=1, le=1e8)] = None
    output_tokens: Annotated[float | None, Field(ge=1, le=1e8)] = None
    ttft: Limit = 2.0
    tpot: Limit = 0.1
    weights: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        stated = [self.tokens_per_s, self.watts_busy, self.watts_idle]
        if not self.model and None in stated:
            raise ValueError("name a model, or state tokens_per_s, watts_busy and watts_idle")
        return self


class SiteTerms(Table):
    """Where it stands: electricity per kWh and its growth, PUE, the power there is."""

    tariff: Amount
    tariff_growth: Annotated[Spread, _spread("1", -0.5, 1.0)] = Spread(value=0, low=0, high=0)
    pue: Annotated[float, Field(ge=1, le=5)]
    power: Watts | None = None


class Progress(Table):
    """Where later generations come from: whose records, which numbers, how often.

    `arithmetic_part`, the part of a reference accelerator's time that tokens spend on
    arithmetic; `cadence`, years between generations (from the records where left out);
    `price_fall` a year of a generation that is on sale.
    """

    vendor: str = ""
    formats: Formats = "16-bit"
    arithmetic_part: Fraction = 0.5
    cadence: Annotated[Spread, _spread("time", 0.25 * YEAR_S, 20 * YEAR_S)] | None = None
    price_fall: Fraction = 0.0


class GrowthScenario(Table):
    """How fleet, energy, tokens and money grow when efficiency feeds demand, policy by policy."""

    name: str = "growth"
    currency: Literal["JPY", "USD", "EUR"] = "USD"
    start: Date
    years: Annotated[int, Field(ge=1, le=40)]
    samples: Annotated[int, Field(ge=20, le=20_000)] = 500
    seed: Annotated[int, Field(ge=0)] = 0
    finance: Part = 0.05
    rates: tuple[str, ...] = ()
    demand: DemandEntry
    first: FirstFleet
    site: SiteTerms
    progress: Progress = Progress()
    reserve: Fraction = 0.1
    policies: Annotated[
        tuple[Annotated[Policy, BeforeValidator(_policy)], ...], Field(min_length=1)
    ] = tuple(
        Policy.model_validate(_policy(name))
        for name in ("never", "replace 4", "cautious", "expand")
    )  # fmt: skip

    @model_validator(mode="after")
    def _different(self) -> Self:
        names = [policy.name for policy in self.policies]
        if len(set(names)) < len(names):
            raise ValueError("name each policy once")
        return self


def read_growth(path: Path, given: dict[str, Any] | None = None) -> GrowthScenario:
    """A growth scenario from a TOML file, under values that win over it.

    Raises: BadRecord naming file and key.
    """
    return read_scenario(path, GrowthScenario, given)


def growth_scenario(table: dict[str, Any], origin: str = "scenario") -> GrowthScenario:
    """A growth scenario from plain values. Raises: BadRecord naming origin and key."""
    return checked(table, GrowthScenario, origin)
