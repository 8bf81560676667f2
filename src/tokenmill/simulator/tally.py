"""From what the engine left behind to what a person asks: watts, shares, an Outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenmill.catalog.figure import KINDS
from tokenmill.placement.energy import machine_watts
from tokenmill.placement.platform import Platform
from tokenmill.simulator.describe import (
    breakdown,
    decode_parts,
    figures_used,
    limiting,
    memory_use,
    prefill_parts,
)
from tokenmill.simulator.estimate import steady
from tokenmill.simulator.load import Load
from tokenmill.simulator.outcome import Distribution, Outcome
from tokenmill.simulator.played import Played, Series
from tokenmill.simulator.policies import Bound, Pool
from tokenmill.simulator.service import Service
from tokenmill.simulator.simulated import (
    Counts,
    PerRequest,
    Served,
    Slo,
    Timeline,
    distribution,
)
from tokenmill.work.traffic import Floats
from tokenmill.work.workload import PERCENTILES, Demand

__all__ = ["Fleet", "served", "timeline", "wall_watts"]

_MEMORY_BOUND = 0.02  # share of the step time from which memory is said to bound the batch


@dataclass(frozen=True, slots=True)
class Fleet:
    """Services, the demand on each, and their pools: those of service i begin at firsts[i]."""

    services: tuple[Service, ...]
    demands: tuple[Demand, ...]
    pools: tuple[Pool, ...]
    firsts: tuple[int, ...]

    def own(self, number: int) -> range:
        """The pools of a service."""
        ends = (*self.firsts[1:], len(self.pools))
        return range(self.firsts[number], ends[number])

    def gpus(self) -> Floats:
        """GPUs of one replica of each pool."""
        return np.array([layout.gpus for s in self.services for layout in s.layouts], float)


def wall_watts(fleet: Fleet, played: Played) -> list[float]:
    """Mean power at the wall [W] of the machines of each service."""
    energy_j = np.bincount(
        played.replicas.pool, weights=played.replicas.energy_j, minlength=len(fleet.pools)
    )
    on_s = _on_s(fleet, played)
    found = []
    for number, service in enumerate(fleet.services):
        host_w, factor = _machine(service.case.platform)
        own = fleet.own(number)
        gpu_s = sum(on_s[pool] * fleet.gpus()[pool] for pool in own)
        wall_j = host_w * gpu_s + factor * sum(energy_j[pool] for pool in own)
        found.append(float(wall_j / played.end_s) if played.end_s > 0 else 0.0)
    return found


def _machine(platform: Platform) -> tuple[float, float]:
    """Power at the wall of a machine's share for one GPU: (at 0 W [W], added per watt [1])."""
    host_w = machine_watts(platform.node, platform.machine_gpus, 1, 0.0)
    return host_w, machine_watts(platform.node, platform.machine_gpus, 1, 1.0) - host_w


def _on_s(fleet: Fleet, played: Played) -> Floats:
    """Seconds that replicas of each pool were switched on, summed over them.

    What a replica draws beside its work is the idle power of the time that it was on.
    """
    replicas = played.replicas
    idle_w = np.array([fleet.pools[pool].table.idle_w for pool in replicas.pool])
    spare_j = replicas.energy_j - replicas.work_j
    idle_s = np.divide(spare_j, idle_w, out=np.zeros_like(spare_j), where=idle_w > 0)
    on_s = np.bincount(replicas.pool, weights=replicas.busy_s + idle_s, minlength=len(fleet.pools))
    return np.asarray(on_s, dtype=float)


def timeline(fleet: Fleet, series: Series) -> Timeline:
    """The engine's samples summed over pools, in watts and shares."""
    blocks = np.array([pool.scheduling.kv_blocks for pool in fleet.pools], float)
    serving = series.serving.astype(float)
    there = np.maximum((serving * blocks).sum(axis=1), 1.0)
    gpu_watts = series.power_w
    watts = np.zeros(len(series.time_s))
    for number, service in enumerate(fleet.services):
        host_w, factor = _machine(service.case.platform)
        for pool in fleet.own(number):
            gpus_on = serving[:, pool] * fleet.gpus()[pool]
            watts += host_w * gpus_on + factor * gpu_watts[:, pool]
    return Timeline(
        time_s=series.time_s, running=series.batch.sum(axis=1).astype(float),
        waiting=series.queue.sum(axis=1).astype(float),
        kv_share=np.minimum(series.kv_blocks.sum(axis=1) / there, 1.0),
        serving=serving.sum(axis=1), gpu_watts=gpu_watts.sum(axis=1), watts=watts,
    )  # fmt: skip


def served(
    fleet: Fleet, number: int, load: Load, each: PerRequest, slo: Slo, watts: float
) -> Served:
    """How one service did; watts [W] of its machines at the wall."""
    played = each.played
    mine = load.service == number
    own = list(fleet.own(number))
    of_pools = np.isin(played.replicas.pool, own)
    counts = Counts.of(played, mine)
    inside = int((each.within(slo) & mine).sum())
    span_s = _span_s(each, mine)
    prompts = played.replicas.prefill_tokens[of_pools].sum()
    cached = played.replicas.cached_tokens[of_pools].sum()
    blocks = sum(fleet.pools[i].scheduling.kv_blocks * fleet.pools[i].most_replicas for i in own)
    held = played.series.kv_blocks[:, own].sum(axis=1)
    return Served(
        name=fleet.services[number].label,
        outcome=_outcome(fleet, number, each, mine, watts, span_s),
        counts=counts,
        itl_s=_gaps(each, own, mine),
        queue_s=distribution(each.queue_s[mine]),
        within_slo=inside / max(counts.requests - counts.running, 1),
        goodput_per_s=inside / span_s,
        joules_per_request=watts * played.end_s / max(counts.done, 1),
        prefix_hits=float(cached / max(prompts + cached, 1)),
        kv_peak=float(held.max(initial=0) / blocks),
        waits=_waits(played.replicas.bound_s[of_pools].sum(axis=0)),
    )


