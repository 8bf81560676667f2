"""Predict a measured collective: the same operation, message and group on the same machines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from tokenmill.catalog import load
from tokenmill.errors import BadRecord
from tokenmill.evidence.points import Point
from tokenmill.physics.collectives import collective_s, custom_all_reduce_s
from tokenmill.physics.fabric import ENGINES, Fabric, link
from tokenmill.placement.platform import Platform, constants, platform

__all__ = ["distance", "predict_collective"]

# Words that name a network, the first that fits: its calibration, and its key in "networks".
_NETWORKS: tuple[tuple[str, str, str], ...] = (
    (r"\bp4de?\b", "fabric-efa1", "aws-p4"),
    (r"\bp5(?:e|en)?\b|\bp6", "fabric-efa2", "aws-p5"),
    (r"\befa\b", "fabric-efa2", ""),
    (r"gpu4[.-]8", "fabric-roce-2020", "oci-gpu4"),
    (r"\ba3[- ]?mega", "fabric-ethernet", "gcp-a3-mega"),
    (r"\ba3[- ]?high", "fabric-ethernet", "gcp-a3-high"),
    (r"roce|ethernet|\ba3\b|\ba4\b|\boci\b|\btcp", "fabric-ethernet", ""),
)
_ADAPTERS = re.compile(r"\b(\d{1,2})\s?x\s?(\d{2,4})\s?g(?:b|bit|bps|\b)", re.IGNORECASE)
_ENGINES = {"trtllm": "trtllm", "tensorrt-llm": "trtllm", "vllm": "vllm", "sglang": "sglang"}


def predict_collective(point: Point) -> Mapping[str, float]:
    """Time of one operation of a row [s], under the name of its column.

    Raises: UnknownName for a GPU that is not on record, BadRecord for bad cells, NoCalibration
    for a group that leaves machines without a network.
    """
    where = platform(point.text("gpu"))
    gpus = point.count("n_gpus", 1)
    message = point.number("message_bytes")
    if not message >= 0.0:
        raise BadRecord(point.path, "message_bytes", "must be a size in bytes", line=point.line)
    local = _local(point, where, gpus)
    fabric = _fabric(point, where, local)
    op, library = point.text("op", "all_reduce").lower(), point.text("library").lower()
    engine = next((name for word, name in _ENGINES.items() if word in library), "")
    if op in ("all_reduce", "allreduce") and (engine or "custom" in library) and gpus <= local:
        seconds = custom_all_reduce_s(fabric, message, gpus, engine=engine or ENGINES[0])
    else:
        seconds = collective_s(fabric, op, message, gpus, gpus_per_node=local)
    return {"latency_s": float(seconds)}


def distance(point: Point) -> str:
    """How near a row is to what the constants were fitted on.

    Returns: "measured" (the GPU, and the network where the group needs one), "architecture" (its
    links on another GPU), or "spec" (neither).
    """
    where = platform(point.text("gpu"))
    gpus = point.count("n_gpus", 1)
    local = _local(point, where, gpus)
    names = [_inside(where)]
    if gpus > local:
        names.append(_network(point)[0])
    if any("not measured" in load.calibration(name).note for name in names):
        return "spec"
    return "measured" if where.accelerator.slug in _MEASURED else "architecture"


_MEASURED = (
    "a100-sxm-80gb", "a100-sxm-40gb", "h100-sxm", "h200-sxm", "b200-sxm", "gb200", "l40s",
)  # fmt: skip


def _local(point: Point, where: Platform, gpus: int) -> int:
    """GPUs of the group that share a domain: those of a node, or of the rack where one spans it."""
    if where.domain_gpus > where.machine_gpus or where.domain_gpus >= 72:
        return min(gpus, max(where.domain_gpus, 1))
    return min(gpus, point.count("gpus_per_node", where.machine_gpus))


def _inside(where: Platform) -> str:
    fabric = where.fabric
    if fabric.kind == "pcie":
        return f"fabric-pcie{where.accelerator.value('pcie_generation', 4.0):.0f}"
    if fabric.kind.startswith("nvlink"):
        return f"fabric-nvlink{where.accelerator.value('nvlink_generation', 4.0):.0f}"
    return f"fabric-{fabric.kind}"


def _network(point: Point) -> tuple[str, str]:
    words = f"{point.text('system')} {point.text('note')}".lower()
    found = ((family, key) for word, family, key in _NETWORKS if re.search(word, words))
    return next(found, ("fabric-infiniband", ""))


def _fabric(point: Point, where: Platform, local: int) -> Fabric:
    """The machine's fabric with its links as benchmarked alone, and the network of the row."""
    fabric = replace(where.fabric, domain_gpus=max(where.fabric.domain_gpus, local))
    if fabric.kind == "pcie":
        # Sweeps of one host were measured, which throttles groups far more than hosts that serve:
        # its own cards take its contention, others stand between the two.
        own = constants(_inside(where))["contention"].value
        if where.accelerator.slug not in _MEASURED:
            own = 0.5 * (own + fabric.inside.contention)
        fabric = replace(fabric, inside=replace(fabric.inside, contention=own))
    if point.count("n_gpus", 1) <= local:
        return fabric
    family, key = _network(point)
    rate = fabric.scaleout_bytes_per_s or _rate("usual")
    if key:
        rate = _rate(key)
    stated = _ADAPTERS.search(f"{point.text('system')} {point.text('note')}")
    if stated:
        rate = float(stated[1]) * float(stated[2]) * 1e9 / 8.0 / point.count("gpus_per_node", local)
    figures = {name: item.value for name, item in constants(family).items()}
    return replace(fabric, scaleout_bytes_per_s=rate, outside=link(figures, family))


def _rate(key: str) -> float:
    return load.calibration("networks").figures[f"{key}/rate"].value
