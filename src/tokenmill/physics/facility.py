"""From IT watts to facility watts: power train, cooling, weather, racks and heat limits.

PUE = facility power over IT power. Part load raises it because transformers, UPS, fans and
lights draw power whatever the load; heat raises it through the chiller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tokenmill.catalog.load import calibration
from tokenmill.catalog.sites import Site
from tokenmill.errors import Infeasible, InputError
from tokenmill.physics.cooling import Case, Plant, at_bound, cooling, cooling_capacity_w

__all__ = [
    "Facility",
    "Hall",
    "PowerTrain",
    "Racks",
    "facility_power",
    "monthly_power",
    "power_train",
    "racks",
    "thermal_limit_w",
    "weather_limit_w",
    "yearly_power",
]

Floats = NDArray[np.float64]

_MONTH_DAYS = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


@dataclass(frozen=True, slots=True)
class PowerTrain:
    """Losses as parts of rated power; see catalog/data/calibration/power-train.toml."""

    ups_idle: float
    ups_linear: float
    ups_square: float
    transformer_idle: float
    transformer_square: float
    distribution_square: float
    other_share: float


@dataclass(frozen=True, slots=True)
class Hall:
    """A machine hall: IT power [W] it is built for, its cooling plant and its power train."""

    rated_it_w: float
    plant: Plant
    train: PowerTrain

    def __post_init__(self) -> None:
        if not 0 < self.rated_it_w < math.inf:
            raise InputError(f"a hall is built for an IT power above zero, not {self.rated_it_w} W")


@dataclass(frozen=True, slots=True)
class Facility:
    """Power of a hall [W] by use, its PUE, and water [kg/s]; arrays of one shape."""

    it_w: Floats
    cooling_w: Floats
    losses_w: Floats
    other_w: Floats
    water_kg_per_s: Floats

    @property
    def total_w(self) -> Floats:
        """Power at the meter [W]: IT, cooling, losses and other uses."""
        return self.it_w + self.cooling_w + self.losses_w + self.other_w

    @property
    def pue(self) -> Floats:
        """Power usage effectiveness: total over IT power."""
        return self.total_w / self.it_w

    @property
    def water_l_per_kwh(self) -> Floats:
        """Water usage effectiveness [L per kWh of IT]."""
        return self.water_kg_per_s / self.it_w * 3.6e6


def power_train(case: Case = "typical") -> PowerTrain:
    """The power train of the catalogue, or its best or worst case.

    Raises: Unsupported where its file lacks a figure.
    """
    record = calibration("power-train")
    fields = PowerTrain.__dataclass_fields__
    return PowerTrain(**{key: at_bound(record.figure(key), case) for key in fields})


def facility_power(
    it_w: ArrayLike, outdoor_c: ArrayLike, humidity: ArrayLike, hall: Hall
) -> Facility:
    """Power by use of a hall at an IT load and a weather.

    Parameters: it_w [W], above zero, up to the rated power; outdoor_c [°C]; humidity, relative,
    0 to 1; hall. Arrays broadcast.
    Returns: power by use; PUE is above 1, never falls as it gets warmer, and rises towards low
    load. Raises: InputError for an IT power outside the hall's, or bad weather.
    """
    load_w = np.asarray(it_w, dtype=np.float64)
    if not np.all((load_w > 0) & (load_w <= hall.rated_it_w * (1 + 1e-9))):
        raise InputError(
            f"IT power must lie above 0 to the hall's {hall.rated_it_w:g} W, not {it_w!r}"
        )
    inside_w, rated_inside_w = _inside_losses(load_w, hall), _inside_losses(None, hall)
    rated_heat_w = float(hall.rated_it_w + rated_inside_w)
    taken = cooling(load_w + inside_w, rated_heat_w, outdoor_c, humidity, hall.plant)
    other_w = np.full(taken.power_w.shape, hall.train.other_share * hall.rated_it_w)
    through_w = load_w + inside_w + taken.power_w + other_w
    # The transformer is sized for half again the IT power: IT, losses, cooling and other uses.
    rated_w = 1.5 * hall.rated_it_w
    part = through_w / rated_w
    train = hall.train
    outside_w = rated_w * (train.transformer_idle + train.transformer_square * part**2)
    return Facility(
        it_w=np.broadcast_to(load_w, taken.power_w.shape),
        cooling_w=taken.power_w,
        losses_w=inside_w + outside_w,
        other_w=other_w,
        water_kg_per_s=taken.water_kg_per_s,
    )


def _inside_losses(load_w: Floats | None, hall: Hall) -> Floats:
    """Losses [W] of UPS and distribution, which end as heat in the hall; None is full load."""
    part = np.asarray(1.0 if load_w is None else load_w / hall.rated_it_w)
    train = hall.train
    ups = train.ups_idle + train.ups_linear * part + train.ups_square * part**2
    return np.asarray(hall.rated_it_w * (ups + train.distribution_square * part**2))


def monthly_power(it_w: float, site: Site, hall: Hall) -> Facility:
    """Mean power by use in each month of a site's climate.

    Parameters: it_w [W], steady; site; hall.
    Returns: arrays of 12. Single hours are taken to scatter normally around the mean of their
    month (five Gauss-Hermite points), with the mean vapour content of the month.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(5)
    mean_c = np.array([month.value for month in site.temperature_c])
    humidity = np.array([month.value for month in site.humidity])
    hours_c = mean_c[:, None] + site.hourly_std_c.value * points[None, :]
    vapour = humidity * _saturation(mean_c)
    relative = np.clip(vapour[:, None] / _saturation(hours_c), 0.0, 1.0)
    detail = facility_power(it_w, hours_c, relative, hall)
    share = weights / weights.sum()
    return Facility(
        it_w=detail.it_w @ share,
        cooling_w=detail.cooling_w @ share,
        losses_w=detail.losses_w @ share,
        other_w=detail.other_w @ share,
        water_kg_per_s=detail.water_kg_per_s @ share,
    )


