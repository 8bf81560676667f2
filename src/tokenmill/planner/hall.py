"""A hall of machines at a place: racks, cooling, weather, water, meter, hot hours, caps, swings."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from tokenmill.catalog.load import calibration
from tokenmill.catalog.sites import Site, site
from tokenmill.errors import Infeasible, InputError
from tokenmill.physics import facility, swings
from tokenmill.physics.cooling import plant
from tokenmill.physics.facility import Hall, Racks
from tokenmill.physics.power import clock, demand_w, node_w
from tokenmill.physics.swings import Swings
from tokenmill.placement.platform import Platform, platform
from tokenmill.units import parse

__all__ = ["COOLING", "Capped", "HallAnswer", "Month", "ask"]

COOLING = ("air-chiller", "air-economiser", "evaporative", "warm-water")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_YEAR_H = 8766.0
_HOT = 3.0  # standard deviations of an hour above the mean of its month, for the hottest one
_SLOTS, _RACK_GPUS = 4, 32  # machines of a rack, and from how many GPUs on one is a rack itself
_RACKS_PER_ROW = 10
_DRAW = 0.875  # of the range of a GPU, as training draws it (calibration "jobs")
_SERIES_S, _DT_S = 120.0, 0.05


@dataclass(frozen=True, slots=True)
class Month:
    """A month: outdoor [°C], PUE, power at the meter [W], water [L for each kWh of IT]."""

    name: str
    outdoor_c: float
    pue: float
    meter_w: float
    water_l_per_kwh: float


@dataclass(frozen=True, slots=True)
class Capped:
    """What a limit does: watts of a machine and of a GPU, and the speed that is left [1]."""

    machine_w: float
    gpu_w: float
    speed: float


@dataclass(frozen=True, slots=True)
class HallAnswer:
    """A hall, full and at work.

    machine_w [W] of a machine at work, most_w [W] at its limit; it_w, rated_it_w [W]; racks;
    months; pue, meter_w [W], meter_kwh [kWh] and water_m3 [m³] of a year; cooling_w, losses_w [W];
    hottest_c [°C] of an hour, hot_limit_w [W] that cooling carries then, and what that leaves of
    the speed; cap, a limit asked for; swing and smooth, of all machines training in step,
    without and with storage; kind, how firm the weakest figure is.
    """

    hardware: str
    machines: int
    gpus: int
    place: str
    cooling: str
    machine_w: float
    most_w: float
    it_w: float
    rated_it_w: float
    racks: Racks
    months: tuple[Month, ...]
    pue: float
    meter_w: float
    meter_kwh: float
    water_m3: float
    cooling_w: float
    losses_w: float
    hottest_c: float
    hot_limit_w: float
    hot_speed: float
    cap: Capped | None
    swing: Swings
    smooth: Swings | None
    kind: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, SI units but for those in the names."""
        return asdict(self)


def ask(
    on: str, *, at: str, machines: int = 1, cooling: str = "air-economiser", busy: float = _DRAW,
    spare: float = 0.0, rack: str | float | None = None, row: str | float | None = None,
    cap: str | float | None = None, step: str | float = 2.0, exchange: float = 0.2,
    storage: str | float | None = None,
) -> HallAnswer:  # fmt: skip
    """A hall of machines of one kind at a place, at work all year.

    Parameters: on, hardware; at, a site; machines; cooling, one of COOLING; busy, draw of the GPUs
    between idle (0) and their limit (1); spare, share of the hall's power that is built and not
    used; rack, row [W] that each carries; cap [W] of a machine at its plug, such as an hour of
    demand response; step [s] of synchronous training, of which `exchange` is the share that GPUs
    wait for each other; storage [J] between grid and machines.
    Raises: UnknownName, InputError; Infeasible where a machine is too much for a rack.
    """
    where, place = platform(on), site(at)
    if cooling not in COOLING:
        raise InputError(f'unknown cooling "{cooling}"; known: {", ".join(COOLING)}')
    if machines < 1 or not 0 <= busy <= 1 or not 0 <= spare < 1 or not 0 <= exchange < 1:
        raise InputError("machines from 1; busy from 0 to 1; spare and exchange from 0 to below 1")
    most_w, machine_w = _machine_w(where, 1.0), _machine_w(where, busy)
    rated_w = machines * most_w / (1.0 - spare)
    hall = Hall(rated_w, plant(cooling), facility.power_train())
    it_w = machines * machine_w
    months, year = _months(it_w, place, hall), facility.yearly_power(it_w, place, hall)
    hottest_c = max(m.value for m in place.temperature_c) + _HOT * place.hourly_std_c.value
    hot_w = float(facility.weather_limit_w(hall, hottest_c))
    series = _series(where, machines, busy, _number(step, "time", "step"), exchange)
    return HallAnswer(
        hardware=on, machines=machines, gpus=machines * where.machine_gpus, place=place.name,
        cooling=cooling, machine_w=machine_w, most_w=most_w, it_w=it_w, rated_it_w=rated_w,
        racks=_racks(where, machines, most_w, cooling, rack, row), months=months,
        pue=float(year.pue), meter_w=float(year.total_w),
        meter_kwh=float(year.total_w) * _YEAR_H / 1e3,
        water_m3=float(year.water_kg_per_s) * _YEAR_H * 3.6, cooling_w=float(year.cooling_w),
        losses_w=float(year.losses_w), hottest_c=hottest_c, hot_limit_w=hot_w,
        hot_speed=_limited(where, busy, min(hot_w / machines, most_w)).speed,
        cap=None if cap is None else _limited(where, busy, _number(cap, "power", "cap")),
        swing=swings.swings(series, _DT_S), smooth=_smooth(series, storage),
        kind=calibration(f"cooling-{cooling}").weakest_kind(),
    )  # fmt: skip


