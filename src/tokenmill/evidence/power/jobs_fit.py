"""Constants of jobs that are no language models, fitted on measured rates and watts.

What is fitted belongs to a job (arithmetic and traffic of a sample, host time, load) or to a kind
of machine (its host's power); nothing belongs to a row or to a GPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.calibration import Constant, Origin, render
from tokenmill.evidence.gauss_newton import minimise
from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.power.jobs_rows import (
    BATCH,
    OTHER,
    RECORD,
    JobRow,
    is_language,
    job_row,
)
from tokenmill.evidence.power.runs import spread_nodes
from tokenmill.physics.jobs import Job, batch_seconds, peak, run_batch
from tokenmill.physics.power import Node, PowerConstants, node_w
from tokenmill.placement.platform import Platform, board_record, platform

__all__ = ["COOLED", "Measured", "files", "fit_jobs", "host_size", "machine_of", "measured_jobs"]

Array = NDArray[np.float64]
COOLED = Node(host_w=0.0, fan_share=0.08, supply_efficiency=0.94)  # by air
_READ = "2026-11-28"
# Kernels of training above and below their mean demand: of 0, 0.4 and 0.6 what runs under caps show
_SWING = 0.4

# FLOP of a forward pass of one sample, as published or by the arithmetic of the network; training
# takes three times as much. A fit may not go below them.
_FORWARD: Mapping[str, tuple[float, str]] = {
    "resnet-50": (8.2e9, "paper"),
    "bert-large": (2.46e11, "shape"),
    "bert-base-uncased+squad": (7.1e10, "shape"),
    "retinanet": (3.0e11, "shape"),
}
_SAMPLES = {
    "cifar100": 50_000, "imagenet": 1_281_167, "librispeech": 281_241, "movielens-1m": 4_970_845,
    "squad": 88_524, "sentiment140": 1_600_000,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured row: what ran, the platform, samples/s of the machine and watts; NaN where not."""

    row: JobRow
    where: Platform
    power: PowerConstants
    machine: str
    samples_per_s: float
    watts: float
    cap_w: float


def machine_of(where: Platform) -> str:
    """The calibration of the host around a row's cards: a server for PCIe cards, else a board."""
    if where.fabric.kind == "pcie":
        return "power-node-server"
    return board_record(where.chip.architecture)


def measured_jobs(
    measurements: Path, power_of: Callable[[Platform], PowerConstants] = lambda where: where.power
) -> list[Measured]:
    """Rows of power.csv that are jobs with a rate or a power of their own.

    Parameters: measurements, the folder; power_of, constants of a platform's card, those on
    record unless given.
    """
    found = []
    for point in read_points(measurements / "power.csv"):
        workload = point.text("workload")
        if workload == "training" and point.text("scope") != "gpu":
            continue  # nodes: see `_nodes`
        if workload.startswith(("inference", "diffusion")) or workload == "training":
            found.append(_measured(point, power_of))
    return found


def _measured(point: Point, power_of: Callable[[Platform], PowerConstants]) -> Measured:
    row, where = job_row(point), platform(point.text("gpu"))
    rate = point.number("throughput")
    if point.text("throughput_unit") == "epochs/s":
        rate *= _SAMPLES[row.dataset]
    elif point.text("throughput_unit") == "s latency":
        rate = row.gpus / rate
    watts = point.number("power_w")
    latency = re.search(r"batch latency ([\d.]+) ms", point.text("note"))
    if latency:
        rate = row.batch / float(latency[1]) * 1e3
        watts = point.number("energy_j") * rate
    return Measured(
        row, where, power_of(where), machine_of(where), rate, watts, point.number("power_cap_w")
    )


def _peaks(where: Platform, way: str) -> float:
    return peak(where.chip.peaks, way, where.name)


