"""Greenhouse gas of running and of making: grid intensity by site and hour, embodied shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tokenmill.catalog.figure import Figure
from tokenmill.catalog.sites import Site
from tokenmill.cost.electricity import JOULES_PER_KWH
from tokenmill.errors import InputError

__all__ = ["Emissions", "embodied_share_kg", "grid_kg_per_kwh", "operational_kg"]

_SUNNIEST_HOUR = 13


@dataclass(frozen=True, slots=True)
class Emissions:
    """Mass of CO2 equivalent [kg] with its range."""

    kg: float
    low_kg: float
    high_kg: float

    def __add__(self, other: Emissions) -> Emissions:
        return Emissions(
            self.kg + other.kg, self.low_kg + other.low_kg, self.high_kg + other.high_kg
        )

    def times(self, factor: float) -> Emissions:
        """Scaled by a factor from zero up. Raises: InputError for NaN or below zero."""
        if not 0 <= factor < math.inf:
            raise InputError(f"emissions scale by a number from zero up, not {factor}")
        return Emissions(self.kg * factor, self.low_kg * factor, self.high_kg * factor)


def grid_kg_per_kwh(site: Site, hour: int | None = None) -> Emissions:
    """Carbon of a kWh from the grid of a site [kg/kWh], on average or at an hour.

    Parameters: site; hour, 0 to 23 local, None for the mean of the day.
    Returns: value and range. Over the day the value follows a cosine around the mean with its
    lowest point at 13:00, by the site's swing (assumed); the 24 hours average to the mean.
    Raises: InputError for another hour.
    """
    mean = site.carbon_per_kwh
    if hour is None:
        return Emissions(mean.value, mean.low, mean.high)
    if not 0 <= hour <= 23:
        raise InputError(f"an hour lies in 0 to 23, not {hour}")
    shape = math.cos((hour - _SUNNIEST_HOUR) / 24.0 * 2.0 * math.pi)
    swing = site.carbon_swing
    factors = [1.0 - part * shape for part in (swing.low, swing.value, swing.high)]
    return Emissions(mean.value * factors[1], mean.low * min(factors), mean.high * max(factors))


def operational_kg(energy_j: float, site: Site, load: Sequence[float] | None = None) -> Emissions:
    """Carbon of an amount of electricity at a site.

    Parameters: energy_j [J] at the meter; site; load, 24 relative loads by local hour
    (None: even). Returns: kg CO2e with range. Raises: InputError for NaN, negative, or a
    load that is not 24 numbers.
    """
    if not 0 <= energy_j < math.inf:
        raise InputError(f"energy must be a number of joules from zero up, not {energy_j}")
    if load is None:
        return grid_kg_per_kwh(site).times(energy_j / JOULES_PER_KWH)
    if len(load) != 24 or not all(0 <= one < math.inf for one in load) or sum(load) <= 0:
        raise InputError("a load shape is 24 numbers from zero up, local midnight first")
    kwh = energy_j / JOULES_PER_KWH / sum(load)
    total = Emissions(0.0, 0.0, 0.0)
    for hour, one in enumerate(load):
        total += grid_kg_per_kwh(site, hour).times(one * kwh)
    return total


def embodied_share_kg(embodied: Figure, units: float, used_s: float, life_s: float) -> Emissions:
    """The part of the making of machines that falls on a stretch of use.

    Parameters: embodied [kg] of one unit (see `catalog.sites.embodied_kg`); units; used_s [s]
    of use; life_s [s] over which the making is written off.
    Raises: InputError unless life is above zero and the rest from zero up.
    """
    if not 0 < life_s < math.inf or not used_s >= 0 or not units >= 0:
        raise InputError(
            f"life must be above zero, units and use from zero up: {life_s}, {units}, {used_s}"
        )
    share = units * used_s / life_s
    return Emissions(embodied.value, embodied.low, embodied.high).times(share)
