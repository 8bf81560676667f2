"""Intervals: how far a prediction of a family has been from measurements, as an 80 % band."""

from __future__ import annotations

from tokenmill.catalog import load
from tokenmill.evidence.image_interval import image_band
from tokenmill.evidence.points import Point

__all__ = ["band", "quantity_of"]


def quantity_of(metric: str) -> str:
    """The quantity of residuals that a metric belongs to."""
    for name in ("ttft", "tpot", "itl", "e2e", "power", "energy"):
        if name in metric:
            return name
    return "rate"


def band(point: Point, family: str, metric: str, predicted: float) -> tuple[float, float]:
    """p10 and p90 of what a measurement would show around a prediction [its unit].

    The factors come from the residuals on record for the metric's quantity.
    """
    if family == "media" and metric in ("seconds_per_output", "outputs_per_s"):
        low, high = image_band(point.text("gpu"), point.text("model"))
        if metric == "outputs_per_s":
            low, high = 1.0 / high, 1.0 / low
        return predicted * low, predicted * high
    figures = load.calibration("interval-serving").figures
    quantity = "e2e" if family == "collectives" else quantity_of(metric)
    return (
        predicted * figures[f"{quantity}/low"].value,
        predicted * figures[f"{quantity}/high"].value,
    )
