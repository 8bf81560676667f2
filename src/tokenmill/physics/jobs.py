"""Work that is no language model: samples a second and the draw of image, speech, ranking nets.

A job is known by what one sample takes: arithmetic and memory traffic as its kernels run them;
the host's time for a batch and for a sample; and what its kernels draw of a card's range between
idle and limit. Of two that work side by side, arithmetic and memory, GPU and host, the longer
hides the shorter but for a part: the root of the sum of squares. Kernels differ in what they draw:
half of a job's time they ask for more than their mean, half for less, so that a power cap binds
the one half before the other, and the mean of what is drawn stays below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import NoPeak
from tokenmill.physics.power import PowerConstants, at_clock, clock, drawn_w

__all__ = ["FORMATS", "Job", "batch_seconds", "peak", "run_batch"]

Array = NDArray[np.float64]
_LEAST_CLOCK = 0.2  # drivers go no lower, whatever the cap

# Number formats a way of running takes, the first that a chip multiplies: training as frameworks
# did it without mixed precision (matrix engines that know no more than 16 bits train in those),
# and with it; inference with 8-bit engines, and pipelines in half precision.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "train": ("tf32", "fp32", "bf16", "fp16"),
    "mixed": ("bf16", "fp16", "tf32", "fp32"),
    "infer": ("int8", "fp8", "fp16", "bf16", "fp32"),
    "half": ("fp16", "bf16", "fp32"),
}


@dataclass(frozen=True, slots=True)
class Job:
    """What one sample of a job takes, and what it draws.

    flop [FLOP]: work over the share of the peak that its kernels reach. memory_bytes [B]: traffic
    over the share of the bandwidth. host_s [s] for each batch, host_sample_s [s] for each sample.
    load: power asked for above idle while kernels run, as a share of the range from idle to the
    limit; waiting: what is asked for while the host is waited for, over that; swing: how far
    kernels lie above and below their mean demand, as a share of it.
    """

    flop: float
    memory_bytes: float
    load: float
    host_s: float = 0.0
    host_sample_s: float = 0.0
    waiting: float = 0.0
    swing: float = 0.0


def peak(peaks: Mapping[str, float], way: str, name: str = "this chip") -> float:
    """Rate of the number format that a way of running takes on a chip [FLOP/s].

    Parameters: peaks by number format; way, a key of `FORMATS`; name of the chip, for messages.
    Raises: NoPeak where the chip has none of them.
    """
    for key in FORMATS[way]:
        if key in peaks:
            return peaks[key]
    raise NoPeak(name, FORMATS[way][-1], peaks)


def batch_seconds(
    job: Job, batch: Any, flop_per_s: Any, memory_bytes_per_s: Any, slow: Any = 1.0
) -> tuple[Array, Array]:
    """(time of one batch, time of it that the GPU would take alone) [s].

    Parameters: batch [samples]; flop_per_s, memory_bytes_per_s at its limit; slow, by how much the
    GPU's part takes longer than at full clock. Scalars or arrays.
    """
    each = np.hypot(job.flop / np.asarray(flop_per_s), job.memory_bytes / memory_bytes_per_s)
    gpu_s = np.asarray(batch, dtype=float) * each * slow
    host_s = job.host_s + np.asarray(batch, dtype=float) * job.host_sample_s
    return np.hypot(gpu_s, host_s), gpu_s


def run_batch(
    job: Job, batch: Any, flop_per_s: Any, memory_bytes_per_s: Any, chip: PowerConstants,
    cap_w: Any = np.inf,
) -> tuple[Array, Array]:  # fmt: skip
    """(time of one batch [s], mean power of the card meanwhile [W]), under a power cap.

    Parameters: batch [samples]; flop_per_s, memory_bytes_per_s at its limit; chip, what the card
    draws; cap_w [W], none where it lies above the limit. Scalars or arrays.
    """
    gpu_s = batch_seconds(job, batch, flop_per_s, memory_bytes_per_s)[1]
    slow, busy_w = _drawn(job, job.load, chip, cap_w)
    waiting_w = _drawn(job, job.load * job.waiting, chip, cap_w)[1]
    step_s = batch_seconds(job, batch, flop_per_s, memory_bytes_per_s, slow)[0]
    busy = np.minimum(gpu_s * slow / step_s, 1.0)
    watts: Array = busy * busy_w + (1.0 - busy) * waiting_w
    return step_s, watts


def _drawn(job: Job, load: float, chip: PowerConstants, cap_w: Any) -> tuple[Array, Array]:
    """(slowdown, power [W]) under a cap: the mean of kernels that ask for more and for less."""
    seconds, joules = [], []
    for share in (1.0 + job.swing, 1.0 - job.swing):
        full_w = drawn_w(chip, chip.idle_w + share * load * (chip.limit_w - chip.idle_w))
        pace = np.maximum(clock(chip, full_w, np.minimum(cap_w, chip.limit_w)), _LEAST_CLOCK)
        seconds.append(1.0 / pace)
        joules.append(at_clock(chip, full_w, pace) / pace)
    slow: Array = 0.5 * (seconds[0] + seconds[1])
    return slow, (joules[0] + joules[1]) / (seconds[0] + seconds[1])
