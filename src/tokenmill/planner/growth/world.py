"""The worlds of a growth scenario: uncertain numbers drawn once, the same for every policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenmill.planner.growth.generations import Curve, Generation
from tokenmill.planner.growth.question import YEAR_S, GrowthScenario, Spread

__all__ = ["STEPS_A_YEAR", "FirstGpu", "World", "worlds"]

Floats = NDArray[np.float64]

STEPS_A_YEAR = 4
_Z80 = 1.2815515655446004  # standard deviations that hold 80 % on both sides
_MOST_GENERATIONS = 80


@dataclass(frozen=True, slots=True)
class FirstGpu:
    """One GPU of the first fleet: price [currency], output [tokens/s], power at the wall [W]."""

    generation: Generation
    price: float
    tokens_per_s: float
    watts_busy: float
    watts_idle: float


@dataclass(frozen=True)
class World:
    """What may happen, in samples [n] and generations [g]; the first one is in place at the start.

    released [n, g] in years from the start; tokens_per_s, watts_busy, watts_idle, price [n, g] of
    one GPU, price at its release or at the start; growth, elasticity [n]; per_kwh [n, steps].
    """

    released: Floats
    tokens_per_s: Floats
    watts_busy: Floats
    watts_idle: Floats
    price: Floats
    growth: Floats
    elasticity: Floats
    per_kwh: Floats

    def at_elasticities(self, values: Floats, samples: int) -> World:
        """The first samples, once for each elasticity, in blocks."""
        count = min(samples, len(self.growth))

        def tiled(array: Floats) -> Floats:
            return np.concatenate([array[:count]] * len(values))

        fields = {name: tiled(getattr(self, name)) for name in self.__dataclass_fields__}
        return replace(self, **(fields | {"elasticity": np.repeat(values, count)}))


def worlds(
    scenario: GrowthScenario, first: FirstGpu, known: Sequence[Generation],
    lines: dict[str, Curve], per_kwh: float, *, central: bool = False,
) -> World:  # fmt: skip
    """Worlds drawn for a scenario, or the one where everything is at its middle.

    Parameters: first; known, later generations that are on record, in order, with prices or
    None; lines, the curves by name; per_kwh at the start [currency].
    """
    count = 1 if central else scenario.samples
    dice = np.random.default_rng(scenario.seed)

    def normal(*shape: int) -> Floats:
        drawn = dice.standard_normal((count, *shape))
        return np.zeros_like(drawn) if central else drawn

    start = scenario.start / 12.0
    growth = _drawn(scenario.demand.growth, normal(), least=-0.9)
    elasticity = _drawn(scenario.demand.elasticity, normal(), least=0.0)
    rise = _drawn(scenario.site.tariff_growth, normal(), least=-0.5)
    cadence = _cadence(scenario, first, known, normal())
    steps = np.arange(scenario.years * STEPS_A_YEAR) / STEPS_A_YEAR
    line = [normal() for _ in range(6)]
    later = _later(scenario, first, known, cadence)
    single = [normal(later.shape[1]) for _ in range(3)]
    speed, per_watt, per_money = (
        lines[name].drawn(later, line[2 * k], line[2 * k + 1], single[k])
        for k, name in enumerate(("speed", "speed per watt", "speed for the money"))
    )
    on_record = [first.generation, *known]
    columns = {
        "released": _joined([g.released - start for g in on_record], later - start),
        "speed": _joined([g.speed for g in on_record], speed),
        "tdp": _joined([g.tdp_w for g in on_record], speed / per_watt),
        "price": _joined([_price(g, first, lines) for g in on_record], speed / per_money),
    }
    columns["released"][:, 0] = -math.inf
    pace = columns["speed"] / first.generation.speed
    power = columns["tdp"] / first.generation.tdp_w
    return World(
        released=columns["released"], tokens_per_s=first.tokens_per_s * pace,
        watts_busy=first.watts_busy * power, watts_idle=first.watts_idle * power,
        price=columns["price"], growth=growth, elasticity=elasticity,
        per_kwh=per_kwh * (1.0 + rise[:, None]) ** steps,
    )  # fmt: skip


def _drawn(spread: Spread, normal: Floats, least: float) -> Floats:
    """Values of a normal law with different widths below and above its middle."""
    below, above = spread.value - spread.low, spread.high - spread.value
    away = np.where(normal < 0, normal * below, normal * above) / _Z80
    return np.maximum(spread.value + away, least)


def _joined(known: Sequence[float], later: Floats) -> Floats:
    """Columns of the generations on record before those to come [n, g]."""
    return np.hstack([np.tile(np.array(known), (len(later), 1)), later])


def _price(one: Generation, first: FirstGpu, lines: dict[str, Curve]) -> float:
    """The price of a generation on record; where there is none, by the curve."""
    if one.slug == first.generation.slug:
        return first.price
    return one.price or one.speed / lines["speed for the money"].at(one.released)


def _cadence(
    scenario: GrowthScenario, first: FirstGpu, known: Sequence[Generation], normal: Floats
) -> Floats:
    """Years between generations [n]: as stated, else the mean of those on record."""
    stated = scenario.progress.cadence
    if stated is not None:
        return np.maximum(_drawn(stated, normal, least=0.0) / YEAR_S, 0.25)
    dates = [first.generation.released, *(g.released for g in known)]
    mean = (dates[-1] - dates[0]) / max(len(dates) - 1, 1)
    return np.full(normal.shape, max(mean, 0.25) if len(dates) > 1 else 2.0)


def _later(
    scenario: GrowthScenario, first: FirstGpu, known: Sequence[Generation], cadence: Floats
) -> Floats:
    """Years of release [n, g] of the generations to come until the end."""
    last = known[-1].released if known else first.generation.released
    span = scenario.start / 12.0 + scenario.years - last
    count = min(max(math.ceil(span / float(cadence.min())), 1), _MOST_GENERATIONS)
    return np.asarray(last + cadence[:, None] * np.arange(1, count + 1))
