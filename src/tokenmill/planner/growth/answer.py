"""The answer to a growth scenario: curves of progress, and a path for every policy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tokenmill.cost.money import Statement
from tokenmill.planner.growth.generations import MOORE_DOUBLING_YEARS, Curve
from tokenmill.simulator.outcome import Interval

__all__ = ["Band", "GrowthAnswer", "Path", "Progressed", "Rebound"]


@dataclass(frozen=True, slots=True)
class Band:
    """A quantity by year: the 10th, 50th and 90th percentile over samples."""

    unit: str
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rebound:
    """Whether more efficient machines raise total energy, against never changing.

    `energy_ratio`: energy over the years, over that of the first generation for ever. `flip`:
    the elasticity of demand at which both are equal, above which efficiency raises energy;
    None where more than a tenth of the samples have none up to `tried`. `eaten`: the part of
    the saving that more use eats (above 1: Jevons). `raises`: share of samples that end higher.
    """

    energy_ratio: Interval
    flip: Interval | None
    eaten: Interval | None
    raises: float
    tried: float
    words: str


@dataclass(frozen=True, slots=True)
class Path:
    """One policy: bands by year, totals over the years with their 80 % intervals, money in the
    middle of everything line by line, and the rebound (None for the policy compared with)."""

    policy: str
    bands: dict[str, Band]
    totals: dict[str, Interval]
    money: Statement
    rebound: Rebound | None


@dataclass(frozen=True, slots=True)
class Progressed:
    """A curve of progress in words, with the generations it rests on."""

    curve: Curve
    words: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values: factor a year with its 80 % interval, doubling time, points."""
        curve = self.curve
        return {
            "name": curve.name, "factor_a_year": curve.factor, "low": curve.low,
            "high": curve.high, "doubling_years": curve.doubling_years,
            "moore_doubling_years": MOORE_DOUBLING_YEARS, "spread": curve.spread,
            "points": [list(point) for point in curve.points], "words": self.words,
        }  # fmt: skip


@dataclass(frozen=True)
class GrowthAnswer:
    """Curves of progress, generations, a path per policy, and what to know of them."""

    name: str
    currency: str
    years: tuple[str, ...]
    samples: int
    seed: int
    curves: tuple[Progressed, ...]
    generations: tuple[str, ...]
    paths: tuple[Path, ...]
    notes: tuple[str, ...]

    def path(self, policy: str) -> Path:
        """The path of a policy by its name. Raises: KeyError."""
        return {one.policy: one for one in self.paths}[policy]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, every figure in its base unit."""
        plain = {
            name: getattr(self, name)
            for name in ("name", "currency", "years", "samples", "seed", "generations", "notes")
        }
        return plain | {
            "curves": [one.to_dict() for one in self.curves],
            "paths": [_plain(path) for path in self.paths],
        }


def _plain(path: Path) -> dict[str, Any]:
    money = path.money
    lines = [{"label": line.label, "amount": line.money.amount} for line in money.lines]
    return {
        "policy": path.policy,
        "bands": {name: asdict(band) for name, band in path.bands.items()},
        "totals": {name: asdict(total) for name, total in path.totals.items()},
        "money": {"lines": lines, "total": money.total.amount, "currency": money.currency},
        "rebound": None if path.rebound is None else asdict(path.rebound),
    }
