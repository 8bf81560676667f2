"""Growth: how efficiency, use and investment feed each other over years, policy by policy."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as File
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.catalog.load import resolve
from tokenmill.catalog.prices import price
from tokenmill.cost.exchange import Rates, rates
from tokenmill.cost.money import Line, Money, Statement
from tokenmill.errors import BadRecord, InputError, NoPrice, Unsupported
from tokenmill.planner.fleet.capacity import Capacity, CapacityOf, capacity
from tokenmill.planner.fleet.prices import in_coins
from tokenmill.planner.fleet.question import WorkloadEntry
from tokenmill.planner.growth.answer import Band, GrowthAnswer, Path, Progressed, Rebound
from tokenmill.planner.growth.generations import (
    MOORE_DOUBLING_YEARS,
    Curve,
    Generation,
    basis_of,
    curves,
    frontier,
    generations,
)
from tokenmill.planner.growth.loop import Paths, play
from tokenmill.planner.growth.question import (
    YEAR_S,
    GrowthScenario,
    Policy,
    growth_scenario,
    read_growth,
)
from tokenmill.planner.growth.world import STEPS_A_YEAR, FirstGpu, World, worlds
from tokenmill.simulator.outcome import Interval

__all__ = ["ask", "growth"]

Floats = NDArray[np.float64]

_NEVER = Policy(name="never", kind="never")
_MOST_ELASTIC = 3.0
_TRIED = 13  # elasticities between 0 and the most, to find where energy flips
_FLIP_SAMPLES = 100
_NO_FLIP = 0.1  # share of samples without a flip above which none is told
_UNITS = {
    "gpus": "GPUs", "power_w": "W", "tokens_per_s": "tokens/s", "price": "per million tokens",
    "paid": "a year", "unserved": "1",
}  # fmt: skip
_LINES = ("spent", "upkeep", "electricity", "resold", "left")
_LABELS = {
    "spent": "machines", "upkeep": "upkeep", "electricity": "electricity", "resold": "resale",
    "left": "value left at the end, in a straight line",
}  # fmt: skip


def ask(scenario: str | File | Mapping[str, Any]) -> GrowthAnswer:
    """The growth of a scenario: a TOML file, or its tables as plain values.

    Returns, raises: as `growth`.
    """
    if isinstance(scenario, Mapping):
        return growth(growth_scenario(dict(scenario)))
    return growth(read_growth(File(scenario)), origin=str(scenario))


def growth(
    scenario: GrowthScenario,
    *,
    origin: str = "scenario",
    capacity_of: CapacityOf = capacity,
    progress: Callable[[str], None] | None = None,
) -> GrowthAnswer:
    """Fleet, energy, tokens and money of every policy over the years, with uncertainty.

    Parameters: scenario; origin, its file for messages; capacity_of, asked what a machine of the
    first accelerator does where the scenario does not say; progress, told what is done.
    Returns: an answer; the same seed gives the same numbers.
    Raises: BadRecord naming origin and key; NoPrice; UnknownName; Unsupported where records are
    too few for a curve; Infeasible where the first accelerator cannot run the model.
    """
    exchange = _exchange(scenario, origin)
    first, known, lines, notes = _ground(scenario, origin, exchange, capacity_of)
    tariff = _money(scenario.site.tariff, scenario, exchange, origin, "site.tariff").amount
    world = worlds(scenario, first, known, lines, tariff)
    middle = worlds(scenario, first, known, lines, tariff, central=True)
    baseline = play(scenario, world, _NEVER)
    paths = []
    for policy in scenario.policies:
        if progress is not None:
            progress(policy.name)
        told = baseline if policy.kind == "never" else play(scenario, world, policy)
        rebound = None
        if policy.kind != "never":
            rebound = _rebound(scenario, world, policy, told, baseline)
        statement = _statement(scenario, play(scenario, middle, policy))
        paths.append(Path(policy.name, _bands(scenario, told), _totals(told), statement, rebound))
    return GrowthAnswer(
        name=scenario.name, currency=scenario.currency,
        years=tuple(str(scenario.start // 12 + year) for year in range(scenario.years)),
        samples=scenario.samples, seed=scenario.seed,
        curves=tuple(Progressed(line, _curve_words(line)) for line in lines.values()),
        generations=tuple(one.slug for one in (first.generation, *known)),
        paths=tuple(paths), notes=notes,
    )  # fmt: skip


def _exchange(scenario: GrowthScenario, origin: str) -> Rates:
    found = rates()
    for index, text in enumerate(scenario.rates):
        try:
            found = found.replaced(text, today=datetime.date.today())
        except InputError as problem:
            raise BadRecord(origin, f"rates.{index}", str(problem)) from None
    return found


def _money(
    amount: Money, scenario: GrowthScenario, exchange: Rates, origin: str, key: str
) -> Money:
    """An amount above zero in the scenario's currency. Raises: BadRecord."""
    if amount.nano <= 0:
        raise BadRecord(origin, key, f"must be above zero, not {amount}")
    try:
        return exchange.convert(amount, scenario.currency)
    except InputError:
        into = scenario.currency
        raise BadRecord(
            origin, key, f"no exchange rate from {amount.currency} to {into}; "
            f'add rates = ["{amount.currency}=1.25 {into}"]',
        ) from None  # fmt: skip


