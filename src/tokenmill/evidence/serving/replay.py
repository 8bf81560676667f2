"""A row's load, played: the benchmark client against the event engine, in a few waves.

Closed loops start all users at once and give each the next request after its last; what a table
prints is the mean over all waves, the first one included. Long tests are played for a few waves
and the rest counted as repeats of the later ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.serving.lengths import drawn, variation
from tokenmill.evidence.serving.setups import Draft, Setup, room
from tokenmill.placement import memory
from tokenmill.placement.energy import sampling_watts
from tokenmill.placement.layout import Layout, refusal
from tokenmill.placement.stages import slowed, uneven_stages
from tokenmill.placement.table import StepTable, step_table
from tokenmill.simulator.play import Run, play
from tokenmill.simulator.played import Gaps, Played
from tokenmill.simulator.policies import Batching, Handoff, Pool, Scheduling
from tokenmill.simulator.requests import Requests

__all__ = ["Replay", "best_split", "closed_loop", "drained", "open_loop", "saturated"]

Floats = NDArray[np.float64]

_MOST = 2048  # requests played for one instance
_LEAST_WAVES = 3
_EARLY = 0.2  # share of the requests that end while a queue still fills or already drains
_SETTLED = 5.0  # waves after which a saturated server has long settled
_BLOCK = 16
_BATCHING = {
    "tensorrt-llm": Batching.INFLIGHT_CHUNKED, "sglang": Batching.PREFILL_FIRST,
}  # fmt: skip
# Launches of a draft's own prefill over those of its model: a layer or two, but SGLang runs the
# draft as a model of its own, one step after the other.
_DRAFTED = {"sglang": 1.0}
_DRAFT_LAYERS = 0.05
_MANY = 16.0  # users from which launch scripts set a server up for many
_LONG = 8192.0  # tokens of a step that prefills as fast as any
_TABLES: dict[Any, StepTable] = {}
_KEPT = 256
_SPLITS: dict[Any, Layout] = {}


@dataclass(frozen=True, slots=True)
class Replay:
    """What a client would have seen of one instance.

    ttft_s, tpot_s, e2e_s [s] and weight [1] of each request; requests_per_s [1/s] of the whole
    test and steady_per_s [1/s] without its start and end; watts [W] of all GPUs, likewise; gaps
    between tokens.
    """

    ttft_s: Floats
    tpot_s: Floats
    e2e_s: Floats
    weight: Floats
    requests_per_s: float
    steady_per_s: float
    watts: float
    gaps: Gaps
    step_tokens: float  # tokens of a sequence in a step, above 1 with a draft

    def mean(self, values: Floats) -> float:
        """Mean over the requests of the whole test."""
        return float(np.average(values, weights=self.weight))

    def quantile(self, values: Floats, share: float) -> float:
        """The value that a share of the requests does not exceed."""
        order = np.argsort(values)
        reached = np.cumsum(self.weight[order])
        at = np.searchsorted(reached, share * reached[-1])
        return float(values[order[min(int(at), len(order) - 1)]])


def _kernels(setup: Setup, layout: Layout) -> StepTable:
    """The kernels of an instance's steps, kept for other loads: all but what its host takes."""
    case = setup.case
    tokens, sequences = _limits(setup, layout)
    size = 1 << (tokens - 1).bit_length()  # one table for loads whose budgets differ a little
    bare = replace(
        case.engine, host_step_s=0.0, host_sequence_s=0.0, host_prefill_s=0.0, step_tokens=size
    )
    where = case.platform
    key = (
        where.name,
        where.fabric,
        case.model.slug,
        case.weights.name,
        case.cache.name,
        layout,
        bare,
    )
    if key not in _TABLES:
        if len(_TABLES) > _KEPT:
            _TABLES.clear()
        _TABLES[key] = step_table(
            replace(case, engine=bare).times((layout,)), where.power, max_tokens=size,
            max_sequences=sequences, coarse=True,
        )  # fmt: skip
    return _TABLES[key]


