"""Heat out of a machine room: chillers, economisers, fans and water against the weather.

A plant takes heat from the machines at a supply temperature. Outdoor air (or its wet bulb,
where water is evaporated) carries what it can; a chiller that reaches a part of the Carnot
efficiency lifts the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tokenmill.catalog.figure import Figure
from tokenmill.catalog.load import calibration
from tokenmill.errors import InputError

__all__ = [
    "Case",
    "Cooling",
    "Plant",
    "at_bound",
    "cooling",
    "cooling_capacity_w",
    "plant",
    "wet_bulb_c",
]

Floats = NDArray[np.float64]
Case = Literal["typical", "best", "worst"]

_KELVIN = 273.15
_LATENT_J_PER_KG = 2.43e6  # of water near 30 °C
_LEAST_LIFT_K = 4.0
_HIGH_IS_BETTER = frozenset(
    ("supply_c", "return_c", "carnot_fraction", "cop_limit", "cycles_of_concentration",
     "design_outdoor_c")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plant:
    """A cooling plant; see the files catalog/data/calibration/cooling-*.toml for each term."""

    supply_c: float
    return_c: float
    approach_k: float
    evaporator_k: float
    condenser_k: float
    carnot_fraction: float
    cop_limit: float
    mover_share: float
    mover_least_flow: float
    rejection_share: float
    economiser: float
    evaporative: float
    cycles_of_concentration: float
    design_outdoor_c: float
    derate_per_k: float

    def __post_init__(self) -> None:
        if not self.return_c > self.supply_c or not self.cycles_of_concentration > 1:
            raise InputError(
                "a cooling plant returns warmer than it supplies and has more than one cycle "
                f"of concentration, not {self.supply_c} to {self.return_c} °C and "
                f"{self.cycles_of_concentration}"
            )


@dataclass(frozen=True, slots=True)
class Cooling:
    """What cooling takes: electric power [W], water [kg/s], part of the heat gone for free."""

    power_w: Floats
    water_kg_per_s: Floats
    free_share: Floats


def plant(name: str, case: Case = "typical") -> Plant:
    """A plant by name: air-chiller, air-economiser, evaporative or warm-water.

    Parameters: name; case, "best" or "worst" take every figure at the bound that saves or
    costs most power. Raises: UnknownName; Unsupported where its file lacks a figure.
    """
    record = calibration(f"cooling-{name}")
    return Plant(
        **{
            key: at_bound(record.figure(key), case, high_is_better=key in _HIGH_IS_BETTER)
            for key in Plant.__dataclass_fields__
        }
    )


def at_bound(figure: Figure, case: Case, *, high_is_better: bool = False) -> float:
    """A figure's value, or the bound that makes the best or the worst case."""
    if case == "typical":
        return figure.value
    return figure.high if (case == "best") is high_is_better else figure.low


def wet_bulb_c(dry_bulb_c: ArrayLike, humidity: ArrayLike) -> Floats:
    """Wet-bulb temperature at sea level, never above the dry bulb.

    Parameters: dry_bulb_c [°C]; humidity, relative, 0 to 1 (same shape).
    Returns: wet bulb [°C], to about 0.7 K within -20 to 50 °C and above 5 % humidity; the
    formula is held at those bounds outside them.
    Reference: Stull 2011, doi:10.1175/JAMC-D-11-0143.1, equation 1.
    """
    outdoor = np.asarray(dry_bulb_c, dtype=np.float64)
    dry = np.clip(outdoor, -20.0, 50.0)
    percent = np.clip(np.asarray(humidity, dtype=np.float64) * 100.0, 5.0, 100.0)
    wet = (
        dry * np.arctan(0.151977 * np.sqrt(percent + 8.313659))
        + np.arctan(dry + percent)
        - np.arctan(percent - 1.676331)
        + 0.00391838 * percent**1.5 * np.arctan(0.023101 * percent)
        - 4.686035
    )
    return np.minimum(wet, outdoor)


def cooling(
    heat_w: ArrayLike, rated_heat_w: float, outdoor_c: ArrayLike, humidity: ArrayLike, by: Plant
) -> Cooling:
    """Power and water that take heat out at an outdoor temperature and humidity.

    Parameters: heat_w [W]; rated_heat_w [W] the plant is built for; outdoor_c [°C], dry bulb;
    humidity, relative, 0 to 1; by, the plant. Arrays broadcast.
    Returns: power, water and free share in the broadcast shape. Power never falls as it gets
    warmer, nor as the heat grows.
    Raises: InputError for heat below zero or above the rated heat, or NaN.
    Reference: Carnot-fraction chiller and economiser mixing line, as in energy-audit practice
    (ASHRAE Handbook, HVAC Systems and Equipment, chapters on chillers and economisers).
    """
    heat = np.asarray(heat_w, dtype=np.float64)
    if not rated_heat_w > 0 or not np.all((heat >= 0) & (heat <= rated_heat_w * (1 + 1e-9))):
        raise InputError(
            f"heat must lie in 0 to the rated {rated_heat_w:g} W of the plant, not {heat_w!r}"
        )
    outside = _outside_c(outdoor_c, humidity, by)
    span = by.return_c - by.supply_c
    free = np.clip((by.return_c - outside - by.approach_k) / span, 0.0, 1.0) * by.economiser
    compressor = heat * (1.0 - free) / _cop(outside, by)
    rejected = heat + compressor
    flow = np.maximum(heat / rated_heat_w, by.mover_least_flow)
    movers = by.mover_share * rated_heat_w * flow**3
    bleed = by.cycles_of_concentration / (by.cycles_of_concentration - 1.0)
    water = rejected / _LATENT_J_PER_KG * bleed * by.evaporative
    power = compressor + by.rejection_share * rejected + movers
    power, water, free = np.broadcast_arrays(power, water, free)
    return Cooling(power, water, free)


def cooling_capacity_w(rated_heat_w: float, outdoor_c: ArrayLike, by: Plant) -> Floats:
    """Heat [W] that a plant can still take out at an outdoor temperature [°C].

    The rated heat up to the design temperature, less a part per kelvin beyond, never below 0.
    """
    beyond = np.maximum(np.asarray(outdoor_c, dtype=np.float64) - by.design_outdoor_c, 0.0)
    return np.maximum(rated_heat_w * (1.0 - by.derate_per_k * beyond), 0.0)


def _outside_c(outdoor_c: ArrayLike, humidity: ArrayLike, by: Plant) -> Floats:
    """The temperature heat is rejected to: the wet bulb where water is evaporated."""
    dry = np.asarray(outdoor_c, dtype=np.float64)
    relative = np.asarray(humidity, dtype=np.float64)
    if not np.all(np.isfinite(dry)) or not np.all((relative >= 0) & (relative <= 1)):
        raise InputError("weather needs temperatures in °C and humidity in 0 to 1, without NaN")
    return wet_bulb_c(dry, relative) if by.evaporative else dry


def _cop(outside: Floats, by: Plant) -> Floats:
    """Heat moved per electricity of the chiller: a part of Carnot, capped."""
    cold_k = by.supply_c - by.evaporator_k + _KELVIN
    lift_k = np.maximum(outside + by.condenser_k + _KELVIN - cold_k, _LEAST_LIFT_K)
    return np.minimum(by.carnot_fraction * cold_k / lift_k, by.cop_limit)
