"""Watts and joules of making images: the activity of a batch under a GPU's power constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tokenmill.physics.images import ImageTime
from tokenmill.physics.power import PowerConstants, demand_w, drawn_w, step_joules

__all__ = ["ImageEnergy", "image_energy"]


@dataclass(frozen=True, slots=True)
class ImageEnergy:
    """Mean power of each GPU [W] and energy of all GPUs that share a batch, per image [J]."""

    gpu_w: float
    joules_per_image: float


def image_energy(time: ImageTime, chip: PowerConstants, c: Mapping[str, float]) -> ImageEnergy:
    """Power and energy of the GPUs while a batch of images is made.

    Image kernels fill the chip with FP32 arithmetic between the products (norms, activations,
    exponentials), so they draw more than the language kernels that the power constants were
    fitted on.
    Parameters: time, with the activity of one GPU; chip, its power constants; c, constants of
    the calibration record "images".
    Returns: GPUs alone, idle power included; the machine around them is `power.node_w`.
    """
    active_s = time.active_s * c["active"] + time.exchange_s * chip.link_share
    above_idle = step_joules(
        chip, active_s, time.flop, time.memory_bytes, link_bytes=time.link_bytes
    )
    watts = float(drawn_w(chip, demand_w(chip, above_idle, time.seconds)))
    return ImageEnergy(watts, watts * time.gpus * time.seconds_per_image)
