"""A cluster of one's own: how it differs from the catalogue, and how surely that is known.

A few scales (time of arithmetic, of memory, of the host, of links, and power above idle), known
from its own measurements as a Gaussian of their logarithms. They act on the GPU that was measured;
what belongs to the host acts on other GPUs under the same engine too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.catalog import load
from tokenmill.errors import BadRecord
from tokenmill.evidence.interval import P90, Band, shared_error
from tokenmill.evidence.saved import whole
from tokenmill.placement.energy import machine_watts
from tokenmill.placement.engines import Engine
from tokenmill.placement.platform import platform
from tokenmill.simulator.outcome import Outcome

__all__ = ["SCALES", "Cluster", "beside", "read_cluster", "tuned", "write_cluster"]

Array = NDArray[np.float64]

SCALES = ("compute", "memory", "host", "link", "power")
_TIMES = ("compute", "memory", "host")  # of every row; a row of one GPU tells nothing of links
_SUFFIX = ".calibration.toml"
_FAMILY = "serving"


@dataclass(frozen=True)
class Cluster:
    """Logarithms of scales over the catalogue: their mean and covariance after the measurements,
    and their spread before.

    accelerator and engine, slugs, say what was measured; rows, how many metrics of it.
    """

    accelerator: str
    engine: str
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    prior: tuple[float, ...]
    rows: int

    def scale(self, name: str) -> float:
        """A factor over the catalogue [1]."""
        return math.exp(self.mean[SCALES.index(name)])

    def spread(self, name: str) -> float:
        """Standard deviation of the logarithm of a scale."""
        at = SCALES.index(name)
        return math.sqrt(self.covariance[at][at])

    def engine_on(self, engine: Engine, accelerator: str) -> Engine:
        """An engine as it runs here on an accelerator."""
        if engine.name != self.engine:
            return engine
        if accelerator == self.accelerator:
            return tuned(engine, self.mean)
        host = [x if name == "host" else 0.0 for name, x in zip(SCALES, self.mean, strict=True)]
        return tuned(engine, tuple(host))

    def drawn(self, outcome: Outcome) -> Outcome:
        """An outcome with the power that is drawn here."""
        if outcome.accelerator != self.accelerator:
            return outcome
        where = platform(outcome.hardware)
        above = outcome.gpu_watts - where.power.idle_w
        gpu = where.power.idle_w + above * self.scale("power")
        gpu = min(gpu, max(where.power.limit_w, outcome.gpu_watts))
        watts = machine_watts(where.node, where.machine_gpus, outcome.gpus, gpu)
        rate = outcome.output_tokens_per_s
        return replace(
            outcome, gpu_watts=gpu, watts=watts, joules_per_output_token=watts / rate,
            notes=(*outcome.notes, f"calibrated on {self.rows} figures measured on this cluster"),
        )  # fmt: skip

    def narrowed(self, band: Band, quantity: str, accelerator: str, engine: str) -> Band:
        """A band after the measurements, which tell what rows of one cluster share of the error.

        The middle goes too: measurements have said where the cluster lies.
        """
        if accelerator != self.accelerator or engine != self.engine:
            return band
        names = ("power",) if quantity in ("power", "energy") else _TIMES
        left = np.mean([(self.spread(x) / self.prior[SCALES.index(x)]) ** 2 for x in names])
        shared = shared_error(_FAMILY, same_gpu=True)
        share = math.sqrt(1.0 - shared * (1.0 - min(float(left), 1.0)))
        return Band((band.low / band.middle) ** share, 1.0, (band.high / band.middle) ** share)


def tuned(engine: Engine, logs: tuple[float, ...]) -> Engine:
    """An engine whose times are scaled by logarithms in the order of `SCALES`."""
    compute, memory, host, link = (math.exp(x) for x in logs[:4])
    return replace(
        engine,
        tensor_share=engine.tensor_share / compute,
        attention_share=engine.attention_share / compute,
        stream_share=engine.stream_share / memory,
        link_share=engine.link_share / link,
        host_step_s=engine.host_step_s * host,
        host_sequence_s=engine.host_sequence_s * host,
        host_prefill_s=engine.host_prefill_s * host,
        request_s=engine.request_s * host,
    )


def beside(path: Path) -> Path:
    """Where the calibration of a factory file stands; a calibration stands for itself."""
    return path if path.name.endswith(_SUFFIX) else path.with_name(path.stem + _SUFFIX)


def write_cluster(cluster: Cluster, path: Path) -> Path:
    """Save a cluster beside a factory file. Returns: the file. Raises: InputError."""
    numbers = ", ".join(f"{x:.6g}" for x in cluster.mean)
    before = ", ".join(f"{x:.6g}" for x in cluster.prior)
    rows = ",\n  ".join(
        "[" + ", ".join(f"{x:.6g}" for x in row) + "]" for row in cluster.covariance
    )
    names = ", ".join(f'"{name}"' for name in SCALES)
    told = "\n".join(
        f"# {name}: {cluster.scale(name):.3f} x the catalogue, 80 % between "
        f"{cluster.scale(name) * math.exp(-P90 * cluster.spread(name)):.3f} and "
        f"{cluster.scale(name) * math.exp(P90 * cluster.spread(name)):.3f}"
        for name in SCALES
    )
    text = (
        f"# Written by tokenmill calibrate: times and power of this cluster over the catalogue.\n"
        f'{told}\naccelerator = "{cluster.accelerator}"\nengine = "{cluster.engine}"\n'
        f"rows = {cluster.rows}\nscales = [{names}]\nmean = [{numbers}]\nprior = [{before}]\n"
        f"covariance = [\n  {rows},\n]\n"
    )
    target = beside(path)
    whole(target, lambda scratch: scratch.write_text(text, encoding="utf-8"))
    return target


def read_cluster(path: Path) -> Cluster:
    """The cluster saved beside a factory file, or in that file itself. Raises: BadRecord."""
    target = beside(path)
    table = load.read_toml(target)
    try:
        if tuple(table["scales"]) != SCALES:
            told = f"are those of another version: {table['scales']}; calibrate again"
            raise BadRecord(target, "scales", told)
        return Cluster(
            load.accelerator(str(table["accelerator"])).slug, str(table["engine"]),
            _numbers(table, "mean"), tuple(tuple(float(x) for x in r) for r in table["covariance"]),
            _numbers(table, "prior"), int(table["rows"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as problem:
        if isinstance(problem, BadRecord):
            raise
        raise BadRecord(target, "", f"not a calibration: {problem}; calibrate again") from None


def _numbers(table: Mapping[str, Any], key: str) -> tuple[float, ...]:
    numbers = tuple(float(x) for x in table[key])
    if len(numbers) != len(SCALES) or not all(math.isfinite(x) for x in numbers):
        raise ValueError(f"{key} must hold {len(SCALES)} numbers")
    return numbers
