"""Calibration files of power: measured families with ranges, and their unmeasured relatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokenmill.evidence.calibration import Constant, Origin, render
from tokenmill.evidence.power import jobs_fit, runs_fit
from tokenmill.evidence.power.fit import (
    Shares,
    errors,
    fit,
    fit_bent,
    fit_clock,
    predict,
    read_caps,
)
from tokenmill.evidence.power.rows import Activity, read_activity
from tokenmill.evidence.power.shared import shared_file
from tokenmill.physics.power import PowerConstants, family
from tokenmill.placement.platform import Platform

__all__ = ["files"]

_READ = "2026-11-28"
_FIT = Origin(
    "measured", "fit on published GPU power of language models at known throughput", _READ,
    note="activity as the twin plays the rows; ranges are refits on random halves of the rows",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Relative:
    """An unmeasured family: the relative it follows, its factors on idle share, active share and
    FLOP energy, and why."""

    name: str
    parent: str
    idle: float
    active: float
    flop: float
    why: str


_RELATIVES = {
    "power-pascal": _Relative(
        "Pascal", "power-volta", 1.0, 1.0, 1.5, "16 nm, no tensor cores"),
    "power-turing": _Relative(
        "Turing", "power-volta", 1.5, 0.9, 1.0, "12 nm as Volta, GDDR6 with its own idle"),
    "power-ada": _Relative(
        "Ada", "power-ampere-samsung", 0.6, 0.6, 0.75,
        "TSMC 4N after Samsung 8 nm: decoding draws well below the limit"),
    "power-blackwell": _Relative(
        "Blackwell", "power-hopper", 0.9, 0.95, 0.75,
        "4NP is a small step of process; the wider tensor cores share operands"),
    "power-blackwell-ultra": _Relative(
        "Blackwell Ultra", "power-hopper", 0.9, 0.95, 0.72, "as Blackwell, denser FP4"),
    "power-blackwell-geforce": _Relative(
        "Blackwell GeForce and RTX PRO", "power-ampere-samsung", 0.55, 0.55, 0.6,
        "TSMC 4N, GDDR7, high limits"),
    "power-rubin": _Relative(
        "Rubin", "power-hopper", 0.85, 0.9, 0.45, "3 nm class, HBM4; pre-release"),
    "power-cdna2": _Relative(
        "CDNA 2", "power-ampere", 1.2, 1.0, 1.1, "TSMC 6 nm, two dies"),
    "power-cdna3": _Relative(
        "CDNA 3", "power-hopper", 1.15, 1.0, 1.0, "5 nm compute dies on 6 nm bases"),
    "power-cdna4": _Relative(
        "CDNA 4", "power-hopper", 1.1, 0.95, 0.75, "3 nm compute dies on 6 nm bases"),
    "power-tpu": _Relative(
        "TPU", "power-hopper", 1.2, 0.9, 0.8, "systolic arrays, little control logic"),
    "power-gaudi": _Relative(
        "Gaudi", "power-ampere", 1.2, 1.0, 1.0, "7 and 5 nm, matrix engines"),
}  # fmt: skip
_NAMES = {
    "power-hopper": "Hopper", "power-ampere": "Ampere at TSMC", "power-volta": "Volta",
    "power-ampere-samsung": "Ampere at Samsung (GA10x)",
}  # fmt: skip
_MACHINES = {
    "power-node-hgx-a100": "Eight A100 with host", "power-node-hgx-h100": "Eight H100 with host",
    "power-node-server": "Server with eight PCIe cards",
}  # fmt: skip
_HOSTS = {
    "power-node-hgx-b200": (
        "Eight B200 with host", 1.3, "more cooling air, network cards of twice the rate"),
    "power-node-nvl72": (
        "NVL72, a compute tray's share for four GPUs, liquid cooled", 0.6,
        "two Grace CPUs, network cards and a share of the switch trays"),
    "power-node-workstation": ("Workstation with its GPUs", 0.086, "one desktop CPU, two disks"),
}  # fmt: skip
_FAN_SHARE = {"power-node-nvl72": (0.02, 0.0, 0.04), "power-node-workstation": (0.03, 0.01, 0.06)}
_KEYS = {
    "idle_share": "", "active_share": "", "flop": "J/FLOP", "cache": "J/B", "routed_share": "",
    "routed_flop": "",
}  # fmt: skip
Range = tuple[float, float]


def files(measurements: Path) -> dict[str, str]:
    """Every calibration file of power: slug to text.

    Parameters: measurements, the folder with power.csv, serving.csv and training.csv.
    """
    rows, found = fit_bent(read_activity(measurements))
    ranges = _spread(rows)
    scores = errors(rows, predict(rows, found), lambda r: r.family)
    texts = {"power-shared": shared_file(*fit_clock(read_caps(measurements)))}
    for slug, shares in found.items():
        n, median, mean = scores[slug]
        note = f"{n} rows; median error {100 * median:.1f} %, mean {100 * mean:.1f} %"
        constants = _constants(shares, ranges[slug], "fit")
        texts[slug] = render(_NAMES[slug], "power", constants, {"fit": _FIT}, note=note)
    for slug, relative in _RELATIVES.items():
        texts[slug] = _unmeasured(relative, found[relative.parent])
    jobs, hosts = jobs_fit.files(measurements, lambda where: _card(where, found))
    return texts | _nodes(hosts) | jobs | runs_fit.files(measurements)


def _spread(rows: Activity, rounds: int = 20) -> dict[str, list[Range]]:
    """Low and high of each constant over refits on random halves of the rows."""
    generator = np.random.default_rng(1)
    seen: dict[str, list[tuple[float, ...]]] = {}
    for _ in range(rounds):
        half = rows.where(generator.random(rows.measured_w.size) < 0.5)
        for slug, shares in fit(half).items():
            seen.setdefault(slug, []).append(tuple(shares.figures().values()))
    return {
        slug: [(min(column), max(column)) for column in zip(*values, strict=True)]
        for slug, values in seen.items()
    }


def _constants(shares: Shares, ranges: Sequence[Range], source: str) -> dict[str, Constant]:
    cells = zip(_KEYS.items(), shares.figures().values(), ranges, strict=True)
    return {
        key: Constant(value, low, high, unit, source) for (key, unit), value, (low, high) in cells
    }


def _unmeasured(relative: _Relative, parent: Shares) -> str:
    shares = Shares(
        parent.idle_share * relative.idle, parent.active_share * relative.active,
        parent.flop * relative.flop, parent.cache * relative.flop,
        parent.routed_share * relative.active, parent.routed_flop,
    )  # fmt: skip
    ranges = [(0.6 * value, 1.5 * value) for value in shares.figures().values()]
    origin = Origin(
        "assumed", f"{relative.parent}, moved by process and memory", _READ, note=relative.why
    )
    constants = _constants(shares, ranges, "relative")
    return render(
        relative.name, "power", constants, {"relative": origin},
        note="not measured", inherits=relative.parent,
    )  # fmt: skip


def _card(where: Platform, found: Mapping[str, Shares]) -> PowerConstants:
    """A platform's card under the constants just found; those on record for other families."""
    name = family(where.chip.architecture, where.accelerator.process)
    if name not in found:
        return where.power
    return found[name].chip(where.power.limit_w, where.accelerator.memory_type)