def _number(given: str | float, dimension: str, name: str) -> float:
    value = parse(given, dimension) if isinstance(given, str) else float(given)
    if not 0 < value < math.inf:
        raise InputError(f"{name} must be above zero, not {given}")
    return value


def _gpu_w(where: Platform, busy: float) -> float:
    chip = where.power
    return chip.idle_w + busy * (chip.limit_w - chip.idle_w)


def _machine_w(where: Platform, busy: float) -> float:
    return float(node_w(where.node, _gpu_w(where, busy), where.machine_gpus))


def _months(it_w: float, place: Site, hall: Hall) -> tuple[Month, ...]:
    power = facility.monthly_power(it_w, place, hall)
    columns = (power.pue, power.total_w, power.water_l_per_kwh)
    return tuple(
        Month(name, outdoor.value, *(float(column[at]) for column in columns))
        for at, (name, outdoor) in enumerate(zip(_MONTHS, place.temperature_c, strict=True))
    )


def _racks(
    where: Platform, machines: int, most_w: float, cooling: str, rack: str | float | None,
    row: str | float | None,
) -> Racks:  # fmt: skip
    carries_w = calibration(f"cooling-{cooling}").value("rack_power")
    rack_w = carries_w if rack is None else _number(rack, "power", "rack")
    return facility.racks(
        machines, most_w, rack_limit_w=rack_w,
        slots_per_rack=1 if where.machine_gpus >= _RACK_GPUS else _SLOTS,
        row_limit_w=_RACKS_PER_ROW * rack_w if row is None else _number(row, "power", "row"),
        racks_per_row=_RACKS_PER_ROW,
    )  # fmt: skip


def _limited(where: Platform, busy: float, machine_w: float) -> Capped:
    """A machine at work under a limit at its plug [W]. Raises: Infeasible below its idle draw."""
    node, chip = where.node, where.power
    inside_w = machine_w * node.supply_efficiency / (1.0 + node.fan_share) - node.host_w
    gpu_w = inside_w / where.machine_gpus
    if gpu_w < chip.idle_w:
        idle_w = float(node_w(node, chip.idle_w, where.machine_gpus))
        raise Infeasible(
            f"a machine idles at {idle_w / 1e3:.4g} kW, the limit is {machine_w / 1e3:.4g}",
            change="switch machines off, or allow more",
        )
    full_w = _gpu_w(where, busy)
    drawn_w = min(full_w, gpu_w)
    speed = float(clock(chip, full_w, drawn_w)) if gpu_w < full_w else 1.0
    return Capped(float(node_w(node, drawn_w, where.machine_gpus)), drawn_w, speed)


def _series(
    where: Platform, machines: int, busy: float, step_s: float, exchange: float
) -> swings.Floats:
    """Power [W] of all machines while they train in step."""
    chip = where.power
    waiting_w = float(demand_w(chip, chip.link_share * chip.active_w, 1.0))
    draws = (_gpu_w(where, busy), waiting_w)
    both = [machines * float(node_w(where.node, gpu_w, where.machine_gpus)) for gpu_w in draws]
    return swings.step_power(
        step_s, 1.0 - exchange, both[0], min(both), duration_s=_SERIES_S, dt_s=_DT_S
    )


def _smooth(series: swings.Floats, storage: str | float | None) -> Swings | None:
    if storage is None:
        return None
    stored = swings.store(
        series, _DT_S, capacity_j=_number(storage, "energy", "storage"),
        power_limit_w=float(series.max()), smooth_s=30.0,
    )  # fmt: skip
    settled = stored.grid_w[len(series) // 2 :]
    return swings.swings(settled, _DT_S)
