# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""One replica that nothing interferes with: the same events without an order to keep.

What the fleet's loop does for a pool of one replica whose requests all come at times of their
own. It holds no lock of the interpreter, so replicas that do not interact run side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenmill.simulator.engine_book import Book
from tokenmill.simulator.engine_gaps import Gaps
from tokenmill.simulator.engine_replica import Replica
from tokenmill.simulator.engine_samples import Samples
from tokenmill.simulator.engine_table import Table
from tokenmill.simulator.policies import Event, Pool, Status, Stop

try:
    import cython
except ImportError:
    from tokenmill.simulator import interpreted as cython

__all__ = ["Solo"]

INF = float("inf")
NOBODY = -1
WAITING, REJECTED = Status.WAITING.value, Status.REJECTED.value
SAW_ARRIVAL, SAW_REJECT = Event.ARRIVE.value, Event.REJECT.value
SAW_START = Event.START.value
FINISHED, STUCK = Stop.FINISHED.value, Stop.STUCK.value
EVENTS, UNTIL = Stop.EVENTS.value, Stop.UNTIL.value


class Solo:
    """One replica, its requests in order of arrival, and the time.

    Parameters: columns of the book, arrivals never falling; pool; place of the replica in it;
    index of the replica in the run; sample_s [s]; sample_rows [count]; journal_rows [count].
    """

    def __init__(
        self, columns: Mapping[str, Any], pool: Pool, place: int, index: int, sample_s: float,
        sample_rows: int, journal_rows: int,
    ) -> None:  # fmt: skip
        self.book = Book(columns, journal_rows)
        self.gaps = Gaps()
        slowness = pool.slowness[place] if place < len(pool.slowness) else 1.0
        self.replica = Replica(index, self.book, pool, Table(pool), slowness, self.gaps)
        self.replica.power(True, 0.0)
        if journal_rows > 0:
            self.book.note(SAW_START, 0.0, NOBODY, index)
        self.samples = Samples(1, sample_s, sample_rows)
        self.sampled_j = 0.0
        self.next = 0
        self.next_s = columns["arrival_s"][0] if self.book.count > 0 else INF
        self.inside = 0
        self.events = 0
        self.now = 0.0

    def run(self, until_s: float, events: int) -> int:
        """Let things happen until a time [s] or for a number of events; returns why it stopped."""
        with cython.nogil:
            reason = self.play(until_s, self.events + events)
        return reason

    def play(self, until_s: float, limit: int) -> int:
        """The loop: a step ends, then those who arrive at that time, then the next step starts."""
        while True:
            now = min(self.replica.stretch.end, self.next_s)
            if now == INF:
                return FINISHED if self.inside == 0 else STUCK
            if now > until_s:
                return UNTIL
            if self.events >= limit:
                return EVENTS
            while self.samples.next_s < now:
                self.sample(self.samples.next_s)
            self.events += 1
            self.now = now
            if self.replica.stretch.end <= now:
                self.replica.finish()
                self.inside -= self.replica.left
            elif self.replica.busy:
                self.arrive(now)
                continue
            while self.next_s <= now:
                self.arrive(now)
            self.replica.begin(now)

    def arrive(self, now: float) -> None:
        """The next request arrives."""
        request = self.next
        self.next += 1
        self.next_s = self.book.arrival[self.next] if self.next < self.book.count else INF
        if self.book.journal_rows > 0:
            self.book.note(SAW_ARRIVAL, now, request, NOBODY)
        if not self.replica.can_hold(request):
            self.book.status[request] = REJECTED
            self.book.done[request] = now
            if self.book.journal_rows > 0:
                self.book.note(SAW_REJECT, now, request, NOBODY)
            return
        self.book.status[request] = WAITING
        self.book.replica[request] = self.replica.index
        self.inside += 1
        self.replica.arrive(request, now)

    def sample(self, now: float) -> None:
        """Write down the state."""
        joules = self.replica.joules(now)
        self.samples.add(
            0, self.replica.batch.count, self.replica.queue.count, self.replica.blocks_used(now),
            1, joules - self.sampled_j,
        )  # fmt: skip
        self.sampled_j = joules
        self.samples.close_row(now)

    def close(self, until_s: float) -> None:
        """End the run at a time that is not before its last event [s]."""
        while self.samples.next_s <= until_s:
            self.sample(self.samples.next_s)
        self.now = until_s
        self.sample(until_s)
        self.replica.close(until_s)
