"""Serving engines: limits and host times, as plain floats for the step times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.catalog.records import Calibration
from tokenmill.errors import UnknownName

__all__ = ["Engine", "engine", "engine_names"]

_PREFIX = "engine-"


@dataclass(frozen=True, slots=True)
class Engine:
    """What an engine adds to the kernels, and the limits that it runs with.

    step_tokens [tokens] is the budget of one step, sequences [count] the most that run at once,
    memory_share [1] of the GPU's memory that it may take, reserve_bytes [B] for its runtime,
    host_step_s [s] per step, host_sequence_s [s] per running sequence and step, host_prefill_s
    [s] per prefill chunk, request_s [s] per request outside the steps (HTTP, tokeniser).
    """

    name: str
    step_tokens: int
    sequences: int
    memory_share: float
    reserve_bytes: float
    host_step_s: float
    host_sequence_s: float
    host_prefill_s: float
    request_s: float
    record: Calibration

    def __hash__(self) -> int:
        return hash(self.name)


def engine_names() -> list[str]:
    """Engines on record."""
    slugs = load.names("calibration")
    return [slug.removeprefix(_PREFIX) for slug in slugs if slug.startswith(_PREFIX)]


@lru_cache(maxsize=64)
def engine(name: str) -> Engine:
    """The engine of that name. Raises: UnknownName."""
    slug = _PREFIX + load.canonical(name).removeprefix("dynamo+")
    try:
        record = load.calibration(slug)
    except UnknownName:
        try:
            record = load.calibration(name)
        except UnknownName:
            raise UnknownName("engine", name, engine_names()) from None
    if record.family != "engine":
        raise UnknownName("engine", name, engine_names())
    value = record.value
    return Engine(
        name=record.slug.removeprefix(_PREFIX),
        step_tokens=int(value("step_tokens")),
        sequences=int(value("sequences")),
        memory_share=value("memory_share"),
        reserve_bytes=value("reserve"),
        host_step_s=value("host_step"),
        host_sequence_s=value("host_sequence"),
        host_prefill_s=value("host_prefill"),
        request_s=value("request"),
        record=record,
    )
