"""Predict a measured serving row: the same configuration under the same load, in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tokenmill.catalog import load
from tokenmill.catalog.records import Calibration
from tokenmill.errors import UnknownName
from tokenmill.evidence.points import Point
from tokenmill.placement.engines import Engine, engine
from tokenmill.placement.layout import Layout, refusal
from tokenmill.placement.platform import platform
from tokenmill.simulator.cases import Case, language_model, memory_need
from tokenmill.simulator.estimate import Steady, steady, tail
from tokenmill.work.precision import cache_format, weight_format
from tokenmill.work.workload import Demand, fixed_demand

__all__ = ["Setup", "predict_serving", "setup_of"]

Scalar = Any
_SINGLE_USER = ("llama.cpp", "ollama", "exllama", "exllamav2", "mlc-llm")
_GRID = np.unique(np.round(np.geomspace(1.0, 4096.0, 64)))


@dataclass(frozen=True, slots=True)
class Setup:
    """A row as a case, a layout and how many instances share the load."""

    case: Case
    layout: Layout
    replicas: float
    demand: Demand
    concurrency: float  # requests in flight over all replicas; 0 = unknown
    tokens_per_step: float  # > 1 with speculative decoding


@lru_cache(maxsize=1)
def _datasets() -> Calibration:
    return load.calibration("dataset-lengths")


def _length(point: Point, side: str) -> float:
    """Mean prompt or output tokens: the row's own, else those of its data set."""
    own = point.number("isl_mean" if side == "prompt" else "osl_mean")
    if own == own and own >= 1:
        return own
    known = _datasets().figures
    return known.get(f"{point.text('length_shape')}/{side}", known[f"other/{side}"]).value


def _engine_of(point: Point) -> Engine:
    name = point.text("engine", "vllm").removeprefix("dynamo+")
    try:
        return engine(name)
    except UnknownName:
        return engine("vllm")


def _layout_of(point: Point, gpus: int, single_user: bool) -> tuple[Layout, float]:
    """(layout of one instance, instances) of a row; blanks mean tensor parallel over all GPUs."""
    if single_user:
        return Layout(1, gpus), 1.0  # layers are split, one GPU works at a time
    tp = point.count("tp", 0) or 0
    pp = point.count("pp", 1)
    shared = point.flag("dp_attention")
    dp = point.count("dp", 1) if shared else 1
    if not point.text("tp"):
        tp = 1 if point.text("load") in ("offline", "rate") and not point.text("dp") else gpus
        tp = max(tp, 1)
    if shared and dp == 1 and gpus >= tp * pp:
        # "attention data parallel" without a degree: every tensor rank is a data-parallel one
        dp, tp = tp, 1
    one = Layout(tp, pp, dp, min(point.count("ep", 1), tp * dp))
    return one, max(gpus / one.gpus, 1.0)


def setup_of(point: Point) -> Setup:
    """The configuration and load that a row describes.

    Raises: UnknownName for a GPU or model that is not on record, BadRecord for bad cells.
    """
    where = platform(point.text("gpu"))
    model, arch = language_model(point.text("model"))
    runs_on = _engine_of(point)
    gpus = point.count("n_gpus", 1)
    # Ollama and llama.cpp ship their models in Q4_K_M unless asked otherwise
    usual = "q4_k_m" if runs_on.name in ("ollama", "llama.cpp") else model.native_dtype or "bf16"
    weights = weight_format(point.text("weight_dtype", usual))
    # TensorRT-LLM quantises the cache together with the weights
    small = weights.attention == "fp8" and runs_on.name == "tensorrt-llm"
    cache = cache_format(point.text("kv_dtype", "fp8" if small else "bf16"))
    case = Case(where, model, arch, weights, cache, runs_on)
    layout, replicas = _layout_of(point, gpus, runs_on.name in _SINGLE_USER)
    if point.text("mode") == "disaggregated" and point.text("decode_gpus"):
        replicas = max(point.number("decode_gpus") / layout.gpus, 1.0)
    demand = fixed_demand(_length(point, "prompt"), _length(point, "output"))
    if not point.text("tp") and layout.pp == 1 and gpus > 1:
        layout, replicas = _best_split(case, demand, gpus)
    steps = _speculation(point.text("speculative"))
    return Setup(case, layout, replicas, demand, point.number("concurrency", 0.0), steps)