class _Columns:
    """Rows of one job and way as arrays; batch, rate and watts of one GPU."""

    def __init__(self, rows: Sequence[Measured], way: str) -> None:
        self.flop_per_s = np.array([_peaks(m.where, way) for m in rows])
        self.bytes_per_s = np.array([m.where.chip.memory_bytes_per_s for m in rows])
        self.batch = np.array([BATCH if way == "infer" else m.row.batch for m in rows])
        self.rate = np.array([m.samples_per_s / m.row.gpus for m in rows])
        self.watts = np.array([m.watts for m in rows])
        self.cap_w = np.array([np.inf if np.isnan(m.cap_w) else m.cap_w for m in rows])
        self.gpu = np.array([m.row.gpu for m in rows])
        self.chips = {m.row.gpu: m.power for m in rows}

    def predict(self, job: Job) -> Array:
        """Samples/s of a GPU without a cap."""
        return self.batch / batch_seconds(job, self.batch, self.flop_per_s, self.bytes_per_s)[0]

    def run(self, job: Job) -> tuple[Array, Array]:
        """Samples/s and watts of a GPU under the caps of the rows."""
        step_s, watts = np.zeros_like(self.batch), np.zeros_like(self.batch)
        for gpu, chip in self.chips.items():
            at = self.gpu == gpu
            step_s[at], watts[at] = run_batch(
                job, self.batch[at], self.flop_per_s[at], self.bytes_per_s[at], chip, self.cap_w[at]
            )
        return self.batch / step_s, watts


def _fit_rate(rows: Sequence[Measured], way: str, forward: float) -> Job:
    """Arithmetic, traffic and host time of a job from rates at full clock."""
    at = _Columns(rows, way)
    flop, size = (
        float(np.median(at.flop_per_s / at.rate)),
        float(np.median(at.bytes_per_s / at.rate)),
    )
    least = forward * (3.0 if way == "train" else 1.0)
    start = np.array([max(0.7 * flop, 1.1 * least), 0.7 * size, 0.02, 1e-6])
    low = np.array([max(least, flop * 1e-3), size * 1e-3, 1e-5, 1e-9])
    high = np.array([max(flop, 2.0 * least) * 2.0, size * 2.0, 5.0, 0.1])
    free = 2 if way == "infer" else 3 if way == "half" else 4

    def job(x: Array) -> Job:
        return Job(float(x[0]), float(x[1]), 0.0, *(float(v) for v in x[2:]))

    best = minimise(lambda x: at.predict(job(x)), at.rate, np.ones(at.rate.size), start[:free],
                    low[:free], high[:free], rounds=20)  # fmt: skip
    return job(best.point)


def _fit_draw(rows: Sequence[Measured], way: str, job: Job) -> Job:
    """Load of a job, and what is drawn while the host is waited for, from watts of GPUs."""
    at = _Columns(rows, way)
    best = minimise(
        lambda x: at.run(replace(job, load=float(x[0]), waiting=float(x[1])))[1], at.watts,
        np.ones(at.watts.size), np.array([0.7, 0.3]), np.array([0.003, 0.01]),
        np.array([3.0, 1.0]), rounds=20,
    )  # fmt: skip
    return replace(job, load=float(best.point[0]), waiting=float(best.point[1]))


def _fit_whole(rows: Sequence[Measured], way: str, rough: Job, forward: float) -> Job:
    """A job from rates and watts together, at every cap: the watts tell how long kernels wait.

    Started with a host that waits and with one that hardly does: valleys lie apart.
    """
    at = _Columns(rows, way)
    measured = np.concatenate([at.rate, at.watts])
    sizes = [float(np.median(rate / at.rate)) for rate in (at.flop_per_s, at.bytes_per_s)]
    least = 3.0 * forward
    low = np.array([max(least, 1e-3 * sizes[0]), 1e-3 * sizes[1], 1e-5, 1e-9, 3e-3, 1e-2])
    high = np.array([2.0 * max(sizes[0], 2.0 * least), 2.0 * sizes[1], 5.0, 0.1, 3.0, 1.0])
    sample_s = float(np.median(1.0 / at.rate))

    def job(x: Array) -> Job:
        flop, size, host_s, host_sample_s, load, waiting = x.tolist()
        return Job(flop, size, load, host_s, host_sample_s, waiting, _SWING)

    found = []
    for host_share in (1e-6, 0.3):
        for load in (0.6, 0.9):
            start = np.array([rough.flop, rough.memory_bytes, rough.host_s, host_share * sample_s,
                              load, 0.3])  # fmt: skip
            found.append(minimise(
                lambda x: np.concatenate(at.run(job(x))), measured, np.ones(measured.size),
                np.clip(start, low, high), low, high, rounds=15, cycles=1,
            ))  # fmt: skip
    return job(min(found, key=lambda one: one.loss).point)