def _nodes(hosts: Mapping[str, float]) -> dict[str, str]:
    fitted = Origin(
        "measured", "power at the wall of machines in MLPerf Inference 2.0 to 4.0", _READ,
        note="together with the draw of their jobs; fans and supply losses assumed",
    )  # fmt: skip
    texts = {
        slug: _node(name, hosts[slug], slug, {"host": fitted}) for slug, name in _MACHINES.items()
    }
    largest = hosts["power-node-hgx-h100"]
    for slug, (name, factor, why) in _HOSTS.items():
        origin = Origin("assumed", "the fitted host of eight H100, scaled", _READ, note=why)
        texts[slug] = _node(name, largest * factor, slug, {"host": origin})
    return texts


def _node(name: str, host_w: float, slug: str, origins: Mapping[str, Origin]) -> str:
    fans = _FAN_SHARE.get(slug, (jobs_fit.COOLED.fan_share, 0.04, 0.15))
    assumed = Origin("assumed", "air-cooled server fans and supplies of the Titanium grade", _READ)
    constants = {
        "host": Constant(host_w, 0.6 * host_w, 1.8 * host_w, "W", "host"),
        "fan_share": Constant(*fans, "", "cooling"),
        "supply_efficiency": Constant(jobs_fit.COOLED.supply_efficiency, 0.9, 0.96, "", "cooling"),
    }
    return render(name, "power-node", constants, {**origins, "cooling": assumed})
