# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""A pool of replicas as the fleet sees it: its router, its limits, and how it scales."""

from __future__ import annotations

from collections.abc import Mapping

from tokenmill.simulator.engine_book import Book, Queue
from tokenmill.simulator.engine_gaps import Gaps
from tokenmill.simulator.engine_router import Router
from tokenmill.simulator.policies import Pool

__all__ = ["Service"]

INF = float("inf")
NOBODY = -1


class Service:
    """A pool.

    Parameters: index of the pool; pool; first, the index of its first replica; book; pools,
    the index of each by name; seed.
    """

    def __init__(
        self, index: int, pool: Pool, first: int, book: Book, pools: Mapping[str, int], seed: int
    ) -> None:
        self.index = index
        self.first = first
        self.count = pool.most_replicas
        self.starting = pool.replicas
        self.router = Router(pool, book, seed, index)
        self.gaps = Gaps()
        # requests that no replica can take now
        self.homeless = Queue(book, pool.scheduling.priorities)
        self.queue_limit = pool.queue_limit
        self.timeout_s = pool.timeout_s
        self.watch_first = NOBODY
        self.watch_last = NOBODY
        handoff, scaling, failures = pool.handoff, pool.autoscaling, pool.failures
        self.next = pools[handoff.pool] if handoff else NOBODY
        self.latency_s = handoff.latency_s if handoff else 0.0
        self.token_s = handoff.token_s if handoff else 0.0
        self.scales = scaling is not None
        self.minimum = scaling.minimum if scaling else self.count
        self.target = scaling.target if scaling else INF
        self.interval_s = scaling.interval_s if scaling else INF
        self.startup_s = scaling.startup_s if scaling else 0.0
        self.cooldown_s = scaling.cooldown_s if scaling else INF
        self.calm_since = 0.0
        self.mtbf_s = failures.mtbf_s if failures else INF
        self.mttr_s = failures.mttr_s if failures else 0.0
        self.sampled_j = 0.0

    def wanted(self) -> int:
        """Replicas that the load asks for."""
        replicas = int(self.router.total / self.target)
        if replicas * self.target < self.router.total:
            replicas += 1
        return max(self.minimum, min(replicas, self.count))
