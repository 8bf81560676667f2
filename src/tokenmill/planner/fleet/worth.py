"""What one more unit of a limit is worth: prices of rows, in money and in words.

The relaxation prices a limit while the fleet can still be chosen; the programme with its
machines fixed prices it once they are bought. Both hold for the next small step only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tokenmill.cost.money import Money
from tokenmill.planner.fleet.answer import Worth
from tokenmill.planner.fleet.conflict import spans
from tokenmill.planner.fleet.highs import Relaxed
from tokenmill.planner.fleet.problem import FleetProblem
from tokenmill.planner.fleet.program import Program, capital_units

__all__ = ["worths"]

Floats = NDArray[np.float64]

_SMALL = 1e-9


def worths(
    problem: FleetProblem, program: Program, planning: Relaxed, operating: Relaxed
) -> tuple[Worth, ...]:
    """The worth of every limit that binds, and the cost of one more request a second.

    Parameters: planning, the relaxation; operating, the programme with its machines fixed.
    """
    return (
        *_power(problem, program, planning, operating),
        *_capital(problem, program, planning, operating),
        *_rows(problem, program, planning, operating, "places", problem.sites, "place"),
        *_rows(problem, program, planning, operating, "supply", problem.systems, "machine"),
        *_demand(problem, program, planning, operating),
    )  # fmt: skip


def _priced(program: Program, at: Relaxed, name: str) -> Floats:
    """Money saved by one more unit of each row of a block; the dust of a solver is zero."""
    saved = -program.rows[name].of(at.row_prices)
    return np.where(saved > _SMALL, saved * program.scale, 0.0)


def _even(problem: FleetProblem, values: Floats) -> tuple[float, float, str]:
    """(sum over periods, as an even monthly payment over all of them, when it binds)."""
    months = float((problem.discount[:-1] * problem.calendar.months).sum())
    total = float(values.sum())
    return total, total / months, spans(problem, np.flatnonzero(values))


def _text(amount: Money) -> str:
    return amount.text(0 if abs(amount.amount) >= 100 else None)


def _power(
    problem: FleetProblem, program: Program, planning: Relaxed, operating: Relaxed
) -> Iterator[Worth]:
    per_limit, held = (_priced(program, at, "power") for at in (planning, operating))
    for j, site in enumerate(problem.sites):
        unit, watts = ("MW", 1e6) if problem.power_w[j].min() >= 1e6 else ("kW", 1e3)
        saved, after = (x[j] / problem.power_w[j] * watts for x in (per_limit, held))
        if saved.any():
            yield _worth(problem, "power", site, unit, saved, after, f"One more {unit} at {site}")


def _capital(
    problem: FleetProblem, program: Program, planning: Relaxed, operating: Relaxed
) -> Iterator[Worth]:
    saved, held = (_priced(program, at, "capital") for at in (planning, operating))
    units = capital_units(problem)
    for year, limit in enumerate(problem.capital):
        if not np.isfinite(limit) or not saved[year]:
            continue
        million = problem.amount(1e6)
        total, after = (float(one[year]) / float(units[year]) * 1e6 for one in (saved, held))
        when = f"year {year + 1}"
        words = (
            f"{million.text(0)} more to spend in {when} saves {_text(problem.amount(total))} "
            "in all, in money of the start"
        )
        yield Worth("capital", when, million.text(0), when, problem.amount(total),
                    problem.amount(0.0), problem.amount(after), words)  # fmt: skip


def _rows(
    problem: FleetProblem, program: Program, planning: Relaxed, operating: Relaxed, block: str,
    names: tuple[str, ...], unit: str,
) -> Iterator[Worth]:  # fmt: skip
    saved, held = (_priced(program, at, block) for at in (planning, operating))
    for k, name in enumerate(names):
        start = f"One more {unit} at {name}" if block == "places" else f"One more {name} a period"
        if saved[k].any():
            yield _worth(problem, block, name, unit, saved[k], held[k], start)


def _worth(
    problem: FleetProblem, limit: str, name: str, unit: str, saved: Floats, held: Floats, start: str
) -> Worth:
    """Parameters: saved, held [T], present money for one more unit in each period."""
    total, month, when = _even(problem, saved)
    planned, monthly, operated = (problem.amount(x) for x in (total, month, float(held.sum())))
    words = (
        f"{start} is worth {_text(monthly)} a month ({_text(planned)} in all, in money of the "
        f"start); it binds in {when}; with the machines already bought it is worth "
        f"{_text(operated)} in all"
    )
    return Worth(limit, name, unit, when, planned, monthly, operated, words)


def _demand(
    problem: FleetProblem, program: Program, planning: Relaxed, operating: Relaxed
) -> Iterator[Worth]:
    """What one more request a second costs, at the margin, in every period it is asked for."""
    block = program.rows["demand"]
    added, held = (np.maximum(block.of(x.row_prices), 0.0) * program.scale
                   for x in (planning, operating))  # fmt: skip
    seconds = problem.hours * 3600.0
    for w, name in enumerate(problem.workloads):
        asked = problem.demand_per_s[w] > 0
        rate = np.where(asked, problem.demand_per_s[w], 1.0)
        total, after = (float((x[w] / rate)[asked].sum()) for x in (added, held))
        served = float((problem.discount[:-1] * asked).sum()) * seconds * problem.mean_load[w]
        million = problem.amount(total / served * 1e6 if served else 0.0)
        months = served / problem.mean_load[w] / seconds * problem.calendar.months
        monthly = problem.amount(total / months if months else 0.0)
        words = (
            f"One more request a second of {name} costs {_text(monthly)} a month "
            f"({_text(million)} per million requests)"
        )
        yield Worth("demand", name, "request/s", spans(problem, np.flatnonzero(asked)),
                    problem.amount(total), monthly, problem.amount(after), words)  # fmt: skip
