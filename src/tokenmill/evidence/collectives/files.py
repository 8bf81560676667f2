"""Calibration files of fabrics: measured families with ranges, and their unmeasured relatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tokenmill.evidence.calibration import Constant, Origin, render
from tokenmill.evidence.collectives.fit import errors, fit, predict
from tokenmill.evidence.collectives.rows import Rows
from tokenmill.physics.fabric import Link, Timing

__all__ = ["figures", "files", "spread"]

_READ = "2026-11-23"
_RINGS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
_TIMINGS = (*_RINGS, "broadcast", "p2p", "sharp", "one_shot", "two_shot")
_UNITS = {"launch": "us", "hop": "us", "pipeline": "us", "token": "ns"}
Range = tuple[float, float]


@dataclass(frozen=True)
class _Relative:
    """An unmeasured family: whose constants it takes, what differs (value, low, high), and why."""

    name: str
    parent: str
    why: str
    widen: float
    changes: Mapping[str, tuple[float, float, float]]


_NETWORK = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "p2p")


def _each(
    part: str, low: float, value: float, high: float
) -> dict[str, tuple[float, float, float]]:
    return {f"{op}_{part}": (value, low, high) for op in _NETWORK}


_RELATIVES = {
    "fabric-nvlink1": _Relative(
        "NVLink 1 (P100)", "nvlink3", "latency and efficiency of the next measured generation",
        2.0, {},
    ),
    "fabric-nvlink2": _Relative(
        "NVLink 2 (V100)", "nvlink3", "latency and efficiency of the next measured generation",
        2.0, {},
    ),
    "fabric-nvlink6": _Relative(
        "NVLink 6 (Rubin)", "nvlink5", "latency and efficiency of the last measured generation",
        2.0, {},
    ),
    "fabric-pcie3": _Relative(
        "PCIe 3", "pcie4", "same hosts, half the rate", 1.5,
        {"contention": (2.0, 1.0, 2.0), "bounce": (0.5, 0.35, 0.8)},
    ),
    "fabric-pcie5": _Relative(
        "PCIe 5", "pcie4", "same hosts, twice the rate", 1.5,
        {"contention": (2.0, 1.0, 2.0), "bounce": (0.5, 0.35, 0.8)},
    ),
    "fabric-infinity-fabric": _Relative(
        "AMD Infinity Fabric (MI300 family)", "nvlink3",
        "latency of a switched fabric of its age; rate of eight fully joined GPUs taken lower, "
        "since a ring needs several rings to use every link",
        2.0, _each("efficiency", 0.55, 0.7, 0.9),
    ),
    "fabric-infiniband": _Relative(
        "InfiniBand NDR or HDR with GPUDirect", "efa2",
        "a third of the latency of EFA (one library layer less, hardware transport), "
        "half its chunk cost, nearly the full line rate",
        2.0,
        _each("efficiency", 0.85, 0.95, 1.0) | _each("launch", 5e-6, 10e-6, 20e-6)
        | _each("hop", 5e-6, 10e-6, 20e-6) | _each("pipeline", 15e-6, 43e-6, 86e-6),
    ),
    "fabric-ethernet": _Relative(
        "Ethernet with RoCE, tuned", "roce-2020",
        "latency as measured in 2020; large training runs on RoCE keep their MFU, so the rate is "
        "taken close to the line rate instead of the one untuned measurement",
        2.0, _each("efficiency", 0.2, 0.85, 0.95),
    ),
}  # fmt: skip
_NAMES = {
    "nvlink3": "NVLink 3 (A100)", "nvlink4": "NVLink 4 (H100, H200)",
    "nvlink5": "NVLink 5 (B200, GB200)", "pcie4": "PCIe 4 with peer access",
    "efa1": "AWS EFA, first generation (p4d, p4de)", "efa2": "AWS EFA, second generation (p5)",
    "roce-2020": "RoCE of a 2020 A100 cluster, untuned",
}  # fmt: skip
_ORIGIN = Origin(
    "measured", "fit on published collectives and the kernel tables of collectives", _READ,
    note="16-bit elements, one call at a time; ranges are refits on random halves of the rows",
)  # fmt: skip


def figures(link: Link) -> dict[str, float]:
    """The constants of a link by the keys of a calibration file [s or 1]."""
    found: dict[str, float] = {}
    for name in _TIMINGS:
        timing: Timing | None = getattr(link, name)
        if timing is not None:
            found |= {f"{name}_launch": timing.launch_s, f"{name}_hop": timing.hop_s}
            found |= {f"{name}_pipeline": timing.pipeline_s}
            found |= {f"{name}_efficiency": timing.efficiency, f"{name}_copy": timing.copy}
    found |= {f"shot_{engine}": launch_s for engine, launch_s in link.shot_launch}
    for key, kernel in link.experts:
        found |= {f"{key}_launch": kernel.launch_s, f"{key}_token": kernel.token_s}
        found |= {f"{key}_efficiency": kernel.efficiency}
    if link.contention:
        found |= {"contention": link.contention, "bounce": link.bounce}
    return found


def spread(rows: Rows, rounds: int = 20, seed: int = 1) -> dict[str, dict[str, Range]]:
    """Low and high of every constant over refits on random halves of the rows."""
    generator = np.random.default_rng(seed)
    seen: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        half = rows.where(generator.random(rows.seconds.size) < 0.5)
        for name, link in fit(half).items():
            for key, value in figures(link).items():
                seen.setdefault(name, {}).setdefault(key, []).append(value)
    return {
        name: {key: (min(values), max(values)) for key, values in by_key.items()}
        for name, by_key in seen.items()
    }


def files(rows: Rows) -> dict[str, str]:
    """Every calibration file of the fabric families: slug to text."""
    links, ranges = fit(rows), spread(rows)
    predicted = predict(rows, links)
    scores = errors(rows, predicted, lambda r: r.family)
    texts = {}
    for name, link in links.items():
        n, median, mean = scores[name]
        note = f"{n} rows; median error {median:.1%}, mean {mean:.1%}".replace("%", " %")
        constants = dict(_measured(link, ranges[name]))
        texts[f"fabric-{name}"] = render(
            _NAMES[name], "fabric", constants, {"fit": _ORIGIN, "bounce": _BOUNCE}
            if "bounce" in constants else {"fit": _ORIGIN}, note=note,
        )  # fmt: skip
    for slug, relative in _RELATIVES.items():
        texts[slug] = _unmeasured(relative, links[relative.parent], ranges[relative.parent])
    return texts


_BOUNCE = Origin(
    "assumed", "copies through host memory cross the bus twice", _READ,
    note="no measurement of a machine without peer access is at hand",
)  # fmt: skip


def _unit(key: str) -> str:
    return "us" if key.startswith("shot_") else _UNITS.get(key.rsplit("_", 1)[-1], "")


def _measured(link: Link, ranges: Mapping[str, Range]) -> Iterator[tuple[str, Constant]]:
    for key, value in figures(link).items():
        low, high = ranges.get(key, (value, value))
        if key == "bounce":
            yield key, Constant(0.5, 0.35, 0.8, "", "bounce")
        elif key == "contention":
            yield key, Constant(value, 1.0, value, "", "fit", "one host of eight GPUs was measured")
        else:
            yield key, Constant(value, low, high, _unit(key), "fit")


def _unmeasured(relative: _Relative, link: Link, ranges: Mapping[str, Range]) -> str:
    constants = {}
    for key, value in figures(link).items():
        low, high = ranges.get(key, (value, value))
        low, high = low / relative.widen, high * relative.widen
        if key in relative.changes:
            value, low, high = relative.changes[key]
        if key.endswith("efficiency"):
            high = min(high, 1.0)
        constants[key] = Constant(value, low, high, _unit(key), "relative")
    origin = Origin(
        "assumed", f"constants of fabric-{relative.parent}, range widened", _READ,
        note=relative.why,
    )  # fmt: skip
    return render(
        relative.name, "fabric", constants, {"relative": origin},
        note="not measured", inherits=f"fabric-{relative.parent}",
    )  # fmt: skip
