"""Predict a measured collective: the same operation, message and group on the same fabric."""

from __future__ import annotations

from tokenmill.evidence.points import Point
from tokenmill.physics import collectives
from tokenmill.placement.platform import platform

__all__ = ["predict_collective"]


def predict_collective(point: Point) -> dict[str, float]:
    """Seconds of a row's operation [s].

    Raises: UnknownName, BadRecord, InputError, NoCalibration.
    """
    fabric = platform(point.text("gpu")).fabric
    gpus = point.count("n_gpus", 2)
    local = point.count("gpus_per_node", min(gpus, fabric.domain_gpus))
    seconds = collectives.collective_s(
        fabric, point.text("op"), point.number("message_bytes"), gpus,
        gpus_per_node=min(local, gpus),
    )  # fmt: skip
    return {"latency_s": float(seconds)}
