"""Cases: one kind of hardware with one model in one number format, over all layouts and batches.

A case is evaluated whole, as arrays over layouts x batches; the limits of a question then become
masks, so that the search and the reason for a refusal read the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from tokenmill.catalog import load
from tokenmill.catalog.records import Model
from tokenmill.errors import InputError, NoPeak
from tokenmill.placement import memory
from tokenmill.placement.engines import Engine
from tokenmill.placement.layout import Layout, LayoutGrid, legal_layouts
from tokenmill.placement.platform import Platform
from tokenmill.placement.steps import StepTimes
from tokenmill.simulator.estimate import Steady, steady, tail
from tokenmill.work.architecture import Architecture
from tokenmill.work.huggingface import architecture
from tokenmill.work.precision import CacheFormat, WeightFormat, weight_format
from tokenmill.work.workload import Demand

__all__ = ["Case", "Grid", "evaluate", "language_model", "loaded_bytes", "usual_formats"]

Scalar = Any
_BATCHES = 48
_SPARSE = np.array([0.001, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75])


@dataclass(frozen=True, slots=True)
class Case:
    """One model in one format on one platform under one engine."""

    platform: Platform
    model: Model
    arch: Architecture
    weights: WeightFormat
    cache: CacheFormat
    engine: Engine

    def __hash__(self) -> int:
        # records hold dictionaries; their names decide, and equality compares them whole
        names = (self.model.slug, self.weights.name, self.cache.name, self.engine.name)
        return hash((self.platform, *names))

    def times(self, layouts: tuple[Layout, ...]) -> StepTimes:
        """Step times over these layouts."""
        chip = self.platform.chip
        if self.engine.accumulate_bits == 16:
            chip = replace(chip, fp16_accumulate=True)
        return StepTimes(
            self.arch, self.weights, self.cache, chip, self.platform.fabric,
            LayoutGrid.of(layouts), self.engine,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grid:
    """A case evaluated: arrays [layouts, batches] and what memory allows."""

    case: Case
    layouts: tuple[Layout, ...]
    times: StepTimes
    batches: Scalar
    state: Steady
    ttft_s: Scalar  # at the percentile asked for
    tpot_s: Scalar
    needs_bytes: Scalar  # [layouts, 1]: weights, workspace, reserve and one longest request
    has_bytes: float
    fits: Scalar  # mask [layouts, batches]

    @property
    def gpus(self) -> Scalar:
        """GPUs of one instance, per layout [layouts, 1]."""
        return self.times.grid.gpus


@lru_cache(maxsize=256)
def language_model(name: str) -> tuple[Model, Architecture]:
    """The record and shape of a language model.

    Raises: UnknownName, BadRecord; InputError where the model is of another family.
    """
    record = load.model(name)
    if record.family != "language":
        raise InputError(
            f"{record.slug} is a model of the {record.family} family; name a language model"
        )
    return record, architecture(record.config, where=f"{record.slug}.toml [config]")


def usual_formats(model: Model, platform: Platform) -> tuple[str, ...]:
    """Formats that people run a model in on a chip, the most faithful first.

    The format it ships in, 8 bits where the chip computes in fp8, 4 bits otherwise or beside it.
    """
    native = model.native_dtype or "bf16"
    peaks = platform.accelerator.peaks
    eight = ("fp8",) if "fp8" in peaks else ("int8_wo",)
    four = ("nvfp4", "int4") if "fp4" in peaks else ("int4",)
    wanted = (native, *eight, *four)
    if native in ("mxfp4", "nvfp4", "int4"):
        wanted = (native,)
    elif native.startswith("fp8"):
        wanted = (native, *four)
    return tuple(dict.fromkeys(weight_format(name).name for name in wanted))


def evaluate(case: Case, demand: Demand, percentile: float, most_gpus: int | None = None) -> Grid:
    """Evaluate a case over every legal layout and a grid of batches.

    Parameters: case; demand; percentile of the latencies; most_gpus of one instance, or None.
    Raises: NoPeak and other Unsupported where the chip cannot compute the format.
    """
    platform = case.platform
    _has_arithmetic(case)
    most = min(platform.most_gpus, most_gpus or platform.most_gpus)
    layouts = legal_layouts(case.arch, most, platform.domain_gpus)
    times = case.times(layouts)
    closed = demand.rate_per_s == 0
    batches = batch_grid(case.engine)
    state = steady(times, demand, batches[None, :], closed=closed)
    ttft_s, tpot_s = tail(state, demand, percentile)
    needs, per_sequence, has = memory_need(case, times, demand)
    room = np.floor((has - needs) / per_sequence) + 1.0
    # data-parallel ranks and pipeline micro-batches keep their own sequences
    fits = (needs <= has) & (state.batch / (times.grid.dp) <= room)
    return Grid(case, layouts, times, batches, state, ttft_s, tpot_s, needs, has, fits)


def batch_grid(engine: Engine) -> Scalar:
    """Batches to try: every small one, then even steps of a logarithmic scale.

    Instances idle between requests, or busy with prompts: batches below 1 are means.
    """
    grid = np.unique(np.round(np.geomspace(1.0, engine.sequences, _BATCHES)))
    return np.concatenate((_SPARSE, grid))


def memory_need(case: Case, times: StepTimes, demand: Demand) -> tuple[Scalar, Scalar, float]:
    """(bytes with one longest request, bytes of a mean sequence, bytes there are) on one GPU.

    Arrays [layouts, 1]; the engine takes its share of the memory and keeps a reserve.
    """
    engine, arch = case.engine, case.arch
    size = memory.cache_size(arch, case.cache, times.grid)
    weights, work = loaded_bytes(case, times.grid, demand)
    fixed = work + engine.reserve_bytes + weights
    longest = size.of(demand.prompt_quantiles[-1] + demand.output_quantiles[-1])
    mean = np.maximum(size.of(demand.context_mean), 1.0)
    return fixed + longest, mean, case.platform.chip.memory_bytes * engine.memory_share


def loaded_bytes(case: Case, grid: LayoutGrid, demand: Demand) -> tuple[Scalar, Scalar]:
    """(weights, buffers for activations) of one GPU before any request comes [B].

    Buffers are made for one prompt, or for what the engine sets.
    """
    engine = case.engine
    longest = max(demand.prompt_quantiles[-1], 64.0)
    tokens = max(min(engine.step_tokens, longest), engine.buffer_tokens)
    weights = memory.weight_bytes(
        case.arch, case.weights, grid, whole_embedding=engine.whole_embedding
    )
    return weights, memory.workspace_bytes(case.arch, grid, tokens, 64.0)


def _has_arithmetic(case: Case) -> None:
    if not {"fp16", "bf16"} & set(case.platform.chip.peaks):
        raise NoPeak(case.platform.accelerator.slug, "16-bit", case.platform.chip.peaks)
