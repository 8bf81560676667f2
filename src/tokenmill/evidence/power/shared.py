"""Constants of power that no single family owns: bytes, number formats, shape of the draw."""

from __future__ import annotations

from collections.abc import Mapping

from tokenmill.evidence.calibration import Constant, Origin, render

__all__ = ["CONSTANTS", "FIGURES", "shared_file"]

_READ = "2026-11-28"


def _byte(picojoules: float, low: float, high: float) -> Constant:
    return Constant(picojoules * 1e-12, low * 1e-12, high * 1e-12, "J/B", "memory")


def _ratio(value: float, low: float, high: float) -> Constant:
    return Constant(value, low, high, "", "formats")


CONSTANTS: Mapping[str, Constant] = {
    "byte_hbm": _byte(60, 35, 100),
    "byte_hbm2": _byte(65, 45, 90),
    "byte_hbm2e": _byte(60, 40, 85),
    "byte_hbm3": _byte(50, 35, 75),
    "byte_hbm3e": _byte(45, 30, 70),
    "byte_hbm4": _byte(38, 25, 60),
    "byte_gddr5": _byte(140, 90, 190),
    "byte_gddr5x": _byte(110, 70, 150),
    "byte_gddr6": _byte(110, 70, 150),
    "byte_gddr6x": _byte(110, 75, 160),
    "byte_gddr7": _byte(90, 55, 130),
    "byte_lpddr4": _byte(60, 40, 90),
    "byte_lpddr4x": _byte(55, 35, 85),
    "byte_lpddr5": _byte(50, 30, 80),
    "byte_lpddr5x": _byte(45, 30, 75),
    "format_fp64": _ratio(6.0, 4.0, 8.0),
    "format_fp64_tensor": _ratio(4.0, 3.0, 6.0),
    "format_fp32": _ratio(2.5, 1.8, 4.0),
    "format_tf32": _ratio(1.6, 1.3, 2.0),
    "format_bf16": _ratio(1.0, 1.0, 1.0),
    "format_fp16": _ratio(1.0, 0.9, 1.1),
    "format_fp16_fp16acc": _ratio(0.85, 0.7, 1.0),
    "format_fp8": _ratio(0.55, 0.45, 0.7),
    "format_fp8_fp16acc": _ratio(0.5, 0.4, 0.65),
    "format_fp6": _ratio(0.5, 0.35, 0.65),
    "format_fp4": _ratio(0.32, 0.22, 0.5),
    "format_int8": _ratio(0.5, 0.35, 0.65),
    "format_int4": _ratio(0.3, 0.2, 0.45),
    "link": Constant(30e-12, 15e-12, 60e-12, "J/B", "memory", "NVLink, both ends"),
    "bend": Constant(12.0, 4.0, 20.0, "", "shape"),
    "link_share": Constant(
        0.5, 0.3, 0.8, "", "shape", "of the active power, while kernels only move messages"
    ),
    "static_share": Constant(0.9, 0.6, 1.0, "", "shape", "of the idle power, at any clock"),
    "leakage": Constant(0.004, 0.002, 0.01, "", "leakage", "a kelvin"),
}
# As the fit sees them; the clock's two constants are its own to find (see `fit_clock`).
FIGURES: Mapping[str, float] = {
    **{key: constant.value for key, constant in CONSTANTS.items()},
    "voltage_floor": 0.86,
    "knee": 0.84,
}
_ORIGINS = {
    "memory": Origin(
        "assumed", "energy of a byte: device, interface, and the way across the chip", _READ,
        note="from the order of published interface energies (HBM2 about 4 pJ/bit, GDDR6 about "
        "7 pJ/bit at the device); what a kernel draws besides is in its family's active share",
    ),
    "formats": Origin(
        "assumed", "energy of a FLOP over that in bf16, by width of multiplier and operands", _READ,
        note="multipliers go with the square of the significand, operand movement with the width",
    ),
    "shape": Origin(
        "derived", "how a kernel draw bends at the limit: error of mean power for 4 and 12",
        _READ,
    ),
    "clock": Origin(
        "measured", "clock under a power cap: sweeps of A40 and V100 by Zeus (NSDI 2023)", _READ,
        url="https://github.com/ml-energy/zeus",
    ),
    "leakage": Origin("assumed", "growth of leakage with temperature in FinFET processes", _READ),
}  # fmt: skip


def shared_file(voltage_floor: float, knee: float) -> str:
    """The text of power-shared.toml, with the fitted clock constants."""
    clock = {
        "voltage_floor": Constant(
            voltage_floor, voltage_floor - 0.06, min(voltage_floor + 0.06, 1.0), "", "clock"
        ),
        "knee": Constant(knee, knee - 0.1, min(knee + 0.08, 0.98), "", "clock"),
    }
    return render("Power, all families", "power-shared", {**CONSTANTS, **clock}, _ORIGINS)
