"""Calibrate: a user's own measurements tighten the twin to one cluster.

A maximum a posteriori over few scales: the prior is what the catalogue says of engines and chips,
the likelihood the residuals that rows of one cluster do not share; the posterior is Laplace's.
Reference: MacKay 2003, Information Theory, Inference, and Learning Algorithms, chapter 27.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.catalog import load
from tokenmill.errors import InputError, TokenmillError
from tokenmill.evidence.cluster.cluster import SCALES, Cluster, tuned
from tokenmill.evidence.family import family_named
from tokenmill.evidence.gauss_newton import huber
from tokenmill.evidence.interval import P90, band_of, quantity_of, shared_error
from tokenmill.evidence.points import Point
from tokenmill.evidence.serving.predict import predict_serving
from tokenmill.evidence.serving.setups import setup_of

__all__ = ["Calibrated", "calibrate"]

Array = NDArray[np.float64]
_ROUNDS = 8
_STEP = 0.02
_KNEE = 2.0  # spreads of noise beyond which a metric counts linearly


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A cluster, and the mean error of its own rows before and after [1]; left names rows that
    could not be used, with reasons; saved, where the cluster was saved."""

    cluster: Cluster
    before: float
    after: float
    left: tuple[str, ...]
    saved: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"scales": list(SCALES), **asdict(self)}


@dataclass(frozen=True, slots=True)
class _Row:
    """One measured metric: its logarithm, and the spread of noise that its rows do not share."""

    point: Point
    metric: str
    log: float
    noise: float


def calibrate(points: Sequence[Point]) -> Calibrated:
    """Fit the scales of a cluster on rows of the serving schema.

    Parameters: points, rows of one accelerator under one engine.
    Raises: InputError where nothing can be used, or rows are of several accelerators or engines.
    """
    rows, left = _rows(points)
    if not rows:
        raise InputError(f"no row can be used to calibrate{': ' + left[0] if left else ''}")
    used = [setup_of(row.point) for row in rows]
    names = {(one.case.platform.accelerator.slug, one.case.engine.name) for one in used}
    if len(names) > 1:
        told = ", ".join(f"{gpu} under {engine}" for gpu, engine in sorted(names))
        raise InputError(f"rows of several clusters: {told}; calibrate each by itself")
    (accelerator, engine), prior = names.pop(), _prior()
    mean, covariance = _posterior(rows, prior)
    cluster = Cluster(
        accelerator, engine, tuple(mean.tolist()), tuple(map(tuple, covariance.tolist())),
        tuple(prior.tolist()), len(rows),
    )  # fmt: skip
    before, after = (_error(rows, x) for x in (np.zeros(len(SCALES)), mean))
    return Calibrated(cluster, before, after, tuple(left))


def _prior() -> Array:
    """Spread of each scale's logarithm before anything is measured: a quarter of its range."""
    figures = load.calibration("cluster").figures
    return np.array([
        math.log(figures[name].high / figures[name].low) / (2.0 * P90) for name in SCALES
    ])  # fmt: skip


def _rows(points: Sequence[Point]) -> tuple[list[_Row], list[str]]:
    metrics = family_named("serving").metrics
    rows: list[_Row] = []
    left: list[str] = []
    for point in points:
        try:
            known = predict_serving(point)
            found = [
                (metric, point.number(metric)) for metric in metrics
                if point.text(metric) and known.get(metric, 0.0) > 0
            ]  # fmt: skip
        except TokenmillError as refusal:
            left.append(f"{point.id}: {refusal}")
            continue
        rows += [
            _Row(point, metric, math.log(value), _noise(point, metric))
            for metric, value in found if value > 0
        ]  # fmt: skip
        if not found:
            left.append(f"{point.id}: holds no metric that is predicted")
    return rows, left


def _noise(point: Point, metric: str) -> float:
    """Spread that rows of one cluster do not share, of a metric's residuals on record; metrics of
    one row and quantity say the same, and share their weight."""
    quantity = quantity_of(metric)
    condition = family_named("serving").condition(point)
    spread = band_of("serving", quantity, condition, "measured").spread
    alike = [
        key for key in family_named("serving").metrics
        if point.text(key) and quantity_of(key).split("-")[0] == quantity.split("-")[0]
    ]  # fmt: skip
    own = math.sqrt(1.0 - shared_error("serving", same_gpu=True))
    return max(spread * own, 0.02) * math.sqrt(len(alike))


def _posterior(rows: Sequence[_Row], prior: Array) -> tuple[Array, Array]:
    """(mode, Laplace covariance) by damped Gauss-Newton with Huber weights."""
    x = np.zeros(len(SCALES))
    r = _wrong(rows, x)
    best, damping = _loss(r, x, prior), 1e-2
    slope = _slope(rows, x, r)
    for _ in range(_ROUNDS):
        weight = 1.0 / np.maximum(np.abs(r) / _KNEE, 1.0)
        normal = slope.T @ (slope * weight[:, None]) + np.diag(prior**-2.0)
        gradient = slope.T @ (weight * r) + x / prior**2
        trial = x - np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
        trial = np.clip(trial, -4.0 * prior, 4.0 * prior)
        r_trial = _wrong(rows, trial)
        gained = _loss(r_trial, trial, prior)
        if gained < best:
            done = best - gained < 1e-4 * best
            x, r, best, damping = trial, r_trial, gained, damping / 4.0
            slope = _slope(rows, x, r)
            if done:
                break
        else:
            damping *= 8.0
    weight = 1.0 / np.maximum(np.abs(r) / _KNEE, 1.0)
    normal = slope.T @ (slope * weight[:, None]) + np.diag(prior**-2.0)
    return x, np.asarray(np.linalg.inv(normal), dtype=np.float64)


def _loss(r: Array, x: Array, prior: Array) -> float:
    return float(_KNEE * huber(r, _KNEE).sum() + 0.5 * np.sum((x / prior) ** 2))


def _slope(rows: Sequence[_Row], x: Array, r: Array) -> Array:
    columns = []
    for place in range(len(SCALES)):
        moved = x.copy()
        moved[place] += _STEP
        columns.append((_wrong(rows, moved) - r) / _STEP)
    return np.stack(columns, axis=1)


def _wrong(rows: Sequence[_Row], x: Array) -> Array:
    """Logarithms of predicted over measured, in spreads of noise."""
    logs, noise = _logs(rows, x), np.array([row.noise for row in rows])
    wrong: Array = (logs - np.array([row.log for row in rows])) / noise
    return wrong


def _logs(rows: Sequence[_Row], x: Array) -> Array:
    scales = tuple(x.tolist())
    power = math.exp(scales[SCALES.index("power")])
    told: dict[int, Mapping[str, float]] = {}
    found = np.zeros(len(rows))
    for at, row in enumerate(rows):
        known = told.get(id(row.point))
        if known is None:
            known = predict_serving(row.point, lambda engine: tuned(engine, scales))
            told[id(row.point)] = known
        scale = power if row.metric in ("gpu_power_w", "energy_j_per_output_token") else 1.0
        found[at] = math.log(known[row.metric] * scale)
    return found


def _error(rows: Sequence[_Row], x: Array) -> float:
    """Mean |predicted / measured - 1|."""
    off = _logs(rows, x) - np.array([row.log for row in rows])
    return float(np.mean(np.abs(np.expm1(off))))
