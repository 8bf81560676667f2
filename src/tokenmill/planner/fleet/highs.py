"""The solver HiGHS behind a narrow door: relaxations, branch and bound, silence.

Reference: Huangfu, Hall 2018, "Parallelizing the dual revised simplex method",
doi:10.1007/s12532-017-0130-5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tokenmill.errors import Unsupported
from tokenmill.planner.fleet.program import Program

__all__ = ["Found", "Model", "Relaxed"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Relaxed:
    """A linear programme solved: least cost, columns, and what one more unit of the bound of
    each row and column adds to the cost."""

    cost: float
    columns: Floats
    row_prices: Floats
    column_prices: Floats


@dataclass(frozen=True, slots=True)
class Found:
    """What branch and bound found: columns, and a proven lower bound on the cost."""

    columns: Floats
    bound: float


def _highs() -> Any:
    try:
        import highspy
    except ImportError:
        raise Unsupported(
            "the fleet planner needs the solver HiGHS, which is not installed; "
            'get it with: pip install "tokenmill[fleet]" (or: pip install highspy)'
        ) from None
    return highspy


def _quiet(highspy: Any) -> Any:
    """A solver that prints nothing: its banner comes while it is made, before one can say so."""

    class Quiet(highspy.Highs):  # type: ignore[misc]
        def enableCallbacks(self) -> None:
            self.setOptionValue("output_flag", False)
            super().enableCallbacks()

    return Quiet()


class Model:
    """A programme inside the solver; all its columns may be parts until `whole` says otherwise."""

    def __init__(self, program: Program) -> None:
        """Raises: Unsupported where HiGHS is not installed."""
        self._highspy = _highs()
        self._program = program
        lp = self._highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(program.cost), len(program.row_lower)
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = program.cost, program.lower, program.upper
        lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
        lp.a_matrix_.format_ = self._highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = program.start, program.index
        lp.a_matrix_.value_ = program.value
        self._solver = _quiet(self._highspy)
        self._solver.passModel(lp)

    def whole(self, columns: Ints, *, yes: bool = True) -> None:
        """Make columns whole numbers, or parts again."""
        kinds = self._highspy.HighsVarType
        for column in columns.ravel().tolist():
            self._solver.changeColIntegrality(column, kinds.kInteger if yes else kinds.kContinuous)

    def fix(self, columns: Ints, values: ArrayLike) -> None:
        """Hold columns at values, broadcast to their shape."""
        bound = np.broadcast_to(np.asarray(values, dtype=np.float64), columns.shape).ravel()
        self._solver.changeColsBounds(columns.size, columns.ravel().astype(np.int32), bound, bound)

    def relaxed(self) -> Relaxed | None:
        """The least cost with every column in parts, or None where the rows cannot be met."""
        self._solver.run()
        if self._solver.getModelStatus() != self._highspy.HighsModelStatus.kOptimal:
            return None
        solution = self._solver.getSolution()
        return Relaxed(
            self._cost, np.array(solution.col_value), np.array(solution.row_dual),
            np.array(solution.col_dual),
        )  # fmt: skip

    def branch(
        self, start: Floats | None, *, limit_s: float, gap: float, nodes: int | None = None
    ) -> Found | None:
        """Branch and bound.

        Parameters: start, columns to begin from; limit_s [s]; gap at which to stop, as a part
        of the cost; nodes at most. Returns: the best columns found, or None.
        """
        solver = self._solver
        solver.setOptionValue("mip_rel_gap", gap)
        solver.setOptionValue("time_limit", max(limit_s, 0.1))
        if nodes is not None:
            solver.setOptionValue("mip_max_nodes", nodes)
        if start is not None:
            known = self._highspy.HighsSolution()
            known.col_value = list(start)
            solver.setSolution(known)
        solver.run()
        info = solver.getInfo()
        feasible = self._highspy.SolutionStatus.kSolutionStatusFeasible
        if info.primal_solution_status != feasible:
            return None
        columns = np.array(solver.getSolution().col_value)
        slack = 1e-6 * abs(self._cost)
        if start is not None and self._program.cost @ columns > self._cost + slack:
            # HiGHS 1.16 can find better and yet hand back the start; without one it does not.
            solver.clearSolver()
            return self.branch(None, limit_s=limit_s, gap=gap, nodes=nodes)
        bound = float(info.mip_dual_bound)
        return Found(columns, bound if math.isfinite(bound) else -math.inf)

    @property
    def _cost(self) -> float:
        return float(self._solver.getInfo().objective_function_value)
