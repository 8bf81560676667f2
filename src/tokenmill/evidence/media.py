"""Predict a measured image row: seconds, rate, power and energy of that picture and software."""

from __future__ import annotations

from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.errors import Unsupported
from tokenmill.evidence.image_rows import covers, predict, read_row
from tokenmill.evidence.points import Point
from tokenmill.physics.image_power import image_energy
from tokenmill.placement.platform import platform

__all__ = ["predict_media"]


def predict_media(point: Point) -> dict[str, float]:
    """Every media metric of a row's configuration [SI], whether measured or not.

    Raises: UnknownName, BadRecord, Unsupported for what is no image.
    """
    load.model(point.text("model"))  # an unknown model is said to be unknown
    if not covers(point.cells):
        raise Unsupported(f"{point.text('model')}: video and speech rows are not predicted")
    row = read_row(point.cells)
    constants = _constants()
    time = predict(row, constants)
    energy = image_energy(time, platform(row.gpu).power)
    seconds = time.seconds_per_image / (constants["server"] if row.server else 1.0)
    return {
        "seconds_per_output": seconds,
        "outputs_per_s": row.replicas / seconds,
        "energy_j_per_output": energy.joules_per_image,
        "power_w": energy.gpu_w * time.gpus * row.replicas,
    }


@lru_cache(maxsize=1)
def _constants() -> dict[str, float]:
    return {key: item.value for key, item in load.calibration("images").figures.items()}
