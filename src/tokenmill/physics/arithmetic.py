"""Arithmetic: how many bytes a matrix product moves per value and which peak it draws on."""

from __future__ import annotations

from dataclasses import dataclass

from tokenmill.errors import UnknownName
from tokenmill.physics.chip import Chip

__all__ = ["Arithmetic", "arithmetic"]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a product is computed.

    weight_bytes and activation_bytes [B per value, scales included]; `peak` names the dense
    peak and `constants` the calibration group.
    """

    weight_bytes: float
    activation_bytes: float
    peak: str
    constants: str


_KNOWN = {
    "bf16": Arithmetic(2.0, 2.0, "bf16", "bf16"),
    "fp16": Arithmetic(2.0, 2.0, "fp16", "fp16"),
    "fp8": Arithmetic(1.0, 1.0, "fp8", "fp8"),
    "fp8_block": Arithmetic(1.0 + 4.0 / 128**2, 1.0 + 4.0 / 128, "fp8", "fp8_block"),
    "int8": Arithmetic(1.0, 1.0, "int8", "int8"),
    "fp4": Arithmetic(0.5625, 0.5625, "fp4", "fp4"),
    "w4a8": Arithmetic(0.53125, 1.03125, "fp8", "w4a8"),  # mxfp4 weights, mxfp8 activations
    "int8_wo": Arithmetic(1.0, 2.0, "bf16", "int8_wo"),
    "int4_wo": Arithmetic(0.53125, 2.0, "bf16", "int4_wo"),
    "w4a16": Arithmetic(0.53125, 2.0, "bf16", "w4a16"),  # mxfp4 weights
}
_ALIASES = {
    "nvfp4": "fp4", "mxfp4": "fp4", "float16": "fp16", "bfloat16": "bf16",
    "w8a16": "int8_wo", "w8a8": "int8", "int4": "int4_wo",
}  # fmt: skip

# Where the tensor cores lack a number format, kernels unpack the weights into 16 bits.
_UNPACKED = {"fp8": "int8_wo", "fp8_block": "int8_wo", "int8": "int8_wo", "fp4": "int4_wo",
             "w4a8": "int4_wo"}  # fmt: skip


def arithmetic(chip: Chip, dtype: str) -> Arithmetic:
    """How a chip computes products of a number format.

    Parameters: chip; dtype, one of bf16, fp16, fp8, fp8_block, int8, fp4 (nvfp4, mxfp4), w4a8,
    int8_wo, int4_wo (weight-only: stored small, multiplied in 16 bits). A format without a peak
    on this chip is computed weight-only.
    Raises: UnknownName.
    """
    name = _ALIASES.get(dtype, dtype)
    if name not in _KNOWN:
        raise UnknownName("arithmetic", dtype, [*_KNOWN, *_ALIASES])
    found = _KNOWN[name]
    if found.peak not in chip.peaks and name in _UNPACKED:
        unpacked = _KNOWN[_UNPACKED[name]]
        return Arithmetic(found.weight_bytes, 2.0, unpacked.peak, unpacked.constants)
    return found