def yearly_power(it_w: float, site: Site, hall: Hall) -> Facility:
    """Mean power by use over a year at a site, as arrays without axes; PUE is that of energy."""
    month = monthly_power(it_w, site, hall)
    share = _MONTH_DAYS / _MONTH_DAYS.sum()
    return Facility(
        *(np.asarray(getattr(month, name) @ share) for name in Facility.__dataclass_fields__)
    )


def _saturation(temperature_c: Floats) -> Floats:
    """Saturation vapour pressure [Pa] (Magnus formula, WMO-No. 8, annex 4.B)."""
    return np.asarray(611.2 * np.exp(17.62 * temperature_c / (243.12 + temperature_c)))


@dataclass(frozen=True, slots=True)
class Racks:
    """How machines stand: per rack, racks, rows, and the power of the fullest of each [W]."""

    machines_per_rack: int
    racks: int
    rows: int
    rack_w: float
    row_w: float


def racks(
    machines: int,
    machine_w: float,
    *,
    rack_limit_w: float,
    slots_per_rack: int,
    row_limit_w: float,
    racks_per_row: int,
) -> Racks:
    """Machines into racks and rows within power and space.

    Parameters: machines; machine_w [W], highest draw of one; rack_limit_w [W] of power and
    cooling per rack (air carries some tens of kW, liquid above 100 kW); slots_per_rack,
    machines that fit by height; row_limit_w [W]; racks_per_row.
    Returns: the layout. Raises: Infeasible, with the numbers, where one machine is too much
    for a rack or one rack for a row; InputError for counts or powers not above zero.
    """
    figures = (machines, machine_w, rack_limit_w, slots_per_rack, row_limit_w, racks_per_row)
    if not all(0 < one < math.inf for one in figures):
        raise InputError(f"counts and powers of racks must be above zero: {figures}")
    per_rack = min(slots_per_rack, math.floor(rack_limit_w / machine_w), machines)
    if per_rack < 1:
        raise Infeasible(
            f"one machine draws {machine_w / 1e3:.4g} kW, a rack carries {rack_limit_w / 1e3:.4g}",
            change=f"give racks at least {machine_w / 1e3:.4g} kW (liquid cooling)",
        )
    rack_w = per_rack * machine_w
    per_row = min(racks_per_row, math.floor(row_limit_w / rack_w))
    if per_row < 1:
        raise Infeasible(
            f"one rack draws {rack_w / 1e3:.4g} kW, a row carries {row_limit_w / 1e3:.4g}",
            change=f"give rows at least {rack_w / 1e3:.4g} kW",
        )
    count = math.ceil(machines / per_rack)
    row_w = min(machines, per_row * per_rack) * machine_w
    return Racks(per_rack, count, math.ceil(count / per_row), rack_w, row_w)


def thermal_limit_w(
    medium_c: ArrayLike, tdp_w: float, *, rated_medium_c: float, limit_c: float
) -> Floats:
    """Power [W] a chip can hold without exceeding its temperature limit; above it throttles.

    Parameters: medium_c [°C] of the air or water it meets; tdp_w [W], which it holds at
    rated_medium_c [°C] with the chip at limit_c [°C].
    Returns: (limit - medium) / R with R = (limit - rated) / TDP, from 0 to no upper bound:
    take the least of this and the power limit.
    Raises: InputError unless the limit lies above the rated medium and the TDP above zero.
    """
    if not limit_c > rated_medium_c or not 0 < tdp_w < math.inf:
        raise InputError(
            f"the chip limit must lie above the rated medium and the TDP above zero: {limit_c} "
            f"°C, {rated_medium_c} °C, {tdp_w} W"
        )
    room_k = limit_c - np.asarray(medium_c, dtype=np.float64)
    return np.maximum(room_k * tdp_w / (limit_c - rated_medium_c), 0.0)


def weather_limit_w(hall: Hall, outdoor_c: ArrayLike) -> Floats:
    """IT power [W] that a hall can carry before its cooling falls short, by outdoor [°C]."""
    rated_heat_w = float(hall.rated_it_w + _inside_losses(None, hall))
    capacity = cooling_capacity_w(rated_heat_w, outdoor_c, hall.plant)
    return np.asarray(capacity / rated_heat_w * hall.rated_it_w)
