"""Solving the fleet programme: relaxation, whole machines period by period, improvement, proof.

The relaxation bounds the cost from below. Relax and fix makes machines whole in one window of
time after another, later ones still in parts, earlier ones as fixed, among the machines that the
relaxation wants. Then parts of the answer are set free and solved anew while that helps. Only
where a gap is left does branch and bound take over, from the best answer so far.
Reference: Pochet, Wolsey 2006, "Production planning by mixed integer programming", chapter 3.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenmill.planner.fleet.highs import Model, Relaxed
from tokenmill.planner.fleet.program import Program

__all__ = ["Solution", "fixed", "relaxed", "solve"]

Floats = NDArray[np.float64]

_WHOLE = 1e-6
_WINDOWS = 5  # of time that are made whole one after another
_FEW = 300  # whole numbers that branch and bound takes without help
_PATIENCE = 10  # parts of the answer solved anew without a gain before that ends
_NODES = 60  # of branch and bound in one part
_PART_GAP = 0.2  # of the gap asked for, that a part may leave
_PART_S = 6.0  # [s] at most for one part
_FIRST, _SEARCH = 0.35, 0.5  # of the time, until a first answer and until the proof begins
_LEAST_S = 1.0  # [s] for a window, however late it is


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


def relaxed(program: Program) -> Relaxed | None:
    """The relaxation, or None where not even parts of machines meet every row.

    Raises: Unsupported where HiGHS is not installed.
    """
    return Model(program).relaxed()


def fixed(program: Program, columns: Floats) -> Relaxed | None:
    """The programme with its machines as given and only loads free, or None."""
    model = Model(program)
    which = np.arange(program.integers)
    model.fix(which, np.round(columns[which]))
    return model.relaxed()


def solve(program: Program, lower: Relaxed, *, gap: float, limit_s: float) -> Solution | None:
    """The best plan found with whole machines.

    Parameters: program; lower, its relaxation; gap, as a part of the cost, at which to stop;
    limit_s [s] of search.
    Returns: a solution with a proven bound, or None where none was found.
    """
    begun = time.monotonic()
    deadline = begun + limit_s
    best = None
    for windows, share in ((_WINDOWS, _FIRST), (program.machines.shape[2], 1.0)):
        if best is None and time.monotonic() < deadline:
            best = _relax_and_fix(program, lower, windows, gap, begun + share * limit_s)
    if best is not None and program.integers > _FEW:
        best = _improve(program, best, lower.cost, gap, begun + _SEARCH * limit_s)
    return _finish(program, best, lower.cost, gap, deadline)


def _settled(program: Program, columns: Floats, bound: float) -> Solution | None:
    """A solution with its machines rounded to exact whole numbers and its loads solved again."""
    exact = fixed(program, columns)
    return None if exact is None else Solution(exact.cost, min(bound, exact.cost), exact.columns)


def _relax_and_fix(
    program: Program, lower: Relaxed, windows: int, gap: float, deadline: float
) -> Solution | None:
    """Whole machines by making one window of time whole after another; None where it is stuck."""
    model = Model(_wanted(program, lower))
    periods = program.machines.shape[2]
    width = max(periods // windows, 1)
    columns = lower.columns
    for start in range(0, periods, width):
        window = slice(start, start + width)
        moves = np.concatenate(
            [block.index[:, :, window].ravel() for block in (program.delivered, program.retired)]
        )
        if not _are_whole(columns[moves]):
            left = (deadline - time.monotonic()) / math.ceil((periods - start) / width)
            model.whole(moves)
            found = model.branch(
                None, limit_s=max(left, _LEAST_S), gap=gap * _PART_GAP, nodes=_NODES
            )
            if found is None:
                return None
            columns = found.columns
            model.whole(moves, yes=False)
        model.fix(moves, np.round(columns[moves]))
    return _settled(program, columns, lower.cost)


def _are_whole(values: Floats) -> bool:
    return bool((np.abs(values - np.round(values)) < _WHOLE).all())


def _wanted(program: Program, lower: Relaxed) -> Program:
    """The programme without machines that the relaxation never has."""
    unwanted = program.machines.of(lower.columns).max(axis=2) <= _WHOLE
    upper = program.upper.copy()
    for block in (program.machines, program.delivered, program.retired):
        upper[block.index[unwanted]] = 0.0
    upper[program.load.index[unwanted[program.system, program.site]]] = 0.0
    return replace(program, upper=upper)


def _improve(
    program: Program, best: Solution, bound: float, gap: float, deadline: float
) -> Solution:
    """Parts of an answer set free in turn - some machines at all times, or all at some times -
    and solved anew, until the gap is met or nothing is gained."""
    dice = np.random.default_rng(0)
    idle = turn = 0
    while best.gap > gap and idle < _PATIENCE and (left := deadline - time.monotonic()) > 0:
        held = ~_part(program, best, dice, turn)
        turn, idle = turn + 1, idle + 1
        model = Model(program)
        for block in (program.delivered, program.retired):
            model.whole(block.index[~held])
            model.fix(block.index[held], np.round(best.columns[block.index[held]]))
        found = model.branch(
            best.columns, limit_s=min(left, _PART_S), gap=gap * _PART_GAP, nodes=_NODES
        )  # fmt: skip
        better = None if found is None else _settled(program, found.columns, bound)
        if better is not None and better.cost < best.cost * (1 - 1e-6):
            best, idle = better, 0
    return best


def _part(
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


def _finish(
    program: Program, best: Solution | None, bound: float, gap: float, deadline: float
) -> Solution | None:
    """Branch and bound over everything for the time that is left, unless the gap is met."""
    left = deadline - time.monotonic()
    if best is not None and (best.gap <= gap or left <= 0.1):
        return best
    model = Model(program)
    model.whole(np.arange(program.integers))
    start = None if best is None else best.columns
    found = model.branch(start, limit_s=left, gap=gap * 0.5)
    if found is None:
        return best
    bound = max(bound, found.bound)
    settled = _settled(program, found.columns, bound)
    if best is not None and (settled is None or best.cost < settled.cost):
        return Solution(best.cost, min(bound, best.cost), best.columns)
    return settled
