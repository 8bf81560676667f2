"""Fields of scenario files: quantities with units, shares, money and dates, checked as read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from tokenmill.catalog.load import read_toml
from tokenmill.cost.money import Money, money
from tokenmill.errors import BadRecord, InputError, UnknownName
from tokenmill.units import parse, parse_any

__all__ = [
    "Amount", "Amounts", "Calendar", "Change", "Changes", "Date", "Fraction", "Limit", "Part",
    "Rate", "Seconds", "Table", "Watts", "WattsByYear", "at_year", "calendar", "checked",
    "read_scenario",
]  # fmt: skip

AnyTable = TypeVar("AnyTable", bound="Table")

_DATE = re.compile(r"^(\d{4})(?:-(?:Q([1-4])|(\d{2})))?$")
_PER_YEAR = (1, 2, 4, 12)
_LONGEST = 300  # characters of what a file is told


class Table(BaseModel):
    """A table of a scenario file: known keys only, frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def _quantity(dimension: str, least: float, most: float, *, open_at_least: bool = False) -> Any:
    def read(value: object) -> float:
        if not isinstance(value, str | int | float):
            raise InputError("a number with its unit is needed")
        number = parse(value, dimension)
        low = number > least if open_at_least else number >= least
        if not (math.isfinite(number) and low and number <= most):
            bounds = f"{'above' if open_at_least else 'from'} {least:g} to {most:g}"
            raise InputError(f"{value} is outside {bounds}")
        return number

    return BeforeValidator(read)


def _amount(value: object) -> Money:
    if isinstance(value, Money):
        return value
    if not isinstance(value, str):
        raise InputError(f'{value!r} is not money; write "¥3,000,000" or "$2.49"')
    return money(value)


def _by_year(read: Callable[[object], Any]) -> BeforeValidator:
    """One value for every year, or a list by year of which the last holds on."""

    def several(value: object) -> tuple[Any, ...]:
        items = list(value) if isinstance(value, list | tuple) else [value]
        if not items:
            raise InputError("give one value, or a list with one for every year")
        return tuple(read(item) for item in items)

    return BeforeValidator(several)


def _limit(value: object) -> float | None:
    """A time limit [s] above zero, or None for "none"."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    return float(_TIME.func(value))


_TIME = _quantity("time", 0.0, 1e6, open_at_least=True)
_WATTS = _quantity("power", 0.0, 1e11, open_at_least=True)
_CHANGE = _quantity("1", -0.95, 20.0)


def _span(value: object) -> float:
    """A span of time [s] that says its unit: 90 may be meant as days, months or years."""
    _, dimension = parse_any(value) if isinstance(value, str | int | float) else (0.0, "1")
    if dimension == "1" and value not in (0, "0"):
        raise InputError(f'{value} has no unit of time; write "90 days"')
    return float(_SPAN.func(value))


_SPAN = _quantity("time", 0.0, 3.2e9)
Seconds = Annotated[float, BeforeValidator(_span)]
Limit = Annotated[float | None, BeforeValidator(_limit)]
Rate = Annotated[float, _quantity("1/s", 0.0, 1e9, open_at_least=True)]
Watts = Annotated[float, _WATTS]
WattsByYear = Annotated[tuple[float, ...], _by_year(_WATTS.func)]
Fraction = Annotated[float, _quantity("1", 0.0, 1.0)]
Part = Annotated[float, _quantity("1", 0.0, 1.0, open_at_least=True)]
Change = Annotated[float, _CHANGE]
Changes = Annotated[tuple[float, ...], _by_year(_CHANGE.func)]
Amount = Annotated[Money, BeforeValidator(_amount)]
Amounts = Annotated[tuple[Money, ...], _by_year(_amount)]


def _month(value: object) -> int:
    """Months since the year 0 of "2027", "2027-Q3" or "2027-07"."""
    match = _DATE.match(value) if isinstance(value, str) else None
    month = (int(match[2]) * 3 - 2 if match[2] else int(match[3] or 1)) if match else 0
    if match is None or not 1 <= month <= 12 or not 1950 <= int(match[1]) <= 2200:
        raise InputError(f'{value!r} is not a date; write "2027", "2027-Q3" or "2027-07"')
    return int(match[1]) * 12 + month - 1


Date = Annotated[int, BeforeValidator(_month)]


def at_year(values: tuple[Any, ...], year: int) -> Any:
    """The value that holds in a year [0 = the first]."""
    return values[min(year, len(values) - 1)]


@dataclass(frozen=True, slots=True)
class Calendar:
    """The periods of a scenario: `count` of `months` each, the first beginning at month `start`."""

    start: int
    months: int
    count: int

    @property
    def per_year(self) -> int:
        """Periods in a year."""
        return 12 // self.months

    def years(self, period: float) -> float:
        """Years [year] from the start to the beginning of a period."""
        return period * self.months / 12.0

    def year(self, period: int) -> int:
        """The year of the scenario that a period lies in, 0 for the first."""
        return period // self.per_year

    def label(self, period: int) -> str:
        """A period in words, such as "2027 Q3"."""
        month = self.start + period * self.months
        year, rest = divmod(month, 12)
        if self.months == 12:
            return f"{year}" if rest == 0 else f"{year}-{rest + 1:02}"
        if self.months == 3 and rest % 3 == 0:
            return f"{year} Q{rest // 3 + 1}"
        return f"{year}-{rest + 1:02}"

    def first_from(self, month: int) -> int:
        """The first period that begins at a month or after it; below 0 for one before the start."""
        return -((self.start - month) // self.months)

    def periods(self, seconds: float) -> int:
        """Whole periods that hold a time [s], rounded up."""
        return math.ceil(seconds / (self.months / 12.0 * 365.25 * 86400.0) - 1e-9)


def calendar(start: int, years: int, per_year: int) -> Calendar:
    """The calendar of a scenario. Raises: InputError for an impossible division of the year."""
    if per_year not in _PER_YEAR:
        raise InputError(f"periods_per_year must be 1, 2, 4 or 12, not {per_year}")
    return Calendar(start, 12 // per_year, years * per_year)


def read_scenario(
    path: Path, kind: type[AnyTable], given: dict[str, Any] | None = None
) -> AnyTable:
    """A scenario of a kind from a TOML file; data only, nothing in it is executed.

    Parameters: path; kind; given, values that win over those of the file.
    Raises: BadRecord naming file and key.
    """
    return checked(read_toml(path) | (given or {}), kind, str(path))


def checked(table: dict[str, Any], kind: type[AnyTable], origin: str) -> AnyTable:
    """A scenario of a kind from plain values. Raises: BadRecord naming origin and key."""
    try:
        return kind.model_validate(table)
    except ValidationError as problem:
        errors = problem.errors()
        unknown = [error for error in errors if error["type"] == "extra_forbidden"]
        error = (unknown or errors)[0]
        where = ".".join(str(part) for part in error["loc"])
        text = error["msg"].removeprefix("Value error, ")
        if unknown:
            text = str(UnknownName("key", str(error["loc"][-1]), _keys(kind, error["loc"][:-1])))
            text = text.replace("list them with: tokenmill show", "see docs/examples")
        raise BadRecord(origin, where, text[:_LONGEST]) from None


def _keys(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Keys that the table at a path of a scenario may have."""
    here = kind
    for part in path:
        field = here.model_fields.get(str(part))
        if field is None:
            continue  # the name of an entry: a workload, a site
        inner = field.annotation
        for found in (inner, *getattr(inner, "__args__", ())):
            if isinstance(found, type) and issubclass(found, BaseModel):
                here = found
    return list(here.model_fields)
