"""Score: predictions against measured rows, and how far off they are, by metric and group."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tokenmill.errors import InputError, TokenmillError
from tokenmill.evidence.interval import band
from tokenmill.evidence.points import SERVING_METRICS, Point, read_points
from tokenmill.evidence.serving import predict_serving

__all__ = ["Score", "Scored", "Summary", "score_file", "score_points", "write_json"]


@dataclass(frozen=True, slots=True)
class Scored:
    """One metric of one row: measured and predicted [SI], the interval, or the reason for none."""

    id: str
    metric: str
    measured: float
    predicted: float | None
    low: float | None
    high: float | None
    reason: str
    gpu: str
    model: str
    engine: str
    publication: str
    quality: str

    @property
    def ratio(self) -> float:
        """Predicted over measured; NaN where nothing was predicted."""
        if self.predicted is None or not self.measured:
            return math.nan
        return self.predicted / self.measured

    @property
    def inside(self) -> bool:
        """Whether the interval holds the measurement."""
        return self.low is not None and self.high is not None and (
            self.low <= self.measured <= self.high
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """Errors of a group: |predicted / measured - 1| and the bias, as fractions."""

    name: str
    count: int
    median_error: float
    mape: float
    p90_error: float
    bias: float
    inside: float


@dataclass(frozen=True)
class Score:
    """All scored metrics of a file."""

    rows: int
    predicted_rows: int
    scored: tuple[Scored, ...]

    @property
    def coverage(self) -> float:
        """Share of the rows that got a prediction."""
        return self.predicted_rows / self.rows if self.rows else 0.0

    def summary(self, name: str, items: Iterable[Scored]) -> Summary | None:
        """The errors of some of the items, or None where none was predicted."""
        picked = [item for item in items if math.isfinite(item.ratio)]
        if not picked:
            return None
        ratio = np.array([item.ratio for item in picked])
        error = np.abs(ratio - 1.0)
        return Summary(
            name, len(picked), float(np.median(error)), float(error.mean()),
            float(np.quantile(error, 0.9)), float(np.median(ratio) - 1.0),
            float(np.mean([item.inside for item in picked])),
        )  # fmt: skip

    def by(self, key: Callable[[Scored], str]) -> list[Summary]:
        """Summaries by a key, the worst median first."""
        groups: dict[str, list[Scored]] = {}
        for item in self.scored:
            groups.setdefault(key(item), []).append(item)
        found = [self.summary(name, items) for name, items in groups.items()]
        return sorted((one for one in found if one), key=lambda one: -one.median_error)

    def groups(self) -> dict[str, list[Summary]]:
        """Summaries per metric, and per metric family by GPU, model and engine."""
        result = {"by metric": sorted(self.by(lambda item: item.metric), key=lambda s: s.name)}
        for label in ("gpu", "model", "engine", "publication"):
            result[f"by {label}"] = self.by(lambda item, label=label: getattr(item, label))  # type: ignore[misc]
        return result

    def to_list(self) -> list[dict[str, Any]]:
        """One object per row and metric, plain values for JSON."""
        keys = ("id", "metric", "measured", "predicted", "low", "high", "reason")
        return [{key: getattr(item, key) for key in keys} for item in self.scored]

    def reasons(self) -> Counter[str]:
        """Why rows got no prediction, with counts of metrics."""
        return Counter(item.reason for item in self.scored if item.reason)


def score_file(path: str | Path) -> Score:
    """Predict every row of a measurement CSV.

    Raises: BadRecord for a file that cannot be read as one.
    """
    return score_points(read_points(Path(path)))


def score_points(points: Iterable[Point]) -> Score:
    """Predict every metric that each point measures; what cannot be predicted says why."""
    scored: list[Scored] = []
    rows = predicted = 0
    for point in points:
        rows += 1
        items = _score_one(point)
        predicted += any(item.predicted is not None for item in items)
        scored += items
    return Score(rows, predicted, tuple(scored))


def _score_one(point: Point) -> list[Scored]:
    measured = {key: point.number(key) for key in SERVING_METRICS if point.text(key)}
    reason, predictions = "", {}
    try:
        predictions = predict_serving(point)
    except TokenmillError as refusal:
        reason = str(refusal)
    return [_scored(point, key, value, predictions.get(key), reason)
            for key, value in measured.items()]  # fmt: skip


def _scored(
    point: Point, metric: str, measured: float, predicted: float | None, reason: str
) -> Scored:
    low = high = None
    if predicted is not None and math.isfinite(predicted):
        low, high = band(point, metric, predicted)
    elif not reason:
        predicted, reason = None, f"{metric} is not predicted for this load"
    return Scored(
        point.id, metric, measured, predicted, low, high, reason, point.text("gpu"),
        point.text("model"), point.text("engine"), point.text("publication"), point.text("quality"),
    )  # fmt: skip


def write_json(score: Score, path: Path) -> None:
    """Write `Score.to_list` as JSON; the file appears whole or not at all.

    Raises: InputError where the file cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent or Path(), prefix=f".{path.name}.")
    except OSError as problem:
        raise InputError(f"{path}: cannot be written: {problem.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(score.to_list(), file, indent=1)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
