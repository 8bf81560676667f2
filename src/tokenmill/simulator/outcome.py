"""Outcome: what an estimate or a simulation answers; the same type for both.

Times are of the user's stopwatch: TTFT from sending a request to its first token; TPOT =
(E2E - TTFT) / (output tokens - 1); ITL is the gap between two tokens; E2E the whole request.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Distribution", "FigureUse", "Interval", "MemoryUse", "OperationShare", "Outcome"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A quantity over requests: mean and percentiles, all in its base unit."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float

    def later(self, seconds: float) -> Distribution:
        """The same with a constant added to all [its unit]."""
        return Distribution(*(getattr(self, name) + seconds for name in self.__slots__))

    def at(self, percentile: float) -> float:
        """The value at one of the percentiles kept (50, 90, 95, 99, 99.9), the next one up."""
        for limit, value in ((50, self.p50), (90, self.p90), (95, self.p95), (99, self.p99)):
            if percentile <= limit:
                return value
        return self.p999


@dataclass(frozen=True, slots=True)
class Interval:
    """An 80 % interval, p10 to p90, around a prediction, in its base unit."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """One GPU's memory [B]: what holds it, and what it has."""

    weights_bytes: float
    cache_bytes: float
    workspace_bytes: float
    reserve_bytes: float
    capacity_bytes: float

    @property
    def used_bytes(self) -> float:
        """All that is held [B]."""
        return self.weights_bytes + self.cache_bytes + self.workspace_bytes + self.reserve_bytes

    @property
    def free_bytes(self) -> float:
        """What is left [B]; negative where it does not fit."""
        return self.capacity_bytes - self.used_bytes


@dataclass(frozen=True, slots=True)
class OperationShare:
    """One operation of a step: its time, share, and how close to the roofline it runs."""

    name: str
    seconds: float
    share: float
    roofline_share: float
    bound: str  # compute, memory, network, launch or host


@dataclass(frozen=True, slots=True)
class FigureUse:
    """A catalogue figure that the answer rests on."""

    record: str
    key: str
    value: float
    low: float
    high: float
    dimension: str
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How fast, how much energy, how much money, how sure, and what limits it."""

    model: str
    hardware: str
    accelerator: str
    layout: str
    weights: str
    cache: str
    engine: str
    gpus: int
    replicas: int
    batch: float  # sequences decoding at once on one replica, mean
    ttft_s: Distribution
    tpot_s: Distribution
    e2e_s: Distribution
    requests_per_s: float
    input_tokens_per_s: float
    output_tokens_per_s: float
    utilisation: float  # share of the time that the replicas are busy
    memory: MemoryUse
    gpu_watts: float  # per GPU, mean
    watts: float  # the whole machine at the wall, mean
    joules_per_output_token: float
    limiting: str
    prefill: tuple[OperationShare, ...] = ()
    decode: tuple[OperationShare, ...] = ()
    figures: tuple[FigureUse, ...] = ()
    kind: str = "assumed"  # the weakest kind among the figures
    money: dict[str, Any] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def total_tokens_per_s(self) -> float:
        """Input and output tokens a second, all replicas."""
        return self.input_tokens_per_s + self.output_tokens_per_s

    @property
    def output_tokens_per_s_per_gpu(self) -> float:
        """Output tokens a second and GPU."""
        return self.output_tokens_per_s / self.gpus

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, every figure in its base unit."""
        plain = asdict(self)
        plain["total_tokens_per_s"] = self.total_tokens_per_s
        plain["output_tokens_per_s_per_gpu"] = self.output_tokens_per_s_per_gpu
        plain["memory"]["used_bytes"] = self.memory.used_bytes
        plain["memory"]["free_bytes"] = self.memory.free_bytes
        return plain
