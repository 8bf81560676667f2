"""Constants of GPU power, clock under a cap, and host power, fitted on measured watts.

Idle and active power are shares of the limit, so that a family covers all its cards; energies
belong to a process or a memory type. Nothing belongs to a row.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.gauss_newton import minimise
from tokenmill.evidence.power_rows import CHIPS, Activity
from tokenmill.evidence.power_shared import FIGURES
from tokenmill.physics import power
from tokenmill.physics.power import Node, PowerConstants

__all__ = [
    "Cap", "Shares", "TrainingNode", "cap_errors", "cross_validate", "errors", "fit",
    "fit_clock", "fit_host", "predict", "read_caps", "read_nodes", "training_w",
]  # fmt: skip

Array = NDArray[np.float64]

_START = np.array([0.18, 0.33, 1.4e-12, 80e-12])  # idle, active, FLOP, cache
_LOW = np.array([0.03, 0.08, 0.2e-12, 1e-12])
_HIGH = np.array([0.35, 0.9, 4e-12, 400e-12])


@dataclass(frozen=True, slots=True)
class Shares:
    """Fitted constants of a family: idle and active as shares of the limit, energies [J]."""

    idle_share: float
    active_share: float
    flop_j: float
    cache_j: float

    def chip(self, limit_w: float, memory_type: str) -> PowerConstants:
        """The constants of one card of the family."""
        return power.constants(self.figures(), FIGURES, limit_w=limit_w, memory_type=memory_type)

    def figures(self) -> dict[str, float]:
        """The constants by the keys of a calibration file."""
        keys = ("idle_share", "active_share", "flop", "cache")
        values = (self.idle_share, self.active_share, self.flop_j, self.cache_j)
        return dict(zip(keys, values, strict=True))


def _watts(shares: Shares, rows: Activity) -> Array:
    watts = np.zeros_like(rows.measured_w)
    for gpu in set(rows.gpu.tolist()):
        mine = rows.gpu == gpu
        sheet = CHIPS[gpu]
        chip = shares.chip(sheet.limit_w, sheet.memory_type)
        joules = power.step_joules(
            chip, rows.busy[mine], {"bf16": rows.flop16[mine]}, rows.memory_bytes[mine],
            cache_bytes=rows.cache_bytes[mine],
        )  # fmt: skip
        watts[mine] = power.drawn_w(chip, power.demand_w(chip, joules, 1.0))
    return watts


def fit(rows: Activity) -> dict[str, Shares]:
    """Constants of every family measured.

    A family measured only one request at a time says nothing of its FLOPs and caches: it takes
    those energies from the families that were loaded.
    """
    families = np.array([CHIPS[gpu].family for gpu in rows.gpu])
    loaded = {name for name in set(families.tolist()) if _is_loaded(rows.where(families == name))}
    found = {name: _fit_family(rows.where(families == name)) for name in sorted(loaded)}
    flop = float(np.mean([s.flop_j for s in found.values()])) if found else float(_START[2])
    cache = float(np.mean([s.cache_j for s in found.values()])) if found else float(_START[3])
    for name in sorted(set(families.tolist()) - loaded):
        found[name] = _fit_family(rows.where(families == name), (flop, cache))
    return found


def _is_loaded(rows: Activity) -> bool:
    """Whether FLOPs or caches carry a tenth of the power somewhere."""
    busiest = rows.flop16 * _START[2] + rows.cache_bytes * _START[3]
    return bool(np.mean(busiest > 0.1 * rows.measured_w) > 0.1)


def _fit_family(rows: Activity, known: tuple[float, float] | None = None) -> Shares:
    size = 4 if known is None else 2

    def shares(x: Array) -> Shares:
        return Shares(*x.tolist(), *(() if known is None else known))

    best = minimise(
        lambda x: _watts(shares(x), rows), rows.measured_w, np.ones_like(rows.measured_w),
        _START[:size], _LOW[:size], _HIGH[:size],
    )  # fmt: skip
    return shares(best.point)


def predict(rows: Activity, found: Mapping[str, Shares]) -> Array:
    """Watts of each row by the product's own functions; NaN where its family is unknown."""
    watts = np.full(rows.measured_w.size, np.nan)
    families = np.array([CHIPS[gpu].family for gpu in rows.gpu])
    for name in set(families.tolist()) & set(found):
        mine = families == name
        watts[mine] = _watts(found[name], rows.where(mine))
    return watts


def cross_validate(rows: Activity, by: Callable[[Activity], NDArray[np.str_]]) -> Array:
    """Watts of each row predicted without its group.

    A family that is left out whole takes the mean of the other families.
    """
    watts = np.full(rows.measured_w.size, np.nan)
    labels = by(rows)
    for label in sorted(set(labels.tolist())):
        out = labels == label
        found = fit(rows.where(~out))
        mean = _mean(list(found.values()))
        known = {sheet.family: found.get(sheet.family, mean) for sheet in CHIPS.values()}
        watts[out] = predict(rows.where(out), known)
    return watts


def _mean(shares: Sequence[Shares]) -> Shares:
    table = np.array([[getattr(s, key) for key in Shares.__slots__] for s in shares])
    return Shares(*table.mean(axis=0).tolist())


def errors(
    rows: Activity, watts: Array, by: Callable[[Activity], NDArray[np.str_]]
) -> dict[str, tuple[int, float, float]]:
    """Rows, median and mean absolute relative error of each group."""
    wrong = np.abs(watts / rows.measured_w - 1.0)
    labels = by(rows)
    return {
        label: (
            int((labels == label).sum()),
            float(np.median(wrong[labels == label])),
            float(np.mean(wrong[labels == label])),
        )
        for label in sorted(set(labels.tolist()))
    }


