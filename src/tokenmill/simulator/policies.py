"""Policies: the names the engine knows, and the parameters of a pool of replicas.

Plain values and no behaviour; the engine reads them, the step-by-step player in the tests too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError

__all__ = [
    "BATCHING_RULES",
    "Autoscaling",
    "Batching",
    "BatchingRule",
    "Bound",
    "Event",
    "Failures",
    "Handoff",
    "Phase",
    "Pool",
    "Preemption",
    "Router",
    "Scheduling",
    "Status",
    "Steps",
    "Stop",
    "tokens_per_step",
]

Floats = NDArray[np.float64]


class Batching(StrEnum):
    """How a replica forms its steps."""

    CONTINUOUS = "continuous"
    INFLIGHT = "inflight"
    INFLIGHT_CHUNKED = "inflight-chunked"
    PREFILL_FIRST = "prefill-first"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class BatchingRule:
    """What a batching policy is made of.

    mixed: prefill and decode share a step; otherwise prefill goes alone, and first.
    chunked: a prompt may be cut anywhere; otherwise only where it exceeds the whole token budget.
    reserves: KV blocks for prompt and output are taken at admission, so nothing is preempted.
    refills: sequences join while others run; otherwise a batch closes at its first decode step.
    """

    mixed: bool
    chunked: bool
    reserves: bool
    refills: bool


# A new policy is a row here.
BATCHING_RULES: dict[Batching, BatchingRule] = {
    # vLLM V1: running sequences first, then waiting prompts in chunks, under one token budget
    Batching.CONTINUOUS: BatchingRule(mixed=True, chunked=True, reserves=False, refills=True),
    # TensorRT-LLM, GUARANTEED_NO_EVICT: whole prompts join the running batch at once
    Batching.INFLIGHT: BatchingRule(mixed=True, chunked=False, reserves=True, refills=True),
    # the same with chunked prefill, as its server and its benchmarks are often started
    Batching.INFLIGHT_CHUNKED: BatchingRule(mixed=True, chunked=True, reserves=True, refills=True),
    # SGLang: steps of prefill alone as long as prompts wait, then steps of decode
    Batching.PREFILL_FIRST: BatchingRule(mixed=False, chunked=True, reserves=False, refills=True),
    # one batch from first prompt to last token, then the next
    Batching.STATIC: BatchingRule(mixed=False, chunked=False, reserves=True, refills=False),
}


class Preemption(StrEnum):
    """What happens to a sequence that must give its KV blocks back."""

    RECOMPUTE = "recompute"
    SWAP = "swap"


class Router(StrEnum):
    """Which replica of a pool gets a request."""

    ROUND_ROBIN = "round-robin"
    RANDOM = "random"
    LEAST_OUTSTANDING = "least-outstanding"
    PREFIX_AWARE = "prefix-aware"


class Status(IntEnum):
    """Where a request stands."""

    UNSENT = 0
    WAITING = 1
    RUNNING = 2
    SWAPPED = 3
    CARRIED = 4
    DONE = 5
    REJECTED = 6
    TIMED_OUT = 7


class Bound(IntEnum):
    """What kept the next request waiting in a step."""

    NOTHING = 0
    SEQUENCES = 1
    TOKENS = 2
    MEMORY = 3
    CLOSED = 4


class Event(IntEnum):
    """Kinds of rows in the journal."""

    ARRIVE = 0
    SCHEDULE = 1
    FIRST_TOKEN = 2
    DONE = 3
    PREEMPT = 4
    REJECT = 5
    TIME_OUT = 6
    HAND_OFF = 7
    LOSE = 8
    FAIL = 9
    REPAIR = 10
    START = 11
    STOP = 12


class Phase(IntEnum):
    """Which comes first among events at one time: the second part of the order."""

    STEP_ENDS = 0
    HAPPENS = 1
    ARRIVES = 2
    FAILS = 3
    SCALES = 4
    STEP_STARTS = 5
    TIMES_OUT = 6
    SAMPLES = 7


class Stop(IntEnum):
    """Why a run stopped."""

    FINISHED = 0
    STUCK = 1
    EVENTS = 2
    UNTIL = 3
    WALL = 4


class Steps(Protocol):
    """What the engine reads of a StepTable: seconds (`_s`) and joules (`_j`) of a step.

    A step of t tokens and n sequences, of which b decode, takes
    linear[t] + sequence[n] + decode_ctx[b] x contexts + decode_window[b] x windowed contexts, and
    for each prefill chunk of p tokens at context c: prefill_chunk + prefill_pair x
    (p c + p (p + 1) / 2) + prefill_window_pair x the same pairs within the window, of which the
    two products are at least prefill_key x (p + c) and prefill_window_key x (p + min(c, window)).
    Arrays are float64, indexed from 0. window_tokens 0 means no window. idle_w [W] while idle.
    """

    @property
    def linear_s(self) -> Floats: ...  # noqa: D102
    @property
    def sequence_s(self) -> Floats: ...  # noqa: D102
    @property
    def decode_ctx_s(self) -> Floats: ...  # noqa: D102
    @property
    def decode_window_s(self) -> Floats: ...  # noqa: D102
    @property
    def prefill_chunk_s(self) -> float: ...  # noqa: D102
    @property
    def prefill_pair_s(self) -> float: ...  # noqa: D102
    @property
    def prefill_window_pair_s(self) -> float: ...  # noqa: D102
    @property
    def prefill_key_s(self) -> float: ...  # noqa: D102
    @property
    def prefill_window_key_s(self) -> float: ...  # noqa: D102
    @property
    def linear_j(self) -> Floats: ...  # noqa: D102
    @property
    def sequence_j(self) -> Floats: ...  # noqa: D102
    @property
    def decode_ctx_j(self) -> Floats: ...  # noqa: D102
    @property
    def decode_window_j(self) -> Floats: ...  # noqa: D102
    @property
    def prefill_chunk_j(self) -> float: ...  # noqa: D102
    @property
    def prefill_pair_j(self) -> float: ...  # noqa: D102
    @property
    def prefill_window_pair_j(self) -> float: ...  # noqa: D102
    @property
    def prefill_key_j(self) -> float: ...  # noqa: D102
    @property
    def prefill_window_key_j(self) -> float: ...  # noqa: D102
    @property
    def window_tokens(self) -> int: ...  # noqa: D102
    @property
    def idle_w(self) -> float: ...  # noqa: D102


def tokens_per_step(draft_tokens: int, acceptance: float) -> float:
    """Expected tokens of a sequence in one verified step of speculative decoding [tokens].

    Parameters: draft_tokens, guessed before each step; acceptance [1], chance that a guess holds.
    Returns: (1 - a^(k+1)) / (1 - a), rounded to 1/65536 so that sums of it stay exact.
    Reference: Leviathan et al. 2023, arXiv:2211.17192, equation 1.
    """
    expected = math.fsum(acceptance**guess for guess in range(draft_tokens + 1))
    return max(1.0, round(expected * 65536.0) / 65536.0)


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How one replica schedules.

    Parameters: token_budget [tokens] and max_sequences [count] of one step; kv_blocks [count] of
    block_tokens [tokens] each; watermark [1], share of the blocks that admission leaves free
    while others run; swap_token_s [s] to move one token's KV to or from the host (each way, it
    stops the step); prefix_cache, whether prompts share the blocks that requests name;
    draft_tokens and acceptance of speculative decoding (the draft's own time belongs in the
    StepTable's sequence_s); priorities [count] of classes, 0 the most urgent.
    A replica with attention data parallelism is one replica: its StepTable speaks of all ranks.
    """

    token_budget: int
    max_sequences: int
    kv_blocks: int
    batching: Batching = Batching.CONTINUOUS
    block_tokens: int = 16
    watermark: float = 0.0
    preemption: Preemption = Preemption.RECOMPUTE
    swap_token_s: float = 0.0
    prefix_cache: bool = False
    draft_tokens: int = 0
    acceptance: float = 0.0
    priorities: int = 1

    def __post_init__(self) -> None:
        for name in ("token_budget", "max_sequences", "kv_blocks", "block_tokens", "priorities"):
            _demand(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("swap_token_s", "draft_tokens"):
            _demand(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "at least 0")
        for name in ("watermark", "acceptance"):
            _demand(0 <= getattr(self, name) < 1, name, getattr(self, name), "from 0 to below 1")
        verified = self.max_sequences * (1 + self.draft_tokens)
        if verified > self.token_budget:
            raise InputError(
                f"{self.max_sequences} sequences need {verified} tokens a step, the token budget "
                f"is {self.token_budget}; raise it or allow fewer sequences"
            )

    @property
    def rule(self) -> BatchingRule:
        """What the batching policy is made of."""
        return BATCHING_RULES[self.batching]

    @property
    def tokens_per_step(self) -> float:
        """Expected tokens of a decoding sequence in one step [tokens]."""
        return tokens_per_step(self.draft_tokens, self.acceptance)


@dataclass(frozen=True, slots=True)
class Handoff:
    """After the first token a request moves to another pool, its KV over a named link.

    Parameters: pool, the name of the decode pool; latency_s [s]; token_s [s], KV bytes of one
    token over the link's bytes_per_s. Each replica sends one KV cache after another.
    """

    pool: str
    link: str = "link"
    latency_s: float = 0.0
    token_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("latency_s", "token_s"):
            _demand(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "at least 0")


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """Replicas follow the load: one for each `target` requests in the pool.

    Parameters: minimum and maximum [count] of replicas; target [requests] per replica; every
    interval_s [s] the load is looked at; a replica needs startup_s [s] until it serves; replicas
    leave (after finishing what they have) when the load asked for fewer for cooldown_s [s].
    """

    minimum: int
    maximum: int
    target: float
    interval_s: float = 15.0
    startup_s: float = 60.0
    cooldown_s: float = 300.0

    def __post_init__(self) -> None:
        _demand(1 <= self.minimum <= self.maximum, "minimum", self.minimum, "1 to the maximum")
        for name in ("target", "interval_s"):
            _demand(0 < getattr(self, name) < math.inf, name, getattr(self, name), "above 0")
        for name in ("startup_s", "cooldown_s"):
            _demand(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "at least 0")


@dataclass(frozen=True, slots=True)
class Failures:
    """Replicas fail and are repaired, each at exponential times: mtbf_s, mttr_s [s]."""

    mtbf_s: float
    mttr_s: float

    def __post_init__(self) -> None:
        for name in ("mtbf_s", "mttr_s"):
            _demand(0 < getattr(self, name) < math.inf, name, getattr(self, name), "above 0")


@dataclass(frozen=True, slots=True)
class Pool:
    """Replicas of one service behind one router.

    Parameters: name; table, seconds and joules of a step; scheduling of each replica; replicas
    [count]; queue_limit [requests], a replica with that many waiting rejects the next, 0 for none;
    timeout_s [s], a request not scheduled by then is dropped; slowness, a factor on step times
    for each replica (1 where none is given); power_limit_w [W] of one replica, above which its
    clocks throttle: a step takes as long as its joules need at that power; affinity [1], share of
    a prompt that a prefix-aware router must know somewhere to send it there, as long as that
    replica has at most balance_ratio x the least load + balance_slack requests.
    """

    name: str
    table: Steps
    scheduling: Scheduling
    replicas: int = 1
    router: Router = Router.ROUND_ROBIN
    queue_limit: int = 0
    timeout_s: float = math.inf
    slowness: Sequence[float] = ()
    power_limit_w: float = math.inf
    handoff: Handoff | None = None
    autoscaling: Autoscaling | None = None
    failures: Failures | None = None
    affinity: float = 0.5
    balance_ratio: float = 1.5
    balance_slack: float = 32.0

    def __post_init__(self) -> None:
        scaling = self.autoscaling
        least, most = (scaling.minimum, scaling.maximum) if scaling else (1, 1 << 20)
        _demand(
            least <= self.replicas <= most, "replicas", self.replicas, f"from {least} to {most}"
        )
        _demand(self.queue_limit >= 0, "queue_limit", self.queue_limit, "at least 0")
        _demand(self.timeout_s > 0, "timeout_s", self.timeout_s, "above 0")
        _demand(self.balance_ratio >= 1, "balance_ratio", self.balance_ratio, "at least 1")
        if len(self.slowness) > self.most_replicas or any(
            not 0 < factor < math.inf for factor in self.slowness
        ):
            raise InputError(
                f"pool {self.name}: slowness holds one factor above 0 for each replica at most"
            )
        if not self.power_limit_w > self.table.idle_w:
            raise InputError(
                f"pool {self.name}: a power limit of {self.power_limit_w} W is not above the idle "
                f"power of {self.table.idle_w} W; raise the limit"
            )

    @property
    def most_replicas(self) -> int:
        """How many replicas it can ever have."""
        return self.autoscaling.maximum if self.autoscaling else self.replicas


def _demand(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise InputError(f"{name} is {value}; it must be {rule}")
