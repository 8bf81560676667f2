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


@dataclass(frozen=True)
class Minimum:
    """Where the search ended: point (constants,), its loss and 1-sigma errors in log space."""

    point: Array
    loss: float
    error: Array


def _loss(residual: Array) -> float:
    size = np.abs(residual)
    return float(np.mean(np.where(size < _KNEE, 0.5 * size**2 / _KNEE, size - 0.5 * _KNEE)))


def _jacobian(residual: Callable[[Array], Array], x: Array, r: Array, high: Array) -> Array:
    columns = []
    for i in range(x.size):
        step = _STEP if x[i] + _STEP <= high[i] else -_STEP
        moved = x.copy()
        moved[i] += step
        columns.append((residual(moved) - r) / step)
    return np.stack(columns, axis=1)


def minimise(
    predict: Callable[[Array], Array], measured: Array, start: Array, low: Array, high: Array,
    rounds: int = 40,
) -> Minimum:  # fmt: skip
    """Constants within [low, high] that minimise a robust mean of |log(predicted / measured)|.

    Parameters: predict, constants (c,) to seconds (rows,); measured (rows,) [s]; start, low,
    high (c,), all positive.
    Returns: the best point found.
    Reference: Levenberg 1944, Marquardt 1963 (damping); Huber 1964 (loss).
    """
    target = np.log(measured)

    def residual(x: Array) -> Array:
        return np.log(predict(np.exp(x))) - target

    floor, roof = np.log(low), np.log(high)
    x = np.clip(np.log(start), floor, roof)
    r = residual(x)
    loss, damping = _loss(r), 1e-2
    normal = np.eye(x.size)
    for _ in range(rounds):
        weight = 1.0 / np.maximum(np.abs(r), _KNEE)
        jacobian = _jacobian(residual, x, r, roof)
        normal = jacobian.T @ (jacobian * weight[:, None])
        gradient = jacobian.T @ (weight * r)
        improved = False
        for _ in range(8):
            ridge = damping * np.diag(normal) + 1e-9 * np.trace(normal) + 1e-12
            move = -np.linalg.solve(normal + np.diag(ridge), gradient)
            trial = np.clip(x + np.clip(move, -1.0, 1.0), floor, roof)
            r_trial = residual(trial)
            trial_loss = _loss(r_trial)
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
    return Minimum(np.exp(x), loss, _error(normal, r))


def _error(normal: Array, r: Array) -> Array:
    """1-sigma errors of the log constants; unidentified ones come out as 1."""
    scale = float(np.mean(np.abs(r))) / max(1.0, np.sqrt(r.size))
    spread = np.linalg.pinv(normal / r.size + 1e-9 * np.eye(normal.shape[0]))
    error: Array = np.minimum(np.sqrt(np.maximum(np.diag(spread), 0.0)) * scale, 1.0)
    return error
