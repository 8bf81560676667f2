"""Constants of GPU power, clock under a cap, and host power, fitted on measured watts.

Idle and active power are shares of the limit, so that a family covers all its cards; energies
belong to a process or a memory type. Nothing belongs to a row.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.gauss_newton import minimise
from tokenmill.evidence.power.rows import Activity, twin_watts
from tokenmill.evidence.power.shared import FIGURES
from tokenmill.physics import power
from tokenmill.physics.power import PowerConstants

__all__ = [
    "Cap", "Shares", "cap_errors", "cross_validate", "errors", "fit", "fit_bent", "fit_clock",
    "predict", "read_caps",
]  # fmt: skip

Array = NDArray[np.float64]

_NAMES = ("idle_share", "active_share", "flop", "cache", "routed_share", "routed_flop")
_START = np.array([0.18, 0.33, 1.4e-12, 80e-12, 0.1, 2.0])
_LOW = np.array([0.03, 0.05, 0.2e-12, 1e-12, 0.001, 1.0])
_HIGH = np.array([0.35, 0.9, 4e-12, 400e-12, 0.6, 6.0])
_BENDS = 2  # rounds of the bend of steps; a third moves nothing
_ALWAYS = 2  # idle and active: what a card that serves one request at a time can tell


@dataclass(frozen=True, slots=True)
class Shares:
    """Fitted constants of a family: idle, active and grouped products as shares of the limit;
    energies [J] of a FLOP and of a byte of cache; that of a grouped FLOP over a dense one."""

    idle_share: float
    active_share: float
    flop: float
    cache: float
    routed_share: float
    routed_flop: float = 1.0

    def chip(self, limit_w: float, memory_type: str) -> PowerConstants:
        """The constants of one card of the family."""
        return power.constants(self.figures(), FIGURES, limit_w=limit_w, memory_type=memory_type)

    def figures(self) -> dict[str, float]:
        """The constants by the keys of a calibration file."""
        return {name: getattr(self, name) for name in _NAMES}


def _watts(shares: Shares, rows: Activity) -> Array:
    watts = np.zeros_like(rows.measured_w)
    cards = np.stack([rows.gpu, rows.memory], axis=1)
    for gpu, memory in np.unique(cards, axis=0).tolist():
        mine = rows.gpu == gpu
        chip = shares.chip(float(rows.limit_w[mine][0]), memory)
        busy, link_busy, routed, flop16, moved, cached, sent, grouped = rows.amounts[:, mine]
        flop = {"bf16": flop16 + chip.routed_flop * grouped}
        joules = power.step_joules(
            chip, busy + chip.link_share * link_busy, flop, moved, sent, cached
        ) + chip.routed_w * routed  # fmt: skip
        watts[mine] = power.drawn_w(chip, power.demand_w(chip, joules, 1.0)) * rows.bent[mine]
    return watts


def fit_bent(rows: Activity) -> tuple[Activity, dict[str, Shares]]:
    """(rows with the bend of their steps, constants of every family measured).

    Steps that prefill ask for more than the limit while those that decode do not: power bends step
    by step, which the mean activity of a row does not show. What the twin draws under the constants
    just found tells by how much.
    """
    found = fit(rows)
    at = np.array([play is not None for play in rows.plays])
    played = rows.where(at)
    told = np.stack([play.amounts for play in played.plays], axis=1)
    played = replace(played, amounts=told, bent=np.ones(told.shape[1]))
    for _ in range(_BENDS):
        drawn = [
            twin_watts(play, found[family].chip(limit_w, memory))
            for play, family, limit_w, memory in zip(
                played.plays, played.family.tolist(), played.limit_w.tolist(),
                played.memory.tolist(), strict=True,
            )
        ]  # fmt: skip
        bent = np.ones_like(rows.bent)
        bent[at] = np.array(drawn) / predict(played, found)
        rows = replace(rows, bent=bent)
        found = fit(rows)
    return rows, found


def fit(rows: Activity) -> dict[str, Shares]:
    """Constants of every family measured.

    A family measured only one request at a time says nothing of its FLOPs, caches and experts: it
    takes those from the families that were loaded.
    """
    names = sorted(set(rows.family.tolist()))
    loaded = [name for name in names if _is_loaded(rows.where(rows.family == name))]
    found = {name: _fit_family(rows.where(rows.family == name)) for name in loaded}
    known = _START if not found else np.array([list(s.figures().values()) for s in found.values()])
    rest = np.atleast_2d(known).mean(axis=0)[_ALWAYS:]
    for name in names:
        if name not in found:
            found[name] = _fit_family(rows.where(rows.family == name), rest)
    return found


def _is_loaded(rows: Activity) -> bool:
    """Whether FLOPs or caches carry a tenth of the power somewhere."""
    busiest = rows.amounts[3] * _START[2] + rows.amounts[5] * _START[3]
    return bool(np.mean(busiest > 0.1 * rows.measured_w) > 0.1)


def _fit_family(rows: Activity, known: Array | None = None) -> Shares:
    size = _START.size if known is None else _ALWAYS

    def shares(x: Array) -> Shares:
        return Shares(*x.tolist(), *(() if known is None else known.tolist()))

    # a publication of n rows weighs as the root of n: a long sweep must not drown a short one
    sizes = Counter(rows.publication.tolist())
    trust = np.array([sizes[name] ** -0.5 for name in rows.publication.tolist()])
    best = minimise(
        lambda x: _watts(shares(x), rows), rows.measured_w, trust, _START[:size], _LOW[:size],
        _HIGH[:size],
    )  # fmt: skip
    return shares(best.point)


def predict(rows: Activity, found: Mapping[str, Shares]) -> Array:
    """Watts of each row by the product's own functions; NaN where its family is unknown."""
    watts = np.full(rows.measured_w.size, np.nan)
    for name in set(rows.family.tolist()) & set(found):
        mine = rows.family == name
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
        mean = Shares(*np.array([list(s.figures().values()) for s in found.values()]).mean(0))
        known = {name: found.get(name, mean) for name in set(rows.family.tolist())}
        watts[out] = predict(rows.where(out), known)
    return watts


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


# Cards that were capped: limit, and idle as their families have it [W].
_CAPPED = {"a40": (300.0, 61.0, "gddr6"), "v100-pcie-32gb": (250.0, 29.0, "hbm2")}


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
            Shares(idle / limit, 0.3, 1e-12, 1e-12, 0.0).chip(limit, memory),
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