def _best_split(case: Case, demand: Demand, gpus: int) -> tuple[Layout, float]:
    """Where no degree is stated: the split over all GPUs that serves the most."""
    best: tuple[float, Layout] | None = None
    for tp in (1, 2, 4, 8, 16):
        trial = Layout(tp)
        if tp > gpus or refusal(case.arch, trial):
            continue
        state = _states(Setup(case, trial, gpus / tp, demand, 0.0, 1.0), closed=True)[0]
        rate = float(state.requests_per_s.max()) / tp
        if best is None or rate > best[0]:
            best = (rate, trial)
    chosen = best[1] if best else Layout(gpus)
    return chosen, max(gpus / chosen.gpus, 1.0)


def _speculation(method: str) -> float:
    """Tokens per decode step with a draft, as its publication reports acceptance."""
    known = _datasets().figures
    return known[f"speculation/{method}"].value if f"speculation/{method}" in known else 1.0


def predict_serving(point: Point) -> dict[str, float]:
    """Every serving metric of a row's configuration and load [SI], whether measured or not.

    Raises: UnknownName, BadRecord, Unsupported.
    """
    setup = setup_of(point)
    ways: dict[str, Callable[[Point, Setup], dict[str, float]]] = {
        "single_stream": _single_stream, "static_batch": _static_batch, "offline": _offline,
        "rate": _open_loop,
    }  # fmt: skip
    return ways.get(point.text("load"), _closed_loop)(point, setup)


def _states(setup: Setup, *, closed: bool) -> tuple[Steady, Demand, Scalar]:
    """States of one instance over a grid of batches, clipped to what memory holds."""
    times = setup.case.times((setup.layout,))
    needs, per_sequence, has = memory_need(setup.case, times, setup.demand)
    fits = float(needs[0, 0]) <= has
    # a measured row did run: where our memory says no, what was left out is a cache of one batch
    room = float(np.maximum((has - needs) / per_sequence + 1.0, 1.0)[0, 0]) if fits else 1.0
    most = max(min(room * setup.layout.dp, setup.case.engine.sequences), 1.0)
    grid = np.append(_GRID[most > _GRID], most)
    if not closed:
        grid = np.concatenate(([0.01, 0.1, 0.3, 0.6], grid))
    return steady(times, setup.demand, grid[None, :], closed=closed), setup.demand, grid


def _at(state: Steady, index: Scalar) -> Steady:
    """The state between two grid points, by linear interpolation at a fractional index."""
    low = math.floor(index)
    high = min(low + 1, state.batch.shape[1] - 1)
    part = index - low
    values = []
    for name in Steady.__slots__:
        row = np.broadcast_to(getattr(state, name), state.step_s.shape)[0]
        values.append(np.array([[row[low] * (1.0 - part) + row[high] * part]]))
    return Steady(*values)


def _where(row: Scalar, wanted: float) -> float:
    """Fractional index at which a growing row reaches a value, clipped to the row."""
    grown = np.maximum.accumulate(np.asarray(row, float))
    return float(np.interp(wanted, grown, np.arange(len(grown))))


def _metrics(setup: Setup, state: Steady, rate_per_s: float) -> dict[str, float]:
    demand = setup.demand
    gaps = max(demand.output_mean - 1.0, 0.0)
    steps = setup.tokens_per_step
    result = {
        "requests_per_s": rate_per_s,
        "output_tokens_per_s": rate_per_s * demand.output_mean,
        "total_tokens_per_s": rate_per_s * (demand.output_mean + demand.prompt_mean),
    }
    for name, percentile in (("mean", None), ("p50", 50.0), ("p90", 90.0), ("p99", 99.0)):
        if percentile is None:
            ttft, tpot = float(state.ttft_s[0, 0]), float(state.tpot_s[0, 0])
        else:
            both = tail(state, demand, percentile)
            ttft, tpot = float(both[0][0, 0]), float(both[1][0, 0])
        tpot = tpot / steps
        result |= {f"ttft_{name}_s": ttft, f"tpot_{name}_s": tpot}
        result[f"e2e_{name}_s"] = ttft + tpot * gaps
    result["itl_p50_s"] = float(state.decode_step_s[0, 0])
    share = float(state.mixed_share[0, 0])
    late = float(state.mixed_step_s[0, 0])
    result["itl_p99_s"] = late if share > 0.01 else result["itl_p50_s"]
    return result


def _closed_loop(point: Point, setup: Setup) -> dict[str, float]:
    state, _, _ = _states(setup, closed=True)
    each = setup.concurrency / setup.replicas if setup.concurrency else 1.0
    speed = setup.tokens_per_step
    index = _where(np.minimum(state.batch, state.concurrency)[0], max(each, 1.0))
    here = _at(state, index)
    latency = here.ttft_s[0, 0] + here.tpot_s[0, 0] / speed * (setup.demand.output_mean - 1.0)
    rate = max(each, 1.0) / latency * setup.replicas
    # memory may hold fewer than the users: the rest wait, and the rate is the instance's own
    rate = min(rate, here.requests_per_s[0, 0] * speed * setup.replicas * 1.02)
    result = _metrics(setup, here, float(rate))
    waiting = max(each / (rate / setup.replicas) - latency, 0.0)
    for key in ("ttft_mean_s", "ttft_p50_s", "ttft_p90_s", "ttft_p99_s"):
        result[key] += waiting
    return result


