"""What the constants of image timing are, before and after the fit: priors, bounds, families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog import load

__all__ = [
    "ACTIVE",
    "CROWD",
    "FIXED",
    "FREE",
    "RECORD",
    "STAND_INS",
    "Free",
    "StandIn",
    "complete",
    "recorded",
]

RECORD = "images"  # the calibration record


@dataclass(frozen=True, slots=True)
class Free:
    """A constant that is fitted: start, spread of the prior (1-sigma, in logarithms), unit."""

    key: str
    start: float
    spread: float
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class StandIn:
    """A family nobody measured: whose products it follows, and by how much."""

    family: str
    follows: str
    factor: float
    full_power: float  # [J/FLOP], as the family's flagship at its limit
    spread: float  # of the factor, in logarithms
    note: str


# Products: kernel tables give 0.79 (A100), 0.76 (H100, short runs), 0.60 (L40S) of the peak.
FREE: tuple[Free, ...] = (
    Free("matmul-ampere", 0.78, 0.08, note="of the peak, A100 SXM"),
    Free("matmul-hopper", 0.70, 0.08, note="of the peak, H100 SXM at its power limit"),
    Free("matmul-ada", 0.87, 0.08, note="of the peak at the rated boost clock"),
    Free("convolution-ampere", 0.55, 0.3),
    Free("convolution-hopper", 0.50, 0.3),
    Free("convolution-ada", 0.65, 0.3),
    Free("attention-ampere", 0.65, 0.2, note="without its exponentials"),
    Free("attention-hopper", 0.60, 0.2, note="without its exponentials"),
    Free("attention-ada", 0.90, 0.2, note="at the rated boost clock, which cards exceed"),
    Free("softmax", 45.0, 0.4, note="FP32 operations per score"),
    Free("stream", 0.85, 0.1, note="of the memory bandwidth, elementwise kernels"),
    Free("overlap", 1.6, 0.2, note="exponent joining compute and memory time of a product"),
    Free("traffic-unet", 1.0, 0.25, note="elementwise passes over those counted, eager"),
    Free("traffic-joint", 1.0, 0.6, note="elementwise passes over those counted, eager"),
    Free("traffic-linear", 1.0, 0.6, note="elementwise passes over those counted, eager"),
    Free("traffic-flux", 1.0, 0.25, note="elementwise passes over those counted, eager"),
    Free("layout", 1.0, 0.4, note="extra passes of convolutions outside their fast layout"),
    Free("unfused", 12.0, 0.4, note="bytes moved per score of attention that is not fused"),
    Free("xformers", 0.7, 0.3, note="speed of xFormers' attention over PyTorch's own"),
    Free("tf32", 0.75, 0.2, note="FP32 networks on TF32 units, of what 16 bits reach"),
    Free("engine", 1.05, 0.1, note="products of engines over those of eager frameworks"),
    Free("engine_traffic", 0.6, 0.3, note="elementwise traffic engines leave, of the fused count"),
    Free("fp16_accumulate", 0.85, 0.1, note="of the doubled FP16-accumulate peak"),
    Free("fp8", 0.75, 0.15, note="of what 16 bits reach of their peak"),
    Free("int8", 0.75, 0.15, note="of what 16 bits reach of their peak"),
    Free("quantise", 19.0, 0.3, note="passes over a product's input to quantise it, eager"),
    Free("quantise_fused", 1.5, 0.5, note="the same, compiled"),
    Free("unpack", 15.0, 0.2, note="bytes moved per weight stored small, each eager pass"),
    Free("gap", 4e-6, 0.4, "us", "of an idle GPU between two kernels"),
    Free("host_step", 10e-3, 0.5, "us", "of the host per denoising step"),
    Free("host_module", 35e-6, 0.5, "us", "of the host per product, convolution, attention"),
    Free("host_launch", 14e-6, 0.5, "us", "of the host per kernel"),
    Free("host_desktop", 0.6, 0.2, note="host time of desktop processors over server ones"),
    Free("host_overlap", 3.0, 0.4, note="exponent joining host and GPU time of a pass"),
    Free("host_compile", 0.4, 0.4, note="host time of compiled over eager code"),
    Free("picture", 30e-3, 0.5, "us", "of the host per megapixel of result"),
    Free("nvlink", 0.2, 0.5, note="of the link, all-to-all between attention"),
    Free("pcie", 0.5, 0.3, note="of the link, all-to-all between attention"),
    Free("ring_merge", 24.0, 0.4, note="passes to merge one round of ring attention, eager"),
    Free("exchange_launches", 8.0, 0.5, note="kernels of one all-to-all around attention"),
    Free("ring_launches", 10.0, 0.5, note="kernels of one round of ring attention"),
    Free("cached", 0.58, 0.1, note="share of the work left by feature caches"),
    Free("server", 0.95, 0.1, note="rate kept under a latency limit"),
    Free("max_q", 0.5, 0.3, note="power cap of MaxQ systems, of the limit; not in the source"),
)

# Too few rows to fit: value, low, high, unit, note.
FIXED: Mapping[str, tuple[float, float, float, str, str]] = {
    "full_power-ampere": (1.282e-12, 1.0e-12, 1.4e-12, "J/FLOP", "A100 SXM: 400 W at 312 TFLOP/s"),
    "full_power-hopper": (0.708e-12, 0.6e-12, 0.8e-12, "J/FLOP", "H100 SXM: 700 W at 989 TFLOP/s"),
    "full_power-ada": (
        2.1e-12,
        1.7e-12,
        2.7e-12,
        "J/FLOP",
        "L40S: kernel tables reach 0.60 of 362 TFLOP/s at 350 W",
    ),
    "voltage_floor": (0.86, 0.8, 0.92, "", "lowest voltage over the highest, as in power-shared"),
    "voltage_knee": (0.84, 0.75, 0.9, "", "clock where it is reached, as in power-shared"),
    "plain_fp32": (0.85, 0.7, 1.0, "", "of the peak of FP32 units, where there is no TF32"),
    "host_engine": (0.1, 0.05, 0.2, "", "host time of engines over eager code"),
    "ring_round": (30e-6, 15e-6, 60e-6, "us", "latency of one round of ring attention"),
    "ring_exposed": (0.5, 0.2, 1.0, "", "share of ring traffic that computing does not hide"),
    "exchange_copies": (4.0, 2.0, 6.0, "", "passes to pack and unpack an all-to-all, eager"),
}

STAND_INS: tuple[StandIn, ...] = (
    StandIn("ampere-samsung", "ada", 0.92, 2.6e-12, 0.2, "RTX A6000: 300 W at 155 TFLOP/s is less "
            "than it needs; best of uncontrolled submissions"),
    StandIn("turing", "ada", 0.88, 2.3e-12, 0.3, "Quadro RTX 8000: 295 W at 130.5 TFLOP/s; older "
            "kernels of attention and convolution"),
    StandIn("volta", "ampere", 0.9, 2.4e-12, 0.25, "V100 SXM: 300 W at 125 TFLOP/s"),
    StandIn("pascal", "ada", 0.88, 22e-12, 0.4, "no tensor cores: FP32 units"),
    StandIn("blackwell", "hopper", 0.88, 0.444e-12, 0.2, "B200: 1000 W at 2250 TFLOP/s; kernel "
            "tables: 0.67 of the peak where H100 reaches 0.76"),
    StandIn("blackwell-ultra", "hopper", 0.88, 0.489e-12, 0.25, "B300: 1100 W at 2250 TFLOP/s"),
    StandIn("blackwell-geforce", "ada", 0.92, 2.1e-12, 0.25, "as ada, on the same process; best of "
            "uncontrolled submissions"),
    StandIn("rubin", "hopper", 0.8, 0.45e-12, 0.4, "announced, not measured"),
    StandIn("cdna2", "hopper", 0.6, 1.46e-12, 0.4, "other vendor, other software"),
    StandIn("cdna3", "hopper", 0.6, 0.574e-12, 0.4, "MI300X: 750 W at 1307 TFLOP/s"),
    StandIn("cdna4", "hopper", 0.6, 0.56e-12, 0.4, "other vendor, other software"),
    StandIn("rdna3", "ada", 0.5, 2.9e-12, 0.5, "other vendor, other software"),
    StandIn("xe2", "ada", 0.5, 2.0e-12, 0.5, "other vendor, other software"),
    StandIn("gaudi", "hopper", 0.7, 1.39e-12, 0.5, "other vendor, other software"),
    StandIn("tpu", "hopper", 0.7, 1.14e-12, 0.5, "other vendor, other software"),
    StandIn("trainium", "hopper", 0.6, 0.75e-12, 0.5, "other vendor, other software"),
    StandIn("apple", "ada", 0.7, 5.65e-12, 0.5, "M1 Max: 60 W at 10.6 TFLOP/s; other vendor"),
    StandIn("xe1", "ada", 0.5, 1.43e-12, 0.5, "Arc A770: 225 W at 157 TFLOP/s; other vendor"),
    StandIn("cdna1", "hopper", 0.55, 1.63e-12, 0.4, "MI100: 300 W at 185 TFLOP/s; other vendor"),
    StandIn("gcn5", "ada", 0.6, 11.2e-12, 0.4, "MI50: 300 W at 26.8 TFLOP/s, no matrix units"),
    StandIn("rdna4", "ada", 0.5, 1.57e-12, 0.5, "R9700: 300 W at 191 TFLOP/s; other vendor"),
    StandIn("rdna2", "ada", 0.6, 7.0e-12, 0.5, "W6800: 250 W at 35.7 TFLOP/s, no matrix units"),
    StandIn("rdu", "hopper", 0.6, 0.94e-12, 0.5, "SN40L: 600 W at 638 TFLOP/s; other vendor"),
)  # fmt: skip

# Not fitted with the times: the rate that submissions nobody controlled keep, and the active
# power of image kernels over that of language kernels.
CROWD, ACTIVE = "crowd", "active"

_FOLLOWED = ("matmul", "convolution", "attention")


def complete(fitted: Mapping[str, float]) -> dict[str, float]:
    """All constants: the fitted ones, those too rare to fit, and families nobody measured."""
    values = {CROWD: 1.0, ACTIVE: 1.0, **fitted}
    values.update({key: cell[0] for key, cell in FIXED.items()})
    for item in STAND_INS:
        for key in _FOLLOWED:
            values[f"{key}-{item.family}"] = values[f"{key}-{item.follows}"] * item.factor
        values[f"full_power-{item.family}"] = item.full_power
    return values


@lru_cache(maxsize=1)
def recorded() -> Mapping[str, float]:
    """The constants on record. Raises: UnknownName where they were never fitted."""
    return {key: item.value for key, item in load.calibration(RECORD).figures.items()}
