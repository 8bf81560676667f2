"""Refusals: which limit binds on a kind of hardware, by how much, and what would lift it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tokenmill.planner.answer import Refusal
from tokenmill.planner.question import Question
from tokenmill.planner.search import Limits, points
from tokenmill.simulator.cases import Grid
from tokenmill.units import format_si
from tokenmill.work.workload import Demand

__all__ = ["MORE_GPUS", "binding"]

MORE_GPUS = "allow more GPUs"

_MARGIN = 1.02  # a changed limit is set this far beyond the number that was missed


def binding(
    question: Question, hardware: str, grids: Sequence[Grid], demand: Demand, limits: Limits
) -> Refusal:
    """The first limit that leaves nothing: memory, TTFT, TPOT, both together, number of GPUs.

    Parameters: grids of every format that the question admits on the hardware, none of which
    has a point inside all limits.
    """
    fitting = [grid for grid in grids if grid.fits.any()]
    if not fitting:
        return _memory(question, hardware, grids)
    ttft = min(float(grid.ttft_s[grid.fits].min()) for grid in fitting)
    if ttft > limits.ttft_s:
        return _latency(hardware, "ttft", ttft, limits.ttft_s, question.percentile)
    tpot = min(float(grid.tpot_s[grid.fits].min()) for grid in fitting)
    if tpot > limits.tpot_s:
        return _latency(hardware, "tpot", tpot, limits.tpot_s, question.percentile)
    together = min(
        float(np.where(grid.fits & (grid.ttft_s <= limits.ttft_s), grid.tpot_s, np.inf).min())
        for grid in fitting
    )
    if together > limits.tpot_s:
        return _latency(hardware, "tpot", together, limits.tpot_s, question.percentile)
    return _count(question, hardware, fitting, demand, limits)


def _memory(question: Question, hardware: str, grids: Sequence[Grid]) -> Refusal:
    """No layout holds the weights and one request: say by how much at best."""
    best = min(
        ((float(grid.needs_bytes.min()), grid) for grid in grids if len(grid.layouts)),
        key=lambda item: item[0] / item[1].has_bytes,
        default=None,
    )
    if best is None:
        return Refusal(
            hardware, "layout", "no legal layout for this model and number of GPUs",
            MORE_GPUS, {"gpus": None},
        )  # fmt: skip
    needs, grid = best
    row = int(np.argmin(grid.needs_bytes.ravel()))
    layout = grid.layouts[row]
    message = (
        f"{grid.case.weights.name} weights over {layout.gpus} GPU{'s' * (layout.gpus > 1)} and one "
        f"longest request need {needs / 1e9:.1f} GB on each GPU, "
        f"{grid.has_bytes / 1e9:.1f} GB are usable"
    )
    if question.gpus is not None:
        return Refusal(hardware, "memory", message, MORE_GPUS, {"gpus": None})
    if question.weights:
        return Refusal(
            hardware, "memory", message, "allow smaller weights (--weights int4)",
            {"weights": ("int4",)},
        )  # fmt: skip
    return Refusal(hardware, "memory", message, "larger hardware", {"hardware": ()})


def _latency(hardware: str, which: str, best: float, limit: float, percentile: float) -> Refusal:
    name = which.upper()
    # a limit a little beyond the best that is possible, told in round digits
    relaxed = float(f"{best * _MARGIN:.3g}")
    relaxed = relaxed if relaxed > best else best * _MARGIN
    return Refusal(
        hardware, which,
        f"{name} p{percentile:g} is {format_si(best, 's')} at best, "
        f"the limit {format_si(limit, 's')}",
        f"a {name} limit of {format_si(relaxed, 's')} or more",
        {f"{which}_s": relaxed},
    )  # fmt: skip


def _count(
    question: Question, hardware: str, grids: Sequence[Grid], demand: Demand, limits: Limits
) -> Refusal:
    """The limits hold only on more GPUs than the question admits."""
    needed = np.inf
    for grid in grids:
        allowed = grid.fits & limits.met(grid)
        _, gpus = points(grid, demand, None)
        needed = min(needed, float(np.where(allowed, gpus, np.inf).min()))
    return Refusal(
        hardware, "gpus",
        f"the load needs {needed:.0f} GPUs, {question.gpus} are allowed",
        f"allow {needed:.0f} GPUs", {"gpus": int(needed)},
    )  # fmt: skip
