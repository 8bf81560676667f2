"""Why no plan meets a fleet scenario: limits that cannot hold together, and what would help.

The programme is made elastic: each limit may be passed at a price. Where parts of machines are
allowed, the prices of the elastic rows are a proof (Farkas): the rows with a price cannot hold
together. Then each kind of limit alone is relaxed as little as whole machines need, which gives
changes that are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenmill.planner.fleet.highs import Relaxed
from tokenmill.planner.fleet.problem import FleetProblem
from tokenmill.planner.fleet.program import Block, Extra, Program, capital_units
from tokenmill.planner.fleet.solve import relaxed, solve
from tokenmill.units import format_si

__all__ = ["Conflict", "Remedy", "explain", "spans"]

Floats = NDArray[np.float64]

_SMALL = 1e-6
_FEW = 1000  # whole numbers up to which the least change is found exactly


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change of one kind of limit that alone makes a plan possible."""

    limit: str
    words: str
    amounts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why there is no plan: the limits that cannot hold together, and changes that help."""

    together: tuple[str, ...]
    remedies: tuple[Remedy, ...]

    @property
    def words(self) -> str:
        """The conflict in one line."""
        limits = "; ".join(self.together) or "whole machines: parts of machines would do"
        change = " or ".join(one.words for one in self.remedies) or "no single change is enough"
        return f"these limits cannot hold together: {limits}. Enough would be {change}"


def spans(problem: FleetProblem, periods: Iterable[int]) -> str:
    """Periods in words: "2027 Q1 to 2028 Q2, 2029 Q1"."""
    runs: list[list[int]] = []
    for period in sorted(set(int(p) for p in periods)):
        if runs and period == runs[-1][1] + 1:
            runs[-1][1] = period
        else:
            runs.append([period, period])
    label = problem.calendar.label
    return ", ".join(label(a) if a == b else f"{label(a)} to {label(b)}" for a, b in runs)


def explain(problem: FleetProblem, program: Program, *, limit_s: float) -> Conflict:
    """The conflict of a scenario without a plan.

    Parameters: problem, its programme, limit_s [s] for finding each change that is enough.
    """
    kinds = {
        "power": _power(problem, program), "capital": _capital(problem, program),
        "places": _most(problem.sites, problem.most_machines, program.rows["places"]),
        "supply": _most(problem.systems, problem.most_bought, program.rows["supply"]),
        "demand": _demand(problem, program),
    }  # fmt: skip
    everything = [extra for extras in kinds.values() for extra in extras]
    proof = relaxed(program.with_extras(everything, keep_cost=0.0))
    together = () if proof is None else _together(problem, program, proof)
    remedies = []
    for kind, extras in kinds.items():
        amounts = _least(program, extras, limit_s)
        if amounts:
            remedies.append(Remedy(kind, _WORDS[kind](problem, amounts), amounts))
    return Conflict(together, tuple(remedies))


def _least(program: Program, extras: list[Extra], limit_s: float) -> dict[str, float]:
    """The least passing of one kind of limit that lets whole machines meet the rest."""
    if not extras:
        return {}
    elastic = program.with_extras(extras, keep_cost=0.0)
    lower = relaxed(elastic)
    gap = 1e-4 if program.integers <= _FEW else 0.02
    found = None if lower is None else solve(elastic, lower, gap=gap, limit_s=limit_s)
    if found is None:
        return {}
    values = found.columns[len(program.cost) :]
    return {
        one.name: float(value)
        for one, value in zip(extras, values, strict=True) if value > _SMALL
    }  # fmt: skip


def _power(problem: FleetProblem, program: Program) -> list[Extra]:
    rows = program.rows["power"].index
    return [
        Extra(site, 1.0, np.inf, tuple(rows[j].tolist()), -1.0)
        for j, site in enumerate(problem.sites)
    ]


def _capital(problem: FleetProblem, program: Program) -> list[Extra]:
    first = program.rows["capital"].start
    return [
        Extra(str(year), 1.0, np.inf, (first + year,), -1.0)
        for year, limit in enumerate(problem.capital) if np.isfinite(limit)
    ]  # fmt: skip


def _most(names: Sequence[str], most: Floats, rows: Block) -> list[Extra]:
    """Machines beyond the most of a name, in a row of the programme for each."""
    return [
        Extra(name, 1.0 / limit, np.inf, tuple(index.tolist()), -1.0)
        for name, limit, index in zip(names, most.tolist(), rows.index, strict=True)
        if np.isfinite(limit)
    ]  # fmt: skip


def _demand(problem: FleetProblem, program: Program) -> list[Extra]:
    rows = program.rows["demand"].index
    return [
        Extra(f"{name}@{period}", 1.0, 1.0, (int(rows[w, period]),), 1.0)
        for w, name in enumerate(problem.workloads)
        for period in np.flatnonzero(problem.demand_per_s[w] > 0)
    ]


def _together(problem: FleetProblem, program: Program, proof: Relaxed) -> tuple[str, ...]:
    """Every limit that the proof rests on, in words."""
    if proof.cost <= _SMALL:
        return ()

    def priced(name: str) -> NDArray[np.bool_]:
        return np.asarray(np.abs(program.rows[name].of(proof.row_prices)) > _SMALL)

    def each(name: str, names: tuple[str, ...]) -> list[str]:
        rows = priced(name)
        by_span: dict[str, list[str]] = {}
        for k in np.flatnonzero(rows.any(axis=1)):
            by_span.setdefault(spans(problem, np.flatnonzero(rows[k])), []).append(names[k])
        return [f"the {name} of {_listed(who)} ({when})" for when, who in by_span.items()]

    found = each("demand", problem.workloads) + each("power", problem.sites)
    found += [f"the capital of year {year + 1}" for year in np.flatnonzero(priced("capital"))]
    found += each("places", problem.sites) + each("supply", problem.systems)
    return (*found, *_late(problem, program, proof))


def _listed(names: list[str]) -> str:
    """Names in words, at most four of them."""
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _late(problem: FleetProblem, program: Program, proof: Relaxed) -> list[str]:
    """Systems whose first delivery comes too late: an earlier one would shrink the short-fall,
    or nothing at all is there to serve a workload."""
    wanted = (program.delivered.of(proof.column_prices) < -_SMALL).any(axis=1)
    served = np.zeros(problem.demand_per_s.shape, dtype=bool)
    served[program.workload, program.period] = True
    bare = ((problem.demand_per_s > 0) & ~served).astype(float)
    wanted |= (problem.capacity_per_s > 0).T.astype(float) @ bare > 0
    found = []
    for s, name in enumerate(problem.systems):
        first = int(problem.earliest[s])
        if wanted[s, :first].any():
            found.append(f"the first delivery of {name} ({problem.calendar.label(first)})")
    return found


def _power_words(problem: FleetProblem, amounts: dict[str, float]) -> str:
    def one(site: str, share: float) -> str:
        most = float(problem.power_w[problem.sites.index(site)].max())
        return (
            f"{format_si(most * (1 + share), 'W', 4)} at {site} instead of {format_si(most, 'W')}"
        )

    return "power of " + " and ".join(one(*item) for item in amounts.items())


def _capital_words(problem: FleetProblem, amounts: dict[str, float]) -> str:
    units = capital_units(problem)
    parts = [
        f"{problem.amount(np.ceil(share * units[int(year)])).text(0)} more in year {int(year) + 1}"
        for year, share in amounts.items()
    ]
    return "capital of " + " and ".join(parts)


def _places_words(problem: FleetProblem, amounts: dict[str, float]) -> str:
    parts = [f"{np.ceil(more - _SMALL):.0f} more at {site}" for site, more in amounts.items()]
    return "places for machines: " + " and ".join(parts)


def _supply_words(problem: FleetProblem, amounts: dict[str, float]) -> str:
    parts = [f"{np.ceil(more - _SMALL):.0f} more {name} a period" for name, more in amounts.items()]
    return "supply of " + " and ".join(parts)


def _demand_words(problem: FleetProblem, amounts: dict[str, float]) -> str:
    cuts: dict[str, dict[int, float]] = {}
    for key, share in amounts.items():
        name, _, period = key.rpartition("@")
        cuts.setdefault(name, {})[int(period)] = share
    return "less demand: " + _listed(
        [f"{max(by.values()):.1%} less {name} in {spans(problem, by)}" for name, by in cuts.items()]
    )


_WORDS: dict[str, Callable[[FleetProblem, dict[str, float]], str]] = {
    "power": _power_words, "capital": _capital_words, "places": _places_words,
    "supply": _supply_words, "demand": _demand_words,
}  # fmt: skip
