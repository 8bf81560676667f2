"""Fits the constants of image timing and cross-validates them by group.

Robust least squares on logarithms, with priors (kernel tables for products, operator counts for
traffic) as further observations, so that a group left out cannot send a constant astray.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.catalog import load
from tokenmill.evidence.gauss_newton import minimise
from tokenmill.evidence.images.constants import ACTIVE, FREE, complete
from tokenmill.evidence.images.rows import (
    ImageRow,
    image_rows,
    latency_rows,
    predict,
    predict_s,
)
from tokenmill.physics.image_power import image_energy
from tokenmill.placement.platform import platform

__all__ = [
    "GROUPS",
    "Validation",
    "cross_validate",
    "energy_errors",
    "errors",
    "fit",
    "rows",
    "table",
]

Array = NDArray[np.float64]

_TRUST = 0.2  # error of a row that weighs as much as one spread of a prior
_ROUNDS = 8
_ACTIVES = tuple(step / 10 for step in range(8, 31))
_REACH = 1.2  # bounds, in logarithms around the start


def _architecture(row: ImageRow) -> str:
    return load.accelerator(row.gpu).architecture


# What is left out together: everything a publication says, every row of a GPU, of a model, ...
GROUPS: Mapping[str, Callable[[ImageRow], str]] = {
    "publication": lambda row: row.publication,
    "gpu": lambda row: row.gpu,
    "model": lambda row: row.model,
    "architecture": _architecture,
}


@dataclass(frozen=True, slots=True)
class Validation:
    """Rows predicted without their own group: logarithms of predicted over measured seconds,
    power and energy (rows,), and the constants of each fit. The power constants of the GPU are
    those of all rows: they are fitted on other files."""

    errors: Array
    watts: Array
    joules: Array
    constants: tuple[Mapping[str, float], ...]


def rows(folder: Path) -> list[ImageRow]:
    """The rows to fit on: published image times, and latencies noted beside energies."""
    return [*image_rows(folder / "media.csv"), *latency_rows(folder / "power.csv")]


class _Reader(dict[str, float]):
    """Constants that remember which of them were read."""

    def __init__(self, constants: Mapping[str, float]) -> None:
        super().__init__(constants)
        self.used: set[str] = set()

    def __getitem__(self, key: str) -> float:
        self.used.add(key)
        return super().__getitem__(key)


class _Predictor:
    """Seconds per image of rows [s]; a row is worked out again only where its constants moved."""

    def __init__(self, found: Sequence[ImageRow]) -> None:
        self._rows = found
        self._used: list[tuple[str, ...]] = []
        self._known: list[dict[tuple[float, ...], float]] = [{} for _ in found]

    def __call__(self, constants: Mapping[str, float]) -> Array:
        if not self._used:
            for row in self._rows:
                reader = _Reader(constants)
                predict_s(row, reader)
                self._used.append(tuple(sorted(reader.used)))
        return np.array([self._one(at, row, constants) for at, row in enumerate(self._rows)])

    def _one(self, at: int, row: ImageRow, constants: Mapping[str, float]) -> float:
        key = tuple([constants[name] for name in self._used[at]])
        known = self._known[at]
        if key not in known:
            if len(known) > 2:  # the point of the search, and the step being tried
                known.pop(next(iter(known)))
            known[key] = predict_s(row, constants)
        return known[key]


def errors(found: Sequence[ImageRow], constants: Mapping[str, float]) -> Array:
    """Logarithm of predicted over measured, row by row."""
    predicted = [predict_s(row, constants) for row in found]
    return np.log(predicted) - np.log([row.seconds for row in found])


def fit(
    found: Sequence[ImageRow], *, rounds: int = _ROUNDS, near: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The constants that explain the rows best.

    Parameters: found; rounds of the search; near, constants to search from, where a fit on nearly
    the same rows is at hand (it saves the large steps; the priors stay where they are).

    A family of n rows (same publication, GPU, model, software) weighs as the root of n, so that
    a long sweep does not drown a short one. Rows at a power cap that their source does not give
    are left to `max_q`, and decide nothing else.
    """
    trust = [*weights(found), *[1.0] * len(FREE)]
    start = np.array([item.start for item in FREE])
    spread = np.array([item.spread for item in FREE])
    measured = np.array([row.seconds for row in found])
    seconds = _Predictor(found)

    def predicted(free: Array) -> Array:
        data = seconds(complete(_named(free))) / measured
        return np.concatenate([data, (free / start) ** (_TRUST / spread)])

    reach = np.exp(np.minimum(3.0 * spread, _REACH))
    low, high = start / reach, start * reach
    first = start if near is None else np.clip([near[item.key] for item in FREE], low, high)
    best = minimise(
        predicted, np.ones(len(trust)), np.array(trust), first, low, high, rounds,
        **({} if near is None else {"cycles": 0}),
    )  # fmt: skip
    constants = complete(_named(best.point))
    return constants | {ACTIVE: _active(found, constants)}


