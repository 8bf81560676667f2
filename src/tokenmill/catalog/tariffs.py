"""Electricity tariffs by month, kind of day and hour, with their sources."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tokenmill.catalog.figure import Source
from tokenmill.catalog.load import files, read_toml, resolve, sources
from tokenmill.catalog.prices import first_day, is_stale
from tokenmill.errors import BadRecord, InputError
from tokenmill.units import parse_any

__all__ = ["DAYS_OF", "Tariff", "flat", "tariff"]

DAYS_OF = {"weekdays": (0,), "weekends": (1,), "all": (0, 1)}
_KEYS = {"name", "region", "date", "note", "bands", "source", "sources", "aliases"}
_BAND_KEYS = {"name", "months", "days", "hours", "value", "low", "high"}

Hours = tuple[tuple[tuple[float, ...], ...], ...]


class Tariff(BaseModel):
    """Money per kWh, by month (12), kind of day (weekday, weekend) and hour (24), local time."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    slug: str
    name: str
    currency: str
    date: str
    source: Source
    per_kwh: Hours
    low_per_kwh: Hours
    high_per_kwh: Hours
    region: str = ""
    note: str = ""

    def is_stale(self, on: datetime.date) -> bool:
        """Whether the tariff is older than a year on that day."""
        return is_stale(self.date, on)


def flat(name: str, per_kwh: float, currency: str, date: str, source: Source) -> Tariff:
    """A tariff with one price [currency/kWh] at all hours. Raises: InputError unless above zero."""
    if not per_kwh > 0 or per_kwh == float("inf"):
        raise InputError(f"a price of electricity must be above zero, not {per_kwh}")
    table = (((per_kwh,) * 24,) * 2,) * 12
    return Tariff(
        slug="flat", name=name, currency=currency, date=date, source=source,
        per_kwh=table, low_per_kwh=table, high_per_kwh=table,
    )  # fmt: skip


def tariff(name: str) -> Tariff:
    """The tariff of that slug or alias. Raises: UnknownName; BadRecord."""
    return _read(resolve("tariffs", name), os.environ.get("TOKENMILL_CATALOG", ""))


@cache
def _read(slug: str, _user_folders: str) -> Tariff:
    path = files("tariffs")[slug]
    table = read_toml(path)
    found = sources(table, path)
    missing = sorted({"name", "date", "bands", "source"} - set(table))
    if missing or set(table) - _KEYS:
        raise BadRecord(path, "", f"unknown {sorted(set(table) - _KEYS)}, missing {missing}")
    if table["source"] not in found:
        raise BadRecord(path, "source", f'"{table["source"]}" is not among the [sources.*]')
    bands = [_band(band, f"bands[{index}]", path) for index, band in enumerate(table["bands"])]
    if len({band["currency"] for band in bands}) != 1:
        raise BadRecord(path, "bands", "all bands must be in one currency")
    first_day(table["date"])
    return Tariff(
        slug=slug, name=table["name"], currency=bands[0]["currency"], date=table["date"],
        source=found[table["source"]], region=table.get("region", ""), note=table.get("note", ""),
        per_kwh=_spread(bands, "value", path), low_per_kwh=_spread(bands, "low", path),
        high_per_kwh=_spread(bands, "high", path),
    )  # fmt: skip


def _band(band: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    """A band with numbers in place of texts. Raises: BadRecord."""
    if set(band) - _BAND_KEYS or not {"name", "hours", "value"} <= set(band):
        raise BadRecord(path, key, "write { name, hours = [from, to], value, months, days }")
    start, end = band["hours"]
    if not (0 <= start < 24 and 0 < end <= 24) or band.get("days", "all") not in DAYS_OF:
        raise BadRecord(path, key, "hours lie in 0 to 24, days are weekdays, weekends or all")
    inside: range | set[int] = range(start, end)
    if end <= start:
        inside = set(range(start, 24)) | set(range(end))
    result: dict[str, Any] = {
        "months": set(band.get("months", range(1, 13))),
        "days": DAYS_OF[band.get("days", "all")],
        "hours": inside,
    }
    for part in ("value", "low", "high"):
        try:
            amount, dimension = parse_any(band.get(part, band["value"]))
        except InputError as problem:
            raise BadRecord(path, f"{key}.{part}", str(problem)) from None
        if not dimension.startswith("money:") or amount <= 0:
            raise BadRecord(path, f"{key}.{part}", "money above zero is needed")
        result[part], result["currency"] = amount, dimension.removeprefix("money:")
    return result


def _spread(bands: list[dict[str, Any]], part: str, path: Path) -> Hours:
    """The price of every month, kind of day and hour: the first band that fits holds."""

    def at(month: int, day: int, hour: int) -> float:
        for band in bands:
            if month in band["months"] and day in band["days"] and hour in band["hours"]:
                return float(band[part])
        raise BadRecord(path, "bands", f"no band holds in month {month} at {hour}:00")

    return tuple(
        tuple(tuple(at(month, day, hour) for hour in range(24)) for day in (0, 1))
        for month in range(1, 13)
    )
