"""Solving the fleet programme: relaxation, a dive to whole machines, improvement, proof.

The relaxation bounds the cost from below. A dive fixes machines period by period, each time
solving the rest again; then windows of the answer are set free and solved anew while that
helps. Only where a gap is left does branch and bound take over, from the best answer so far.
Reference: HiGHS, Huangfu and Hall 2018, doi:10.1007/s12532-017-0130-5.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import Unsupported
from tokenmill.planner.fleet_program import Program

__all__ = ["Relaxed", "Solution", "fixed", "relaxed", "solve"]

Floats = NDArray[np.float64]

_WHOLE = 1e-6
_FEW = 300  # whole numbers that branch and bound takes without help
_PATIENCE = 10  # windows without a gain before the search for better answers ends
_NODES = 60  # of branch and bound in one window


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The programme with parts of machines allowed: least cost, columns, and the price of rows
    and columns: what one more unit of a bound adds to the cost."""

    cost: float
    columns: Floats
    row_prices: Floats
    column_prices: Floats


@dataclass(frozen=True, slots=True)
class Solution:
    """Whole machines: cost, lower bound on any cost, columns; all in units of the programme."""

    cost: float
    bound: float
    columns: Floats

    @property
    def gap(self) -> float:
        """How far above the best possible cost this may be, as a part of it."""
        return max(self.cost - self.bound, 0.0) / max(abs(self.cost), 1e-12)


def _highs() -> Any:
    try:
        import highspy
    except ImportError:
        raise Unsupported(
            "the fleet planner needs the solver HiGHS, which is not installed; "
            'get it with: pip install "tokenmill[fleet]" (or: pip install highspy)'
        ) from None
    return highspy


def _model(program: Program, *, whole: bool) -> Any:
    """The programme inside HiGHS, silent."""
    highspy = _highs()
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(program.cost), len(program.row_lower)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = program.cost, program.lower, program.upper
    lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = program.start, program.index
    lp.a_matrix_.value_ = program.value
    if whole:
        kinds = [highspy.HighsVarType.kInteger] * program.integers
        rest = len(program.cost) - program.integers
        lp.integrality_ = kinds + [highspy.HighsVarType.kContinuous] * rest
    model = _quiet(highspy)
    model.passModel(lp)
    return model


def _quiet(highspy: Any) -> Any:
    """A solver that prints nothing: its banner comes while it is made, before one can say so."""

    class Quiet(highspy.Highs):  # type: ignore[misc]
        def enableCallbacks(self) -> None:
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()

    return Quiet()


def _optimal(model: Any) -> bool:
    return bool(model.getModelStatus() == _highs().HighsModelStatus.kOptimal)


def _columns(model: Any) -> Floats:
    return np.array(model.getSolution().col_value)


def _cost(model: Any) -> float:
    return float(model.getInfo().objective_function_value)


def _fix(model: Any, columns: NDArray[np.int64], values: Floats) -> None:
    count = len(columns)
    model.changeColsBounds(count, columns.astype(np.int32), values, values)


def relaxed(program: Program) -> Relaxed | None:
    """The relaxation, or None where not even parts of machines meet every row.

    Raises: Unsupported where HiGHS is not installed.
    """
    return _priced(_model(program, whole=False))


def fixed(program: Program, columns: Floats) -> Relaxed | None:
    """The programme with its machines as given and only loads free, or None."""
    model = _model(program, whole=False)
    which = np.arange(program.integers)
    _fix(model, which, np.round(columns[which]))
    return _priced(model)


def _priced(model: Any) -> Relaxed | None:
    model.run()
    if not _optimal(model):
        return None
    solution = model.getSolution()
    return Relaxed(
        _cost(model), np.array(solution.col_value), np.array(solution.row_dual),
        np.array(solution.col_dual),
    )  # fmt: skip


def solve(program: Program, lower: Relaxed, *, gap: float, limit_s: float) -> Solution | None:
    """The best plan found with whole machines.

    Parameters: program; lower, its relaxation; gap, as a part of the cost, at which to stop;
    limit_s [s] of search.
    Returns: a solution with a proven bound, or None where none was found.
    """
    deadline = time.monotonic() + limit_s
    best = _dive(program, lower, deadline)
    if best is not None and program.integers > _FEW:
        best = _improve(program, best, lower.cost, gap, deadline)
    return _finish(program, best, lower.cost, gap, deadline)


def _settled(program: Program, columns: Floats, bound: float) -> Solution | None:
    """A solution with its machines rounded to exact whole numbers and its loads solved again."""
    exact = fixed(program, columns)
    return None if exact is None else Solution(exact.cost, min(bound, exact.cost), exact.columns)


