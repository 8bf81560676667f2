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
from tokenmill.evidence.power.jobs_rows import is_language
from tokenmill.physics.jobs import peak
from tokenmill.physics.runs import Run, run_seconds
from tokenmill.placement.platform import Platform
from tokenmill.simulator.cases import language_model
from tokenmill.work.parameters import active_parameters

__all__ = ["RECORD", "machines_of", "run_of", "seconds_of", "spread_nodes"]

RECORD = "training-runs"
_KEYS = ("flop", "byte", "noise_batch", "network")
_MACHINE_GPUS = 8
_PRETRAINED = "gpt3-175b"


def seconds_of(point: Point, where: Platform) -> float:
    """Time of the run that a row describes, start to target [s]. Raises: NoPeak, BadRecord."""
    run, gpus = run_of(point.text("model")), point.count("n_gpus", _MACHINE_GPUS)
    batch = point.number("batch", run.noise_batch)
    chip = where.chip
    flop_per_s = peak(chip.peaks, "mixed", where.name)
    size = max(batch, 1.0), gpus, machines_of(point)
    return float(run_seconds(run, *size, flop_per_s, chip.memory_bytes_per_s))


def machines_of(point: Point) -> float:
    """Machines of a row [count]: as its note says, else of eight GPUs."""
    stated = re.search(r"\bnodes=(\d+)", point.text("note"))
    if stated:
        return max(float(stated[1]), 1.0)
    return float(np.ceil(point.count("n_gpus", _MACHINE_GPUS) / _MACHINE_GPUS))


def spread_nodes(point: Point) -> float:
    """Machines that share a fixed batch [count]; 1 where the batch grows with them."""
    if point.text("model").startswith(("gpt3", "llama-3.1-405b", "mt-nlg")):
        return 1.0
    return machines_of(point)


def run_of(model: str) -> Run:
    """The run of a benchmark on record; of a language model that is not, that of GPT-3 by their
    sizes (tokens to the target are of one order); of others the geometric mean."""
    figures = _figures()
    if f"{model}/flop" in figures:
        return Run(*(figures[f"{model}/{key}"].value for key in _KEYS))
    if is_language(model):
        like, times = run_of(_PRETRAINED), _size(model) / _size(_PRETRAINED)
        return Run(like.flop * times, like.memory_bytes * times, like.noise_batch,
                   like.network * times)  # fmt: skip
    means = [
        float(np.exp(np.mean([np.log(figure.value) for name, figure in figures.items()
                              if name.endswith(f"/{key}")])))
        for key in _KEYS
    ]  # fmt: skip
    return Run(*means)


@lru_cache(maxsize=64)
def _size(model: str) -> int:
    """Parameters that a token passes through."""
    return active_parameters(language_model(model)[1])


@lru_cache(maxsize=1)
def _figures() -> Mapping[str, Figure]:
    return load.calibration(RECORD).figures