def _table(setup: Setup, layout: Layout) -> StepTable:
    """The step table of an instance: its kernels and its engine's host times."""
    case, engine, demand = setup.case, setup.case.engine, setup.demand
    users = setup.concurrency / _share(setup) or min(room(setup), float(engine.sequences))
    times = case.times((layout,))
    found = _kernels(setup, layout)
    if layout.pp > 1 and not setup.prefill_gpus:
        uneven = uneven_stages(
            times, users, demand.prompt_mean, demand.output_mean, variation(setup.shape, "prompt")
        )
        found = slowed(found, uneven)
    counts = np.arange(len(found.sequence_s)) / layout.dp
    host = engine.host_step_s + engine.host_sequence_s * counts
    power = case.platform.power
    sorting_w = sampling_watts(power, case.platform.chip.memory_bytes_per_s) - power.idle_w
    sorting_j = engine.sampling * engine.host_sequence_s * counts * sorting_w * layout.gpus
    # a step of more tokens than its sequences can decode prefills, and no CUDA graph covers it
    alone = int(users) * (1 + setup.draft.tokens) + 1
    drafted = _DRAFTED.get(engine.name, _DRAFT_LAYERS) if setup.draft.tokens else 0.0
    floor_s = times.prefill_floor_s * (1.0 + drafted)
    # one launch of attention serves all prompts of a step
    once_s = min(times.prefill_launch_s, found.prefill_chunk_s)
    short_s = np.maximum(floor_s - found.linear_s, once_s) / _gathered(setup, users)[1]
    short_s[:alone] = 0.0
    host = host + _guess_s(setup, layout, found)
    return replace(
        found,
        linear_s=found.linear_s + short_s,
        linear_j=found.linear_j + short_s * found.idle_w,
        prefill_chunk_s=found.prefill_chunk_s - once_s,
        prefill_chunk_j=max(found.prefill_chunk_j - once_s * found.idle_w, 0.0),
        sequence_s=found.sequence_s + host,
        sequence_j=found.sequence_j + host * found.idle_w + sorting_j,
    )


def _guess_s(setup: Setup, layout: Layout, found: StepTable) -> Floats | float:
    """What drafts cost a step [s] by sequences: a layer and a head of the model for each token."""
    if not setup.draft.tokens:
        return 0.0
    counts = np.arange(len(found.sequence_s))
    heads = [
        part.seconds for part in setup.case.times((layout,)).sequence_parts(counts[None, :])
        if part.name not in ("host", "sampling")
    ]  # fmt: skip
    layer_s = found.linear_s[counts] / setup.case.arch.layer_count
    return np.asarray(setup.draft.tokens * (layer_s + np.ravel(sum(heads))))


def _limits(setup: Setup, layout: Layout) -> tuple[int, int]:
    """(tokens, sequences) of a step of an instance: each data-parallel rank has its own."""
    engine, tokens = setup.case.engine, setup.case.engine.step_tokens
    spare = setup.client.spare_tokens
    if spare >= 0.0 and not setup.prefill_gpus:
        most = setup.demand.prompt_mean * 2.0 / (1.0 + setup.client.shortest)
        each = setup.concurrency / _share(setup) / layout.dp
        tokens = round(most + spare + each * (1 + setup.draft.tokens))
    return tokens * layout.dp, engine.sequences * layout.dp


