"""Services and traffic that several tests simulate."""

from __future__ import annotations

from functools import lru_cache

from tokenmill.placement.engines import engine
from tokenmill.placement.layout import Layout
from tokenmill.placement.platform import platform
from tokenmill.simulator.cases import Case, language_model
from tokenmill.work.arrivals import OpenLoop, open_loop
from tokenmill.work.lengths import LogNormal
from tokenmill.work.precision import cache_format, weight_format
from tokenmill.work.traffic import Traffic

__all__ = ["ONE", "case", "chat"]

ONE = Layout()


@lru_cache
def case(
    model: str = "llama-3.1-8b", on: str = "h100", weights: str = "bf16", runs_on: str = "vllm"
) -> Case:
    record, arch = language_model(model)
    return Case(
        platform(on), record, arch, weight_format(weights), cache_format("bf16"), engine(runs_on)
    )


def chat(requests: int = 300, rate_per_s: float = 4.0, seed: int = 0) -> Traffic:
    return open_loop(
        OpenLoop(rate_per_s), LogNormal(900, 1.0, high=8000), LogNormal(150, 0.8, high=1200),
        requests=requests, seed=seed,
    )  # fmt: skip