def fit_jobs(rows: Sequence[Measured]) -> tuple[dict[str, Job], dict[str, float]]:
    """(jobs by "job/way", constants that jobs share: hosts of machines, shares of modes)."""
    groups: dict[str, list[Measured]] = {}
    for one in rows:
        groups.setdefault(f"{one.row.job}/{one.row.way}", []).append(one)
    jobs: dict[str, Job] = {}
    shared: dict[str, float] = {}
    for key, mine in sorted(groups.items()):
        name, way = key.rsplit("/", 1)
        forward = _FORWARD.get(name, (0.0, ""))[0]
        full = [m for m in mine if m.row.mode in ("offline", "train") and _uncapped(m)]
        timed = [m for m in full if np.isfinite(m.samples_per_s)]
        if not timed or (way == "infer" and is_language(name)):
            continue
        jobs[key] = _fit_rate(timed, way, forward)
        if way == "train":
            whole = [m for m in mine if np.isfinite(m.samples_per_s) and np.isfinite(m.watts)]
            jobs[key] = _fit_whole(whole, way, jobs[key], forward)
        elif way == "half":
            jobs[key] = _fit_draw([m for m in timed if np.isfinite(m.watts)], way, jobs[key])
        for mode in ("server", "singlestream"):
            other = [m for m in mine if m.row.mode == mode and np.isfinite(m.samples_per_s)]
            if other:
                at = _Columns(other, way)
                shared[f"{name}/infer/{mode}"] = float(np.median(at.rate / at.predict(jobs[key])))
    return _fit_loads(rows, jobs, shared)


def _uncapped(one: Measured) -> bool:
    return not one.cap_w < 0.99 * one.power.limit_w


def _fit_loads(
    rows: Sequence[Measured], jobs: dict[str, Job], shared: dict[str, float]
) -> tuple[dict[str, Job], dict[str, float]]:
    """Loads of inference jobs and hosts of machines, together, from watts at the wall."""
    mine = [m for m in rows if m.row.way == "infer" and np.isfinite(m.watts)]
    names = sorted({f"{m.row.job}/infer" for m in mine})
    kinds = sorted({m.machine for m in mine})
    which = np.array([names.index(f"{m.row.job}/infer") for m in mine])
    host = np.array([kinds.index(m.machine) for m in mine])
    gpus = np.array([float(m.row.gpus) for m in mine])
    size = np.array([host_size(m.machine, m.row.gpus) for m in mine])
    idle_w = np.array([m.power.idle_w for m in mine])
    room_w = np.array([m.power.limit_w for m in mine]) - idle_w

    def predict(x: Array) -> Array:
        each = idle_w + x[: len(names)][which] * room_w
        return node_w(COOLED, gpus * each + size * x[len(names) :][host])

    start = np.array([0.5] * len(names) + [800.0] * len(kinds))
    watts = np.array([m.watts for m in mine])
    found = minimise(
        predict, watts, np.ones(watts.size), start, start * 0.1, start * 3.0, rounds=20
    ).point
    for name, load in zip(names, found, strict=False):
        jobs[name] = replace(jobs.get(name, Job(0.0, 0.0, 0.0)), load=float(load))
    shared |= {f"{kind}/host": float(w) for kind, w in zip(kinds, found[len(names) :], strict=True)}
    return jobs, shared


def host_size(machine: str, gpus: int) -> float:
    """Host of a machine of fewer GPUs, over that of eight [1]: a server is half there without."""
    return gpus / 8.0 if machine != "power-node-server" else 0.35 + 0.65 * gpus / 8.0


def _nodes(
    measurements: Path, host_w: float, power_of: Callable[[Platform], PowerConstants]
) -> tuple[float, float]:
    """(load of training, its fall with each doubling of nodes as a power) from nodes at the wall.

    Nodes that work on a fixed batch together wait for each other; language models that are
    trained from scratch grow their batch and do not.
    """
    points = [p for p in read_points(measurements / "power.csv") if p.text("scope") == "node"]
    mine = [p for p in points if p.text("model") and p.text("note")]
    watts = np.array([p.number("power_w") for p in mine])
    nodes = np.array([spread_nodes(p) for p in mine])
    chips = [power_of(platform(p.text("gpu"))) for p in mine]
    idle_w = np.array([c.idle_w for c in chips])
    room_w = np.array([c.limit_w for c in chips]) - idle_w

    def predict(x: Array) -> Array:
        each = idle_w + x[0] * nodes ** -x[1] * room_w
        return node_w(replace(COOLED, host_w=host_w), each, 8.0)

    found = minimise(
        predict, watts, np.ones(watts.size), np.array([0.85, 0.05]), np.array([0.4, 1e-3]),
        np.array([1.1, 0.5]), rounds=20,
    ).point  # fmt: skip
    return float(found[0]), float(found[1])


