"""From a point of the closed form to an Outcome: one layout, one batch, told in full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from tokenmill.catalog.figure import KINDS, Figure
from tokenmill.errors import DoesNotFit, NoPeak
from tokenmill.physics.arithmetic import arithmetic
from tokenmill.physics.chip import Chip
from tokenmill.placement import memory
from tokenmill.placement.energy import gpu_watts, machine_watts, parts_joules
from tokenmill.placement.layout import Layout
from tokenmill.placement.parts import Part
from tokenmill.placement.steps import StepTimes
from tokenmill.simulator.cases import Case, loaded_bytes, memory_need
from tokenmill.simulator.estimate import Steady, held, steady, tail
from tokenmill.simulator.outcome import (
    Distribution,
    FigureUse,
    MemoryUse,
    OperationShare,
    Outcome,
)
from tokenmill.work.workload import PERCENTILES, Demand

__all__ = [
    "breakdown", "decode_parts", "figures_used", "latencies", "limiting", "memory_use",
    "outcome", "prefill_parts",
]  # fmt: skip

Scalar = Any
_SPARSEST = 1e-4  # sequences decoding at once: an instance that is all but idle


def latencies(state: Steady, demand: Demand) -> tuple[Distribution, Distribution, Distribution]:
    """TTFT, TPOT and E2E over requests [s], of a state with a single point."""
    ttft, tpot, e2e = [_first(state.ttft_s)], [_first(state.tpot_s)], []
    gaps = max(demand.output_mean - 1.0, 0.0)
    e2e.append(ttft[0] + tpot[0] * gaps)
    for at, percentile in enumerate(PERCENTILES):
        first, each = (_first(x) for x in tail(state, demand, percentile))
        ttft.append(first)
        tpot.append(each)
        # a long answer, or a slow start: the tails of both seldom meet
        long_answer = ttft[0] + tpot[0] * max(demand.output_quantiles[at] - 1.0, 0.0)
        e2e.append(max(long_answer, first + tpot[0] * gaps) if at else long_answer)
    return _distribution(ttft), _distribution(tpot), _distribution(e2e)


def _distribution(values: list[float]) -> Distribution:
    """Mean and percentiles; a percentile is never below the one before it."""
    mean, *rest = values
    return Distribution(mean, *np.maximum.accumulate(rest).tolist())


def _first(value: Scalar) -> float:
    return float(np.ravel(value)[0])


def breakdown(times: StepTimes, parts: Iterable[Part]) -> tuple[OperationShare, ...]:
    """The operations of a step, the longest first, and how near the roofline each runs.

    Parameters: times and parts of a single layout and batch.
    """
    chip, fabric = times.chip, times.fabric
    rows: dict[str, list[float]] = {}
    for part in parts:
        peak = _peak(chip, part.dtype)
        ideal = (
            _first(part.flop) / peak,
            _first(part.memory_bytes) / chip.memory_bytes_per_s,
            _first(part.link_bytes) / fabric.link_bytes_per_s,
        )
        row = rows.setdefault(part.name, [0.0, 0.0, 0.0, 0.0, 0.0])
        seconds = _first(part.seconds)
        for index, value in enumerate((seconds, *ideal, max(ideal))):
            row[index] += value
    total = sum(row[0] for row in rows.values()) or 1.0
    shares = [
        OperationShare(name, row[0], row[0] / total, min(row[4] / row[0], 1.0) if row[0] else 1.0,
                       _bound(name, row))
        for name, row in rows.items() if row[0] > 0
    ]  # fmt: skip
    return tuple(sorted(shares, key=lambda share: -share.seconds))


def _peak(chip: Chip, dtype: str) -> float:
    """The peak that bounds a part [FLOP/s]; infinite for links, the host and what has none."""
    try:
        return chip.flop_per_s(dtype)
    except NoPeak:
        return float("inf")


def _bound(name: str, row: list[float]) -> str:
    """What an operation waits for; below a fifth of its roofline it is the launch or the host."""
    seconds, compute, memory, network, _ = row
    if name == "host":
        return "host"
    if network > max(compute, memory):
        return "network"
    if max(compute, memory) < 0.2 * seconds:
        return "launch"
    return "compute" if compute > memory else "memory"


_WORDS = {
    "compute": "arithmetic (tensor cores)",
    "memory": "memory bandwidth",
    "network": "links between GPUs",
    "launch": "kernel launches",
    "host": "the host (CPU and engine overhead)",
}


def limiting(shares: tuple[OperationShare, ...], state: Steady, *, at_memory_limit: bool) -> str:
    """The limiting resource in words."""
    weight: dict[str, float] = {}
    for share in shares:
        weight[share.bound] = weight.get(share.bound, 0.0) + share.share
    bound, part = max(weight.items(), key=lambda item: item[1])
    text = f"{_WORDS[bound]}: {part:.0%} of a decode step"
    if _first(state.prefill_load) > 0.6:
        text += f"; prefill takes {_first(state.prefill_load):.0%} of the time"
    if at_memory_limit:
        text += "; memory for the KV cache bounds the batch"
    return text


@lru_cache(maxsize=512)
def outcome(
    case: Case, layout: Layout, demand: Demand, replicas: int, *, batch: float | None = None,
    running: float | None = None,
) -> Outcome:  # fmt: skip
    """The Outcome of `replicas` equal instances that share a demand.

    Parameters: case; layout of one instance; demand over all replicas; batch [sequences], to fix
    the running batch of an instance whatever the load; running [sequences], the batch that the
    load keeps, where the caller has looked it up already.
    Returns: an Outcome without money and intervals, which higher floors add.
    Raises: DoesNotFit where one GPU's memory is short.
    """
    times = case.times((layout,))
    needs, per_sequence, has = memory_need(case, times, demand)
    if float(needs[0, 0]) > has:
        raise DoesNotFit(
            f"{case.model.slug} in {case.weights.name} as {layout} on {case.platform.name}",
            float(needs[0, 0]), has, change="use more GPUs, smaller weights or shorter requests",
        )  # fmt: skip
    room = (float((has - needs)[0, 0]) / float(per_sequence[0, 0]) + 1.0) * layout.dp
    most = max(min(room, float(case.engine.sequences)), 1.0)
    offered = (demand.rate_per_s or demand.concurrency) / replicas
    closed = demand.rate_per_s == 0
    wanted = batch if batch is not None else running
    if wanted is None:
        wanted = _batch(times, demand, offered, most, closed=closed)
    state = steady(times, demand, np.array([[wanted]]), closed=closed)
    full = _first(state.requests_per_s)
    fixed, queued_s, notes = closed or batch is not None, 0.0, tuple[str, ...]()
    overloaded = not fixed and wanted >= most and offered > full
    rate = full if fixed or overloaded else offered
    busy = min(rate / full, 1.0) * _first(state.busy)
    if overloaded:
        notes = (f"overloaded: {offered * replicas:.4g} requests/s come, {full * replicas:.4g} "
                 "can be done; queues grow, and latencies are those without a queue",)  # fmt: skip
    elif closed and batch is None:  # who finds no place waits for one (Little's law)
        queued_s = max(offered - _first(state.concurrency), 0.0) / rate
    full_memory = wanted >= most and room <= case.engine.sequences
    answer = _assemble(case, layout, demand, replicas, times, state, rate, busy, full_memory)
    return replace(
        answer, ttft_s=answer.ttft_s.later(queued_s), e2e_s=answer.e2e_s.later(queued_s),
        notes=notes,
    )  # fmt: skip


def _batch(times: StepTimes, demand: Demand, offered: float, most: float, *, closed: bool) -> float:
    """Sequences decoding at once under an offered load: a rate, or requests in flight."""
    grid = np.geomspace(_SPARSEST, max(float(times.engine.sequences), most), 64)
    state = steady(times, demand, grid[None, :], closed=closed)
    row = (state.concurrency if closed else state.requests_per_s)[0]
    return min(held(offered, row, grid), most)


def _assemble(
    case: Case, layout: Layout, demand: Demand, replicas: int, times: StepTimes, state: Steady,
    rate: float, busy: float, at_memory_limit: bool,
) -> Outcome:  # fmt: skip
    ttft, tpot, e2e = latencies(state, demand)
    batch, chunk = _first(state.batch), _first(state.chunk_tokens)
    decode = tuple(decode_parts(times, max(batch, 1.0), demand.context_mean))
    prefill = tuple(prefill_parts(times, chunk, (demand.prompt_mean - chunk) / 2.0))
    power = case.platform.power
    busy_w = _first(gpu_watts(
        power, parts_joules(power, decode), parts_joules(power, prefill), state.chunks_per_step,
        state.step_s,
    ))  # fmt: skip
    draw = busy_w * busy + power.idle_w * (1.0 - busy)
    decode_shares = breakdown(times, decode)
    gpus = layout.gpus * replicas
    watts = machine_watts(case.platform.node, case.platform.machine_gpus, gpus, draw)
    output = rate * replicas * demand.output_mean
    figures = figures_used(case)
    return Outcome(
        model=case.model.slug, hardware=case.platform.name,
        accelerator=case.platform.accelerator.slug, layout=str(layout),
        weights=case.weights.name, cache=case.cache.name, engine=case.engine.name,
        gpus=gpus, replicas=replicas, batch=batch, ttft_s=ttft, tpot_s=tpot, e2e_s=e2e,
        requests_per_s=rate * replicas, input_tokens_per_s=rate * replicas * demand.prompt_mean,
        output_tokens_per_s=output, utilisation=busy,
        memory=memory_use(case, times, layout, demand, batch), gpu_watts=draw, watts=watts,
        joules_per_output_token=watts / output,
        limiting=limiting(decode_shares, state, at_memory_limit=at_memory_limit),
        prefill=breakdown(times, prefill), decode=decode_shares, figures=figures,
        kind=max((use.kind for use in figures), key=KINDS.index),
    )  # fmt: skip


def memory_use(
    case: Case, times: StepTimes, layout: Layout, demand: Demand, batch: float
) -> MemoryUse:
    """What one GPU's memory holds with `batch` mean sequences in the instance."""
    engine, grid = case.engine, times.grid
    weights, work = loaded_bytes(case, grid, demand)
    cache = memory.cache_size(case.arch, case.cache, grid).of(
        demand.context_mean, batch / layout.dp
    )
    capacity = case.platform.chip.memory_bytes
    return MemoryUse(
        weights_bytes=_first(weights),
        cache_bytes=_first(cache),
        workspace_bytes=_first(work),
        reserve_bytes=engine.reserve_bytes + capacity * (1.0 - engine.memory_share),
        capacity_bytes=capacity,
    )


