"""What training runs take until their target, fitted on published times to train.

One set of constants a benchmark, none a GPU: cards differ by their spec sheets alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.calibration import Constant, Origin, render
from tokenmill.evidence.gauss_newton import minimise
from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.power.runs import RECORD, machines_of
from tokenmill.physics.jobs import peak
from tokenmill.physics.runs import Run, run_seconds
from tokenmill.placement.platform import platform

__all__ = ["files", "fit_run", "read_runs"]

Array = NDArray[np.float64]
_UNITS = {"flop": "FLOP", "byte": "B", "noise_batch": "", "network": "s"}
_PUBLISHED = Origin(
    "measured", "times to train of MLPerf Training 4.0 and 4.1", "2026-11-28",
    url="https://mlcommons.org/benchmarks/training/",
    note="effective work: FLOP and bytes over the shares of the peaks that kernels reach; ranges "
    "hold the fits without one GPU; network in seconds times samples",
)  # fmt: skip


def read_runs(measurements: Path) -> dict[str, list[Point]]:
    """Rows of training.csv with a time to a target, by benchmark."""
    found: dict[str, list[Point]] = {}
    for point in read_points(measurements / "training.csv"):
        if point.text("time_to_train_s") and point.text("global_batch"):
            found.setdefault(point.text("model"), []).append(point)
    return found


def fit_run(rows: Sequence[Point]) -> Run:
    """The run of a benchmark; rows of one GPU and size weigh as the root of their number."""
    where = [platform(row.text("gpu")) for row in rows]
    flop_per_s = np.array([peak(w.chip.peaks, "mixed", w.name) for w in where])
    bytes_per_s = np.array([w.chip.memory_bytes_per_s for w in where])
    gpus, batch, seconds = (
        np.array([row.number(key) for row in rows])
        for key in ("n_gpus", "global_batch", "time_to_train_s")
    )
    machines = np.array([machines_of(row) for row in rows])

    def predict(x: Array) -> Array:
        return run_seconds(Run(*x.tolist()), batch, gpus, machines, flop_per_s, bytes_per_s)

    flop, size = (float(np.median(seconds * gpus * rate)) for rate in (flop_per_s, bytes_per_s))
    wait = float(np.median(seconds * batch))
    start = np.array([0.7 * flop, 0.5 * size, 10.0 * float(np.median(batch)), 0.1 * wait])
    low = np.array([1e-2 * flop, 1e-3 * size, 0.3 * float(batch.min()), 1e-5 * wait])
    high = np.array([2.0 * flop, 2.0 * size, 100.0 * float(batch.max()), 10.0 * wait])
    alike = Counter((row.text("gpu"), row.text("n_gpus")) for row in rows)
    trust = np.array([alike[row.text("gpu"), row.text("n_gpus")] ** -0.5 for row in rows])
    return Run(*minimise(predict, seconds, trust, start, low, high).point.tolist())


def files(measurements: Path) -> dict[str, str]:
    """The calibration file of training runs, slug to text."""
    cells: dict[str, Constant] = {}
    for name, rows in sorted(read_runs(measurements).items()):
        best = astuple(fit_run(rows))
        others = [best]
        for gpu in sorted({row.text("gpu") for row in rows}):
            rest = [row for row in rows if row.text("gpu") != gpu]
            others += [astuple(fit_run(rest))] if rest else []
        for (key, unit), value, column in zip(
            _UNITS.items(), best, zip(*others, strict=True), strict=True
        ):
            cells[f"{name}/{key}"] = Constant(value, min(column), max(column), unit, "published")
    title = "Training runs to their targets"
    return {RECORD: render(title, "training-runs", cells, {"published": _PUBLISHED})}
