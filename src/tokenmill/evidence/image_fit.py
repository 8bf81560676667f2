"""Fits the constants of image timing, cross-validates them and writes their calibration file.

    python -m tokenmill.evidence.image_fit MEASUREMENTS --write FILE | --check

Robust least squares on logarithms, with priors (kernel tables for products, operator counts for
traffic) as further observations, so that a group left out cannot send a constant astray.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.gauss_newton import minimise
from tokenmill.evidence.image_constants import FREE, complete
from tokenmill.evidence.image_rows import ImageRow, image_rows, latency_rows, predict

__all__ = ["cross_validate", "errors", "fit", "rows"]

Array = NDArray[np.float64]

_TRUST = 0.2  # error of a row that weighs as much as one spread of a prior
_ROUNDS = 12
_REACH = 1.2  # bounds, in logarithms around the start


def rows(folder: Path) -> list[ImageRow]:
    """The rows to fit on: published image times, and latencies noted beside energies."""
    return [*image_rows(folder / "media.csv"), *latency_rows(folder / "power.csv")]


def seconds(found: Sequence[ImageRow], constants: Mapping[str, float]) -> Array:
    """Predicted seconds per image of each row [s]."""
    return np.array([
        predict(row, constants).seconds_per_image / (constants["server"] if row.server else 1.0)
        for row in found
    ])  # fmt: skip


def errors(found: Sequence[ImageRow], constants: Mapping[str, float]) -> Array:
    """Logarithm of predicted over measured, row by row."""
    return np.log(seconds(found, constants)) - np.log([row.seconds for row in found])


def fit(found: Sequence[ImageRow], *, rounds: int = _ROUNDS) -> dict[str, float]:
    """The constants that explain the rows best.

    A family of n rows (same publication, GPU, model, software) weighs as the root of n, so that
    a long sweep does not drown a short one. Rows at a power cap that their source does not give
    are left to `max_q`, and decide nothing else.
    """
    sizes = Counter(row.family for row in found)
    trust = [sizes[row.family] ** -0.5 for row in found] + [1.0] * len(FREE)
    start = np.array([item.start for item in FREE])
    spread = np.array([item.spread for item in FREE])
    measured = np.array([row.seconds for row in found])

    def predicted(free: Array) -> Array:
        data = seconds(found, complete(_named(free))) / measured
        return np.concatenate([data, (free / start) ** (_TRUST / spread)])

    reach = np.exp(np.minimum(3.0 * spread, _REACH))
    best = minimise(
        predicted, np.ones(len(trust)), np.array(trust), start, start / reach, start * reach,
        rounds=rounds,
    )  # fmt: skip
    return complete(_named(best.point))


def _named(free: Array) -> dict[str, float]:
    return {item.key: float(value) for item, value in zip(FREE, free, strict=True)}


def cross_validate(
    found: Sequence[ImageRow], group: Callable[[ImageRow], str], *, rounds: int = _ROUNDS
) -> Array:
    """Errors of each row under constants fitted without its group."""
    result = np.zeros(len(found))
    names = [group(row) for row in found]
    for name in sorted(set(names)):
        rest = [row for row, own in zip(found, names, strict=True) if own != name]
        inside = [at for at, own in enumerate(names) if own == name]
        constants = fit(rest, rounds=rounds)
        result[inside] = errors([found[at] for at in inside], constants)
    return result
