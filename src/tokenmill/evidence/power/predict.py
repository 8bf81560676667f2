"""Predict a row of measured power: watts, joules and the rate of the same work on the same machine.

Only what describes the row is read, never what was measured: power, energy, rate, latency.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tokenmill.errors import TokenmillError
from tokenmill.evidence.points import Point
from tokenmill.evidence.power.jobs_fit import host_size, machine_of
from tokenmill.evidence.power.jobs_rows import (
    BATCH,
    JobRow,
    constant,
    is_language,
    job_of,
    job_row,
    load_of,
    samples_of,
    share_of,
)
from tokenmill.evidence.power.language import is_talk, offline_rate, talk
from tokenmill.evidence.power.runs import machines_of, seconds_of, spread_nodes
from tokenmill.physics.jobs import Job, batch_seconds, peak, run_batch
from tokenmill.physics.power import Node, capped, drawn_w, node_w
from tokenmill.placement.platform import Platform, constants, platform

__all__ = ["predict_power"]

_WALL = ("node", "system", "wall")


@dataclass(frozen=True, slots=True)
class _Work:
    """What a row's GPUs do: watts of them all, and units of work each second, by unit."""

    watts: float
    rates: Mapping[str, float]


def predict_power(point: Point) -> Mapping[str, float]:
    """Power [W] at the row's scope, energy [J] of its unit and rate, as far as they follow.

    Raises: UnknownName for a GPU that is not on record, BadRecord for bad cells, Unsupported.
    """
    where = platform(point.text("gpu"))
    if point.text("scope") == "node" and "train" in point.text("workload"):
        watts = _training_node(point, where)
        return {"power_w": watts, "energy_j": watts * seconds_of(point, where)}
    work = _language(point, where) if is_talk(point) else _job(point, where)
    watts = work.watts
    gpus = point.count("n_gpus", 1)
    if point.text("scope") in _WALL:
        watts = _at_wall(where, watts / gpus, gpus)
    found = {"power_w": watts}
    rate = next((work.rates[u] for u in _units(point) if u in work.rates), None)
    if rate:
        found["energy_j"] = watts / rate
        unit = point.text("throughput_unit")
        found["throughput"] = (
            gpus / rate
            if "latency" in unit
            else work.rates.get("token", rate)
            if "token" in unit
            else rate
        )
    return found


def _units(point: Point) -> tuple[str, ...]:
    """The unit of energy of a row, as `_Work.rates` names it, and what may stand for it."""
    unit = point.text("energy_per").lower()
    if "token" in unit:
        return ("token",)
    if unit in ("response", "request", "query", "sample", "stream query", "image", "video"):
        return ("sample",)
    return (unit,)


def _language(point: Point, where: Platform) -> _Work:
    """Language models by the serving twin; one that is not on record, by its kind."""
    try:
        seen = talk(point)
    except TokenmillError:
        if is_language(point.text("model")):
            raise
        gpus = point.count("n_gpus", 1)
        chip = where.power
        return _Work(float(drawn_w(chip, chip.idle_w + chip.active_w)) * gpus, {})
    return _Work(seen.watts, {"token": seen.tokens_per_s, "sample": seen.requests_per_s})


def _job(point: Point, where: Platform) -> _Work:
    row, chip = job_row(point), where.power
    job = job_of(row)
    cap_w = point.number("power_cap_w", chip.limit_w)
    rates: dict[str, float] = {}
    if row.way == "infer":
        each = _inferring(row, where)
        rates = _inferred(point, row, job, where)
    elif job is not None:
        step_s, watts = run_batch(job, row.batch, *_sheet(row, where), chip, cap_w)
        each = float(watts)
        rates["sample"] = row.batch / float(step_s) * row.gpus
    else:
        asked = chip.idle_w + load_of(row) * (chip.limit_w - chip.idle_w)
        each = float(drawn_w(chip, asked))
    if (row.way == "infer" or job is None) and cap_w < chip.limit_w:
        lost, watts = capped(chip, each, cap_w)
        each, rates = float(watts), {unit: rate / float(lost) for unit, rate in rates.items()}
    samples = samples_of(row.dataset)
    if samples and "sample" in rates:
        rates["epoch"] = rates["sample"] / samples
    return _Work(each * row.gpus, rates)


