"""Rows that whole machines keep and parts of machines break: a tighter relaxation.

With any weights of the workloads, what the machines in place could carry at most is at least
what is asked in a period: sum a[s, j] machines[s, j] >= b. The prices of demand in the
relaxation are the weights that make this row tight; rounding it as whole machines allow
(mixed-integer rounding) cuts the relaxation off. Small fleets gain most.
Reference: Nemhauser, Wolsey 1990, "A recursive procedure to generate all cuts for 0-1 mixed
integer programs", doi:10.1007/BF01585752.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tokenmill.planner.fleet.highs import Model, Relaxed
from tokenmill.planner.fleet.problem import FleetProblem
from tokenmill.planner.fleet.program import Program, Row

__all__ = ["rounded", "tightened"]

Floats = NDArray[np.float64]

_ROUNDS = 4
_DEPTH = 1e-3  # least violation of a row worth having
_EDGE = 0.01  # fractions nearer to a whole number than this give bad rows


def tightened(problem: FleetProblem, program: Program, lower: Relaxed) -> tuple[Program, Relaxed]:
    """The programme with rounded rows and its relaxation; whole machines lose nothing."""
    for _ in range(_ROUNDS):
        rows = list(_rows(problem, program, lower))
        tighter = program.with_rows(rows) if rows else program
        again = Model(tighter).relaxed() if rows else None
        if again is None:
            break
        program, lower = tighter, again
    return program, lower


def _rows(problem: FleetProblem, program: Program, lower: Relaxed) -> Iterator[Row]:
    """The deepest rounded row of every period that the relaxation breaks."""
    weight = np.maximum(program.rows["demand"].of(lower.row_prices), 0.0)
    machines = program.machines.of(lower.columns)
    most = np.zeros(machines.shape)
    at = (program.workload, program.period)
    carried = problem.capacity_per_s[program.workload, program.system] / problem.demand_per_s[at]
    where = (program.system, program.site, program.period)
    np.maximum.at(most, where, weight[at] * carried)
    for period, asked in enumerate(weight.sum(axis=0)):
        found = None if asked <= 0 else rounded(most[:, :, period] / asked, machines[:, :, period])
        if found is not None:
            values, least = found
            columns = program.machines.index[:, :, period][values > 0]
            yield Row(columns, values[values > 0], least)


def rounded(share: Floats, at: Floats) -> tuple[Floats, float] | None:
    """The row implied by `share . n >= 1` for whole n >= 0 that a point breaks most.

    Parameters: share, at least 0, and at, the point, of one shape.
    Returns: (values, least) with values . n >= least for every whole n that keeps the row, and
    values . at below least; or None where no divisor gives one.
    """
    best: tuple[float, Floats, float] | None = None
    for divisor in np.unique(share[share > 1e-9]):
        ratio, asked = share / divisor, 1.0 / divisor
        part = asked - np.floor(asked)
        if not _EDGE < part < 1.0 - _EDGE:
            continue
        whole = np.floor(ratio)
        values = whole + np.minimum((ratio - whole) / part, 1.0)
        least = float(np.ceil(asked))
        depth = (least - float((values * at).sum())) / float(np.linalg.norm(values))
        if depth > _DEPTH and (best is None or depth > best[0]):
            best = (depth, values, least)
    return None if best is None else best[1:]