def _active(found: Sequence[ImageRow], constants: Mapping[str, float]) -> float:
    """Active power of image kernels over that of language kernels, where draws were measured.

    The least mean error in logarithms over a grid, rows weighed as in the fit.
    """
    metered = [
        (predict(row, constants), platform(row.gpu).power, row.joules / row.seconds / row.run.gpus)
        for row in found if not math.isnan(row.joules)
    ]  # fmt: skip
    if not metered:
        return 1.0
    sizes = Counter(row.family for row in found)
    trust = np.array([sizes[row.family] ** -0.5 for row in found if not math.isnan(row.joules)])
    measured = np.array([watts for _, _, watts in metered])

    def off(active: float) -> float:
        drawn = [image_energy(time, chip, {ACTIVE: active}).gpu_w for time, chip, _ in metered]
        return float(trust @ np.abs(np.log(drawn / measured)))

    return min(_ACTIVES, key=off)


def weights(found: Sequence[ImageRow]) -> list[float]:
    """The weight of each row: a family of n rows weighs as the root of n."""
    sizes = Counter(row.family for row in found)
    return [float(sizes[row.family] ** -0.5) for row in found]


def _named(free: Array) -> dict[str, float]:
    return {item.key: float(value) for item, value in zip(FREE, free, strict=True)}


def cross_validate(
    found: Sequence[ImageRow], group: Callable[[ImageRow], str], *, rounds: int = _ROUNDS,
    near: Mapping[str, float] | None = None,
) -> Validation:  # fmt: skip
    """Each row under constants fitted without its group; rounds and near as in `fit`."""
    result, fits = np.zeros(len(found)), []
    watts, joules = np.full(len(found), np.nan), np.full(len(found), np.nan)
    names = [group(row) for row in found]
    for name in sorted(set(names)):
        rest = [row for row, own in zip(found, names, strict=True) if own != name]
        inside = [at for at, own in enumerate(names) if own == name]
        constants = fit(rest, rounds=rounds, near=near)
        fits.append(constants)
        own = [found[at] for at in inside]
        result[inside] = errors(own, constants)
        watts[inside], joules[inside] = energy_errors(own, constants)
    return Validation(result, watts, joules, tuple(fits))


def energy_errors(found: Sequence[ImageRow], constants: Mapping[str, float]) -> tuple[Array, Array]:
    """Logarithms of predicted over measured power and energy, NaN where none was measured."""
    pairs = np.full((2, len(found)), np.nan)
    for at, row in enumerate(found):
        if not math.isnan(row.joules):
            energy = image_energy(predict(row, constants), platform(row.gpu).power, constants)
            measured_w = row.joules / row.seconds / row.run.gpus
            pairs[:, at] = energy.gpu_w / measured_w, energy.joules_per_image / row.joules
    watts, joules = np.log(pairs)
    return watts, joules


def table(names: Iterable[str], error: Array) -> list[str]:
    """Lines of error by name, the worst median first: rows, median, mean, p90, bias."""
    labels = np.array(list(names))
    lines = []
    for name in sorted(set(labels)):
        own = error[labels == name]
        off = np.abs(np.expm1(own))
        lines.append((float(np.median(off)), (
            f"{name:58s} {own.size:4d} rows  median {np.median(off):6.1%}  mean {off.mean():6.1%}"
            f"  p90 {np.quantile(off, 0.9):6.1%}  bias {np.expm1(np.median(own)):+6.1%}"
        )))  # fmt: skip
    return [line for _, line in sorted(lines, reverse=True)]
