"""Joules and watts of steps: the activity of their parts under the power constants of the chip.

Energy above idle adds up over parts; power bends towards the limit of the card. A pipeline stage
waits while others work, and every GPU of an instance counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tokenmill.physics.power import Node, PowerConstants, drawn_w, node_w, step_joules
from tokenmill.placement.parts import Part

__all__ = ["gpu_watts", "machine_watts", "parts_joules", "sampling_watts"]

Scalar = Any


def parts_joules(power: PowerConstants, parts: Iterable[Part]) -> Scalar:
    """Energy above idle [J] of the parts of a step on one GPU."""
    total: Scalar = 0.0
    formats = dict(power.flop_j)
    for part in parts:
        if part.dtype == "host":
            continue
        routed = part.name == "experts"
        amount = (part.flop + part.padding) * (power.routed_flop if routed else 1.0)
        flop = {part.dtype: amount} if part.dtype in formats else {}
        cached = part.memory_bytes if part.name == "attention" else 0.0
        # who waits for others does as those do who move messages
        waiting = 1.0 if part.dtype == "link" else 1.0 - part.share
        seconds = part.seconds * (1.0 - waiting * (1.0 - power.link_share))
        total = total + step_joules(
            power, seconds, flop, part.memory_bytes, part.link_bytes, cached
        )
        if routed:
            total = total + power.routed_w * part.seconds * part.share
    return total


def sampling_watts(power: PowerConstants, memory_bytes_per_s: float) -> float:
    """Power of one GPU that passes over logits at its memory bandwidth [W]."""
    above = step_joules(power, 1.0, {}, memory_bytes_per_s)
    return float(drawn_w(power, power.idle_w + above))


def gpu_watts(
    power: PowerConstants, decode_j: Scalar, prefill_j: Scalar, prefills: Scalar, step_s: Scalar
) -> Scalar:
    """Mean power of one GPU while its instance runs [W].

    Parameters: decode_j, prefill_j [J] above idle of a decode step and of one prefill chunk;
    prefills, chunks per step; step_s [s], the mean step.
    """
    wanted = power.idle_w + (decode_j + prefills * prefill_j) / step_s
    return drawn_w(power, wanted)


def machine_watts(node: Node, machine_gpus: int, gpus: int, each_w: float) -> float:
    """Power at the wall [W] of the machines that hold `gpus` GPUs drawing each_w [W].

    A machine that is not full carries only its share of the host: its other GPUs serve others.
    """
    whole = float(np.ravel(node_w(node, each_w, machine_gpus))[0])
    return whole * gpus / machine_gpus
