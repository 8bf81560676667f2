"""Power swings of synchronous training, and what smooths them: floors, ramps and storage.

Thousands of GPUs compute together and wait together, so that their power goes up and down
with every step. Grids limit swing, ramp and certain frequencies.
Reference: Choukse et al. 2025, Power Stabilization for AI Training Datacenters,
arXiv:2508.14318.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tokenmill.errors import InputError

__all__ = ["Stored", "Swings", "floor_power", "limit_ramp", "step_power", "store", "swings"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Swings:
    """A power series in figures: mean, peak and least [W], steepest ramps [W/s], its frequency.

    `frequency_hz` is that of the strongest oscillation (0 for a steady series) and
    `amplitude_w` its half swing.
    """

    mean_w: float
    peak_w: float
    least_w: float
    ramp_up_w_per_s: float
    ramp_down_w_per_s: float
    frequency_hz: float
    amplitude_w: float


@dataclass(frozen=True, slots=True)
class Stored:
    """What the grid sees with storage in between: grid power [W], charge [J] after each step."""

    grid_w: Floats
    charge_j: Floats


def step_power(
    step_s: float, compute_share: float, compute_w: float, exchange_w: float, *,
    duration_s: float, dt_s: float,
) -> Floats:  # fmt: skip
    """The power of a synchronous job: every step computes, then exchanges.

    Parameters: step_s [s]; compute_share, part of the step that computes, 0 to 1; compute_w and
    exchange_w [W] of the whole job in the two phases; duration_s [s] and dt_s [s] of the series.
    Returns: mean power [W] within each dt, so that energy does not depend on dt.
    Raises: InputError for times or powers out of range.
    """
    if not (0 < dt_s <= duration_s < math.inf and 0 < step_s < math.inf):
        raise InputError(f"times must be above zero: step {step_s}, {duration_s}, dt {dt_s} s")
    if not 0 <= compute_share <= 1 or not min(compute_w, exchange_w) >= 0:
        raise InputError("the compute share lies in 0 to 1 and powers from zero up")
    edges = np.arange(0, round(duration_s / dt_s) + 1) * dt_s
    whole, rest = np.divmod(edges / step_s, 1.0)
    computing_s = (whole * compute_share + np.minimum(rest, compute_share)) * step_s
    share = np.clip(np.diff(computing_s) / dt_s, 0.0, 1.0)
    return np.asarray(exchange_w + (compute_w - exchange_w) * share)


def swings(power_w: ArrayLike, dt_s: float) -> Swings:
    """The swing, ramps and strongest oscillation of a power series.

    Parameters: power_w [W], at least two equally spaced values; dt_s [s] between them.
    Raises: InputError for a short series, NaN or a negative power.
    """
    power = _series(power_w, dt_s)
    ramps = np.diff(power) / dt_s
    spectrum = np.abs(np.fft.rfft(power - power.mean())) * 2.0 / power.size
    strongest = int(spectrum.argmax())
    moving = spectrum[strongest] > 1e-9 * max(power.mean(), 1.0)
    return Swings(
        mean_w=float(power.mean()),
        peak_w=float(power.max()),
        least_w=float(power.min()),
        ramp_up_w_per_s=float(max(ramps.max(), 0.0)),
        ramp_down_w_per_s=float(max(-ramps.min(), 0.0)),
        frequency_hz=strongest / (power.size * dt_s) if moving else 0.0,
        amplitude_w=float(spectrum[strongest]) if moving else 0.0,
    )


def floor_power(power_w: ArrayLike, floor_w: float) -> Floats:
    """Power [W] when GPUs burn what is missing to a floor [W]: smoother, never less energy."""
    if not 0 <= floor_w < math.inf:
        raise InputError(f"a power floor must be watts from zero up, not {floor_w}")
    return np.maximum(_series(power_w, 1.0), floor_w)


def limit_ramp(power_w: ArrayLike, dt_s: float, down_w_per_s: float) -> Floats:
    """Power [W] when GPUs burn on after a drop so that it falls no faster than a ramp.

    Parameters: power_w [W]; dt_s [s]; down_w_per_s [W/s], steepest fall, above zero.
    Returns: a series never below the load, which falls by at most down x dt each step.
    """
    power = _series(power_w, dt_s)
    if not down_w_per_s > 0:
        raise InputError(f"a ramp must be above zero watts per second, not {down_w_per_s}")
    # The highest earlier value, less the fall allowed since: a running maximum on a slope.
    slope = np.arange(power.size) * down_w_per_s * dt_s
    if not np.all(np.isfinite(slope)):
        return power.copy()
    return np.asarray(np.maximum(np.maximum.accumulate(power + slope) - slope, power))


def store(
    power_w: ArrayLike, dt_s: float, *, capacity_j: float, power_limit_w: float, smooth_s: float
) -> Stored:
    """Storage between load and grid that follows the slow part of the load.

    Parameters: power_w [W]; dt_s [s]; capacity_j [J]; power_limit_w [W] in and out; smooth_s
    [s], time constant of the low pass that the grid is meant to see. It starts half full.
    Returns: grid power and charge; grid energy = load energy + change of charge (no losses).
    Raises: InputError for sizes below zero.
    """
    load = _series(power_w, dt_s)
    if not min(capacity_j, power_limit_w) >= 0 or not smooth_s > 0:
        raise InputError("storage needs a capacity and power from zero up and a time above zero")
    keep = math.exp(-dt_s / smooth_s)
    aim, charge = float(load.mean()), capacity_j / 2.0
    grid, charges = np.empty_like(load), np.empty_like(load)
    for index, draw in enumerate(load):
        aim = keep * aim + (1.0 - keep) * draw
        into = min(max(aim - draw, -power_limit_w), power_limit_w)
        into = min(max(into, -charge / dt_s), (capacity_j - charge) / dt_s)
        into = max(into, -draw)
        charge += into * dt_s
        grid[index], charges[index] = draw + into, charge
    return Stored(grid, charges)


def _series(power_w: ArrayLike, dt_s: float) -> Floats:
    power = np.asarray(power_w, dtype=np.float64)
    if power.ndim != 1 or power.size < 2 or not 0 < dt_s < math.inf:
        raise InputError("a power series has at least two values and a time step above zero")
    if not np.all((power >= 0) & np.isfinite(power)):
        raise InputError("a power series holds watts from zero up, without NaN")
    return power
