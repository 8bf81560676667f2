"""Generations of accelerators: what each brought, how fast progress is, what may come next.

A generation is an accelerator that beat every earlier one. Work per second is taken from the
spec sheet: tokens take arithmetic and memory traffic, one after the other, in parts that the
question states, so that speed is 1 / (part / arithmetic + (1 - part) / bandwidth). Progress is a
straight line through the logarithms over the years of release.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tokenmill.catalog.figure import KINDS, Kind
from tokenmill.catalog.load import records
from tokenmill.catalog.prices import Price, first_day, prices
from tokenmill.catalog.records import Accelerator
from tokenmill.cost.exchange import Rates
from tokenmill.errors import Unsupported

__all__ = [
    "MOORE_DOUBLING_YEARS", "Curve", "Formats", "Generation", "basis_of", "curves", "fitted",
    "frontier", "generations", "speed",
]  # fmt: skip

Floats = NDArray[np.float64]
Formats = Literal["16-bit", "best"]

MOORE_DOUBLING_YEARS = 2.0
"""Transistors on a chip double every two years (Moore 1975, "Progress in digital integrated
electronics", IEDM)."""

_REFERENCE_FLOP, _REFERENCE_BYTES = 1e15, 1e12  # units of speed only; ratios do not see them
_FORMATS: dict[Formats, tuple[tuple[str, float], ...]] = {
    "16-bit": (("bf16", 2.0), ("fp16", 2.0)),
    "best": (("fp4", 0.5), ("fp8", 1.0), ("bf16", 2.0), ("fp16", 2.0)),
}  # number formats, the first one first, and bytes of a weight [B]
_BETTER = 1.05  # how much faster than all before it a new generation is at least
_NEAR = 2.0  # years after release up to which a price counts as the one it came out at
_LAUNCH = ("purchase-launch", "purchase-new", "purchase-quoted")


@dataclass(frozen=True, slots=True)
class Generation:
    """One accelerator as a generation.

    released [year]; speed, relative; tdp_w [W]; price of one in the currency asked for, or None;
    kind, the weakest among its figures; price_basis in words.
    """

    slug: str
    name: str
    vendor: str
    released: float
    arithmetic_flop_per_s: float
    memory_bytes_per_s: float
    speed: float
    tdp_w: float
    price: float | None
    kind: Kind
    price_basis: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """Growth over years: log value = level + slope (year - center), with independent errors.

    `spread` is the standard deviation of single generations around the line, in logarithms;
    low and high bound the yearly factor at 80 %.
    """

    name: str
    level: float
    slope: float
    center: float
    level_error: float
    slope_error: float
    spread: float
    points: tuple[tuple[float, float], ...]

    @property
    def factor(self) -> float:
        """Growth a year: 1.41 doubles every two years."""
        return math.exp(self.slope)

    @property
    def low(self) -> float:
        """The factor at the tenth percentile of its uncertainty."""
        return math.exp(self.slope - self._reach)

    @property
    def high(self) -> float:
        """The factor at the ninetieth percentile."""
        return math.exp(self.slope + self._reach)

    @property
    def doubling_years(self) -> float:
        """Years [year] to double; infinite where nothing grows."""
        return math.log(2.0) / self.slope if self.slope > 0 else math.inf

    @property
    def _reach(self) -> float:
        return student(0.9, len(self.points) - 2) * self.slope_error

    def at(self, year: float) -> float:
        """The value on the line."""
        return math.exp(self.level + self.slope * (year - self.center))

    def drawn(self, year: Floats, level: Floats, slope: Floats, single: Floats) -> Floats:
        """Values at years [samples, n] under standard normal draws.

        Parameters: level, slope [samples] of the line; single [samples, n] of each generation.
        """
        line = self.level + level * self.level_error
        rise = self.slope + slope * self.slope_error
        logs = line[:, None] + rise[:, None] * (year - self.center) + self.spread * single
        return np.asarray(np.exp(logs))


def student(probability: float, freedom: int) -> float:
    """A quantile of Student's t, by the expansion of Fisher and Cornish 1960 (Technometrics 2).

    Good to a hundredth from 3 degrees of freedom up, at probabilities of 0.8 to 0.99.
    """
    z = NormalDist().inv_cdf(probability)
    n = max(freedom, 1)
    terms = (
        (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )  # fmt: skip
    return float(z + sum(term / n ** (power + 1) for power, term in enumerate(terms)))


def fitted(name: str, points: Iterable[tuple[float, float]]) -> Curve:
    """The least-squares line through the logarithms of values over years.

    Parameters: name for messages; points (year, value above zero).
    Raises: Unsupported for fewer than three points in more than one year.
    """
    told = tuple(sorted(points))
    if len(told) < 3 or told[0][0] == told[-1][0]:
        raise Unsupported(
            f"{len(told)} accelerators with {name} are too few for a curve; "
            "add records, or choose another vendor"
        )
    years, logs = np.array([p[0] for p in told]), np.log([p[1] for p in told])
    center, level = float(years.mean()), float(logs.mean())
    away = years - center
    slope = float(away @ (logs - level) / (away @ away))
    left = logs - level - slope * away
    spread = math.sqrt(float(left @ left) / (len(told) - 2))
    return Curve(
        name, level, slope, center, spread / math.sqrt(len(told)),
        spread / math.sqrt(float(away @ away)), spread, told,
    )  # fmt: skip


def speed(arithmetic_flop_per_s: float, weights_per_s: float, arithmetic_part: float) -> float:
    """Relative work per second of arithmetic and memory traffic that take turns.

    Parameters: arithmetic_flop_per_s [FLOP/s]; weights_per_s [1/s] read from memory;
    arithmetic_part, the part of a reference accelerator's time that is arithmetic (0 to 1).
    """
    arithmetic = arithmetic_part * _REFERENCE_FLOP / arithmetic_flop_per_s
    memory = (1.0 - arithmetic_part) * _REFERENCE_BYTES / weights_per_s
    return 1.0 / (arithmetic + memory)


def frontier(found: Iterable[Generation]) -> tuple[Generation, ...]:
    """Those that were faster at release than all before them, in order of release."""
    kept: list[Generation] = []
    for one in sorted(found, key=lambda item: (item.released, -item.speed)):
        if not kept or one.speed >= _BETTER * kept[-1].speed:
            kept.append(one)
    return tuple(kept)


def generations(
    vendor: str, formats: Formats, arithmetic_part: float, currency: str, exchange: Rates
) -> tuple[Generation, ...]:
    """Accelerators of data centres with stacked memory, all of them, from the catalogue.

    Parameters: vendor, or "" for every one; formats of numbers to compare; arithmetic_part as in
    `speed`; currency and exchange for prices. Those without a needed figure are passed over.
    """
    found = []
    for record in records("accelerators"):
        if not isinstance(record, Accelerator) or record.market != "datacenter":
            continue
        if vendor and record.vendor.lower() != vendor.lower():
            continue
        if record.memory_type.upper().startswith("HBM"):
            one = _generation(record, formats, arithmetic_part, currency, exchange)
            found += [one] if one is not None else []
    return tuple(found)


def _generation(
    record: Accelerator, formats: Formats, part: float, currency: str, exchange: Rates
) -> Generation | None:
    best = next(((key, size) for key, size in _FORMATS[formats] if key in record.peaks), None)
    known = {"memory_bandwidth", "tdp"} <= record.figures.keys()
    if best is None or not known or not record.released:
        return None
    peak, width = record.peaks[best[0]], record.figures["memory_bandwidth"]
    tdp = record.figures["tdp"]
    released = _year(first_day(record.released))
    near = (p for p in prices(record.slug, _LAUNCH) if _year(first_day(p.date)) <= released + _NEAR)
    price = next(near, None)
    return Generation(
        slug=record.slug, name=record.name, vendor=record.vendor, released=released,
        arithmetic_flop_per_s=peak.value, memory_bytes_per_s=width.value,
        speed=speed(peak.value, width.value / best[1], part), tdp_w=tdp.value,
        price=None if price is None else exchange.price(price, currency).amount,
        kind=max((peak.kind, width.kind, tdp.kind), key=KINDS.index),
        price_basis="" if price is None else basis_of(price),
    )  # fmt: skip


def basis_of(price: Price) -> str:
    """A price in words, with its date, its source and its age."""
    age = ", older than a year" if price.is_stale(datetime.date.today()) else ""
    return f"{price.amount:,.0f} {price.currency}, {price.date}, {price.source.title}{age}"


def _year(day: datetime.date) -> float:
    return day.year + (day.timetuple().tm_yday - 1) / 365.25


def curves(found: Sequence[Generation]) -> dict[str, Curve]:
    """The curves of a line of generations: arithmetic, bandwidth, speed, and speed per watt and
    per unit of money where three or more have a price.

    Raises: Unsupported for fewer than three generations.
    """
    series = {
        "arithmetic": [(g.released, g.arithmetic_flop_per_s) for g in found],
        "bandwidth": [(g.released, g.memory_bytes_per_s) for g in found],
        "speed": [(g.released, g.speed) for g in found],
        "speed per watt": [(g.released, g.speed / g.tdp_w) for g in found],
        "speed for the money": [(g.released, g.speed / g.price) for g in found if g.price],
    }
    return {name: fitted(name, points) for name, points in series.items()}
