"""One pass of an image network on one accelerator: kernels to seconds.

Products run at a share of the dense peak, plus the memory traffic that the tensor cores cannot
hide; attention adds its exponentials, which run on the FP32 units; norms, activations and
copies move bytes. An eager framework issues every kernel from Python, a compiler fuses chains
of elementwise kernels, an engine (TensorRT, OneFlow) also fuses them into the products, keeps
convolutions in their fast layout and, on GeForce, accumulates FP16 products in FP16 at twice
the rate. A board whose power per FLOP is below what its family needs runs at a lower clock.
Reference for the sum of compute and
memory time: Williams et al. 2009, doi:10.1145/1498765.1498785.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tokenmill.catalog.records import Accelerator
from tokenmill.errors import NoCalibration, NoPeak, UnknownName
from tokenmill.work.network import Columns, Network
from tokenmill.work.ops import Array

__all__ = ["Arithmetic", "Device", "Mode", "Pass", "arithmetic", "device", "pass_seconds"]

Mode = Literal["eager", "compile", "engine"]

_DESKTOP = ("consumer", "workstation", "laptop")
_MOST_CLOCK = 1.1  # a board with power to spare runs a little faster than its family's flagship
_HEAD_STEP = 32  # fused attention pads heads to a multiple of this
_QUANTISING_LAUNCHES = 15.0  # scale, clamp and cast of one product's input, kernel by kernel
_UNPACKING_LAUNCHES = 3.0
_UNFUSED_LAUNCHES = 6.0  # reshapes, scores, softmax, casts of attention that is not fused
_FUSED_QKV = 0.7  # share of the products left where query, key and value are one

# dtype -> (bytes per stored weight, how products run)
_FORMATS: Mapping[str, tuple[float, str]] = {
    "fp32": (4.0, "fp32"),
    "fp16": (2.0, "half"),
    "bf16": (2.0, "half"),
    "fp8": (1.0, "fp8"),
    "int8": (1.0, "int8"),
    "fp8_wo": (1.0, "weights"),
    "int8_wo": (1.0 + 2.0 / 128, "weights"),
    "int4_wo": (0.5 + 2.0 / 64, "weights"),
    "fp4": (0.5 + 1.0 / 16, "fp4"),
    "int4": (0.5 + 2.0 / 64, "int4"),
}
# products of quantised inputs -> the constant that says what share of the peak they reach
_NARROW = {"fp8": "fp8", "int8": "int8", "fp4": "fp8", "int4": "int8"}


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator as image kernels see it; SI base units.

    family names the constants; link_bytes_per_s and host_bytes_per_s are per direction, to the
    next GPU and to the host's memory; limit_w is the power limit in force; desktop, whether a
    desktop processor feeds it.
    """

    name: str
    family: str
    peaks: Mapping[str, float]
    memory_bytes: float
    memory_bytes_per_s: float
    limit_w: float
    link_bytes_per_s: float
    link: Literal["nvlink", "pcie"]
    host_bytes_per_s: float
    desktop: bool

    def half_flop_per_s(self) -> float:
        """Peak of 16-bit products with FP32 accumulate [FLOP/s]. Raises: NoPeak."""
        for key in ("fp16", "bf16", "fp32"):
            if key in self.peaks:
                return self.peaks[key]
        raise NoPeak(self.name, "fp16", self.peaks)


def device(
    accelerator: Accelerator, *, power_cap_w: float | None = None, desktop: bool | None = None
) -> Device:
    """An accelerator of the catalogue as image kernels see it.

    Parameters: accelerator; power_cap_w [W], below its limit; desktop, whether a desktop
    processor feeds it (by default for consumer, workstation and laptop cards).
    Raises: Unsupported where the record lacks memory, bandwidth or power limit.
    """
    samsung = "samsung" in accelerator.process.lower()
    board = accelerator.form_factor.startswith("SXM") or accelerator.form_factor == "superchip"
    nvlink = accelerator.value("nvlink_bandwidth", 0.0) if board else 0.0
    host = accelerator.value("pcie_bandwidth", 0.0) or 63e9
    limit = accelerator.value("tdp")
    return Device(
        name=accelerator.slug,
        family=accelerator.architecture + ("-samsung" if samsung else ""),
        peaks={key: figure.value for key, figure in accelerator.peaks.items()},
        memory_bytes=accelerator.figure("memory").high,  # chips hold binary gigabytes
        memory_bytes_per_s=accelerator.value("memory_bandwidth"),
        limit_w=limit if power_cap_w is None else min(limit, power_cap_w),
        link_bytes_per_s=nvlink / 2.0 if nvlink else host,
        link="nvlink" if nvlink else "pcie",
        host_bytes_per_s=host,
        desktop=accelerator.market in _DESKTOP if desktop is None else desktop,
    )


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a network's kernels run: rates [FLOP/s] by kind, bytes per value, peaks drawn on."""

    mode: Mode
    quantised: Literal["", "inputs", "weights"]
    weight_bytes: float
    value_bytes: float
    matmul: float
    convolution: float
    attention: float
    unfused_attention: float
    formats: Mapping[str, str]  # kind of kernel -> number format, for its energy


