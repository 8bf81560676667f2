"""What a catalogue file may say: accelerators, systems, models, calibrations (frozen)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from tokenmill.catalog.figure import KINDS, Figure, Kind, Source
from tokenmill.errors import NoPeak, Unsupported

__all__ = ["FIELDS", "Accelerator", "Calibration", "Model", "Record", "System"]


# Dense 16-bit FLOP of one multiprocessor in a clock (makers' architecture papers).
_PER_CLOCK = {
    "volta": 1024, "turing": 1024, "ampere": 2048, "ada": 1024, "hopper": 4096,
    "blackwell": 8192, "blackwell-ultra": 8192, "blackwell-geforce": 1024,
}  # fmt: skip


class Record(BaseModel):
    """A named thing with figures and their sources."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    slug: str
    name: str
    aliases: tuple[str, ...] = ()
    note: str = ""
    figures: dict[str, Figure] = {}
    sources: dict[str, Source] = {}

    def figure(self, key: str) -> Figure:
        """The figure of that key. Raises: Unsupported where the record is silent."""
        try:
            return self.figures[key]
        except KeyError:
            raise Unsupported(
                f"{self.slug} has no figure for {key}; add it to its record with a source"
            ) from None

    def value(self, key: str, default: float | None = None) -> float:
        """The value [base unit] of a figure. Raises: Unsupported without figure and default."""
        if default is not None and key not in self.figures:
            return default
        return self.figure(key).value

    def weakest_kind(self) -> Kind:
        """The least firm kind among the record's figures."""
        kinds = {item.kind for item in self.figures.values()}
        return max(kinds, key=KINDS.index, default="assumed")


class Accelerator(Record):
    """One GPU (or other accelerator): peaks are dense FLOP/s by precision."""

    vendor: str
    architecture: str
    released: str = ""
    form_factor: str = ""
    process: str = ""
    memory_type: str = ""
    market: Literal["datacenter", "workstation", "consumer", "laptop", "embedded"]
    dies: int = 1
    peaks: dict[str, Figure] = {}

    @model_validator(mode="after")
    def _dense(self) -> Self:
        clocks = self._clocks()
        for key, most in (("fp16", 1.0), ("bf16", 1.0), ("fp8", 2.0)):
            if key in self.peaks and self.peaks[key].value > 1.2 * most * clocks:
                raise ValueError(
                    f"peaks.{key} is more than its multiprocessors can do in a clock; "
                    "peaks are dense: write half of a sparse figure"
                )
        return self

    def _clocks(self) -> float:
        """The dense 16-bit peak [FLOP/s] that the family's multiprocessors could reach."""
        known = self.architecture in _PER_CLOCK and {"sm_count", "boost_clock"} <= set(self.figures)
        if not known:
            return float("inf")
        each = _PER_CLOCK[self.architecture] * self.figures["boost_clock"].high
        return each * self.figures["sm_count"].high

    def peak(self, precision: str) -> Figure:
        """The dense peak [FLOP/s] at a precision. Raises: NoPeak."""
        try:
            return self.peaks[precision]
        except KeyError:
            raise NoPeak(self.slug, precision, self.peaks) from None


class System(Record):
    """A machine or rack around one kind of accelerator ("any" = whichever is put in)."""

    accelerator: str
    fabric: str
    vendor: str = ""
    released: str = ""
    market: str = ""


class Model(Record):
    """An AI model: the facts of its configuration, and what its makers publish about it."""

    family: str
    config: dict[str, Any] = {}
    published: dict[str, Figure] = {}
    released: str = ""
    licence: str = ""
    native_dtype: str = ""
    developer: str = ""
    convention: str = ""  # which parameters the published active count includes


class Calibration(Record):
    """Constants of a family (architecture, engine, fabric), each with range and origin."""

    family: str = ""
    inherits: str = ""


_ACCELERATOR = {
    "memory": "bytes",
    "memory_bandwidth": "bytes/s",
    "tdp": "power",
    "l2": "bytes",
    "sm_count": "1",
    "tensor_cores": "1",
    "boost_clock": "1/s",
    "transistors": "1",
    "die_to_die_bandwidth": "bytes/s",
    "nvlink_bandwidth": "bytes/s",
    "nvlink_generation": "1",
    "pcie_bandwidth": "bytes/s",
    "pcie_generation": "1",
    "pcie_lanes": "1",
    "idle_power": "power",
    "launch_price": "money",
    "slots": "1",
}
_PEAKS = dict.fromkeys(
    ("fp64", "fp64_tensor", "fp32", "tf32", "fp16", "bf16", "fp16_fp16acc", "fp8", "fp8_fp16acc",
     "fp6", "fp4", "int8", "int4"),
    "flop/s",
)  # fmt: skip
_SYSTEM = {
    "gpus": "1",
    "gpu_memory": "bytes",
    "nvlink_domain_gpus": "1",
    "nvlink_bandwidth": "bytes/s",
    "nvlink_aggregate": "bytes/s",
    "nvlink_generation": "1",
    "nvswitch_chips": "1",
    "scaleout_bandwidth": "bytes/s",
    "pcie_bandwidth": "bytes/s",
    "max_power": "power",
    "idle_power": "power",
    "host_power": "power",
    "host_memory": "bytes",
    "cpus": "1",
    "mass": "mass",
    "price": "money",
}

# Which keys a section may hold, and the dimension each must have. "*" admits any key.
FIELDS: Mapping[type[Record], Mapping[str, Mapping[str, str]]] = {
    Accelerator: {"figures": _ACCELERATOR, "peaks": _PEAKS},
    System: {"figures": _SYSTEM},
    Model: {
        "figures": {"*": "any"},
        "published": {
            "parameters": "1",
            "active_parameters": "1",
            "context": "tokens",
            "*": "any",
        },
    },
    Calibration: {"figures": {"*": "any"}},
}
