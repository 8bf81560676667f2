"""What a run of the engine leaves behind: plain arrays, nothing summed up that could be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.simulator.policies import Status, Stop

__all__ = ["Gaps", "Journal", "Played", "Replicas", "Series"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """State of the pools over time, arrays [rows] and [rows, pools].

    time_s [s]; batch, running sequences; queue, requests that wait; kv_blocks that sequences
    hold; serving, replicas that take requests; energy_j [J] since the row before.
    """

    time_s: Floats
    batch: NDArray[np.int32]
    queue: NDArray[np.int32]
    kv_blocks: Ints
    serving: NDArray[np.int32]
    energy_j: Floats

    @property
    def power_w(self) -> Floats:
        """Mean power since the row before [W], [rows, pools]."""
        length_s = np.diff(self.time_s, prepend=0.0)[:, np.newaxis]
        return np.divide(
            self.energy_j, length_s, out=np.zeros_like(self.energy_j), where=length_s > 0
        )


@dataclass(frozen=True, eq=False, slots=True)
class Replicas:
    """Counters of each replica, arrays [replicas].

    pool, the index of its pool; steps; prefill_tokens computed, those computed again included;
    cached_tokens taken from the prefix cache; preemptions; evicted_prefixes; busy_s [s];
    energy_j [J], of which work_j in steps; bound_s [s], [replicas, Bound]: step time by what
    kept the next request waiting.
    """

    pool: Ints
    steps: Ints
    prefill_tokens: Ints
    cached_tokens: Ints
    preemptions: Ints
    evicted_prefixes: Ints
    busy_s: Floats
    energy_j: Floats
    work_j: Floats
    bound_s: Floats

    @classmethod
    def of(cls, pools: Sequence[int], rows: Sequence[dict[str, Any]]) -> Replicas:
        """From the counters of each replica."""
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return cls(pool=np.array(pools, np.int64), **columns)


@dataclass(frozen=True, eq=False, slots=True)
class Gaps:
    """Times between two tokens of one sequence: edges_s [s], [bins + 1]; counts [pools, bins].

    Tokens that one step of speculative decoding makes come together, as one.
    """

    edges_s: Floats
    counts: Ints

    def quantile_s(self, share: float, pool: int | None = None) -> float:
        """The gap that a share [1] of all gaps does not exceed [s], to 0.5 %; NaN without gaps."""
        counts = self.counts.sum(axis=0) if pool is None else self.counts[pool]
        reached = np.cumsum(counts)
        if len(reached) == 0 or reached[-1] == 0:
            return float("nan")
        found = int(np.searchsorted(reached, share * reached[-1]))
        while counts[found] == 0:
            found += 1
        return float(np.sqrt(max(self.edges_s[found], 1e-9) * self.edges_s[found + 1]))


@dataclass(frozen=True, eq=False, slots=True)
class Journal:
    """What happened, in order: time_s [s], event (`policies.Event`), request, replica (or -1)."""

    time_s: Floats
    event: NDArray[np.int8]
    request: NDArray[np.int32]
    replica: NDArray[np.int32]
    rows_lost: int


@dataclass(frozen=True, eq=False, slots=True)
class Played:
    """Everything a run has to tell.

    Arrays [n], in the order of the requests: arrival_s, schedule_s (first taken into a step),
    first_token_s, done_s (when it left, for whatever reason) [s], NaN for what did not happen;
    energy_j [J], its share of all steps it was in; status (`policies.Status`); preemptions;
    generated_tokens [tokens]; replica, the last one it was at, -1 for none.
    stopped and note say why the run ended, at end_s [s]; events counts what the engine handled,
    by its fastest way, so it differs between ways that agree in all else.
    """

    arrival_s: Floats
    schedule_s: Floats
    first_token_s: Floats
    done_s: Floats
    energy_j: Floats
    status: NDArray[np.int8]
    preemptions: NDArray[np.int32]
    generated_tokens: NDArray[np.int32]
    replica: NDArray[np.int32]
    series: Series
    replicas: Replicas
    gaps: Gaps
    journal: Journal
    pools: tuple[str, ...]
    stopped: Stop
    note: str
    end_s: float
    events: int
    seed: int
    compiled: bool

    def __len__(self) -> int:
        return len(self.status)

    def count(self, *statuses: Status) -> int:
        """How many requests stand in one of these states."""
        return int(np.isin(self.status, statuses).sum())

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which requests got all their tokens."""
        return np.equal(self.status, Status.DONE)

    @property
    def running(self) -> int:
        """Requests that were inside when the run ended."""
        return self.count(Status.WAITING, Status.RUNNING, Status.SWAPPED, Status.CARRIED)

    @property
    def energy_total_j(self) -> float:
        """Energy of all replicas, idle times included [J]."""
        return float(self.replicas.energy_j.sum())