def _dive(program: Program, lower: Relaxed, deadline: float) -> Solution | None:
    """Whole machines by fixing deliveries, then retirements, in order of time."""
    model = _model(program, whole=False)
    model.run()
    shape = program.machines.shape
    for period in range(shape[2]):
        for block in (program.delivered, program.retired):
            if not _dive_step(model, block.index[:, :, period].ravel(), deadline):
                return None
    return _settled(program, _columns(model), lower.cost)


def _dive_step(model: Any, which: NDArray[np.int64], deadline: float) -> bool:
    """Fix these columns at whole numbers, the nearest to one first; False where it is stuck."""
    free = which
    while len(free):
        values = _columns(model)[free]
        part = values - np.floor(values + _WHOLE)
        if not (part > _WHOLE).any():
            _fix(model, free, np.round(values))
            return True
        if time.monotonic() > deadline:
            return False
        at = int(np.argmax(part))
        up = math.floor(values[at] + _WHOLE) + 1
        first = up if part[at] >= 0.5 else up - 1
        if not any(_try(model, free[at], value) for value in (first, 2 * up - 1 - first)):
            return False
        free = np.delete(free, at)
    return True


def _try(model: Any, column: int, value: float) -> bool:
    _fix(model, np.array([column]), np.array([float(value)]))
    model.run()
    return _optimal(model)


def _improve(
    program: Program, best: Solution, bound: float, gap: float, deadline: float
) -> Solution:
    """Windows of an answer set free in turn - some machines at all times, or all at some times -
    and solved anew, until the gap is met or windows bring nothing."""
    dice = np.random.default_rng(0)
    idle = 0
    for turn in range(1_000_000):
        left = deadline - time.monotonic()
        if best.gap <= gap or idle >= _PATIENCE or left <= 0:
            break
        free = _window(program, best, dice, turn)
        found = _solve_window(program, best, free, limit_s=min(left, 6.0), gap=gap / 5)
        better = None if found is None else _settled(program, found, bound)
        idle += 1
        if better is not None and better.cost < best.cost * (1 - 1e-6):
            best, idle = better, 0
    return best


def _window(
    program: Program, best: Solution, dice: np.random.Generator, turn: int
) -> NDArray[np.bool_]:
    """Mask [S, J, T] of machines that may change."""
    shape = program.machines.shape
    used = program.machines.of(best.columns).max(axis=2) > 0.5
    free = np.zeros(shape, dtype=bool)
    if turn % 2:
        width = max(shape[2] * 3 // 10, 2)
        start = int(dice.integers(0, max(shape[2] - width, 0) + 1))
        free[:, :, start : start + width] = used[:, :, None]
        return free
    for pool, count in ((np.argwhere(used), 3), (np.argwhere(~used), 1)):
        for system, site in pool[dice.permutation(len(pool))[:count]]:
            free[system, site] = True
    return free


def _solve_window(
    program: Program, best: Solution, free: NDArray[np.bool_], *, limit_s: float, gap: float
) -> Floats | None:
    held = ~free
    model = _model(program, whole=True)
    for block in (program.delivered, program.retired):
        which = block.index[held]
        _fix(model, which, np.round(best.columns[which]))
    return _branch(program, model, best, limit_s=limit_s, gap=gap, nodes=_NODES)


def _branch(
    program: Program, model: Any, start: Solution | None, *, limit_s: float, gap: float,
    nodes: int | None = None,
) -> Floats | None:  # fmt: skip
    """Branch and bound from a start; the columns found, or None."""
    highspy = _highs()
    model.setOptionValue("mip_rel_gap", gap)
    model.setOptionValue("time_limit", max(limit_s, 0.1))
    if nodes is not None:
        model.setOptionValue("mip_max_nodes", nodes)
    if start is not None:
        known = highspy.HighsSolution()
        known.col_value = list(start.columns)
        model.setSolution(known)
    model.run()
    info = model.getInfo()
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    columns = _columns(model)
    if start is not None and program.cost @ columns > _cost(model) + 1e-6 * abs(_cost(model)):
        # HiGHS 1.16 can find better and yet hand back the start; without one it does not.
        model.clearSolver()
        return _branch(program, model, None, limit_s=limit_s, gap=gap, nodes=nodes)
    return columns


def _finish(
    program: Program, best: Solution | None, bound: float, gap: float, deadline: float
) -> Solution | None:
    """Branch and bound over everything for the time that is left, unless the gap is met."""
    left = deadline - time.monotonic()
    if best is not None and (best.gap <= gap or left <= 0.1):
        return best
    model = _model(program, whole=True)
    found = _branch(program, model, best, limit_s=left, gap=gap * 0.5)
    proven = float(model.getInfo().mip_dual_bound)
    bound = max(bound, proven) if math.isfinite(proven) else bound
    settled = None if found is None else _settled(program, found, bound)
    if settled is None or (best is not None and best.cost < settled.cost):
        return None if best is None else Solution(best.cost, min(bound, best.cost), best.columns)
    return settled