def arithmetic(chip: Device, mode: Mode, dtype: str, c: Mapping[str, float]) -> Arithmetic:
    """How a device runs a number format under a kind of software.

    Parameters: chip; mode; dtype: fp32, fp16, bf16; fp8, int8, fp4, int4 (products of quantised
    inputs); fp8_wo, int8_wo, int4_wo (weights stored small, multiplied in 16 bits); c, the
    constants. A quantised format without a peak on this device is multiplied in 16 bits.
    Raises: UnknownName, NoPeak, NoCalibration.
    """
    if dtype not in _FORMATS:
        raise UnknownName("number format", dtype, _FORMATS)
    weight_bytes, kind = _FORMATS[dtype]
    for key in ("matmul", "convolution", "attention", "full_power"):
        if f"{key}-{chip.family}" not in c:
            raise NoCalibration(chip.family, "image")
    half = chip.half_flop_per_s()
    clock = _clock(chip.limit_w / (half * c[f"full_power-{chip.family}"]), c)
    gain = c["engine"] if mode == "engine" else 1.0
    matmul = c[f"matmul-{chip.family}"] * clock
    convolution = c[f"convolution-{chip.family}"] * clock
    attention = c[f"attention-{chip.family}"] * clock
    if kind == "fp32" and "tf32" in chip.peaks:
        rate = chip.peaks["tf32"] * c["tf32"]
        return Arithmetic(
            mode, "", 4.0, 4.0, rate * matmul * gain, rate * convolution * gain,
            rate * attention, rate * matmul, dict.fromkeys(_PRODUCTS, "tf32"),
        )  # fmt: skip
    if kind == "fp32":  # the plain units, far from the power limit
        rate = chip.peaks.get("fp32", half) * c["plain_fp32"]
        formats = dict.fromkeys(_PRODUCTS, "fp32")
        return Arithmetic(mode, "", 4.0, 4.0, rate, rate, rate, rate, formats)
    rate, name = half, dtype if dtype == "bf16" else "fp16"
    if mode == "engine" and dtype == "fp16" and chip.peaks.get("fp16_fp16acc", 0.0) > half:
        rate, name = chip.peaks["fp16_fp16acc"] * c["fp16_accumulate"], "fp16_fp16acc"
    formats = {"matmul": name, "convolution": name, "attention": "fp16"}
    quantised: Literal["", "inputs", "weights"] = "weights" if kind != "half" else ""
    products = rate
    if kind in _NARROW and kind in chip.peaks:
        quantised, products = "inputs", chip.peaks[kind] * c[_NARROW[kind]]
        formats["matmul"] = kind
    return Arithmetic(
        mode, quantised, weight_bytes, 2.0, products * matmul * gain,
        rate * convolution * gain, half * attention, half * matmul, formats,
    )  # fmt: skip


def _clock(share: float, c: Mapping[str, float]) -> float:
    """Clock of a board over its family's rated one, from its power limit over what that needs.

    Power goes with f V²; above the knee the voltage follows the clock, below it only the clock is
    left to give.
    """
    if share >= 1.0:
        return float(min(share ** (1.0 / 3.0), _MOST_CLOCK))
    floor, knee = c["voltage_floor"], c["voltage_knee"]
    if share <= knee * floor**2:
        return share / floor**2
    f = np.linspace(knee, 1.0, 9)
    volt = floor + (1.0 - floor) * (f - knee) / (1.0 - knee)
    return float(np.interp(share, f * volt**2, f))


