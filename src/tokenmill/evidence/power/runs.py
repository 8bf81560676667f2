"""Training runs of benchmarks, as rows of power describe them: how long until the target.

A seam: whatever tells the seconds of a run to its target may take the place of `seconds_of`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from tokenmill.catalog import load
from tokenmill.catalog.figure import Figure
from tokenmill.evidence.points import Point
from tokenmill.physics.jobs import peak
from tokenmill.physics.runs import Run, run_seconds
from tokenmill.placement.platform import Platform

__all__ = ["RECORD", "machines_of", "run_of", "seconds_of"]

RECORD = "training-runs"
_KEYS = ("flop", "byte", "noise_batch", "network")
_MACHINE_GPUS = 8


def seconds_of(point: Point, where: Platform) -> float:
    """Time of the run that a row describes, start to target [s]. Raises: NoPeak, BadRecord."""
    run, gpus = run_of(point.text("model")), point.count("n_gpus", _MACHINE_GPUS)
    batch = point.number("batch", run.noise_batch)
    return float(
        run_seconds(
            run, max(batch, 1.0), gpus, machines_of(point), peak(where.chip.peaks, "mixed"),
            where.chip.memory_bytes_per_s,
        )
    )  # fmt: skip


def machines_of(point: Point) -> float:
    """Machines of a row [count]: as its note says, else of eight GPUs."""
    stated = re.search(r"\bnodes=(\d+)", point.text("note"))
    if stated:
        return max(float(stated[1]), 1.0)
    return float(np.ceil(point.count("n_gpus", _MACHINE_GPUS) / _MACHINE_GPUS))


def run_of(model: str) -> Run:
    """The run of a benchmark on record; the geometric mean of them for one that is not."""
    figures = _figures()
    if f"{model}/flop" in figures:
        return Run(*(figures[f"{model}/{key}"].value for key in _KEYS))
    means = [
        float(np.exp(np.mean([np.log(figure.value) for name, figure in figures.items()
                              if name.endswith(f"/{key}")])))
        for key in _KEYS
    ]  # fmt: skip
    return Run(*means)


@lru_cache(maxsize=1)
def _figures() -> Mapping[str, Figure]:
    return load.calibration(RECORD).figures
