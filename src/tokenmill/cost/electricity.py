"""What electricity costs: joules times a flat price, or watts by the hour times a tariff."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tokenmill.catalog.prices import price
from tokenmill.catalog.tariffs import Tariff, flat
from tokenmill.cost.money import Money
from tokenmill.errors import InputError

__all__ = ["JOULES_PER_KWH", "energy_cost", "local_tariff", "mean_per_kwh", "yearly_cost"]

JOULES_PER_KWH = 3.6e6
_DAYS = (31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_WEEKDAY_SHARE = (5.0 / 7.0, 2.0 / 7.0)


def local_tariff(item: str, kind: str = "electricity-industrial") -> Tariff:
    """The flat tariff on record for a country or US state ("jp", "us-va").

    Parameters: item of the price files; kind, electricity-industrial, -commercial or
    -residential. Raises: NoPrice with the remedy.
    """
    entry = price(item, (kind, "electricity-industrial", "electricity-commercial"))
    name = f"{item}, {entry.kind.removeprefix('electricity-')}"
    return flat(name, entry.amount, entry.currency, entry.date, entry.source)


def energy_cost(energy_j: float, per_kwh: Money) -> Money:
    """Money for an amount of energy [J] at one price. Raises: InputError for NaN, negative."""
    if not 0 <= energy_j < math.inf:
        raise InputError(f"energy must be a number of joules from zero up, not {energy_j}")
    return per_kwh * (energy_j / JOULES_PER_KWH)


def mean_per_kwh(tariff: Tariff, load: Sequence[float] = (1.0,) * 24) -> Money:
    """The mean price of a kWh over a year for a daily load shape.

    Parameters: tariff; load, 24 relative loads, local midnight first (any scale).
    Returns: money per kWh. Raises: InputError unless 24 loads with a sum above zero.
    """
    total = sum(_check(load))
    if total <= 0:
        raise InputError("a load shape must have an hour above zero")
    weighted = sum(share * table for share, table in _weights(tariff, load))
    return Money.of(weighted / total, tariff.currency)


def yearly_cost(mean_power_w: float, tariff: Tariff, load: Sequence[float] = (1.0,) * 24) -> Money:
    """Money a year for a mean power [W] with a daily load shape.

    Parameters: mean_power_w [W] at the meter; tariff; load as in `mean_per_kwh`.
    Raises: InputError for a negative or infinite power.
    """
    energy_j = mean_power_w * 86400.0 * sum(_DAYS)
    return energy_cost(energy_j, mean_per_kwh(tariff, load))


def _weights(tariff: Tariff, load: Sequence[float]) -> list[tuple[float, float]]:
    """(share of the year, load-weighted price sum of a day) by month and kind of day."""
    return [
        (
            _DAYS[month] / sum(_DAYS) * _WEEKDAY_SHARE[day],
            sum(one * price_ for one, price_ in zip(load, tariff.per_kwh[month][day], strict=True)),
        )
        for month in range(12)
        for day in (0, 1)
    ]


def _check(load: Sequence[float]) -> Sequence[float]:
    if len(load) != 24 or not all(0 <= one < math.inf for one in load):
        raise InputError("a load shape is 24 numbers from zero up, local midnight first")
    return load