def _constant(value: float, unit: str, source: str, spread: float = 0.3) -> Constant:
    return Constant(value, value * (1.0 - spread), value * (1.0 + spread), unit, source)


def files(
    measurements: Path, power_of: Callable[[Platform], PowerConstants] = lambda where: where.power
) -> tuple[dict[str, str], dict[str, float]]:
    """The calibration file of jobs, slug to text; and the hosts of machines [W] found with them."""
    jobs, shared = fit_jobs(measured_jobs(measurements, power_of))
    load, fall = _nodes(measurements, shared["power-node-hgx-h100/host"], power_of)
    cells: dict[str, Constant] = {
        f"{name}/samples": _constant(float(count), "", "sets", 0.0)
        for name, count in _SAMPLES.items()
    }
    for key, job in jobs.items():
        if job.flop:
            cells[f"{key}/flop"] = _constant(job.flop, "FLOP", "fit")
            cells[f"{key}/byte"] = _constant(job.memory_bytes, "B", "fit")
        cells[f"{key}/load"] = _constant(job.load, "", "fit", 0.15)
        if job.host_s:
            cells[f"{key}/host"] = _constant(job.host_s, "s", "fit")
            cells[f"{key}/host_sample"] = _constant(job.host_sample_s, "s", "fit")
            cells[f"{key}/waiting"] = _constant(job.waiting, "", "fit")
    for way in ("train", "infer", "half"):
        loads = [job.load for key, job in jobs.items() if key.endswith(way)]
        cells[f"{OTHER}/{way}/load"] = Constant(
            float(np.median(loads)), min(loads), max(loads), "", "others")  # fmt: skip
    modes = {key: value for key, value in shared.items() if not key.endswith("/host")}
    cells |= {key: _constant(value, "", "fit") for key, value in modes.items()}
    for mode in ("server", "singlestream"):
        mine = [value for key, value in modes.items() if key.endswith(mode)]
        cells[f"{OTHER}/infer/{mode}"] = Constant(
            float(np.median(mine)), min(mine), max(mine), "", "others")  # fmt: skip
    cells["swing"] = Constant(
        _SWING, 0.3, 0.6, "", "fit", "of kernels of training around their mean"
    )
    cells["nodes/train/load"] = _constant(load, "", "nodes", 0.1)
    cells["nodes/train/fall"] = _constant(fall, "", "nodes")
    cells["max_q/load"] = Constant(0.75, 0.6, 0.9, "", "max_q", "of the usual draw above idle")
    cells["max_q/rate"] = Constant(0.93, 0.85, 0.98, "", "max_q", "of the usual rate")
    hosts = {key.removesuffix("/host"): shared[key] for key in shared if key.endswith("/host")}
    return {RECORD: render("Jobs that are no language models", "jobs", cells, _ORIGINS)}, hosts


_ORIGINS = {
    "sets": Origin(
        "secondary", "sizes of the training sets as their publishers give them", _READ,
        note="movielens-1m: positives and four drawn negatives each; squad: windows of v1.1",
    ),
    "fit": Origin(
        "measured", "fit on published power and rates: Zeus (NSDI 2023), MLPerf Inference 2.0 to "
        "4.0 power, ML.ENERGY leaderboard v2", _READ, url="https://github.com/ml-energy/zeus",
        note="effective work: FLOP and bytes over the shares of the peaks that kernels reach; "
        "inference at the settings for efficiency (MaxQ) that all its rows ran with",
    ),
    "others": Origin("derived", "median of the jobs on record", _READ),
    "nodes": Origin(
        "measured", "mean power of eight-GPU H100 nodes in MLPerf Training 4.0 and 4.1", _READ),
    "max_q": Origin(
        "assumed", "clocks lowered to where work per joule is best, against full clocks", _READ,
        note="no pair of the same system with and without was published here",
    ),
}  # fmt: skip