def _ground(
    scenario: GrowthScenario, origin: str, exchange: Rates, capacity_of: CapacityOf
) -> tuple[FirstGpu, tuple[Generation, ...], dict[str, Curve], tuple[str, ...]]:
    """The first GPU, later generations on record, the curves, and notes."""
    want = scenario.progress
    everything = generations(
        want.vendor, want.formats, want.arithmetic_part, scenario.currency, exchange
    )
    best = frontier(everything)
    lines = curves(best)
    slug = resolve("accelerators", scenario.first.accelerator)
    mine = next((one for one in everything if one.slug == slug), None)
    if mine is None:
        raise Unsupported(
            f"{slug} is not among the accelerators of data centres with stacked memory "
            f"{'of ' + want.vendor if want.vendor else 'on record'}; choose another first one"
        )
    known = tuple(one for one in best if one.released > mine.released and one.speed > mine.speed)
    cost, basis = _first_price(scenario, origin, exchange, slug)
    rate = _first_rate(scenario, slug, capacity_of)
    first = FirstGpu(mine, cost, rate.tokens_per_s / rate.gpus, rate.watts_busy / rate.gpus,
                     rate.watts_idle / rate.gpus)  # fmt: skip
    notes = [
        f"{slug}: {first.tokens_per_s:,.0f} output tokens/s, {first.watts_busy:,.0f} W busy and "
        f"{first.watts_idle:,.0f} W idle a GPU at the wall ({rate.basis}); price {basis}",
        *(f"{one.slug}: {one.price_basis or 'no price on record: by the curve'}" for one in known),
        "later generations lie on the curves with their scatter; weakest figure of the curves: "
        f"{_weakest(best)}",
    ]
    return first, known, lines, tuple(notes)


def _weakest(found: Sequence[Generation]) -> str:
    from tokenmill.catalog.figure import KINDS

    return max((one.kind for one in found), key=KINDS.index)


def _first_price(
    scenario: GrowthScenario, origin: str, exchange: Rates, slug: str
) -> tuple[float, str]:
    stated = scenario.first.price
    if stated is not None:
        return _money(stated, scenario, exchange, origin, "first.price").amount, "as stated"
    try:
        entry = price(slug, ("purchase-new", "purchase-launch", "purchase-quoted"))
    except NoPrice:
        raise NoPrice(slug, f'state one in {origin}: first.price = "$30,000"') from None
    amount = Money.of(entry.amount, entry.currency)
    return _money(amount, scenario, exchange, origin, "first.price").amount, basis_of(entry)


def _first_rate(scenario: GrowthScenario, slug: str, capacity_of: CapacityOf) -> Capacity:
    """What one GPU, or one machine of several, does: as stated, else asked."""
    first = scenario.first
    if first.tokens_per_s and first.watts_busy and first.watts_idle:
        return Capacity(1.0, first.watts_busy, first.watts_idle, 1, "stated", first.tokens_per_s)
    workload = WorkloadEntry(
        rate=1.0, model=first.model, prompt_tokens=first.prompt_tokens,
        output_tokens=first.output_tokens, ttft=first.ttft, tpot=first.tpot, weights=first.weights,
    )  # fmt: skip
    return capacity_of(workload, slug)


def _curve_words(line: Curve) -> str:
    return (
        f"{line.name} grew {line.factor:.2f} times a year (80 %: {line.low:.2f} to "
        f"{line.high:.2f}) over {len(line.points)} generations, {line.points[0][0]:.0f} to "
        f"{line.points[-1][0]:.0f}: it doubles every {line.doubling_years:.1f} years, "
        f"Moore's law every {MOORE_DOUBLING_YEARS:g}"
    )