_PRODUCTS = ("matmul", "convolution", "attention")


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass takes: busy [s], host work as modules and launches [counts], activity.

    active_s [s] is the part of busy_s without the gaps between kernels.
    """

    busy_s: float
    active_s: float
    modules: float
    launches: float
    memory_bytes: float
    flop: Mapping[str, float] = field(default_factory=dict)  # by number format


def pass_seconds(
    network: Network, samples: float, chip: Device, how: Arithmetic, c: Mapping[str, float], *,
    share: float = 1.0, fused_attention: bool = True, fused_qkv: bool = False,
    attention: float = 1.0, traffic: float = 1.0,
) -> Pass:  # fmt: skip
    """One pass of a network over a batch, without what the host adds.

    Parameters: network; samples in the batch; chip; how it computes; c, constants; share of
    each sample's tokens that this GPU holds (sequence parallelism); fused_attention, whether
    scores stay on chip; fused_qkv, one product for query, key, value; attention, its speed over
    that of the family; traffic, elementwise passes over those counted.
    Returns: the time the GPU is busy [s], and what the host must issue.
    """
    each = samples * share
    speed = chip.memory_bytes_per_s * c["stream"]
    fused = how.mode != "eager"
    busy = modules = launches = moved = 0.0
    flop: dict[str, float] = {}
    for kind, k in network.columns.items():
        issued = k.fused_launches if fused else k.launches
        if kind == "elementwise":
            values = k.fused_values if fused else k.values * traffic
            bytes_moved = (k.weights + values * each) * how.value_bytes
            seconds = bytes_moved / speed
            if how.mode == "engine":  # part of them rides on the products
                seconds, issued = seconds * c["engine_traffic"], issued * c["engine_traffic"]
        elif kind == "attention":
            seconds, bytes_moved = _attention_s(chip, how, k, each, c, speed, fused_attention)
            seconds = seconds / attention
            if not fused_attention:
                issued = issued + _UNFUSED_LAUNCHES
        else:
            rate = how.matmul if kind == "matmul" else how.convolution
            seconds, bytes_moved = _product_s(how, k, each, c, speed, rate, kind == "convolution")
            if kind == "matmul":
                issued = issued + _quantising_launches(how, fused_qkv)
        if kind != "elementwise":
            modules += float(k.count.sum())
            name = how.formats[kind]
            flop[name] = flop.get(name, 0.0) + float(k.flop @ k.count) * each
        busy += float(seconds @ k.count)
        moved += float(bytes_moved @ k.count)
        launches += float(issued @ k.count)
    return Pass(busy + c["gap"] * launches, busy, modules, launches, moved, flop)


def _product_s(
    how: Arithmetic, k: Columns, each: float, c: Mapping[str, float], speed: float, rate: float,
    convolution: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """Seconds and bytes of matrix products or convolutions."""
    compute_s = k.flop * each / rate
    stored_small = how.quantised and not convolution
    weight_bytes = how.weight_bytes if stored_small else how.value_bytes
    value_bytes = 1.5 if how.quantised == "inputs" and stored_small else how.value_bytes
    values_bytes = k.values * each * value_bytes
    moved = k.weights * weight_bytes + values_bytes
    p = c["overlap"]
    seconds = (compute_s**p + (moved / speed) ** p) ** (1.0 / p)
    if convolution and how.mode != "engine":  # into the layout of the fast kernels and back
        extra = values_bytes * c["layout"]
    elif stored_small and how.quantised == "inputs" and how.mode != "engine":
        passes = c["quantise_fused" if how.mode == "compile" else "quantise"]
        extra = k.input_values * each * 2.0 * passes
    elif stored_small and how.quantised == "weights":
        extra = k.weights * (c["unpack"] if how.mode == "eager" else 1.0)
    else:
        extra = np.zeros_like(moved)
    return seconds + extra / speed, moved + extra


def _attention_s(
    chip: Device, how: Arithmetic, k: Columns, each: float, c: Mapping[str, float], speed: float,
    fused: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """Seconds and bytes of attention: fused on chip, or through memory score by score."""
    moved = k.values * each * how.value_bytes
    if not fused:
        scores = k.scores * each * c["unfused"]
        return k.flop * each / how.unfused_attention + scores / speed, moved + scores
    head_dim = k.flop / (4.0 * k.scores)
    padding = np.ceil(head_dim / _HEAD_STEP) * _HEAD_STEP / head_dim
    plain = chip.peaks.get("fp32", chip.half_flop_per_s() / 16.0)
    exponentials_s = k.scores * each * c["softmax"] / plain
    products_s = k.flop * each * padding / how.attention
    p = c["overlap"]
    return (products_s**p + exponentials_s**p) ** (1.0 / p), moved


def _quantising_launches(how: Arithmetic, fused_qkv: bool) -> float:
    """Kernels beside each product that an eager framework issues to quantise or unpack."""
    if how.mode != "eager" or not how.quantised:
        return 0.0
    per = _QUANTISING_LAUNCHES if how.quantised == "inputs" else _UNPACKING_LAUNCHES
    return per * (_FUSED_QKV if fused_qkv else 1.0)
