"""Intervals: how far a prediction of a family has been from measurements, as an 80 % band."""

from __future__ import annotations

from tokenmill.catalog import load
from tokenmill.evidence.points import Point

__all__ = ["band", "family_of"]


def family_of(metric: str) -> str:
    """The family of residuals that a metric belongs to."""
    for name in ("ttft", "tpot", "itl", "e2e", "power", "energy"):
        if name in metric:
            return name
    return "rate"


def band(point: Point, metric: str, predicted: float) -> tuple[float, float]:
    """p10 and p90 of what a measurement would show around a prediction [its unit].

    The factors come from the residuals on record for the metric's family.
    """
    figures = load.calibration("interval-serving").figures
    family = family_of(metric)
    return (
        predicted * figures[f"{family}/low"].value, predicted * figures[f"{family}/high"].value
    )  # fmt: skip
