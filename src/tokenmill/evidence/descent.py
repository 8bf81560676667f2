"""Robust descent on residuals of costly predictions, and what it would have found without some.

Residuals are logarithms of predicted over measured, constants logarithms too. Huber's loss keeps
odd rows from bending the rest; a prior holds what no row tells. Where predictions cost little,
`gauss_newton` searches more widely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.gauss_newton import huber

__all__ = ["Problem", "descend", "without"]

Array = NDArray[np.float64]

_KNEE = 0.15  # residuals beyond this count linearly
_UNKNOWN = 3.0  # residual of a row that is not predicted
_STEP = 0.05
_FARTHEST = 1.5  # of one move
_TRIALS = 2  # of a move, each damped more
_PASSES = 20  # of weights that follow residuals


@dataclass(frozen=True, slots=True)
class Problem:
    """Constants x (c,) and rows (n,): wrong(x), log residuals; trust (n,) of the rows, any scale;
    low and high (c,), limits; centre (c,) and pull (c,) of the prior."""

    wrong: Callable[[Array], Array]
    trust: Array
    low: Array
    high: Array
    centre: Array
    pull: Array

    def loss(self, r: Array, x: Array, share: Array) -> float:
        """Huber's loss of residuals r, whose rows count by their share, and of the prior."""
        rows = huber(np.nan_to_num(r, nan=_UNKNOWN), _KNEE)
        return float(share @ rows + 0.5 * np.sum(self.pull * (x - self.centre) ** 2))

    def slope(self, x: Array, r: Array) -> Array:
        """Forward differences of the residuals (n, c)."""
        columns = []
        for place in range(x.size):
            moved = x.copy()
            moved[place] += _STEP if x[place] + _STEP <= self.high[place] else -_STEP
            columns.append((self.wrong(moved) - r) / (moved[place] - x[place]))
        slope: Array = np.nan_to_num(np.stack(columns, axis=1))
        return slope

    def equations(self, x: Array, r: Array, slope: Array, share: Array) -> tuple[Array, Array]:
        """Gauss-Newton matrix and gradient of the loss."""
        weight = share / np.maximum(np.abs(np.nan_to_num(r, nan=_UNKNOWN)), _KNEE)
        normal = slope.T @ (slope * weight[:, None]) + np.diag(self.pull)
        gradient = slope.T @ (weight * np.nan_to_num(r)) + self.pull * (x - self.centre)
        return normal, gradient


def _shares(trust: Array, known: NDArray[np.bool_]) -> Array:
    counted: Array = np.where(known, trust, 0.0)
    share: Array = counted / counted.sum()
    return share


def descend(problem: Problem, x: Array, rounds: int) -> Array:
    """Damped Gauss-Newton from x, in few evaluations: one for each constant and two a round.

    Reference: Levenberg 1944, Marquardt 1963; Huber 1964.
    """
    x = np.clip(x, problem.low, problem.high)
    r = problem.wrong(x)
    share = _shares(problem.trust, np.isfinite(r))
    best, damping = problem.loss(r, x, share), 0.05
    for _ in range(rounds):
        normal, gradient = problem.equations(x, r, problem.slope(x, r), share)
        before = best
        for _ in range(_TRIALS):
            ridge = np.diag(damping * np.diag(normal) + 1e-9)
            move = np.clip(-np.linalg.solve(normal + ridge, gradient), -_FARTHEST, _FARTHEST)
            trial = np.clip(x + move, problem.low, problem.high)
            r_trial = problem.wrong(trial)
            if (gained := problem.loss(r_trial, trial, share)) < best:
                x, r, best, damping = trial, r_trial, gained, damping / 4.0
                break
            damping *= 8.0
        if before - best < 1e-4 * before:
            break
    return x


def without(problem: Problem, x: Array, groups: Iterable[NDArray[np.bool_]]) -> list[Array]:
    """Constants that the rest of the rows give, for each group (n,) of rows that is left out.

    Residuals are taken as straight lines around x, so that the descent of every group shares the
    same evaluations; weights follow the residuals to the end.
    """
    r = problem.wrong(x)
    slope, known = problem.slope(x, r), np.isfinite(r)
    found = []
    for gone in groups:
        kept = known & ~gone
        y = x.copy()
        if kept.any():
            # those that stay weigh beside what is known before as they did with all
            share = np.where(kept, _shares(problem.trust, known), 0.0)
            for _ in range(_PASSES):
                normal, gradient = problem.equations(y, r + slope @ (y - x), slope, share)
                move = -np.linalg.solve(normal + 1e-9 * np.eye(x.size), gradient)
                y = np.clip(y + np.clip(move, -0.5, 0.5), problem.low, problem.high)
                y = np.clip(y, x - _FARTHEST, x + _FARTHEST)
        found.append(y)
    return found
