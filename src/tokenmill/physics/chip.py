"""Chip: what a kernel must know of one accelerator, as plain floats.

A `Chip` joins the spec sheet of an accelerator with the constants of its architecture
family. Kernels read nothing else, so that an accelerator nobody measured is a spec sheet
under the constants of its family. Fixed times are counted in clocks: that is what carries
over from one chip to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tokenmill.errors import NoCalibration, NoPeak

__all__ = [
    "Chip",
    "Conv",
    "Decode",
    "Experts",
    "Gemm",
    "KernelConstants",
    "Prefill",
    "Scan",
    "Stream",
    "kernel_constants",
]


@dataclass(frozen=True, slots=True)
class Gemm:
    """Constants of a matrix product."""

    launch_clocks: float  # an empty kernel inside a CUDA graph
    latency_clocks: float  # filling the memory pipe, per e-fold of bytes
    compute_efficiency: float  # of the dense peak, full tiles, full waves
    memory_efficiency: float  # of the memory bandwidth
    l2_bytes_per_clock: float  # that one multiprocessor can draw from L2
    sm_bytes_per_clock: float  # of weights that one multiprocessor can stream
    split_k: float  # the shortest reduction worth its own thread block
    quantisation: float  # 0 = work spreads evenly, 1 = whole waves only
    rigidity: float  # 0 = the best tile for the shape, 1 = one tile for all shapes
    row_clocks: float  # quantising one row of activations, in a kernel of its own
    throttle: float  # share lost by kernels long enough to hit the power limit


@dataclass(frozen=True, slots=True)
class Decode:
    """Constants of attention with one query per sequence."""

    launch_clocks: float
    combine_clocks: float  # adding up the parts of a sequence that several blocks read
    memory_efficiency: float
    sm_bytes_per_clock: float  # that one multiprocessor can stream
    compute_efficiency: float
    ramp: float  # memory time that few thread blocks add, as they cannot fill the pipe
    block_clocks: float  # one wave of thread blocks, beside its memory traffic
    hidden_waves: float  # waves of blocks that the launch time already holds
    group: float  # share that 8 queries on one KV head add to a block
    single: float  # a block with one query per KV head (of few latent heads), relative to others
    serial_clocks: float  # one token in the one block that walks a sequence, where none share it
    unpacked: float  # 0 = a windowed block serves its whole group, 1 = one block per query
    tile: float  # heads that a block of latent attention computes at least, unless they are few


@dataclass(frozen=True, slots=True)
class Prefill:
    """Constants of attention with many queries per sequence."""

    launch_clocks: float
    memory_efficiency: float
    sm_bytes_per_clock: float  # that one multiprocessor can stream
    compute_efficiency: float
    exponential: float  # share of the softmax exponentials that products do not hide
    block_clocks: float  # one thread block of 128 queries of one head, beside its products
    padding: float  # what an empty row of a sequence's last block costs, relative to a full one
    span: float  # share of the longest thread block that other blocks do not hide
    wide: float  # products of heads wider than 128 values, relative to narrower ones
    cache: float  # further passes of new keys and values through memory, beside being read once


@dataclass(frozen=True, slots=True)
class Experts:
    """Constants of a mixture-of-experts block: sort, two grouped products, sum."""

    launch_clocks: float
    latency_clocks: float  # filling the memory pipe, per e-fold of bytes
    block_clocks: float  # one wave of thread blocks, beside its products and its traffic
    compute_efficiency: float
    memory_efficiency: float  # reading weights
    stream_efficiency: float  # moving activations between the kernels
    sm_bytes_per_clock: float  # that one multiprocessor can stream
    foreign: float  # share of that traffic that rows of other ranks' experts still cost
    tile: float  # rows that an expert's tokens are padded to
    exposed: float  # share of the shorter of memory and products that the longer does not hide
    throttle: float  # share lost by products long enough to hit the power limit


@dataclass(frozen=True, slots=True)
class Stream:
    """Constants of a kernel that only moves bytes: norms, activations, state updates."""

    launch_clocks: float
    memory_efficiency: float
    sm_bytes_per_clock: float  # that one multiprocessor can stream


@dataclass(frozen=True, slots=True)
class Conv:
    """Constants of the short convolution of a prefill."""

    launch_clocks: float
    memory_efficiency: float
    sm_bytes_per_clock: float  # that one multiprocessor can stream
    sequence_clocks: float  # one more sequence of 1024 channels, beside its bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """Constants of a chunked state-space or linear-attention prefill."""

    launch_clocks: float
    memory_efficiency: float
    sm_bytes_per_clock: float  # that one multiprocessor can stream
    compute_efficiency: float
    chunk_clocks: float  # one chunk of one sequence, which must wait for the chunk before
    exposed: float  # share of the shorter of chain and throughput that the longer does not hide


@dataclass(frozen=True, slots=True)
class KernelConstants:
    """Constants by operation; keys are "precision" or "precision.engine"."""

    gemm: Mapping[str, Gemm] = field(default_factory=dict)
    decode: Mapping[str, Decode] = field(default_factory=dict)
    prefill: Mapping[str, Prefill] = field(default_factory=dict)
    encoder: Mapping[str, Prefill] = field(default_factory=dict)
    mla_decode: Mapping[str, Decode] = field(default_factory=dict)
    mla_prefill: Mapping[str, Prefill] = field(default_factory=dict)
    experts: Mapping[str, Experts] = field(default_factory=dict)
    stream: Mapping[str, Stream] = field(default_factory=dict)
    conv_decode: Mapping[str, Stream] = field(default_factory=dict)
    conv_prefill: Mapping[str, Conv] = field(default_factory=dict)
    scan_decode: Mapping[str, Stream] = field(default_factory=dict)
    scan_prefill: Mapping[str, Scan] = field(default_factory=dict)


# The operation whose constants stand in where a family has none.
_KIN = {"encoder": "prefill", "mla_prefill": "prefill", "mla_decode": "decode"}

# The precision whose constants stand in where none were fitted, nearest first.
_STAND_IN = {
    "fp16": "bf16",
    "bf16+fp8": "bf16",
    "fp8": "bf16",
    "fp8_block": "fp8",
    "int8": "fp8",
    "fp4": "fp8",
    "w4a8": "fp8",
    "w4a16": "int4_wo",
    "int4_wo": "int8_wo",
    "int8_wo": "bf16",
}


@dataclass(frozen=True, slots=True)
class Chip:
    """One accelerator, as the kernels see it; SI base units."""

    name: str
    architecture: str
    sm_count: float
    memory_bytes_per_s: float
    l2_bytes: float
    boost_hz: float
    peaks: Mapping[str, float]  # dense [FLOP/s] by precision
    constants: KernelConstants
    memory_bytes: float = float("nan")
    tdp_w: float = float("nan")
    idle_w: float = float("nan")
    fp16_accumulate: bool = False  # 16-bit products accumulate in 16 bits where that is faster
    unpack_ops: float = 0.0  # vector instructions for a narrow weight, where no dot product hides
    gap_s: float = 0.0  # between two kernels, beyond what the constants hold

    def flop_per_s(self, precision: str) -> float:
        """The dense peak [FLOP/s]. Raises: NoPeak."""
        if self.fp16_accumulate and precision in ("fp16", "bf16"):
            fast = self.peaks.get("fp16_fp16acc")
            if fast is not None:
                return fast
        peak = self.peaks.get(precision)
        if peak is None and precision == "bf16":
            peak = self.peaks.get("fp16", self.peaks.get("fp32"))
        if peak is None and precision == "fp16":
            peak = self.peaks.get("bf16", self.peaks.get("fp32"))
        if peak is None:
            raise NoPeak(self.name, precision, self.peaks)
        return peak

    def stream_bytes_per_s(self, efficiency: float, sm_bytes_per_clock: float) -> float:
        """Bandwidth [B/s] that kernels reach: what memory gives and multiprocessors can take."""
        memory = self.memory_bytes_per_s * efficiency
        blocks = sm_bytes_per_clock * self.sm_count * self.boost_hz
        reached: float = (memory**-3.0 + blocks**-3.0) ** (-1.0 / 3.0)
        return reached

    def pick(self, operation: str, precision: str, engine: str = "any") -> Any:
        """The constants of an operation, by engine where known, else of the nearest precision.

        Raises: NoCalibration where the family has none at all.
        """
        table: Mapping[str, Any] = getattr(self.constants, operation)
        if not table and operation in _KIN:
            return self.pick(_KIN[operation], precision, engine)
        key: str | None = precision
        while key is not None:
            found = table.get(f"{key}.{engine}", table.get(key))
            if found is not None:
                return found
            key = _STAND_IN.get(key)
        found = next(iter(table.values()), None)
        if found is None:
            raise NoCalibration(self.architecture, operation)
        return found


_KINDS: Mapping[str, type] = {
    "gemm": Gemm, "decode": Decode, "prefill": Prefill, "encoder": Prefill,
    "mla_decode": Decode, "mla_prefill": Prefill, "experts": Experts, "stream": Stream,
    "conv_decode": Stream, "conv_prefill": Conv, "scan_decode": Stream, "scan_prefill": Scan,
}  # fmt: skip


def kernel_constants(figures: Mapping[str, float]) -> KernelConstants:
    """Constants from flat figures "operation/precision[.engine]/constant" [SI base units].

    Parameters: figures, as a calibration record holds them; keys of other operations are
    skipped, so that one record may serve several floors. What an engine's group leaves out is
    that of its precision.
    Raises: NoCalibration where an operation lacks one of its constants.
    """
    gathered: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in _KINDS}
    for key, value in figures.items():
        operation, _, rest = key.partition("/")
        group, _, constant = rest.partition("/")
        if operation in gathered and constant:
            gathered[operation].setdefault(group, {})[constant] = float(value)
    built: dict[str, dict[str, Any]] = {}
    for operation, groups in gathered.items():
        names = {item.name for item in fields(_KINDS[operation])}
        for group, own in groups.items():
            values = {**groups.get(group.partition(".")[0], {}), **own}
            if names - set(values):
                missing = sorted(names - set(values))[0]
                raise NoCalibration("this family", f"{operation}/{group}/{missing}")
            known = {name: values[name] for name in names}
            built.setdefault(operation, {})[group] = _KINDS[operation](**known)
    return KernelConstants(**built)
