"""Load: requests as the engine takes them, from traffic of whatever origin.

Open loops come at their own times, closed loops wait for an answer first, chains send the end of
one request on as the start of the next. What one engine sees arrives `request_s` after the user
has sent it: the way through HTTP and tokeniser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError
from tokenmill.simulator.requests import Requests
from tokenmill.work.arrivals import ClosedTraffic
from tokenmill.work.traffic import Floats, Ints, Prefixes, Traffic
from tokenmill.work.workload import Demand, demand_from_lengths

__all__ = ["Load", "Stage", "chain", "load", "shifted", "side_by_side"]


@dataclass(frozen=True, eq=False, slots=True)
class Load:
    """Requests for some services.

    service int32[n] says whose each one is; concurrency [requests] of a closed loop, 0 for
    arrivals of their own; chains [count] of requests that follow one another, 0 for none, of
    which request i belongs to chain i % chains.
    """

    name: str
    source: str
    requests: Requests
    service: NDArray[np.int32]
    concurrency: int = 0
    chains: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.requests)

    def demand(self, service: int) -> Demand:
        """Lengths and rate of the requests to one service. Raises: InputError for none."""
        mine = np.flatnonzero(self.service == service)
        requests = self.requests
        followed = self.concurrency or self.chains
        return demand_from_lengths(
            requests.prompt_tokens[mine], requests.output_tokens[mine],
            np.zeros(len(mine)) if followed else requests.arrival_s[mine],
            origin=self.name, concurrency=float(self.concurrency),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """A link of a chain: a service, or with service None only a delay.

    Parameters: service, its index; delay_s [s] before it starts; prompt_tokens, output_tokens
    [tokens], None for those of the traffic; turns [count] that it is gone through, each of which
    reads what the turns before have read and written, and `added_tokens` [tokens] more.
    """

    service: int | None
    delay_s: float = 0.0
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    turns: int = 1
    added_tokens: int = 0


def load(traffic: Traffic | ClosedTraffic, *, priority: NDArray[np.int8] | None = None) -> Load:
    """The load of one service.

    Parameters: traffic, open or closed; priority int8[n] of each request, 0 the most urgent.
    """
    if isinstance(traffic, Traffic):
        requests = replace(Requests.of(traffic), priority=priority)
        service = np.zeros(len(traffic), np.int32)
        return Load(traffic.name, traffic.source, requests, service, notes=traffic.notes)
    arrival_s = np.zeros(len(traffic))
    first = min(len(traffic.starts_s), len(traffic))
    arrival_s[:first] = traffic.starts_s[:first]
    requests = Requests(
        arrival_s=arrival_s,
        prompt_tokens=traffic.prompt_tokens.astype(np.int32),
        output_tokens=traffic.output_tokens.astype(np.int32),
        priority=priority,
        delay_s=traffic.pause_s,
    )
    return Load(
        traffic.name, traffic.source, requests, np.zeros(len(traffic), np.int32), concurrency=first
    )


def side_by_side(parts: Sequence[Traffic]) -> Load:
    """One load from a traffic for each service, in order of arrival."""
    arrival_s = np.concatenate([part.arrival_s for part in parts])
    order = np.argsort(arrival_s, kind="stable")
    service = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    prefixes = _prefixes(parts)
    requests = Requests(
        arrival_s=arrival_s[order],
        prompt_tokens=np.concatenate([p.prompt_tokens for p in parts])[order],
        output_tokens=np.concatenate([p.output_tokens for p in parts])[order],
        prefixes=None if prefixes is None else prefixes.take(order),
    )
    return Load(
        " + ".join(dict.fromkeys(part.name for part in parts)),
        "; ".join(dict.fromkeys(part.source for part in parts)),
        requests, service[order],
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )  # fmt: skip


def _prefixes(parts: Sequence[Traffic]) -> Prefixes | None:
    """Blocks of all parts under names that differ between them; a part without has none."""
    sizes = {part.prefixes.block_tokens for part in parts if part.prefixes is not None}
    if not sizes:
        return None
    if len(sizes) > 1:
        raise InputError(f"prefix blocks of {sorted(sizes)} tokens; traffic must use one size")
    blocks, taken = [], 0
    for part in parts:
        own = part.prefixes
        if own is None:
            own = Prefixes(np.zeros(len(part) + 1, np.int64), np.zeros(0, np.int64), *sizes)
        named = np.unique(own.hashes, return_inverse=True)[1]
        blocks.append(Prefixes(own.offsets, named + taken, own.block_tokens))
        taken += int(named.max()) + 1 if len(named) else 0
    return Prefixes.joined(blocks)


def chain(traffic: Traffic, stages: Sequence[Stage]) -> Load:
    """Each request of a traffic goes through stages: the end of one starts the next.

    Parameters: traffic, whose arrivals start the chains and whose lengths are those of stages
    that give none; stages, at least one with a service.
    Raises: InputError.
    """
    steps = _steps(traffic, stages)
    if not steps:
        raise InputError("a chain needs a stage with a service; name one")
    count, length = len(traffic), len(steps)
    after = np.arange(count * length, dtype=np.int32) - count
    requests = Requests(
        arrival_s=np.concatenate([traffic.arrival_s + steps[0][3], np.zeros(count * (length - 1))]),
        prompt_tokens=np.concatenate([prompt for _, prompt, _, _ in steps]),
        output_tokens=np.concatenate([output for _, _, output, _ in steps]),
        after=np.maximum(after, -1),
        delay_s=np.repeat([0.0, *(delay for _, _, _, delay in steps[1:])], count),
    )
    service = np.repeat(np.array([service for service, _, _, _ in steps], np.int32), count)
    return Load(traffic.name, traffic.source, requests, service, chains=count, notes=traffic.notes)


def _steps(traffic: Traffic, stages: Sequence[Stage]) -> list[tuple[int, Ints, Ints, float]]:
    """(service, prompts, outputs, delay [s] before it) of each step that a service does."""
    steps: list[tuple[int, Ints, Ints, float]] = []
    waited_s = 0.0
    for stage in stages:
        if stage.service is None:
            waited_s += stage.delay_s * stage.turns
            continue
        prompt = _lengths(stage.prompt_tokens, traffic.prompt_tokens)
        output = _lengths(stage.output_tokens, traffic.output_tokens)
        for turn in range(stage.turns):
            read = prompt + turn * (output + stage.added_tokens)
            steps.append((stage.service, read, output, waited_s + stage.delay_s))
            waited_s = 0.0
    return steps


def _lengths(given: int | None, usual: Ints) -> Ints:
    return usual if given is None else np.full(len(usual), given, np.int64)


def shifted(load: Load, request_s: Floats) -> Load:
    """The load as engines see it, each request_s [s] (float64[n]) after it was sent."""
    requests = load.requests
    delay_s = requests.delay_s
    if load.concurrency or requests.after is not None:
        delay_s = request_s if delay_s is None else delay_s + request_s
    return replace(
        load, requests=replace(requests, arrival_s=requests.arrival_s + request_s, delay_s=delay_s)
    )
