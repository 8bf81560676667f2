"""Score: predictions against measured rows, and how far off they are, by metric and group."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tokenmill.errors import BadRecord, InputError, TokenmillError
from tokenmill.evidence.family import Family, family_of, misspelt
from tokenmill.evidence.interval import band_of, distance, quantity_of
from tokenmill.evidence.points import Point, read_table

__all__ = ["Score", "Scored", "Summary", "score_file", "score_points", "summary", "write_json"]


@dataclass(frozen=True, slots=True)
class Scored:
    """One metric of one row: measured and predicted [SI], the interval, or the reason for none."""

    id: str
    metric: str
    measured: float | None
    predicted: float | None
    low: float | None
    high: float | None
    reason: str
    gpu: str
    model: str
    engine: str
    publication: str
    quality: str
    condition: str
    share: float = 1.0  # of `Point`

    @property
    def ratio(self) -> float:
        """Predicted over measured; NaN where nothing was predicted."""
        if self.predicted is None or not self.measured:
            return math.nan
        return self.predicted / self.measured

    @property
    def inside(self) -> bool:
        """Whether the interval holds the measurement."""
        if self.low is None or self.high is None or self.measured is None:
            return False
        return self.low <= self.measured <= self.high


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
    """All scored metrics of a file; notes tell of columns and ids that may be mistakes."""

    family: str
    rows: int
    predicted_rows: int
    scored: tuple[Scored, ...]
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the rows that got a prediction."""
        return self.predicted_rows / self.rows if self.rows else 0.0

    def by(self, key: Callable[[Scored], str]) -> list[Summary]:
        """Summaries by a key, the worst median first."""
        groups: dict[str, list[Scored]] = {}
        for item in self.scored:
            groups.setdefault(key(item), []).append(item)
        found = [summary(name, items) for name, items in groups.items()]
        return sorted((one for one in found if one), key=lambda one: -one.median_error)

    def groups(self) -> dict[str, list[Summary]]:
        """Summaries per metric, and per metric family by GPU, model and engine."""
        result = {"by metric": sorted(self.by(lambda item: item.metric), key=lambda s: s.name)}
        for label in ("gpu", "model", "engine", "publication"):
            result[f"by {label}"] = self.by(lambda item, label=label: getattr(item, label))  # type: ignore[misc]
        return {title: found for title, found in result.items() if any(one.name for one in found)}

    def to_list(self) -> list[dict[str, Any]]:
        """One object per row and metric, plain values for JSON."""
        keys = ("id", "metric", "measured", "predicted", "low", "high", "reason")
        return [{key: getattr(item, key) for key in keys} for item in self.scored]

    def reasons(self) -> Counter[str]:
        """Why rows got no prediction, with counts of metrics."""
        return Counter(item.reason for item in self.scored if item.reason)


def summary(name: str, items: Iterable[Scored]) -> Summary | None:
    """The errors of some scored metrics, or None where none was predicted."""
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


def score_file(path: str | Path) -> Score:
    """Predict every row of a measurement CSV ("-" for standard input).

    Raises: BadRecord for a file that cannot be read as one.
    """
    table = read_table(Path(path))
    family = family_of(table)
    score = score_points(table.points, family)
    return replace(score, notes=(*misspelt(family, table.header), *_repeated(table.points)))


def _repeated(points: Sequence[Point]) -> list[str]:
    counts = Counter(point.text("id") for point in points if point.text("id"))
    twice = sum(count > 1 for count in counts.values())
    return [f"{twice} ids stand more than once; every row of them is scored"] if twice else []


def score_points(points: Iterable[Point], family: Family) -> Score:
    """Predict every metric that each point measures; what cannot be predicted says why."""
    scored: list[Scored] = []
    rows = predicted = 0
    for point in points:
        rows += 1
        items = list(_score_one(point, family))
        predicted += any(item.predicted is not None for item in items)
        scored += items
    return Score(family.name, rows, predicted, tuple(scored))


def _score_one(point: Point, family: Family) -> Iterator[Scored]:
    wanted = [key for key in family.metrics if point.text(key)]
    predictions, refusal = _predictions(point, family) if wanted else ({}, "")
    for metric in wanted:
        measured, reason = _measured(point, metric)
        if measured is not None or reason:
            yield _scored(point, family, metric, measured, predictions, reason or refusal)


def _predictions(point: Point, family: Family) -> tuple[Mapping[str, float], str]:
    """What is predicted of a row, and why nothing is."""
    if point.surplus:
        return {}, f"{point.surplus} cells more than the header has columns"
    try:
        return family.predict(point), ""
    except TokenmillError as refusal:
        return {}, str(refusal)
    except (ArithmeticError, LookupError, ValueError, MemoryError) as problem:
        # one impossible row must not take the file with it
        return {}, f"its cells lead out of what the model can compute ({type(problem).__name__})"


def _measured(point: Point, metric: str) -> tuple[float | None, str]:
    """A measured value, None where it is unknown or wrong, and what is wrong with it."""
    try:
        value = point.number(metric)
    except BadRecord as problem:
        return None, str(problem)
    if value == 0.0:
        return 0.0, f"{metric} is 0: no error can be relative to it"
    return (None if math.isnan(value) else value), ""


def _scored(
    point: Point, family: Family, metric: str, measured: float | None,
    predictions: Mapping[str, float], reason: str,
) -> Scored:  # fmt: skip
    low = high = None
    predicted = None if reason else predictions.get(metric, math.nan)
    if predicted is not None and math.isfinite(predicted) and predicted > 0:
        low, high = _bounds(point, family, metric, predicted)
    elif not reason:
        predicted, reason = None, f"{metric} is not predicted for this load"
    return Scored(
        point.id, metric, measured, predicted, low, high, reason, point.text("gpu"),
        point.text("model"), point.text("engine"), point.text("publication"), point.text("quality"),
        _condition(point, family), point.share,
    )  # fmt: skip


def _condition(point: Point, family: Family) -> str:
    try:
        return family.condition(point)
    except ValueError:
        return ""


def _bounds(point: Point, family: Family, metric: str, predicted: float) -> tuple[float, float]:
    """p10 and p90 of what a measurement would show [the metric's unit]."""
    quantity = quantity_of(metric)
    near = distance(family.name, point.text("gpu"), point.text("model"), quantity)
    band = band_of(family.name, quantity, _condition(point, family), near, point.text("quality"))
    return predicted * band.low, predicted * band.high


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