@dataclass(frozen=True)
class Cap:
    """Runs repeated under power caps: GPU, model, cap and draw without it [W], relative speed."""

    gpu: NDArray[np.str_]
    model: NDArray[np.str_]
    cap_w: Array
    full_w: Array
    speed: Array

    def where(self, mask: NDArray[np.bool_]) -> Cap:
        """The rows of a mask."""
        return Cap(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


# Spec sheets of the cards that were capped: limit and idle, the least mean power seen [W].
_CAPPED = {"a40": (300.0, 55.0, "gddr6"), "v100-pcie-32gb": (250.0, 25.0, "hbm2")}


def read_caps(measurements: Path) -> Cap:
    """Runs of power.csv that were repeated at several caps, where the cap binds.

    Speed and draw are relative to the same run at the highest cap; a cap binds where it lies
    2 % under that draw.
    """
    runs: dict[tuple[str, ...], dict[float, tuple[float, float]]] = {}
    with (measurements / "power.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["power_cap_w"] and row["gpu"] in _CAPPED:
                key = (row["gpu"], row["model"], row["batch"], row["note"])
                at = float(row["power_cap_w"])
                runs.setdefault(key, {})[at] = (float(row["power_w"]), float(row["throughput"]))
    rows = [
        (gpu, model, cap, full, speed / fastest)
        for (gpu, model, *_), sweep in runs.items()
        for full, fastest in [sweep[max(sweep)]]
        for cap, (_, speed) in sweep.items()
        if cap < max(sweep) and full > 1.02 * cap
    ]
    gpu, model, *numbers = zip(*rows, strict=True)
    return Cap(np.array(gpu), np.array(model), *(np.array(c, dtype=float) for c in numbers))


def _speed(rows: Cap, floor: float, knee: float) -> Array:
    speed = np.zeros_like(rows.cap_w)
    for gpu in set(rows.gpu.tolist()):
        mine = rows.gpu == gpu
        limit, idle, memory = _CAPPED[gpu]
        chip = replace(
            Shares(idle / limit, 0.3, 1e-12, 1e-12).chip(limit, memory),
            voltage_floor=floor, knee=knee,
        )  # fmt: skip
        speed[mine] = power.clock(chip, rows.full_w[mine], rows.cap_w[mine])
    return speed


def fit_clock(rows: Cap) -> tuple[float, float]:
    """(voltage floor, knee) that the capped runs show: one pair for all GPUs, by search."""
    floors, knees = np.linspace(0.6, 0.98, 39), np.linspace(0.5, 0.98, 25)
    losses = [
        (float(np.mean(np.abs(_speed(rows, floor, knee) - rows.speed))), floor, knee)
        for floor in floors
        for knee in knees
    ]
    _, floor, knee = min(losses)
    return float(floor), float(knee)


def cap_errors(rows: Cap) -> dict[str, tuple[int, float, float]]:
    """Rows, median and mean error of the speed loss [share of full speed], each model left out."""
    speed = np.zeros_like(rows.speed)
    for model in set(rows.model.tolist()):
        out = rows.model == model
        speed[out] = _speed(rows.where(out), *fit_clock(rows.where(~out)))
    wrong = np.abs(speed - rows.speed)
    return {
        gpu: (
            int((rows.gpu == gpu).sum()),
            float(np.median(wrong[rows.gpu == gpu])),
            float(np.mean(wrong[rows.gpu == gpu])),
        )
        for gpu in sorted(set(rows.gpu.tolist()))
    }


# Fans and supplies of eight-GPU machines cooled by air.
_FANS, _SUPPLY = 0.08, 0.94


@dataclass(frozen=True, slots=True)
class TrainingNode:
    """A node in training: mean AC power [W]; tokens/s of each GPU, 0 where not logged."""

    model: str
    node_w: float
    tokens_per_s: float


def read_nodes(measurements: Path) -> list[TrainingNode]:
    """Eight-GPU H100 nodes of training.csv in runs over ten minutes (shorter ones only start)."""
    with (measurements / "training.csv").open(newline="", encoding="utf-8") as file:
        return [
            TrainingNode(row["model"], float(row["node_power_w"]), _tokens_per_s(row))
            for row in csv.DictReader(file)
            if row["node_power_w"] and row["gpu"] == "h100-sxm"
            and float(row["time_to_train_s"] or 0.0) > 600.0
        ]  # fmt: skip


def _tokens_per_s(row: Mapping[str, str]) -> float:
    logged = re.search(r"logged throughput ([\d.]+); tokens/s from", row["note"])
    per_sample = float(row["seq_len"] or 0.0) if row["task"] != "pretrain" else 1.0
    return float(logged[1]) * per_sample / float(row["n_gpus"]) if logged else 0.0


def training_w(shares: Shares, flop16_per_s: float) -> float:
    """Power of an H100 that trains at a rate of 16-bit-equivalent FLOP/s [W]."""
    sheet = CHIPS["h100-sxm"]
    chip = shares.chip(sheet.limit_w, sheet.memory_type)
    memory_bytes = 0.3 * sheet.bytes_per_s  # activations and weights, a third of the time
    joules = power.step_joules(chip, 1.0, {"bf16": flop16_per_s}, memory_bytes)
    return float(power.drawn_w(chip, power.demand_w(chip, joules, 1.0)))


def fit_host(nodes: Sequence[TrainingNode], gpu_w: float) -> Node:
    """The host of a node from the mean power of training nodes and of their GPUs [W]."""
    inside = np.array([node.node_w for node in nodes]) * _SUPPLY / (1.0 + _FANS)
    return Node(float(np.median(inside - 8.0 * gpu_w)), _FANS, _SUPPLY)
