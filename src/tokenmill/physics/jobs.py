"""Work that is no language model: samples a second and the draw of image, speech, ranking nets.

A job is known by what one sample takes: arithmetic and memory traffic as its kernels run them;
the host's time for a batch and for a sample; and what its kernels draw of a card's range between
idle and limit. Of two that work side by side, arithmetic and memory, GPU and host, the longer
hides the shorter but for a part: the root of the sum of squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import NoPeak

__all__ = ["FORMATS", "Job", "batch_seconds", "peak", "wanted_w"]

Array = NDArray[np.float64]

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
    limit; waiting: what is asked for while the host is waited for, over that.
    """

    flop: float
    memory_bytes: float
    load: float
    host_s: float = 0.0
    host_sample_s: float = 0.0
    waiting: float = 0.0


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
    job: Job, batch: Any, flop_per_s: Any, memory_bytes_per_s: Any
) -> tuple[Array, Array]:
    """(time of one batch, time of it that the GPU would take alone) [s].

    Parameters: batch [samples]; flop_per_s, memory_bytes_per_s as sold. Scalars or arrays.
    """
    each = np.hypot(job.flop / np.asarray(flop_per_s), job.memory_bytes / memory_bytes_per_s)
    gpu_s = np.asarray(batch, dtype=float) * each
    host_s = job.host_s + np.asarray(batch, dtype=float) * job.host_sample_s
    return np.hypot(gpu_s, host_s), gpu_s


def wanted_w(job: Job, busy: Any, idle_w: Any, limit_w: Any) -> Array:
    """Power that a card asks for [W] while `busy` is the share of the time that kernels run.

    Parameters: busy, 0 to 1; idle_w, limit_w [W] of the card. Scalars or arrays.
    """
    share = np.asarray(busy, dtype=float)
    active = share + job.waiting * (1.0 - share)
    wanted: Array = idle_w + active * job.load * (np.asarray(limit_w, dtype=float) - idle_w)
    return wanted
