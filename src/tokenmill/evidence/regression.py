"""Least squares for constants that cannot be negative, robust to odd rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["nonnegative", "relative_fit"]

Array = NDArray[np.float64]


def nonnegative(a: Array, b: Array) -> Array:
    """x >= 0 that minimises |a x - b|, by active sets (Lawson, Hanson 1974, chapter 23).

    Parameters: a (rows, columns); b (rows,).
    Returns: x (columns,).
    """
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0.0] = 1.0
    a = a / scale
    x = np.zeros(a.shape[1])
    free = np.zeros(a.shape[1], dtype=bool)
    tolerance = 1e-12 * float(np.abs(a.T @ b).max(initial=0.0))
    for _ in range(10 * a.shape[1]):
        gradient = np.where(free, -np.inf, a.T @ (b - a @ x))
        best = int(np.argmax(gradient))
        if gradient[best] <= tolerance:
            break
        free[best] = True
        x = _settle(a, b, x, free)
    found: Array = x / scale
    return found


def _settle(a: Array, b: Array, x: Array, free: NDArray[np.bool_]) -> Array:
    """The best point of the free columns; columns that would turn negative are fixed at zero."""
    while free.any():
        trial = np.zeros_like(x)
        trial[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
        if trial[free].min() > 0.0:
            return trial
        bad = free & (trial <= 0.0)
        step = float(np.min(x[bad] / np.maximum(x[bad] - trial[bad], 1e-300)))
        x = x + step * (trial - x)
        free &= x > 1e-15
    return np.zeros_like(x)


def relative_fit(
    columns: Array, seconds: Array, *, fixed: Array | None = None, weight: Array | None = None,
    rounds: int = 25,
) -> Array:  # fmt: skip
    """Constants >= 0 that minimise the absolute relative error of a sum of terms.

    Iterated reweighting: the median-like loss keeps a few odd rows from bending the rest.
    Parameters: columns (rows, terms), the term per unit of its constant; seconds (rows,)
    measured (any unit); fixed (rows,), a part already known; weight (rows,) of trust.
    Returns: constants (terms,).
    """
    rest = np.zeros_like(seconds) if fixed is None else fixed
    trust = np.ones_like(seconds) if weight is None else np.sqrt(weight)
    scaled = columns / seconds[:, None]
    goal = (seconds - rest) / seconds
    robust = np.ones_like(seconds)
    constants = np.zeros(columns.shape[1])
    for _ in range(rounds):
        w = robust * trust
        constants = nonnegative(scaled * w[:, None], goal * w)
        error = np.abs(scaled @ constants - goal)
        robust = 1.0 / np.sqrt(np.maximum(error, 0.03))
    return constants
