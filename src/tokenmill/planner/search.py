"""Search: meet a demand on each kind of hardware with the fewest GPUs, or say what is in the way.

For every case (hardware x format) all layouts and batches are one array; an instance's capacity at
a batch gives the replicas, the GPUs and the money. What no point of the array satisfies is a
refusal with the limit that binds and the smallest change that lifts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmill.errors import Unsupported
from tokenmill.placement.layout import Layout
from tokenmill.placement.platform import Platform, platform
from tokenmill.planner.here import engine_here
from tokenmill.planner.question import Question
from tokenmill.simulator.cases import Case, Grid, evaluate, language_model, usual_formats
from tokenmill.simulator.estimate import held
from tokenmill.work.precision import cache_format, weight_format
from tokenmill.work.workload import Demand

__all__ = ["Choice", "Limits", "cases_of", "choose", "limits_of", "points"]

Scalar = Any
_SPREAD = 8.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The latency limits of a question [s]; infinite where there is none."""

    ttft_s: float
    tpot_s: float

    def met(self, grid: Grid) -> Scalar:
        """Mask [layouts, batches] of the points inside both limits."""
        return (grid.ttft_s <= self.ttft_s) & (grid.tpot_s <= self.tpot_s)


@dataclass(frozen=True, slots=True)
class Choice:
    """One point of a case: a layout at a batch, as often as the demand needs it."""

    grid: Grid
    layout: Layout
    row: int
    column: int
    replicas: int
    gpus: int

    @property
    def case(self) -> Case:
        """The case it was chosen from."""
        return self.grid.case

    @property
    def tpot_s(self) -> float:
        """Time per output token at the percentile asked for [s]."""
        return float(self.grid.tpot_s[self.row, self.column])

    def running(self, demand: Demand) -> float:
        """Sequences that the load keeps running in one instance, between points of the grid."""
        state = self.grid.state
        row = state.requests_per_s if demand.rate_per_s else state.concurrency
        offered = (demand.rate_per_s or demand.concurrency) / self.replicas
        return held(offered, row[self.row], np.broadcast_to(state.batch, row.shape)[self.row])


def limits_of(question: Question) -> Limits:
    """The latency limits of a question."""
    return Limits(question.ttft_s or np.inf, question.tpot_s or np.inf)


def cases_of(question: Question, where: Platform, model_name: str) -> Iterator[Case]:
    """Every case of one model on one platform that a question admits."""
    model, arch = language_model(model_name)
    formats = question.weights or usual_formats(model, where)
    cache = cache_format(question.cache or "bf16")
    runs_on = engine_here(question.engine, where, question.calibration)
    for name in formats:
        yield Case(where, model, arch, weight_format(name), cache, runs_on)


def points(grid: Grid, demand: Demand, most_gpus: int | None) -> tuple[Scalar, Scalar]:
    """(replicas, GPUs) that carry the demand at every point [layouts, batches].

    An open demand needs enough completions a second; a closed one enough places.
    Points beyond `most_gpus` get infinite GPUs.
    """
    if demand.rate_per_s:
        replicas = np.ceil(demand.rate_per_s / grid.state.requests_per_s - 1e-9)
    else:
        replicas = np.ceil(demand.concurrency / grid.state.concurrency - 1e-9)
    replicas = np.maximum(replicas, 1.0)
    gpus = replicas * grid.gpus
    if most_gpus is not None:
        gpus = np.where(gpus <= most_gpus, gpus, np.inf)
    return replicas, gpus


def choose(
    grid: Grid, demand: Demand, limits: Limits, goal: str, *, most_gpus: int | None = None,
    watts: Scalar | None = None,
) -> Choice | None:  # fmt: skip
    """The best point of a grid inside the limits, or None.

    Parameters: goal, "cost" and "gpus" want the fewest GPUs, "latency" the shortest time per
    token, "energy" the fewest joules per token (`watts` of one GPU at every point). Ties go to
    the shorter time per token.
    """
    allowed = grid.fits & limits.met(grid)
    if not allowed.any():
        return None
    replicas, gpus = points(grid, demand, most_gpus)
    allowed &= np.isfinite(gpus)
    if not allowed.any():
        return None
    if goal == "latency":
        # faster at any price is no plan: at most a few times the fewest GPUs that can do it
        fewest = float(np.where(allowed, gpus, np.inf).min())
        allowed &= gpus <= _SPREAD * fewest
        score = grid.tpot_s + 1e-6 * gpus
    elif goal == "energy" and watts is not None:
        # all GPUs of the fleet draw power for the demand's tokens, busy or not
        score = gpus * watts
    else:
        score = gpus + grid.tpot_s / (1.0 + grid.tpot_s) * 0.5
    score = np.where(allowed, score, np.inf)
    row, column = np.unravel_index(int(np.argmin(score)), score.shape)
    return Choice(
        grid, grid.layouts[row], int(row), int(column),
        int(replicas[row, column]), int(gpus[row, column]),
    )  # fmt: skip


def grids(question: Question, where: Platform, model_name: str, demand: Demand) -> Iterator[Grid]:
    """Evaluated cases of one model on one platform; unsupported formats are passed over.

    Raises: Unsupported where no format at all is supported.
    """
    problem: Unsupported | None = None
    found = False
    for case in cases_of(question, where, model_name):
        try:
            yield evaluate(case, demand, question.percentile, question.gpus)
            found = True
        except Unsupported as unsupported:
            problem = unsupported
    if not found and problem is not None:
        raise problem


def platforms(question: Question) -> list[Platform]:
    """The platforms a question names; "all" is every accelerator of a record that can be priced.

    Raises: UnknownName.
    """
    from tokenmill.placement.platform import hardware_names

    names = list(question.hardware)
    if names == ["all"]:
        names = hardware_names()
    return [platform(name) for name in dict.fromkeys(names)]
