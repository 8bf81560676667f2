"""Places for a machine room: monthly climate, grid carbon, and which prices hold there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tokenmill.catalog.figure import Figure, Source
from tokenmill.catalog.load import canonical, figure, files, read_toml, resolve, sources
from tokenmill.errors import BadRecord, InputError, Unsupported

__all__ = ["Site", "embodied_kg", "site"]

_MONTHS = 12
_SERIES = {"temperature": ("c", -60.0, 60.0), "humidity": ("percent", 1.0, 100.0)}


class Site(BaseModel):
    """A place: twelve monthly means with bounds, carbon per kWh, and items of the price files.

    `temperature_c` and `humidity` (0 to 1) are mean dry-bulb temperature [°C] and relative
    humidity of each month as figures; `hourly_std_c` is how much single hours scatter around
    the mean of their month; `carbon_per_kwh` is in kg; `carbon_swing` is the part by which
    the carbon of the sunniest hour lies below the daily mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    slug: str
    name: str
    country: str
    latitude: float
    longitude: float
    temperature_c: tuple[Figure, ...]
    humidity: tuple[Figure, ...]
    hourly_std_c: Figure
    carbon_per_kwh: Figure
    carbon_swing: Figure
    electricity: str
    electricity_kind: str
    running: str
    sources: dict[str, Source]
    aliases: tuple[str, ...] = ()
    tariff: str = ""
    note: str = ""


def site(name: str) -> Site:
    """The site of that slug or alias. Raises: UnknownName; BadRecord."""
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"a name of a site is needed, not {name!r}")
    return _read(resolve("sites", name), os.environ.get("TOKENMILL_CATALOG", ""))


@cache
def _read(slug: str, _user_folders: str) -> Site:
    path = files("sites")[slug]
    table = read_toml(path)
    found = sources(table, path)
    climate, carbon = table.get("climate", {}), table.get("carbon", {})
    for section, keys in ((climate, ("hourly_std_c",)), (carbon, ("mean", "daily_swing"))):
        for key in keys:
            if key not in section:
                raise BadRecord(path, key, "missing; see another file of sites/")
    content: dict[str, Any] = {
        key: table[key] for key in table if key not in ("climate", "carbon", "sources")
    }
    try:
        return Site(
            slug=slug,
            temperature_c=_months(climate, "temperature", found, path),
            humidity=_months(climate, "humidity", found, path),
            hourly_std_c=figure(climate["hourly_std_c"], "hourly_std_c", "1", found, path),
            carbon_per_kwh=figure(carbon["mean"], "carbon.mean", "mass", found, path),
            carbon_swing=figure(carbon["daily_swing"], "carbon.daily_swing", "1", found, path),
            sources=found,
            **content,
        )
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRecord(path, where, first["msg"]) from None


def _months(
    climate: Mapping[str, Any], name: str, found: Mapping[str, Source], path: Path
) -> tuple[Figure, ...]:
    """The twelve figures of a monthly series. Raises: BadRecord."""
    unit, least, most = _SERIES[name]
    key = f"{name}_{unit}"
    values, spread = climate.get(key), climate.get(f"{name}_spread_{unit}")
    source = str(climate.get(f"{name}_source"))
    if source not in found:
        raise BadRecord(path, f"climate.{name}_source", f'"{source}" is not among the [sources.*]')
    numbers = [*values, spread] if isinstance(values, list) else []
    if len(numbers) != _MONTHS + 1 or not all(isinstance(one, int | float) for one in numbers):
        raise BadRecord(path, f"climate.{key}", "twelve numbers and a spread are needed")
    *means, spread = numbers
    if not all(least <= value <= most for value in means) or not spread >= 0:
        raise BadRecord(path, f"climate.{key}", f"values lie in {least:g} to {most:g}")
    scale = 0.01 if unit == "percent" else 1.0
    return tuple(
        Figure(
            value=value * scale, low=max(least, value - spread) * scale,
            high=min(most, value + spread) * scale,
            dimension="temperature" if name == "temperature" else "1",
            source=source, kind=found[source].kind,
        )
        for value in means
    )  # fmt: skip


def embodied_kg(item: str, *, board_power_w: float | None = None) -> Figure:
    """Greenhouse gas of making one unit [kg CO2e], cradle to gate.

    Parameters: item, slug of an accelerator or machine; board_power_w [W], from which an
    unlisted item is estimated (kind "assumed", wide range).
    Returns: a figure with its range. Raises: Unsupported where neither is known.
    """
    known, fallback = _embodied(os.environ.get("TOKENMILL_CATALOG", ""))
    slug = canonical(item)
    if slug in known:
        return known[slug]
    if board_power_w is None:
        raise Unsupported(
            f"no embodied carbon on record for {item}; add it to embodied/boards.toml "
            "in TOKENMILL_CATALOG, or give its board power"
        )
    if not 0 < board_power_w < float("inf"):
        raise InputError(f"board power must be above zero, not {board_power_w} W")
    scaled = {part: getattr(fallback, part) * board_power_w for part in ("value", "low", "high")}
    return fallback.model_copy(update=scaled)


@cache
def _embodied(_user_folders: str) -> tuple[dict[str, Figure], Figure]:
    known: dict[str, Figure] = {}
    fallback: Figure | None = None
    for path in files("embodied").values():
        table = read_toml(path)
        found = sources(table, path)
        for index, row in enumerate(table.get("figures", [])):
            cell = {key: row[key] for key in row if key != "item"}
            for item in row.get("item", []):
                known[item] = figure(cell, f"figures[{index}]", "mass", found, path)
        if "fallback_per_w" in table:
            fallback = figure(table["fallback_per_w"], "fallback_per_w", "mass", found, path)
    if fallback is None:
        raise Unsupported("no fallback_per_w in the files of embodied/; add one")
    return known, fallback