def _pool(setup: Setup, layout: Layout, sequences: float, longest: float) -> Pool:
    tokens, most = _limits(setup, layout)
    draft = setup.draft
    held = room(replace(setup, layout=layout)) * setup.demand.context_mean / _BLOCK
    most = max(1, int(min(most, sequences, tokens // (1 + draft.tokens))))
    return Pool(
        "instance", _table(setup, layout),
        Scheduling(
            token_budget=tokens, max_sequences=most,
            kv_blocks=int(max(held, np.ceil(longest / _BLOCK) + 1)), block_tokens=_BLOCK,
            batching=_batching(setup),
            draft_tokens=draft.tokens, acceptance=draft.acceptance,
        ),
    )  # fmt: skip


def _batching(setup: Setup) -> Batching:
    usual = _BATCHING.get(setup.case.engine.name, Batching.CONTINUOUS)
    whole = setup.client.whole_prompts and usual is Batching.INFLIGHT_CHUNKED
    return Batching.INFLIGHT if whole else usual


def _share(setup: Setup) -> float:
    """Instances that the one played stands for: alike ones, or 1 where pools are played whole."""
    return 1.0 if setup.prefill_gpus else setup.replicas


def _pools(setup: Setup, longest: float) -> list[Pool]:
    """One of the alike instances, or prefill instances that feed all decode instances."""
    engine = setup.case.engine
    last = _pool(setup, setup.layout, setup.concurrency or np.inf, longest)
    if not setup.prefill_gpus:
        return [last]
    split = _prefill_layout(setup)
    share = engine.prefill_share if split.ep > 1 else 1.0
    slower = replace(engine, tensor_share=engine.tensor_share * share)
    alone = replace(setup, case=replace(setup.case, engine=slower), layout=split, draft=Draft())
    first = _pool(alone, split, engine.sequences, longest)
    fabric = setup.case.platform.fabric
    joined = setup.prefill_gpus + setup.layout.gpus * setup.replicas <= fabric.domain_gpus
    link = fabric.link_bytes_per_s if joined else fabric.scaleout_bytes_per_s
    link = link or fabric.link_bytes_per_s
    handoff = Handoff("decode", token_s=_token_bytes(setup, split) / link)
    ahead = max(round(setup.prefill_gpus / split.gpus), 1)
    first = replace(first, name="prefill", replicas=ahead, handoff=handoff)
    return [first, replace(last, name="decode", replicas=max(round(setup.replicas), 1))]


def _prefill_layout(setup: Setup) -> Layout:
    """The layout of prefill instances: as stated, else as those that decode, in 8 GPUs."""
    layout = setup.layout
    if setup.prefill and setup.prefill.gpus <= setup.prefill_gpus:
        return setup.prefill
    most = min(setup.prefill_gpus, 8)
    if layout.gpus <= most:
        return layout
    plain = Layout(most, 1, 1, min(layout.ep, most))
    return plain if not refusal(setup.case.arch, plain) else Layout(most)


def _token_bytes(setup: Setup, layout: Layout) -> float:
    grid = setup.case.times((layout,)).grid
    size = memory.cache_size(setup.case.arch, setup.case.cache, grid)
    tokens = setup.demand.prompt_mean
    return float(np.ravel(size.of(tokens))[0]) / tokens


def closed_loop(setup: Setup, users: float, requests: float) -> Replay:
    """A fixed number of users, each of whom sends the next request when the last is answered.

    Parameters: users and requests of the whole test, over all instances.
    """
    rng = np.random.default_rng(0)
    each = max(round(users / _share(setup)), 1)
    waves = max(requests / users, 1.0)
    count = max(round(min(waves, max(_LEAST_WAVES, _MOST / each)) * each), 1)
    prompts, outputs = drawn(setup, count, rng)
    held = _held_s(setup, each, count)
    held[:each] *= setup.layout.dp == 1  # at the start every rank has a prompt
    wait = setup.case.engine.request_s + rng.exponential(setup.client.turnaround_s, count) + held
    arrival = np.concatenate((np.sort(wait[:each]), np.zeros(count)))[:count]
    wanted = Requests(arrival, prompts, outputs, delay_s=wait)
    pools = _pools(setup, float((prompts + outputs).max()))
    result = play(wanted, pools, Run(concurrency=each))
    weight = np.ones(count)
    if waves * each > count > each:
        weight[each:] = (waves - 1.0) * each / (count - each)
    done = np.sort(result.done_s)
    apart_s = _apart_s(done, each)
    span_s = done[-1] + apart_s * max(waves * each - count, 0.0)
    asked = result.arrival_s - setup.case.engine.request_s - held
    stall_s = np.zeros(count)
    if float(prompts[:each].sum()) > setup.client.compile_tokens * setup.layout.dp:
        stall_s[:each] = setup.client.compile_s
    stall_s[:each] += setup.client.warm_s
    span_s += float(stall_s[0])
    seen = _told(
        setup, result, asked - stall_s, outputs, weight, waves * each * _share(setup) / span_s
    )
    late_s = float(done[each - 1]), float(done[max(-each - 1, -len(done))])
    return replace(
        seen, steady_per_s=_share(setup) / apart_s,
        watts=_watts(result, *late_s) * _share(setup),
    )  # fmt: skip


def _held_s(setup: Setup, each: int, count: int) -> Floats:
    """What keeps requests from the queue of an instance after they came [s], array [count].

    Schedulers that look at new requests every so many steps; attention ranks that wait for each
    other, so that all of them prefill in one step, but not longer than a number of steps.
    """
    client = setup.client
    steps = client.intake_busy_steps if each >= _MANY else client.intake_steps
    even = np.random.default_rng(2).permutation(count) / count
    held = even * steps + (0.5 + 0.5 * even) * _gathered(setup, each)[0]
    if not held.any():
        return held
    return np.asarray(held * _step_s(setup, each))


def _gathered(setup: Setup, each: float) -> tuple[float, float]:
    """(steps until every attention rank has a prompt, prompts that then share a step)."""
    dp = setup.layout.dp
    if dp == 1 or setup.prefill_gpus or not setup.client.hold_steps:
        return 0.0, 1.0
    per_step = each * setup.draft.tokens_per_step / setup.demand.output_mean
    every = dp * sum(1.0 / rank for rank in range(1, dp + 1))  # arrivals until all have one
    steps = min(every / per_step, setup.client.hold_steps)
    return steps, max(steps * per_step, 1.0)


def _step_s(setup: Setup, each: float) -> float:
    """Mean time from one decode step of `each` sequences to the next, prefills between them [s]."""
    times, demand = setup.case.times((setup.layout,)), setup.demand
    prompts = each * setup.draft.tokens_per_step / demand.output_mean * demand.prompt_mean
    rows = each * np.array([[1.0 + setup.draft.tokens, 1.0, 1.0]]) + [[0.0, 0.0, _LONG]]
    decoding, short, long = times.linear_s(rows)[0]
    batch = rows[:, :1]
    alone = times.sequence_s(batch) + times.decode_attention_s(batch, demand.context_mean)
    pairs = times.prefill_attention_s(demand.prompt_mean, 0.0) * prompts / demand.prompt_mean
    prefill_s = (long - short) * prompts / _LONG + pairs
    return float(np.ravel(decoding + alone + prefill_s)[0])


def _watts(result: Played, start_s: float, end_s: float) -> float:
    """Mean power of what was played between two times [W]."""
    series = result.series
    inside = (series.time_s > start_s) & (series.time_s <= end_s)
    if inside.sum() < 4:
        return result.energy_total_j / result.end_s
    at = np.flatnonzero(inside)
    span_s = series.time_s[at[-1]] - (series.time_s[at[0] - 1] if at[0] else 0.0)
    return float(series.energy_j[inside].sum() / span_s)


def _apart_s(done: Floats, each: int) -> float:
    """Mean time between two completions from the end of the first wave to the start of the last."""
    if len(done) < 3 * each:
        return float(done[-1] / len(done))
    return float((done[-each - 1] - done[each - 1]) / (len(done) - 2 * each))


def drained(setup: Setup, requests: float) -> Replay:
    """All requests sent at once, and drained to the end."""
    count = max(round(min(requests / _share(setup), 4.0 * _MOST)), 1)
    return _open(setup, np.zeros(count))


def saturated(setup: Setup) -> Replay:
    """A queue far longer than what runs at once, as offline tests have; drained to the end."""
    share = _share(setup)
    held = room(setup) * setup.demand.context_mean / setup.demand.longest
    most = min(held, float(setup.case.engine.sequences * setup.layout.dp))
    users = max(min(setup.concurrency / share or most, most), 1.0)
    return drained(setup, _SETTLED * users * share)


def best_split(setup: Setup, gpus: int) -> Setup:
    """Where no degree is stated: the split over all GPUs that serves the most."""
    case, demand = setup.case, setup.demand
    key = (case.platform.name, case.model.slug, case.weights.name, case.engine, gpus,
           demand.prompt_mean, demand.output_mean)  # fmt: skip
    if key not in _SPLITS:
        trials = [Layout(tp, pp) for pp in (1, 2) for tp in (1, 2, 4, 8) if tp * pp <= gpus]
        legal = [split for split in trials if not refusal(case.arch, split)]
        rates = {}
        for split in legal:
            trial = replace(setup, layout=split, replicas=gpus / split.gpus)
            if room(trial) > 1.0 or split.gpus == gpus:
                rates[split] = saturated(trial).steady_per_s
        _SPLITS[key] = max(rates, key=lambda split: rates[split], default=Layout(gpus))
    chosen = _SPLITS[key]
    return replace(setup, layout=chosen, replicas=max(gpus / chosen.gpus, 1.0))


def open_loop(setup: Setup, rate_per_s: float, requests: float) -> Replay:
    """Requests that come at random times at a mean rate, whatever the server does."""
    count = max(round(min(requests / _share(setup), 2.0 * _MOST)), 1)
    gaps = np.random.default_rng(1).exponential(_share(setup) / rate_per_s, count)
    return _open(setup, np.cumsum(gaps))


def _open(setup: Setup, sent: Floats) -> Replay:
    prompts, outputs = drawn(setup, len(sent), np.random.default_rng(0))
    pools = _pools(setup, float((prompts + outputs).max()))
    result = play(Requests(sent + setup.case.engine.request_s, prompts, outputs), pools, Run())
    rate = len(sent) * _share(setup) / float(np.max(result.done_s) - sent[0])
    seen = _told(setup, result, sent, outputs, np.ones(len(sent)), rate)
    early, late = np.quantile(result.done_s, (_EARLY, 1.0 - _EARLY))
    steady = (1.0 - 2.0 * _EARLY) * len(sent) / max(float(late - early), 1e-9)
    return replace(seen, steady_per_s=max(steady * _share(setup), rate))


def _told(
    setup: Setup, result: Played, asked: Floats, outputs: NDArray[np.int32], weight: Floats,
    rate: float,
) -> Replay:  # fmt: skip
    ttft_s, e2e_s = result.first_token_s - asked, result.done_s - asked
    tpot_s = (result.done_s - result.first_token_s) / np.maximum(outputs - 1, 1)
    if setup.client.unseen:
        hidden = np.random.default_rng(3).permutation(len(asked)) < setup.client.unseen * len(asked)
        tpot_s, e2e_s = np.where(hidden, (ttft_s / outputs, ttft_s), (tpot_s, e2e_s))
    return Replay(
        ttft_s=ttft_s,
        tpot_s=tpot_s,
        e2e_s=e2e_s,
        weight=weight,
        requests_per_s=rate,
        steady_per_s=rate,
        watts=result.energy_total_j / result.end_s * _share(setup),
        gaps=result.gaps,
        step_tokens=setup.draft.tokens_per_step,
    )
