"""Training runs to a quality target: how long they take on so many GPUs.

Larger batches need more samples, as the gradient's noise averages out; each step also takes a
while that no further GPU shortens, once machines have to talk to each other.
Reference: McCandlish et al. 2018, "An empirical model of large-batch training", arXiv:1812.06162.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Run", "run_seconds"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Run:
    """What a run to its target takes at small batches.

    flop [FLOP]: its arithmetic over the share of the peak that kernels reach; memory_bytes [B]:
    its traffic over the share of the bandwidth; noise_batch [samples]: the batch at which twice
    the samples are needed; network [s samples]: samples of the run times the part of a step that
    machines spend on each other.
    """

    flop: float
    memory_bytes: float
    noise_batch: float
    network: float


def run_seconds(
    run: Run, batch: Any, gpus: Any, machines: Any, flop_per_s: Any, memory_bytes_per_s: Any
) -> Array:
    """Time from the start of a run to its target [s].

    Parameters: run; batch [samples] of all GPUs together; gpus and machines [count]; flop_per_s
    and memory_bytes_per_s of one GPU at its power limit. Scalars or arrays. Arithmetic and memory
    hide each other but for a part, as in `physics.jobs`.
    """
    batch = np.asarray(batch, dtype=float)
    more = 1.0 + batch / run.noise_batch
    each_s = np.hypot(run.flop / np.asarray(flop_per_s), run.memory_bytes / memory_bytes_per_s)
    apart = np.asarray(machines, dtype=float) > 1.0
    seconds: Array = more * (each_s / gpus + apart * run.network / batch)
    return seconds
