"""Robust fit of positive constants to times that span decades: damped Gauss-Newton on logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Minimum", "huber", "minimise"]

Array = NDArray[np.float64]

_KNEE = 0.1  # residuals beyond 10 % count linearly: a few odd rows must not bend the rest
_PRIOR = 1e-3  # holds constants that the rows say nothing about near where they started
_STEP = 0.02
_PROBES = (1.0, -1.0, 0.3, -0.3)
_CYCLES = 3


@dataclass(frozen=True)
class Minimum:
    """Where the search ended: point (constants,) and its loss."""

    point: Array
    loss: float


def huber(residuals: Array, knee: float) -> Array:
    """Loss of each residual: its size, a parabola below the knee. Reference: Huber 1964."""
    size = np.abs(residuals)
    loss: Array = np.where(size < knee, 0.5 * size**2 / knee, size - 0.5 * knee)
    return loss


class _Problem:
    """Loss of log constants: a robust mean of |log(predicted / measured)|, and a weak prior."""

    def __init__(
        self, predict: Callable[[Array], Array], measured: Array, trust: Array, centre: Array,
        low: Array, high: Array,
    ) -> None:  # fmt: skip
        self.predict, self.target, self.trust = predict, np.log(measured), trust / trust.sum()
        self.centre, self.low, self.high = centre, low, high

    def residual(self, x: Array) -> Array:
        """Log of predicted over measured (rows,)."""
        return np.log(self.predict(np.exp(x))) - self.target

    def loss(self, x: Array, r: Array) -> float:
        """What is minimised, from the residual at x."""
        return float(self.trust @ huber(r, _KNEE) + 0.5 * _PRIOR * np.sum((x - self.centre) ** 2))

    def slope(self, x: Array, r: Array) -> tuple[Array, Array]:
        """Gauss-Newton matrix and gradient at x."""
        columns = []
        for i in range(x.size):
            step = _STEP if x[i] + _STEP <= self.high[i] else -_STEP
            moved = x.copy()
            moved[i] += step
            columns.append((self.residual(moved) - r) / step)
        jacobian = np.stack(columns, axis=1)
        weight = self.trust / np.maximum(np.abs(r), _KNEE)
        normal = jacobian.T @ (jacobian * weight[:, None]) + _PRIOR * np.eye(x.size)
        return normal, jacobian.T @ (weight * r) + _PRIOR * (x - self.centre)

    def descend(self, x: Array, rounds: int) -> tuple[Array, float]:
        """Damped Gauss-Newton steps until they gain next to nothing."""
        r = self.residual(x)
        loss, damping = self.loss(x, r), 1e-2
        for _ in range(rounds):
            normal, gradient = self.slope(x, r)
            before = loss
            for _ in range(8):
                ridge = damping * np.diag(normal) + 1e-12
                move = -np.linalg.solve(normal + np.diag(ridge), gradient)
                trial = np.clip(x + np.clip(move, -1.0, 1.0), self.low, self.high)
                r_trial = self.residual(trial)
                trial_loss = self.loss(trial, r_trial)
                if trial_loss < loss:
                    x, r, loss, damping = trial, r_trial, trial_loss, max(damping / 5.0, 1e-6)
                    break
                damping *= 4.0
            if before - loss < 1e-4 * loss:
                break
        return x, loss

    def probe(self, x: Array, loss: float) -> tuple[Array, float]:
        """One constant at a time, by large steps: kinks stop Gauss-Newton, not this."""
        for i in range(x.size):
            for step in _PROBES:
                trial = x.copy()
                trial[i] = np.clip(x[i] + step, self.low[i], self.high[i])
                trial_loss = self.loss(trial, self.residual(trial))
                if trial_loss < loss:
                    x, loss = trial, trial_loss
        return x, loss


def minimise(
    predict: Callable[[Array], Array], measured: Array, trust: Array, start: Array, low: Array,
    high: Array, rounds: int = 30, *, cycles: int = _CYCLES,
) -> Minimum:  # fmt: skip
    """Constants within [low, high] that minimise a robust mean of |log(predicted / measured)|.

    A weak pull towards `start` keeps constants that the rows do not determine where they are.
    Parameters: predict, constants (c,) to seconds (rows,); measured (rows,) [s]; trust (rows,)
    of the rows, any scale; start, low, high (c,), all positive; rounds of steps; cycles of large
    steps between them, none where the start is known to be near.
    Returns: the best point found.
    Reference: Levenberg 1944, Marquardt 1963 (damping); Huber 1964 (loss).
    """
    floor, roof = np.log(low), np.log(high)
    centre = np.clip(np.log(start), floor, roof)
    problem = _Problem(predict, measured, trust, centre, floor, roof)
    x, loss = problem.descend(centre, rounds)
    for _ in range(cycles):
        before = loss
        x, loss = problem.descend(*problem.probe(x, loss)[:1], rounds)
        if before - loss < 1e-3 * loss:
            break
    return Minimum(np.exp(x), loss)