def _open_loop(point: Point, setup: Setup) -> dict[str, float]:
    state, _, _ = _states(setup, closed=False)
    offered = point.number("request_rate_per_s", math.inf) / setup.replicas
    index = _where(state.requests_per_s[0], offered)
    here = _at(state, index)
    rate = min(offered, float(here.requests_per_s[0, 0])) * setup.replicas
    return _metrics(setup, here, rate)


def _offline(point: Point, setup: Setup) -> dict[str, float]:
    """All requests queued at once: the engine runs as many as it can until they are done."""
    state, demand, grid = _states(setup, closed=True)
    requests = point.number("num_requests", math.inf) / setup.replicas
    limit = setup.concurrency / setup.replicas if setup.concurrency else math.inf
    index = _where(grid, min(requests, limit, float(grid[-1])))
    here = _at(state, index)
    rate = float(here.requests_per_s[0, 0])
    result = _metrics(setup, here, rate * setup.replicas)
    if math.isfinite(requests):
        # the last wave drains: the batch empties over one answer's length
        drain = float(here.tpot_s[0, 0]) * demand.output_mean
        span = requests / rate + 0.5 * drain
        for key in ("requests_per_s", "output_tokens_per_s", "total_tokens_per_s"):
            result[key] *= requests / rate / span
        prefill = requests / max(float(1.0 / here.prefill_s[0, 0]), 1e-12)
        result |= {"ttft_mean_s": 0.5 * prefill, "ttft_p50_s": 0.5 * prefill,
                   "ttft_p99_s": 0.99 * prefill}  # fmt: skip
    return result


def _static_batch(point: Point, setup: Setup) -> dict[str, float]:
    """One batch, prefilled together and decoded to the end."""
    times = setup.case.times((setup.layout,))
    demand = setup.demand
    batch = max(setup.concurrency / setup.replicas, 1.0)
    prefill, decode = _batch_times(times, demand, batch)
    gaps = max(demand.output_mean - 1.0, 0.0)
    e2e = prefill + decode * gaps + setup.case.engine.request_s
    rate = batch / e2e * setup.replicas
    return {
        "ttft_mean_s": prefill, "ttft_p50_s": prefill, "tpot_mean_s": decode,
        "tpot_p50_s": decode, "e2e_p50_s": e2e, "requests_per_s": rate,
        "output_tokens_per_s": rate * demand.output_mean,
        "total_tokens_per_s": rate * (demand.output_mean + demand.prompt_mean),
        "prefill_tokens_per_s": batch * demand.prompt_mean / prefill,
        "decode_tokens_per_s": batch / decode,
    }  # fmt: skip


def _batch_times(times: Any, demand: Demand, batch: float) -> tuple[float, float]:
    """(seconds to prefill a batch in one go, seconds of one mean decode step)."""
    chunk, *_ = times.prefill_coefficients()
    prompt = demand.prompt_mean
    one = times.prefill_attention_s(prompt, 0.0) - chunk
    prefill = times.linear_s(prompt * batch) + times.sequence_s(batch) + chunk + one * batch
    decode = times.decode_step_s(np.array([[batch]]), demand.context_mean)
    return float(np.ravel(prefill)[0]), float(np.ravel(decode)[0])


def _single_stream(point: Point, setup: Setup) -> dict[str, float]:
    """Two separate tests, as llama.cpp's bench runs them: a prompt, and a generation."""
    times = setup.case.times((setup.layout,))
    demand = setup.demand
    prefill, _ = _batch_times(times, demand, 1.0)
    context = (
        demand.output_mean / 2.0 if math.isnan(point.number("ttft_mean_s")) else demand.context_mean
    )
    decode = float(np.ravel(times.decode_step_s(np.array([[1.0]]), context))[0])
    return {
        "prefill_tokens_per_s": demand.prompt_mean / prefill,
        "decode_tokens_per_s": 1.0 / decode,
        "ttft_mean_s": prefill + setup.case.engine.request_s,
        "ttft_p50_s": prefill + setup.case.engine.request_s,
        "tpot_mean_s": decode,
        "output_tokens_per_s": 1.0 / decode,
    }
