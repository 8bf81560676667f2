"""The fleet planner: what to buy, when, where each workload runs, when to retire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenmill.errors import NoPlan
from tokenmill.planner.fleet.answer import FleetAnswer, FleetPlan
from tokenmill.planner.fleet.capacity import CapacityOf, capacity
from tokenmill.planner.fleet.conflict import Conflict, explain
from tokenmill.planner.fleet.cuts import tightened
from tokenmill.planner.fleet.problem import FleetProblem, fleet_problem
from tokenmill.planner.fleet.program import fleet_program
from tokenmill.planner.fleet.question import FleetScenario, fleet_scenario, read_fleet
from tokenmill.planner.fleet.solve import fixed, relaxed, solve
from tokenmill.planner.fleet.tell import tell_fleet
from tokenmill.planner.fleet.worth import worths

__all__ = ["ask", "fleet", "solve_fleet"]


def ask(scenario: str | Path | Mapping[str, Any]) -> FleetAnswer:
    """The fleet of a scenario: a TOML file, or its tables as plain values.

    Returns, raises: as `fleet`.
    """
    if isinstance(scenario, Mapping):
        return fleet(fleet_scenario(dict(scenario)))
    return fleet(read_fleet(Path(scenario)), origin=str(scenario))


def fleet(
    scenario: FleetScenario,
    *,
    origin: str = "scenario",
    capacity_of: CapacityOf = capacity,
    progress: Callable[[str], None] | None = None,
) -> FleetAnswer:
    """The plan of least present cost for a fleet scenario, or why there is none.

    Parameters: scenario; origin, the file it came from, for messages; capacity_of, asked what a
    machine does for a workload where the scenario does not say; progress, told what is done.
    Returns: an answer with a plan within the scenario's gap of the best (the gap reached is
    stated), or with the conflict that leaves none.
    Raises: BadRecord, NoPrice, UnknownName for a scenario that cannot be read; NoPlan where a
    workload has no system at all, or time was too short to find any plan; Unsupported without
    HiGHS.
    """
    problem = fleet_problem(scenario, origin=origin, capacity_of=capacity_of, progress=progress)
    if progress is not None:
        progress("plans")
    plan, conflict = solve_fleet(problem)
    return FleetAnswer(
        name=scenario.name,
        currency=scenario.currency,
        periods=tuple(problem.calendar.label(t) for t in range(problem.calendar.count)),
        plan=plan,
        conflict=conflict,
        declined=problem.declined,
        notes=problem.notes,
    )


def solve_fleet(problem: FleetProblem) -> tuple[FleetPlan | None, Conflict | None]:
    """The plan of a problem in numbers, or the conflict that leaves none.

    Raises: NoPlan where parts of machines would do and time was too short for whole ones.
    """
    scenario, program = problem.scenario, fleet_program(problem)
    lower = relaxed(program)
    if lower is None:
        return None, explain(problem, program, limit_s=scenario.time_limit)
    tight = tightened(problem, program, lower)
    found = solve(*tight, gap=scenario.gap, limit_s=scenario.time_limit)
    if found is None:
        conflict = explain(problem, program, limit_s=scenario.time_limit)
        if conflict.remedies:
            return None, conflict
        raise NoPlan(
            f"no plan with whole machines was found in {scenario.time_limit:g} s",
            change='allow more time (time_limit = "60 s") or relax a limit',
        )
    operating = fixed(program, found.columns)
    worth = () if operating is None else worths(problem, program, lower, operating)
    return tell_fleet(problem, program, found, worth), None
