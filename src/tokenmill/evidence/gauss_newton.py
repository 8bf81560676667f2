"""Robust fit of positive constants to times that span decades: damped Gauss-Newton on logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Minimum", "minimise"]

Array = NDArray[np.float64]

_KNEE = 0.1  # residuals beyond 10 % count linearly: a few odd rows must not bend the rest
_STEP = 0.02
_PRIOR = 1e-3  # holds constants that the rows say nothing about near where they started


@dataclass(frozen=True)
class Minimum:
    """Where the search ended: point (constants,) and its loss."""

    point: Array
    loss: float


def _loss(residual: Array, trust: Array) -> float:
    size = np.abs(residual)
    return float(trust @ np.where(size < _KNEE, 0.5 * size**2 / _KNEE, size - 0.5 * _KNEE))


def _pull(x: Array, centre: Array) -> float:
    return float(0.5 * _PRIOR * np.sum((x - centre) ** 2))


def _jacobian(residual: Callable[[Array], Array], x: Array, r: Array, high: Array) -> Array:
    columns = []
    for i in range(x.size):
        step = _STEP if x[i] + _STEP <= high[i] else -_STEP
        moved = x.copy()
        moved[i] += step
        columns.append((residual(moved) - r) / step)
    return np.stack(columns, axis=1)


def minimise(
    predict: Callable[[Array], Array], measured: Array, trust: Array, start: Array, low: Array,
    high: Array, rounds: int = 40,
) -> Minimum:  # fmt: skip
    """Constants within [low, high] that minimise a robust mean of |log(predicted / measured)|.

    A weak pull towards `start` keeps constants that the rows do not determine where they are.
    Parameters: predict, constants (c,) to seconds (rows,); measured (rows,) [s]; trust (rows,)
    of the rows, any scale; start, low, high (c,), all positive.
    Returns: the best point found.
    Reference: Levenberg 1944, Marquardt 1963 (damping); Huber 1964 (loss).
    """
    target, trust = np.log(measured), trust / trust.sum()

    def residual(x: Array) -> Array:
        return np.log(predict(np.exp(x))) - target

    floor, roof = np.log(low), np.log(high)
    centre = np.clip(np.log(start), floor, roof)
    x = centre
    r = residual(x)
    loss, damping = _loss(r, trust), 1e-2
    for _ in range(rounds):
        weight = trust / np.maximum(np.abs(r), _KNEE)
        jacobian = _jacobian(residual, x, r, roof)
        normal = jacobian.T @ (jacobian * weight[:, None]) + _PRIOR * np.eye(x.size)
        gradient = jacobian.T @ (weight * r) + _PRIOR * (x - centre)
        improved = False
        for _ in range(8):
            ridge = damping * np.diag(normal) + 1e-9 * np.trace(normal) + 1e-12
            move = -np.linalg.solve(normal + np.diag(ridge), gradient)
            trial = np.clip(x + np.clip(move, -1.0, 1.0), floor, roof)
            r_trial = residual(trial)
            trial_loss = _loss(r_trial, trust) + _pull(trial, centre)
            if trial_loss < loss:
                improved = True
                break
            damping *= 4.0
        if not improved:
            break
        gain = loss - trial_loss
        x, r, loss, damping = trial, r_trial, trial_loss, max(damping / 5.0, 1e-6)
        if gain < 1e-5 * loss:
            break
    return Minimum(np.exp(x), loss)
