"""How far image times have been from measurements, by distance to what was measured."""

from __future__ import annotations

from typing import Literal

from tokenmill.catalog import load

__all__ = ["RECORD", "Distance", "distance", "image_band"]

RECORD = "interval-images"
Distance = Literal["measured", "architecture", "specification"]


def distance(gpu: str, model: str) -> Distance:
    """How near the measurements came: this GPU with this model, this architecture, or neither.

    Parameters: gpu and model, names or aliases of the catalogue.
    Raises: UnknownName.
    """
    figures = load.calibration(RECORD).figures
    accelerator = load.accelerator(gpu)
    if f"rows/{accelerator.slug}/{load.model(model).slug}" in figures:
        return "measured"
    samsung = "samsung" in accelerator.process.lower()
    known = f"rows/{accelerator.architecture}" in figures and not samsung
    return "architecture" if known else "specification"


def image_band(gpu: str, model: str) -> tuple[float, float]:
    """p10 and p90 of measured over predicted seconds per image [1].

    Parameters: gpu and model, names or aliases of the catalogue.
    Raises: UnknownName.
    """
    figures = load.calibration(RECORD).figures
    near = distance(gpu, model)
    return figures[f"seconds/{near}/low"].value, figures[f"seconds/{near}/high"].value
