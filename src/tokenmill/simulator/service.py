"""A service: one model as it is deployed, and the pools of replicas that the engine plays it on.

Everything that the engine needs to know of hardware and model is made here: step tables, KV
blocks, link times. The closed form reads the same `StepTimes` and the same memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tokenmill.errors import DoesNotFit, InputError, UnknownName, Unsupported
from tokenmill.placement import memory
from tokenmill.placement.layout import Layout
from tokenmill.placement.steps import StepTimes
from tokenmill.placement.table import StepTable, step_table
from tokenmill.simulator.cases import Case, memory_need
from tokenmill.simulator.policies import (
    Autoscaling,
    Batching,
    Failures,
    Handoff,
    Pool,
    Preemption,
    Router,
    Scheduling,
)
from tokenmill.work.workload import Demand

__all__ = ["BLOCK_TOKENS", "LINKS", "Prefill", "Service", "Speculation", "pools_of"]

BLOCK_TOKENS = 16
# ways from one GPU to another: between machines, between the GPUs of one, through its host
LINKS = ("network", "gpu-links", "pcie")
_MOST_BLOCKS = 1 << 30  # where a sequence keeps nothing that grows

# How engines form their steps; those that are not named do as vLLM does.
_BATCHING = {
    "tensorrt-llm": Batching.INFLIGHT,
    "sglang": Batching.PREFILL_FIRST,
    "exllama": Batching.STATIC,
}


@dataclass(frozen=True, slots=True)
class Prefill:
    """Replicas that only prefill, for a service whose own replicas then only decode.

    Parameters: layout of one; replicas [count]; link, the name of the way of the KV caches, one
    of LINKS; link_bytes_per_s [B/s] of each GPU, None for what the hardware has there; latency_s
    [s] of a transfer.
    """

    layout: Layout
    replicas: int = 1
    link: str = "network"
    link_bytes_per_s: float | None = None
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Speculation:
    """Speculative decoding: tokens guessed before each step, and the chance that a guess holds.

    draft is the model that guesses, on the same GPUs; None for guesses that cost nothing
    (n-grams, heads of the model itself are close to that).
    """

    draft_tokens: int
    acceptance: float
    draft: Case | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """One model as it is deployed: what it runs on, how often, and under which policies.

    Parameters: case; layout of a replica; replicas [count]; name; router; batching (None: as the
    engine does); token_budget [tokens] and max_sequences [count] of a step (None: the engine's);
    kv_blocks [count] of a replica (None: what memory holds); preemption; prefix_cache (None:
    wherever the traffic names its blocks); priorities [count] of classes; speculation; prefill,
    for pools of their own; queue_limit [requests] of a replica, 0 for none; timeout_s [s];
    slowness [1] of each replica; power_limit_w [W] of a replica; autoscaling; failures.
    """

    case: Case
    layout: Layout
    replicas: int = 1
    name: str = ""
    router: Router = Router.ROUND_ROBIN
    batching: Batching | None = None
    token_budget: int | None = None
    max_sequences: int | None = None
    kv_blocks: int | None = None
    preemption: Preemption = Preemption.RECOMPUTE
    prefix_cache: bool | None = None
    priorities: int = 1
    speculation: Speculation | None = None
    prefill: Prefill | None = None
    queue_limit: int = 0
    timeout_s: float = math.inf
    slowness: Sequence[float] = ()
    power_limit_w: float = math.inf
    autoscaling: Autoscaling | None = None
    failures: Failures | None = None

    @property
    def label(self) -> str:
        """Its name, or that of its model."""
        return self.name or self.case.model.slug

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """Layouts of its pools, in the order of `pools_of`."""
        return (self.prefill.layout, self.layout) if self.prefill else (self.layout,)


def pools_of(service: Service, demand: Demand, *, prefixed: bool) -> list[Pool]:
    """The pools of a service: one, or one that prefills and one that decodes.

    Parameters: service; demand, the lengths of its requests; prefixed, whether the traffic names
    prefix blocks.
    Raises: DoesNotFit where a GPU's memory is short; InputError for policies that contradict
    each other; Unsupported where a figure that a policy needs is missing.
    """
    cached = prefixed if service.prefix_cache is None else service.prefix_cache and prefixed
    last = _pool(service, service.layout, demand, cached and service.prefill is None)
    if service.prefill is None:
        return [last]
    if service.autoscaling or service.slowness:
        raise InputError(
            f"{service.label}: autoscaling and slow replicas are for services without prefill "
            "pools of their own; leave one of them out"
        )
    ahead = replace(service, speculation=None, max_sequences=None, kv_blocks=None)
    first = _pool(ahead, service.prefill.layout, demand, cached)
    return [
        replace(
            first, name=f"{service.label} prefill", replicas=service.prefill.replicas,
            handoff=_handoff(service, last.name, demand),
        ),
        replace(last, router=_plain(service.router), queue_limit=0),
    ]  # fmt: skip


def _plain(router: Router) -> Router:
    """The router of a decode pool, which has no prefix cache to look at."""
    return Router.LEAST_OUTSTANDING if router is Router.PREFIX_AWARE else router


def _pool(service: Service, layout: Layout, demand: Demand, cached: bool) -> Pool:
    case = service.case
    times = case.times((layout,))
    guesses = service.speculation
    drafted = guesses.draft_tokens if guesses else 0
    budget = service.token_budget or case.engine.step_tokens
    blocks, room = _blocks(service, times, demand)
    sequences = min(service.max_sequences or case.engine.sequences, room)
    sequences = max(1, min(sequences, budget // (1 + drafted)))
    table = _table(case, times, budget, sequences)
    if guesses and guesses.draft:
        table = _with_draft(table, guesses, layout, demand, sequences)
    scheduling = Scheduling(
        token_budget=budget, max_sequences=sequences, kv_blocks=blocks,
        batching=service.batching or _BATCHING.get(case.engine.name, Batching.CONTINUOUS),
        block_tokens=BLOCK_TOKENS, preemption=service.preemption,
        swap_token_s=_swap_s(service, times, demand), prefix_cache=cached,
        draft_tokens=drafted, acceptance=guesses.acceptance if guesses else 0.0,
        priorities=service.priorities,
    )  # fmt: skip
    return Pool(
        name=service.label, table=table, scheduling=scheduling, replicas=service.replicas,
        router=service.router, queue_limit=service.queue_limit, timeout_s=service.timeout_s,
        slowness=service.slowness, power_limit_w=service.power_limit_w,
        autoscaling=service.autoscaling, failures=service.failures,
    )  # fmt: skip


def _table(case: Case, times: StepTimes, tokens: int, sequences: int) -> StepTable:
    return step_table(times, case.platform.power, max_tokens=tokens, max_sequences=sequences)


def _blocks(service: Service, times: StepTimes, demand: Demand) -> tuple[int, int]:
    """(KV blocks, sequences that fit) of one replica, all its data-parallel ranks together.

    Windowed layers and recurrent states do not grow with the context: they are set aside for as
    many mean sequences as memory holds, and what is left is blocks of the layers that do grow.
    Raises: DoesNotFit where not even one block is left.
    """
    case = service.case
    size = memory.cache_size(case.arch, case.cache, times.grid)
    needs, _, has = memory_need(case, times, demand)
    longest = size.of(demand.prompt_quantiles[-1] + demand.output_quantiles[-1])
    token, free = _number(size.token_bytes), has - _number(needs - longest)
    fixed = _number(size.of(demand.context_mean)) - token * demand.context_mean
    draft = service.speculation.draft if service.speculation else None
    if draft:
        weights, cache = _draft_bytes(draft, times)
        free, token = free - weights, token + cache
    ranks = int(_number(times.grid.dp))
    mean = max(fixed + token * demand.context_mean, 1.0)
    room = max(1, min(int(max(free, 0.0) / mean), -(-case.engine.sequences // ranks)))
    left = free - room * fixed
    blocks = int(left / (token * BLOCK_TOKENS)) if token else 0 if left < 0 else _MOST_BLOCKS
    if blocks < 1:
        raise DoesNotFit(
            f"{case.model.slug} in {case.weights.name} on one GPU of {case.platform.name}",
            _number(needs), has, change="use more GPUs, smaller weights or shorter requests",
        )  # fmt: skip
    sequences = room * ranks if fixed > 0 else case.engine.sequences
    return service.kv_blocks or blocks * ranks, sequences


def _number(value: Any) -> float:
    """The one number of an array over a single layout."""
    return float(np.ravel(value)[0])


def _draft_bytes(draft: Case, times: StepTimes) -> tuple[float, float]:
    """Weights [B] and cache [B/token] of a draft model on one GPU."""
    size = memory.cache_size(draft.arch, draft.cache, times.grid)
    weights = memory.weight_bytes(draft.arch, draft.weights, times.grid)
    return _number(weights), _number(size.token_bytes)


def _with_draft(
    table: StepTable, guesses: Speculation, layout: Layout, demand: Demand, sequences: int
) -> StepTable:
    """The table with the steps of the draft model before each step, at the mean context."""
    if guesses.draft is None:
        return table
    case = guesses.draft
    own = _table(case, case.times((layout,)), sequences, sequences)
    counts = np.arange(sequences + 1.0)
    contexts = counts * demand.context_mean
    windowed = counts * min(demand.context_mean, own.window_tokens)
    cost_s = own.linear_s + own.sequence_s + own.decode_ctx_s * contexts
    cost_j = own.linear_j + own.sequence_j + own.decode_ctx_j * contexts
    cost_s = cost_s + own.decode_window_s * windowed
    cost_j = cost_j + own.decode_window_j * windowed
    return replace(
        table, sequence_s=table.sequence_s + guesses.draft_tokens * cost_s,
        sequence_j=table.sequence_j + guesses.draft_tokens * cost_j,
    )  # fmt: skip


def _token_bytes(times: StepTimes, tokens: float) -> float:
    """What a token keeps on one GPU [B], windows and states spread over `tokens` of them."""
    size = memory.cache_size(times.arch, times.cache, times.grid)
    return _number(size.of(tokens)) / tokens


def _swap_s(service: Service, times: StepTimes, demand: Demand) -> float:
    """Seconds to move one token's cache between a GPU and its host; each GPU has its own link."""
    if service.preemption is not Preemption.SWAP:
        return 0.0
    rate = service.case.platform.accelerator.value("pcie_bandwidth")
    return _token_bytes(times, demand.context_mean) / rate


def _handoff(service: Service, pool: str, demand: Demand) -> Handoff:
    """KV of a prompt over the network of the prefill replica: its GPUs send side by side."""
    prefill = service.prefill
    if prefill is None:
        raise InputError(f"{service.label} has no prefill pool to hand off from")
    rate = prefill.link_bytes_per_s or _link_rate(service, prefill)
    times = service.case.times((prefill.layout,))
    token_s = _token_bytes(times, demand.prompt_mean) / rate
    return Handoff(pool=pool, link=prefill.link, latency_s=prefill.latency_s, token_s=token_s)


def _link_rate(service: Service, prefill: Prefill) -> float:
    """What the hardware carries over a named link, of each GPU [B/s]."""
    platform, fabric = service.case.platform, service.case.platform.fabric
    if prefill.link not in LINKS:
        raise UnknownName("link", prefill.link, LINKS)
    if prefill.link == "pcie":
        return platform.accelerator.value("pcie_bandwidth")
    if prefill.link == "gpu-links":
        gpus = prefill.replicas * prefill.layout.gpus + service.replicas * service.layout.gpus
        if gpus > fabric.domain_gpus:
            raise InputError(
                f"{service.label}: {gpus} GPUs of prefill and decode, links between GPUs join "
                f"{fabric.domain_gpus}; use fewer, or the network"
            )
        return fabric.link_bytes_per_s
    if not fabric.scaleout_bytes_per_s:
        raise Unsupported(
            f"{platform.system.slug} has no scale-out network on record; give the link between "
            'prefill and decode, such as "400 Gbit/s"'
        )
    return fabric.scaleout_bytes_per_s
