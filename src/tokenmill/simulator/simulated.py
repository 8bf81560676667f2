"""Simulated: what a run of real traffic answers, service by service, request by request.

Times are those of the user's stopwatch, as in `outcome`: a request is sent, waits, gets its first
token (TTFT), then the others (TPOT, gaps ITL), and is done (E2E).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.simulator.load import Load
from tokenmill.simulator.outcome import Distribution, Outcome
from tokenmill.simulator.played import Played
from tokenmill.simulator.policies import Status
from tokenmill.work.workload import PERCENTILES, quantiles

__all__ = ["Counts", "PerRequest", "Served", "Simulated", "Slo", "Timeline", "distribution"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slo:
    """What a user was promised: the most seconds of each, infinite where nothing was."""

    ttft_s: float = math.inf
    tpot_s: float = math.inf
    e2e_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests by what became of them: requests = done + rejected + timed_out + running.

    requests that came in; unsent, those of the traffic that did not come before the end;
    preemptions of any of them; lost tokens are not counted, they are computed again.
    """

    requests: int
    done: int
    rejected: int
    timed_out: int
    running: int
    unsent: int
    preemptions: int

    @classmethod
    def of(cls, played: Played, mine: NDArray[np.bool_] | slice = slice(None)) -> Counts:
        """The counts of all requests, or of those that a mask picks."""
        status = played.status[mine]
        tally = np.bincount(status, minlength=len(Status))
        unsent, done = int(tally[Status.UNSENT]), int(tally[Status.DONE])
        rejected, timed_out = int(tally[Status.REJECTED]), int(tally[Status.TIMED_OUT])
        requests = len(status) - unsent
        return cls(
            requests, done, rejected, timed_out, requests - done - rejected - timed_out, unsent,
            int(played.preemptions[mine].sum()),
        )  # fmt: skip


class PerRequest:
    """Exact arrays over requests, in the order of the load; NaN for what did not happen.

    Parameters: played; load, as it was sent; request_s [s] float64[n] outside the engine.
    """

    def __init__(self, played: Played, load: Load, request_s: Floats) -> None:
        self.played, self.load, self._request_s = played, load, request_s

    @cached_property
    def sent_s(self) -> Floats:
        """When the user sent it [s]."""
        sent: Floats = self.played.arrival_s - self._request_s
        sent[self.played.status == Status.UNSENT] = np.nan
        return sent

    @cached_property
    def ttft_s(self) -> Floats:
        """From sending to the first token [s]."""
        return self.played.first_token_s - self.sent_s

    @cached_property
    def e2e_s(self) -> Floats:
        """From sending to the last token [s], of those that are done."""
        return np.where(self.played.done, self.played.done_s - self.sent_s, np.nan)

    @cached_property
    def queue_s(self) -> Floats:
        """From the engine's door to the first step [s]."""
        return self.played.schedule_s - self.played.arrival_s

    @cached_property
    def tpot_s(self) -> Floats:
        """(E2E - TTFT) / (output tokens - 1) [s], of answers of two tokens and more."""
        gaps = np.maximum(self.load.requests.output_tokens - 1.0, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            each: Floats = (self.e2e_s - self.ttft_s) / gaps
        each[gaps == 0] = np.nan
        return each

    def within(self, slo: Slo) -> NDArray[np.bool_]:
        """Which requests are done and kept every promise."""
        kept = self.played.done.copy()
        for value, limit in (
            (self.ttft_s, slo.ttft_s), (self.tpot_s, slo.tpot_s), (self.e2e_s, slo.e2e_s)
        ):  # fmt: skip
            if limit < math.inf:
                kept &= ~(value > limit)  # an answer of one token has no TPOT to break
        return kept

    def columns(self) -> dict[str, NDArray[Any]]:
        """Everything that is known of each request, by name, in base units."""
        played, asked = self.played, self.load.requests
        return {
            "service": self.load.service,
            "status": played.status,
            "prompt_tokens": asked.prompt_tokens,
            "output_tokens": asked.output_tokens,
            "generated_tokens": played.generated_tokens,
            "sent_s": self.sent_s,
            "queue_s": self.queue_s,
            "ttft_s": self.ttft_s,
            "tpot_s": self.tpot_s,
            "e2e_s": self.e2e_s,
            "energy_j": played.energy_j,
            "preemptions": played.preemptions,
            "replica": played.replica,
        }


@dataclass(frozen=True, eq=False, slots=True)
class Timeline:
    """State over time, arrays [rows]; watts are means since the row before.

    time_s [s]; running, waiting [requests]; kv_share [1] of the KV blocks that sequences hold;
    serving [replicas]; gpu_watts [W] of all GPUs; watts [W] of the machines at the wall.
    """

    time_s: Floats
    running: Floats
    waiting: Floats
    kv_share: Floats
    serving: Floats
    gpu_watts: Floats
    watts: Floats

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists."""
        return {name: getattr(self, name).tolist() for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Served:
    """How one service did.

    outcome, as an estimate would give it; itl_s over the gaps between tokens, to 0.5 %; queue_s;
    within_slo [1] of the requests that came; goodput_per_s [1/s] of requests inside their SLO;
    joules_per_request [J] at the wall; prefix_hits [1], share of the prompt tokens that came
    from the prefix cache; kv_peak [1] of the KV blocks; waits, share [1] of the step time by
    what kept the next request out (sequences, tokens, memory, a closed batch; nothing).
    """

    name: str
    outcome: Outcome
    counts: Counts
    itl_s: Distribution
    queue_s: Distribution
    within_slo: float
    goodput_per_s: float
    joules_per_request: float
    prefix_hits: float
    kv_peak: float
    waits: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        for name in ("counts", "itl_s", "queue_s"):
            plain[name] = asdict(plain[name])
        plain["outcome"] = self.outcome.to_dict()
        return plain


@dataclass(frozen=True, eq=False, slots=True)
class Simulated:
    """The answer of a run: services, counts over all, and everything request by request.

    energy_j [J] of all GPUs, idle times included, wall_j [J] of their machines; end_s [s] of the
    simulated clock; chain_s, the whole way through a chain of services (None without chains);
    notes say what was left out and why a run stopped early.
    """

    services: tuple[Served, ...]
    counts: Counts
    per_request: PerRequest
    timeline: Timeline
    slo: Slo
    load: str
    source: str
    seed: int
    end_s: float
    energy_j: float
    wall_j: float
    events: int
    compiled: bool
    finished: bool
    chain_s: Distribution | None = None
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The outcome of the first service, the only one of most runs."""
        return self.services[0].outcome

    def to_dict(self, *, timeline: bool = False) -> dict[str, Any]:
        """Plain values for JSON; the time series where they are asked for."""
        plain: dict[str, Any] = {
            "load": self.load, "source": self.source, "seed": self.seed, "slo": asdict(self.slo),
            "counts": asdict(self.counts), "end_s": self.end_s, "energy_j": self.energy_j,
            "wall_j": self.wall_j, "events": self.events, "compiled": self.compiled,
            "finished": self.finished,
            "chain_s": self.chain_s and asdict(self.chain_s),
            "services": [service.to_dict() for service in self.services],
            "notes": list(self.notes),
        }  # fmt: skip
        if timeline:
            plain["timeline"] = self.timeline.to_dict()
        return plain


def distribution(values: Floats) -> Distribution:
    """Mean and percentiles of an array, NaN left out; all NaN where nothing is left."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return Distribution(*[math.nan] * 6)
    return Distribution(float(known.mean()), *quantiles(known, PERCENTILES))
