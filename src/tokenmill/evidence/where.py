"""Where error sits: parts of the rows that hold more of it than their share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tokenmill.evidence.points import Point
from tokenmill.evidence.score import Scored

__all__ = ["Bucket", "buckets"]

_WORDS = (
    "gpu", "model", "engine", "engine_version", "weight_dtype", "load", "speculative", "mode",
    "length_shape", "op", "workload", "scope", "software", "publication",
)  # fmt: skip
# numbers by powers of four, or of thirty-two for message sizes
_NUMBERS = {
    "concurrency": 4.0, "isl_mean": 4.0, "osl_mean": 4.0, "n_gpus": 2.0, "tp": 2.0, "ep": 4.0,
    "message_bytes": 32.0, "batch": 4.0,
}  # fmt: skip
_LEAST = 8  # rows of a part
_SHOWN = 14


@dataclass(frozen=True, slots=True)
class Bucket:
    """Rows that have something in common: their shares of all rows and of all error [1]."""

    name: str
    rows: float
    error: float
    mape: float
    bias: float


def buckets(items: Sequence[Scored], points: Mapping[str, Point]) -> list[Bucket]:
    """The parts of scored rows with the most error beyond their share, the worst first.

    Parameters: items; points by id, the rows that they came from.
    """
    known = [item for item in items if math.isfinite(item.ratio) and item.id in points]
    # an error above 100 % counts as that: a few absurd rows must not hide the rest
    error = np.array([min(abs(item.ratio - 1.0), 1.0) for item in known])
    parts: dict[str, list[int]] = {}
    for at, item in enumerate(known):
        for name in _names(points[item.id]):
            parts.setdefault(name, []).append(at)
    found = []
    for name, places in parts.items():
        if _LEAST <= len(places) < 0.9 * len(known):
            mine = error[places]
            bias = float(np.median([known[at].ratio for at in places]) - 1.0)
            found.append(Bucket(
                name, len(places) / len(known), float(mine.sum() / error.sum()),
                float(mine.mean()), bias,
            ))  # fmt: skip
    found.sort(key=lambda one: one.rows - one.error)
    return found[:_SHOWN]


def _names(point: Point) -> Iterator[str]:
    for key in _WORDS:
        if point.text(key):
            yield f"{key} {point.text(key)[:40]}"
    for key, step in _NUMBERS.items():
        value = point.number(key)
        if value > 0:
            low = step ** math.floor(math.log(value) / math.log(step) + 1e-9)
            yield f"{key} {low:.0f} to {low * step:.0f}"
