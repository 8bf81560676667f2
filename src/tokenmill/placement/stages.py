"""Pipelines whose micro-batches differ: each stage waits for the slowest of those on their way.

A micro-batch prefills the prompts that happened to come into it, so that its steps differ from
those of its neighbours, and all stages move on when the longest is done (cf. Agrawal et al. 2024,
arXiv:2403.02310, section 3.3, on such pipeline bubbles).
"""

from __future__ import annotations

from dataclasses import fields, replace
from statistics import NormalDist

import numpy as np

from tokenmill.placement.steps import StepTimes
from tokenmill.placement.table import StepTable

__all__ = ["slowed", "uneven_stages"]


def uneven_stages(
    times: StepTimes, sequences: float, prompt: float, output: float, variation: float = 0.0
) -> float:
    """How much longer steps take than if all micro-batches were alike [1], of a single layout.

    Parameters: times; sequences that run at once in the instance; mean prompt and output
    [tokens]; variation, squared coefficient of variation of the prompts. Prompts come into a
    micro-batch at random (Poisson); the longest of pp normal times is taken as in Blom 1958.
    """
    stages = float(times.grid.pp.ravel()[0])
    each = sequences / stages
    arriving = each / output
    spread = prompt * np.sqrt(arriving * (1.0 + variation))
    mean = each + arriving * prompt
    tokens = np.array([[mean, mean + spread]]) * stages
    linear_s = np.ravel(times.linear_s(tokens))
    step_s = float(np.ravel(times.decode_step_s(np.array([[sequences]]), prompt + output / 2.0))[0])
    step_s += float(linear_s[0] - np.ravel(times.linear_s(np.array([[sequences]])))[0])
    longest = NormalDist().inv_cdf((stages - 0.375) / (stages + 0.25))
    return 1.0 + longest * float(linear_s[1] - linear_s[0]) / step_s


def slowed(table: StepTable, factor: float) -> StepTable:
    """A table whose steps take `factor` times as long [1], the added time at idle power."""
    seconds = [field.name for field in fields(table) if field.name.endswith("_s")]
    changed = {name: getattr(table, name) * factor for name in seconds}
    for name in seconds:
        idle_j = getattr(table, name) * (factor - 1.0) * table.idle_w
        changed[f"{name[:-2]}_j"] = getattr(table, f"{name[:-2]}_j") + idle_j
    return replace(table, **changed)
