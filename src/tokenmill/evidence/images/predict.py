"""Predict a measured image row: seconds, rate, power and energy of that picture and software."""

from __future__ import annotations

from tokenmill.catalog import load
from tokenmill.errors import Unsupported
from tokenmill.evidence.images.constants import recorded
from tokenmill.evidence.images.rows import STILL, covers, kept, predict, read_row
from tokenmill.evidence.points import Point
from tokenmill.physics.image_power import image_energy
from tokenmill.placement.platform import platform

__all__ = ["predict_media"]


def predict_media(point: Point) -> dict[str, float]:
    """Every media metric of a row's configuration [SI], whether measured or not.

    Raises: UnknownName, BadRecord, Unsupported for what is no image.
    """
    if point.text("frames") not in STILL:
        raise Unsupported("video is not predicted by this version, only images")
    model = load.model(point.text("model"))  # an unknown model is said to be unknown
    if not covers(point.cells):
        raise Unsupported(f"{model.slug} is a model of the {model.family} family, not of images")
    row = read_row(point.cells)
    constants = recorded()
    time = predict(row, constants)
    energy = image_energy(time, platform(row.gpu).power, constants)
    seconds = time.seconds_per_image / kept(row, constants)
    return {
        "seconds_per_output": seconds,
        "outputs_per_s": row.replicas / seconds,
        "energy_j_per_output": energy.gpu_w * time.gpus * seconds,
        "power_w": energy.gpu_w * time.gpus * row.replicas,
    }