def decode_parts(times: StepTimes, batch: float, context: float) -> Iterable[Part]:
    """The parts of a step that only decodes `batch` sequences of `context` tokens."""
    one = np.array([[batch]])
    yield from times.linear_parts(one)
    yield from times.sequence_parts(one)
    yield times.attention_part(one, context)


def prefill_parts(times: StepTimes, tokens: float, context: float) -> Iterable[Part]:
    """The parts of a step that prefills one chunk of `tokens` after `context` tokens."""
    yield from times.linear_parts(np.array([[tokens]]))
    yield times.prefill_part(np.array([[tokens]]), context)


def figures_used(case: Case) -> tuple[FigureUse, ...]:
    """The catalogue figures that a prediction rests on."""
    accelerator = case.platform.accelerator
    picked: list[tuple[str, str, Figure]] = [
        (accelerator.slug, key, accelerator.figures[key])
        for key in ("memory", "memory_bandwidth", "tdp", "nvlink_bandwidth", "pcie_bandwidth")
        if key in accelerator.figures
    ]
    kinds = {arithmetic(case.platform.chip, name).peak
             for name in (case.weights.attention, case.weights.experts)}  # fmt: skip
    picked += [(accelerator.slug, key, accelerator.peaks[key])
               for key in sorted(kinds) if key in accelerator.peaks]  # fmt: skip
    picked += [(case.model.slug, key, item) for key, item in case.model.published.items()]
    record = case.engine.record
    picked += [(record.slug, key, record.figures[key]) for key in ("host_step", "host_sequence")]
    return tuple(
        FigureUse(
            slug, key, item.value, item.low, item.high, item.dimension, item.kind, item.source
        )
        for slug, key, item in picked
    )
