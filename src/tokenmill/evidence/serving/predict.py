"""Predict a measured serving row: the same configuration under the same load."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tokenmill.evidence.points import Point
from tokenmill.evidence.serving.replay import (
    Replay,
    best_split,
    closed_loop,
    drained,
    open_loop,
    saturated,
)
from tokenmill.evidence.serving.setups import SINGLE_USER, Setup, room, setup_of, spilled_bytes
from tokenmill.placement.engines import Engine

__all__ = ["predict_serving", "predict_setup"]

Scalar = Any
_TIGHT = 1.05  # a batch that overruns our memory by less than this did fit where it was measured
_PEAK = 2.5  # deviations from the mean load to the highest of a test
_SETTLED = 6.0  # waves of a test whose start and end are cut off
_PERCENTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


def predict_serving(
    point: Point, tune: Callable[[Engine], Engine] | None = None
) -> dict[str, float]:
    """Every serving metric of a row's configuration and load [SI], whether measured or not.

    Parameters: point; tune, what to change in its engine, for fits.
    Raises: UnknownName, BadRecord, Unsupported.
    """
    setup = setup_of(point, tune) if tune else setup_of(point)
    gpus = point.count("n_gpus", 1)
    if not point.text("tp") and setup.layout.pp == 1 and gpus > 1:
        setup = best_split(setup, gpus)
    return predict_setup(point, setup)


def predict_setup(point: Point, setup: Setup) -> dict[str, float]:
    """The metrics of a row whose configuration is known. Raises: BadRecord."""
    ways: dict[str, Callable[[Point, Setup], dict[str, float]]] = {
        "single_stream": _single_stream, "static_batch": _static_batch, "offline": _offline,
        "rate": _rate,
    }  # fmt: skip
    return ways.get(point.text("load"), _concurrency)(point, setup)


def _concurrency(point: Point, setup: Setup) -> dict[str, float]:
    users = max(setup.concurrency, 1.0)
    if setup.client.peaks and int(users) & (int(users) - 1):
        # the highest of a Poisson load's numbers inside, some deviations above their mean
        users = (0.5 * (math.sqrt(_PEAK**2 + 4.0 * users) - _PEAK)) ** 2
        users = float(max(round(users), 1))
        setup = replace(setup, concurrency=users)
    requests = point.number("num_requests", users * setup.client.waves)
    return _metrics(setup, closed_loop(setup, users, requests))


def _rate(point: Point, setup: Setup) -> dict[str, float]:
    offered = point.number("request_rate_per_s")
    if setup.client.steady or not offered > 0:  # the highest rate that a server could take
        most = saturated(setup)
        able = most.steady_per_s * setup.client.server_share
        rate = min(able, offered * setup.client.beams) if offered > 0 else able
        return _metrics(setup, replace(most, requests_per_s=rate))
    requests = point.number("num_requests", 1000.0)
    return _metrics(setup, open_loop(setup, offered, requests))


def _offline(point: Point, setup: Setup) -> dict[str, float]:
    """All requests queued at once; a steady state where their number is not stated."""
    requests = point.number("num_requests", math.nan)
    if requests == requests:
        return _metrics(setup, drained(setup, requests))
    if setup.client.steady and setup.concurrency:
        users = setup.concurrency
        seen = closed_loop(setup, users, _SETTLED * users)
        return _metrics(setup, replace(seen, requests_per_s=seen.steady_per_s))
    seen = saturated(setup)
    if setup.client.steady:
        seen = replace(seen, requests_per_s=seen.steady_per_s)
    return _metrics(setup, seen)


def _rates(setup: Setup, requests_per_s: float) -> dict[str, float]:
    demand = setup.demand
    requests_per_s = requests_per_s / setup.client.beams
    return {
        "requests_per_s": requests_per_s,
        "output_tokens_per_s": requests_per_s * demand.output_mean,
        "total_tokens_per_s": requests_per_s * (demand.output_mean + demand.prompt_mean),
    }


def _metrics(setup: Setup, seen: Replay) -> dict[str, float]:
    result = _rates(setup, seen.requests_per_s)
    for key, values in (("ttft", seen.ttft_s), ("tpot", seen.tpot_s), ("e2e", seen.e2e_s)):
        result[f"{key}_mean_s"] = seen.mean(values)
        result |= {f"{key}_{name}_s": seen.quantile(values, at) for name, at in _PERCENTILES}
    result["prefill_tokens_per_s"] = result["requests_per_s"] * setup.demand.prompt_mean
    result["decode_tokens_per_s"] = result["output_tokens_per_s"]
    result["gpu_power_w"] = seen.watts
    result["energy_j_per_output_token"] = seen.watts / result["output_tokens_per_s"]
    return result | _gaps(setup, seen, result["tpot_mean_s"] * seen.step_tokens)


def _gaps(setup: Setup, seen: Replay, mean_s: float) -> dict[str, float]:
    """Gaps between streamed chunks [s]; none where no second token was made."""
    steps = setup.client.stream_steps
    quick, slow = seen.gaps.quantile_s(0.25), seen.gaps.quantile_s(0.99)
    if quick != quick:
        return {}
    if steps <= 1.0:
        return {f"itl_{name}_s": seen.gaps.quantile_s(at) for name, at in _PERCENTILES}
    quick = min(quick, mean_s)
    share = (mean_s - quick) / max(slow - quick, mean_s - quick, 1e-12)
    return _chunk_gaps(quick, max(slow, mean_s), share, steps)


def _chunk_gaps(quick_s: float, slow_s: float, share: float, steps: float) -> dict[str, float]:
    """Gaps between streamed chunks of `steps` steps, of which a share is slowed by a prefill."""
    meetings = share * steps

    def slowed(at: float) -> float:
        """Slow steps in a chunk that a share `at` of the chunks does not exceed (Poisson)."""
        term = reached = math.exp(-meetings)
        count = 0
        while reached < at and count < steps:
            count += 1
            term *= meetings / count
            reached += term
        return count

    return {
        f"itl_{name}_s": steps * quick_s + slowed(at) * (slow_s - quick_s)
        for name, at in _PERCENTILES
    }


def _static_batch(point: Point, setup: Setup) -> dict[str, float]:
    """One batch, prefilled together and decoded to the end, measured inside the engine's process.

    A batch that memory cannot hold at once is served like any other queue.
    """
    setup = replace(setup, case=replace(setup.case, engine=replace(setup.case.engine, request_s=0)))
    demand = setup.demand
    batch = max(setup.concurrency / setup.replicas, 1.0)
    if batch * demand.longest > room(setup) * demand.context_mean * _TIGHT:
        return _metrics(setup, drained(setup, batch * setup.replicas))
    times = setup.case.times((setup.layout,))
    made = min(demand.output_mean, setup.client.ends_at or demand.output_mean)
    prefill, decode = _batch_times(times, demand.prompt_mean, made, batch)
    e2e = prefill + decode * max(made - 1.0, 0.0)
    result = _rates(setup, batch / e2e * setup.replicas)
    result |= {f"ttft_{name}_s": prefill for name in ("mean", "p50")}
    result |= {f"tpot_{name}_s": decode for name in ("mean", "p50")}
    return result | {"e2e_p50_s": e2e, "e2e_p99_s": e2e}


def _batch_times(times: Any, prompt: float, output: float, batch: float) -> tuple[float, float]:
    """(prefill of all prompts together, mean decode step) of a batch [s]."""
    rows = np.array([[batch * prompt]])
    count = np.array([[batch]])
    once_s = times.prefill_launch_s
    prefill = (
        times.linear_s(rows) + times.sequence_s(count) + once_s
        + batch * (times.prefill_attention_s(prompt, 0.0) - once_s)
    )  # fmt: skip
    decode = times.decode_step_s(count, prompt + output / 2.0)
    return max(float(np.ravel(prefill)[0]), times.prefill_floor_s), float(np.ravel(decode)[0])


def _single_stream(point: Point, setup: Setup) -> dict[str, float]:
    """Prompt processing and generation as separate tests, one request at a time."""
    times = setup.case.times((setup.layout,))
    demand, engine = setup.demand, setup.case.engine
    spilled = spilled_bytes(setup) if engine.spill_bytes_per_s else 0.0
    prefill = _prefill_s(setup, times, demand.prompt_mean)
    # llama-bench generates from an empty context; other reports decode after their prompt
    empty = point.text("load") == "single_stream" and engine.name in SINGLE_USER
    start = 0.0 if empty and not point.text("ttft_mean_s") else demand.prompt_mean
    decode = float(np.ravel(
        times.decode_step_s(np.array([[1.0]]), start + demand.output_mean / 2.0)
    )[0])  # fmt: skip
    if spilled:  # read by the host for each token, sent to the GPU for each chunk of a prompt
        decode += spilled / engine.spill_bytes_per_s
        chunks = math.ceil(demand.prompt_mean / engine.step_tokens)
        prefill += spilled / setup.case.platform.fabric.link_bytes_per_s * chunks
    ttft = prefill + engine.request_s
    result = {f"tpot_{name}_s": decode for name in ("mean", "p50", "p90", "p99")}
    result |= {f"ttft_{name}_s": ttft for name in ("mean", "p50", "p90", "p99")}
    return result | {
        "prefill_tokens_per_s": demand.prompt_mean / prefill,
        "decode_tokens_per_s": 1.0 / decode,
        "output_tokens_per_s": 1.0 / decode,
    }


def _prefill_s(setup: Setup, times: Any, prompt: float) -> float:
    """A prompt in chunks of the engine's step, which follow each other through the stages [s]."""
    engine, stages = setup.case.engine, setup.layout.pp
    size = float(engine.step_tokens)
    starts = np.arange(0.0, prompt, size)
    lengths = np.minimum(size, prompt - starts)[None, :]
    chunk_s = (
        times.linear_s(lengths * stages) + times.prefill_attention_s(lengths, starts)
    )[0]  # fmt: skip
    chunk_s = np.maximum(chunk_s, times.prefill_floor_s)
    # the first chunk passes all stages, each later one leaves the last a stage's time after it
    # where the engine keeps its stages busy, and follows it through all of them where it does not
    pace = 1.0 - engine.pipelining * (1.0 - 1.0 / min(float(stages), engine.in_flight))
    piped = float(chunk_s[0] + chunk_s[1:].sum() * pace)
    return piped + float(np.ravel(times.sequence_s(np.array([[1.0]])))[0])