def _interval(values: Floats) -> Interval:
    low, middle, high = (float(x) for x in np.percentile(values, (10, 50, 90)))
    return Interval(low, middle, high)


def _bands(scenario: GrowthScenario, told: Paths) -> dict[str, Band]:
    """Means of every year; spending is a sum."""
    unserved = np.round(1.0 - told.tokens_per_s / told.demand_per_s, 12)
    quarters = {
        "gpus": told.gpus, "power_w": told.power_w, "tokens_per_s": told.tokens_per_s,
        "price": told.price, "paid": told.paid * STEPS_A_YEAR, "unserved": unserved,
    }  # fmt: skip
    bands = {}
    for name, values in quarters.items():
        yearly = values.reshape(len(values), scenario.years, STEPS_A_YEAR).mean(axis=2)
        low, middle, high = (tuple(row.tolist()) for row in np.percentile(yearly, (10, 50, 90), 0))
        bands[name] = Band(_UNITS[name], low, middle, high)
    return bands


def _totals(told: Paths) -> dict[str, Interval]:
    seconds = YEAR_S / STEPS_A_YEAR
    return {
        "energy_j": _interval(told.power_w.sum(axis=1) * seconds),
        "tokens": _interval(told.tokens_per_s.sum(axis=1) * seconds),
        "paid": _interval(told.paid.sum(axis=1) - told.left),
    }


def _statement(scenario: GrowthScenario, told: Paths) -> Statement:
    """Money over all years where every uncertain number is at its middle, in whole coins."""
    lines = []
    for name in _LINES:
        amount = float(getattr(told, name).sum()) * (-1 if name in ("resold", "left") else 1)
        lines.append(Line(_LABELS[name], in_coins(Money.of(amount, scenario.currency))))
    return Statement.of((line for line in lines if line.money.nano), scenario.currency)


def _rebound(
    scenario: GrowthScenario, world: World, policy: Policy, told: Paths, baseline: Paths
) -> Rebound:
    """Energy against the first generation for ever, and the elasticity where both are equal."""
    ratio = told.power_w.sum(axis=1) / baseline.power_w.sum(axis=1)
    tried = np.linspace(0.0, _MOST_ELASTIC, _TRIED)
    tiled = world.at_elasticities(tried, _FLIP_SAMPLES)
    energies = [
        play(scenario, tiled, one).power_w.sum(axis=1).reshape(_TRIED, -1)
        for one in (policy, _NEVER)
    ]
    logs = np.log(energies[0] / energies[1])  # [elasticities, samples]
    flips = np.array([_crossing(tried, logs[:, k]) for k in range(logs.shape[1])])
    found = flips[np.isfinite(flips)]
    flip = _interval(found) if len(found) >= (1.0 - _NO_FLIP) * len(flips) else None
    count = logs.shape[1]
    saved = 1.0 - np.exp(logs[0])
    eaten = None
    if np.all(saved > 1e-3):
        eaten = _interval(1.0 - (1.0 - ratio[:count]) / saved)
    raises = float((ratio > 1.0).mean())
    words = _rebound_words(scenario, policy, _interval(ratio), flip, eaten, logs)
    return Rebound(_interval(ratio), flip, eaten, raises, _MOST_ELASTIC, words)


def _crossing(at: Floats, logs: Floats) -> float:
    """Where a rising line crosses zero; NaN where it does not."""
    if logs[0] > 0 or logs[-1] < 0:
        return math.nan
    return float(np.interp(0.0, np.maximum.accumulate(logs), at))


def _rebound_words(
    scenario: GrowthScenario, policy: Policy, ratio: Interval, flip: Interval | None,
    eaten: Interval | None, logs: Floats,
) -> str:  # fmt: skip
    middle = scenario.demand.elasticity.value
    text = (
        f"{policy.name}: over {scenario.years} years energy is {ratio.value:.2f} times that of "
        f"never changing (80 %: {ratio.low:.2f} to {ratio.high:.2f})"
    )
    if flip is not None:
        text += (
            f"; higher efficiency raises total energy where the elasticity of demand is above "
            f"{flip.value:.2f} (80 %: {flip.low:.2f} to {flip.high:.2f}), here it is {middle:.2f}"
        )
    elif float(np.median(logs[-1])) < 0:
        text += f"; up to an elasticity of {_MOST_ELASTIC:g} higher efficiency lowers total energy"
    else:
        text += "; no single elasticity parts more energy from less"
    if eaten is not None:
        text += f"; more use eats {eaten.value:.0%} of what efficiency saves"
    return text