def _span_s(each: PerRequest, mine: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """From the first request of a service to the end of its last one [s]."""
    sent = each.sent_s[mine]
    known = sent[~np.isnan(sent)]
    if len(known) == 0:
        return max(each.played.end_s, 1e-12)
    return max(each.played.end_s - float(known.min()), 1e-12)


def _waits(bound_s: Floats) -> dict[str, float]:
    total_s = float(bound_s.sum()) or 1.0
    return {kind.name.lower(): float(bound_s[kind]) / total_s for kind in Bound}


def _gaps(
    each: PerRequest, pools: Sequence[int], mine: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Distribution:
    """Gaps between tokens: the mean exact, percentiles from the engine's histogram."""
    gaps = each.played.gaps
    merged = type(gaps)(gaps.edges_s, gaps.counts[list(pools)].sum(axis=0, keepdims=True))
    done = mine & each.played.done
    tokens = each.load.requests.output_tokens[done] - 1.0
    spent_s = (each.e2e_s - each.ttft_s)[done]
    # the last bin has no upper edge; no gap is longer than all the gaps of its request
    longest_s = float(spent_s.max(initial=0.0)) if len(spent_s) else float("nan")
    spread_s = [min(merged.quantile_s(level / 100.0), longest_s) for level in PERCENTILES]
    total = float(tokens[tokens > 0].sum())
    mean_s = float(spent_s[tokens > 0].sum()) / total if total else float("nan")
    return Distribution(mean_s, *spread_s)


def _outcome(
    fleet: Fleet, number: int, each: PerRequest,
    mine: np.ndarray[tuple[int], np.dtype[np.bool_]], watts: float, span_s: float,
) -> Outcome:  # fmt: skip
    """The same Outcome that the closed form gives, from what happened."""
    service, demand, played = fleet.services[number], fleet.demands[number], each.played
    case, own = service.case, list(fleet.own(number))
    on_s = _on_s(fleet, played)
    last = own[-1]
    of_last = played.replicas.pool == last
    of_own = np.isin(played.replicas.pool, own)
    busy = float(played.replicas.busy_s[of_own].sum() / max(on_s[own].sum(), 1e-12))
    seats = float(fleet.pools[last].scheduling.max_sequences)
    decoding_s, busy_s = _decoding_s(each, mine), played.replicas.busy_s[of_last].sum()
    # sequences that wait for a replica to be mended hold no seat
    batch = min(decoding_s / max(on_s[last], 1e-12), seats)
    running = min(max(decoding_s / max(busy_s, 1e-12), 1.0), seats)
    replicas = [_replicas(fleet, played, pool) for pool in own]
    gpus = sum(count * layout.gpus for count, layout in zip(replicas, service.layouts, strict=True))
    gpu_s = float((on_s[own] * fleet.gpus()[own]).sum())
    times, ahead = case.times((service.layout,)), case.times((service.layouts[0],))
    chunk = min(demand.prompt_mean, max(case.engine.step_tokens - running, 64.0))
    decode = breakdown(times, decode_parts(times, running, demand.context_mean))
    prefill = breakdown(ahead, prefill_parts(ahead, chunk, (demand.prompt_mean - chunk) / 2.0))
    tokens = float(played.generated_tokens[mine].sum())
    done = played.done & mine
    waits = _waits(played.replicas.bound_s[of_own].sum(axis=0))
    figures = figures_used(case)
    return Outcome(
        model=case.model.slug, hardware=case.platform.name,
        accelerator=case.platform.accelerator.slug,
        layout=" → ".join(
            f"{count} × {layout}" if len(own) > 1 else str(layout)
            for count, layout in zip(replicas, service.layouts, strict=True)
        ),
        weights=case.weights.name, cache=case.cache.name, engine=case.engine.name, gpus=gpus,
        replicas=replicas[-1], batch=batch, ttft_s=distribution(each.ttft_s[mine]),
        tpot_s=distribution(each.tpot_s[mine]), e2e_s=distribution(each.e2e_s[mine]),
        requests_per_s=float(done.sum()) / span_s,
        input_tokens_per_s=float(each.load.requests.prompt_tokens[done].sum()) / span_s,
        output_tokens_per_s=tokens / span_s, utilisation=min(busy, 1.0),
        memory=memory_use(case, times, service.layout, demand, running),
        gpu_watts=float(played.replicas.energy_j[of_own].sum()) / max(gpu_s, 1e-12), watts=watts,
        joules_per_output_token=watts * played.end_s / max(tokens, 1.0),
        limiting=limiting(
            decode, steady(times, demand, np.array([[running]])),
            at_memory_limit=waits["memory"] > _MEMORY_BOUND,
        ),
        prefill=prefill, decode=decode, figures=figures,
        kind=max((use.kind for use in figures), key=KINDS.index),
    )  # fmt: skip


def _decoding_s(each: PerRequest, mine: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """Seconds that sequences spent decoding, summed over them, up to the end of the run."""
    first_s = each.played.first_token_s[mine]
    begun = ~np.isnan(first_s)
    until_s = np.where(each.played.done, each.played.done_s, each.played.end_s)[mine]
    return float((until_s - first_s)[begun].sum())


def _replicas(fleet: Fleet, played: Played, pool: int) -> int:
    """Replicas of a pool; the most that served at once where they come and go."""
    if fleet.pools[pool].autoscaling is None:
        return fleet.pools[pool].replicas
    return int(played.series.serving[:, pool].max(initial=1))