def _inferring(row: JobRow, where: Platform) -> float:
    """Draw of a card that infers [W]; loads on record are those of settings for efficiency."""
    chip = where.power
    room_w = load_of(row) * (chip.limit_w - chip.idle_w)
    if row.max_q:
        return chip.idle_w + room_w
    return float(drawn_w(chip, chip.idle_w + room_w / constant("max_q/load")))


def _inferred(point: Point, row: JobRow, job: Job | None, where: Platform) -> dict[str, float]:
    """Rates of inference of all GPUs; those on record are of settings for efficiency."""
    if is_language(row.job):
        return _answers(point, row, where)
    if job is None:
        return {}
    step_s = batch_seconds(job, BATCH, *_sheet(row, where))[0]
    pace = share_of(row) / (1.0 if row.max_q else constant("max_q/rate"))
    return {"sample": BATCH / float(step_s) * pace * row.gpus}


def _sheet(row: JobRow, where: Platform) -> tuple[float, float]:
    """(FLOP/s in the number format of a row's way, memory B/s) of a card at its limit."""
    chip = where.chip
    return peak(chip.peaks, row.way, where.name), chip.memory_bytes_per_s


def _answers(point: Point, row: JobRow, where: Platform) -> dict[str, float]:
    """Rates of a language model in MLPerf: tokens from v4.1 on, and in the offline test of Llama-2
    of v4.0; requests before. Settings for efficiency cost the clock that their lower draw does."""
    seen = offline_rate(point)
    slow: float = 1.0
    if row.max_q:
        full_w = seen.watts / row.gpus
        slow = float(capped(where.power, full_w, min(_inferring(row, where), full_w))[0])
    found = re.search(r"v(\d+\.\d+)", point.text("publication"))
    late = found is not None and float(found[1]) >= 4.1
    offline = "tokens/s" in point.text("note") and "offline" in point.text("workload")
    tokens = late or offline or "token" in point.text("throughput_unit")
    rate = seen.tokens_per_s if tokens else seen.requests_per_s
    return {"sample": rate / slow, "token": seen.tokens_per_s / slow}


def _at_wall(where: Platform, each_w: float, gpus: int) -> float:
    """Power at the wall of the machine, or machines, that hold the GPUs of a row [W].

    A board, a rack or a desk is the machine on record; cards of a data centre sit in a server. The
    limit of an embedded module is that of the whole computer.
    """
    market = where.accelerator.market
    node, inside = where.node, min(gpus, max(where.machine_gpus, 1))
    size = inside / where.machine_gpus
    if market == "embedded":
        node, size = replace(node, fan_share=0.0), 0.0
    elif where.fabric.kind == "pcie" and market == "datacenter":
        figures = {key: item.value for key, item in constants(machine_of(where)).items()}
        inside = min(gpus, 8)
        size = host_size(machine_of(where), inside)
        node = Node(figures["host"], figures["fan_share"], figures["supply_efficiency"])
    node = replace(node, host_w=node.host_w * size)
    return float(node_w(node, each_w, inside)) * gpus / inside


def _training_node(point: Point, where: Platform) -> float:
    """Mean power at the wall of one of the nodes of a training run [W]."""
    chip = where.power
    load_w = constant("nodes/train/load") * (chip.limit_w - chip.idle_w)
    each = chip.idle_w + load_w * spread_nodes(point) ** -constant("nodes/train/fall")
    inside = max(round(point.count("n_gpus", 8) / machines_of(point)), 1)
    return _at_wall(where, each, inside)
