# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""One replica: it starts a step (or a stretch of equal steps), lets it run, and books the result.

The caller keeps the time: it calls `finish` at `stretch.end`, and `begin` when all that happens
at that time has happened; `arrive` in between may end a stretch sooner.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tokenmill.simulator.engine_book import Book
from tokenmill.simulator.engine_gaps import Gaps
from tokenmill.simulator.engine_order import floats
from tokenmill.simulator.engine_scheduler import Scheduler
from tokenmill.simulator.engine_stretch import Stretch
from tokenmill.simulator.engine_table import Table
from tokenmill.simulator.policies import Bound, Event, Pool, Status

__all__ = ["Replica"]

INF = float("inf")
NOBODY = -1
CARRIED, DONE = Status.CARRIED.value, Status.DONE.value
FIRST_TOKEN, FINISHED = Event.FIRST_TOKEN.value, Event.DONE.value
BOUNDS = len(Bound)


class Replica:
    """An engine on its GPUs.

    Parameters: index, of the replica in the fleet; book; pool; table of the pool; slowness [1], a
    factor on all times of it; gaps, where the times between tokens are counted.
    """

    def __init__(
        self, index: int, book: Book, pool: Pool, table: Table, slowness: float, gaps: Gaps
    ) -> None:
        seats = pool.scheduling.max_sequences
        self.index = index
        self.book = book
        self.gaps = gaps
        self.scheduler = Scheduler(index, book, pool, gaps)
        self.queue = self.scheduler.queue
        self.batch = self.scheduler.batch
        self.memory = self.scheduler.memory
        self.table = table
        self.slowness = slowness
        self.stretch = Stretch()
        self.limit_w = pool.power_limit_w
        self.hands_off = pool.handoff is not None
        self.busy = False
        self.token_j = 0.0
        self.sequence_j = 0.0
        self.natural_j = 0.0
        self.own_j = self.book.room.floats(np.zeros(seats))
        self.left = 0
        self.left_request = self.book.room.ints(np.zeros(seats))
        self.steps = 0
        self.work_j = 0.0
        self.busy_s = 0.0
        self.idle_s = 0.0
        self.idle_from = INF
        self.bound_s = floats(np.zeros(BOUNDS))

    def can_hold(self, request: int) -> bool:
        """Whether a request fits into the memory at all."""
        return self.scheduler.most_tokens(request) <= self.memory.total * self.memory.block

    def arrive(self, request: int, now: float) -> bool:
        """Queue a request; says whether the running stretch now ends sooner."""
        self.queue.add(request)
        return self.reconsider(request, now)

    def reconsider(self, request: int, now: float) -> bool:
        """End the running stretch with its present step if `request` may then get a seat."""
        if not self.busy or self.stretch.steps <= 1 or not self.scheduler.open:
            return False
        if self.batch.count >= self.scheduler.max_sequences or self.queue.peek() != request:
            return False
        return self.stretch.cut(now)

    def begin(self, now: float) -> None:
        """Start the next step or stretch; without work the replica idles."""
        if not self.scheduler.form(now):
            return
        if self.idle_from < INF:
            self.idle_s += now - self.idle_from
            self.idle_from = INF
        self.busy = True
        self.stretch.start = now
        self.price()
        steps = 1
        if self.scheduler.chunks == 0 and self.scheduler.extra_s == 0.0:
            steps = self.scheduler.quiet_steps()
        if self.limit_w < INF:
            steps = min(steps, self.stretch.throttle(self.limit_w, self.table.idle_w))
        self.stretch.run(steps)

    def price(self) -> None:
        """What the first step of the stretch costs, and how the next ones grow."""
        seconds = 0.0
        joules = 0.0
        for chunk in range(self.scheduler.chunks):
            size = self.scheduler.chunk_size[chunk]
            context = self.scheduler.computed[self.scheduler.chunk_seat[chunk]]
            self.table.price_chunk(size, context)
            self.own_j[chunk] = self.table.priced_j
            seconds += self.table.priced_s
            joules += self.table.priced_j
        decoding, chunks = self.scheduler.decoding, self.scheduler.chunks
        tokens = self.scheduler.chunk_tokens
        self.table.price(self.stretch, self.batch, decoding, chunks, tokens, seconds, joules)
        if chunks > 0:
            self.token_j = self.table.token_j(tokens + decoding * self.scheduler.verified)
            self.sequence_j = self.table.sequences_j(decoding + chunks)
            self.natural_j = self.stretch.step_j
        if self.slowness != 1.0:
            self.stretch.slow_down(self.slowness, self.table.idle_w)
        if self.scheduler.extra_s > 0.0:
            self.stretch.step_s += self.scheduler.extra_s
            self.stretch.step_j += self.table.idle_w * self.scheduler.extra_s

    def finish(self) -> None:
        """Book the stretch that ends now; `left_request` then names those who are done here."""
        now = self.stretch.end
        steps = self.stretch.steps
        decoding = self.scheduler.decoding
        joules = self.stretch.joules
        self.left = 0
        self.busy = False
        self.idle_from = now
        self.stretch.end = INF
        self.steps += steps
        self.work_j += joules
        self.busy_s += now - self.stretch.start
        self.bound_s[self.scheduler.bound] += now - self.stretch.start
        if self.scheduler.chunks > 0:
            joules -= self.book_chunks(joules)
        if decoding > 0:
            self.scheduler.rhythm.beat(self.stretch, decoding, now)
            self.memory.advance(self.batch.advance(steps))
            self.batch.credit_j += joules / decoding
            while self.batch.ends.least <= self.batch.step:
                self.complete(self.batch.ends.first(), now)
        for chunk in range(self.scheduler.chunks):
            self.end_chunk(chunk, now)

    def book_chunks(self, joules: float) -> float:
        """Give each prompt its energy: its own, its tokens' share, its share as a sequence.

        Parameters: joules [J] of the step. Returns: what the prompts got [J].
        """
        sequences = self.scheduler.chunks + self.scheduler.decoding
        each_j = (self.sequence_j + joules - self.natural_j) / sequences
        total_j = 0.0
        for chunk in range(self.scheduler.chunks):
            share_j = self.own_j[chunk] + self.scheduler.chunk_size[chunk] * self.token_j + each_j
            request = self.batch.request[self.scheduler.chunk_seat[chunk]]
            self.book.energy[request] += share_j
            total_j += share_j
        return total_j

    def end_chunk(self, chunk: int, now: float) -> None:
        """A chunk is computed; at the end of its prompt it has made a token."""
        seat = self.scheduler.chunk_seat[chunk]
        computed = self.scheduler.computed[seat] + self.scheduler.chunk_size[chunk]
        self.scheduler.computed[seat] = computed
        request = self.batch.request[seat]
        total = self.scheduler.total(request)
        if computed < total:
            self.scheduler.partial = seat
            return
        if self.scheduler.partial == seat:
            self.scheduler.partial = NOBODY
        if self.book.generated[request] == 0:
            self.book.first[request] = now
            if self.book.journal_rows > 0:
                self.book.note(FIRST_TOKEN, now, request, self.index)
        else:
            self.gaps.add(now - self.book.done[request], 1)
        self.book.generated[request] += 1
        if self.book.generated[request] >= self.book.output[request]:
            self.complete(seat, now)
        elif self.hands_off:
            self.carry(seat, now)
        else:
            self.scheduler.join(seat, total, now)

    def complete(self, seat: int, now: float) -> None:
        """A sequence has all its tokens."""
        request = self.batch.request[seat]
        self.scheduler.release(seat)
        self.book.generated[request] = self.book.output[request]
        self.book.status[request] = DONE
        self.book.done[request] = now
        self.leave(request)
        if self.book.journal_rows > 0:
            self.book.note(FINISHED, now, request, self.index)

    def carry(self, seat: int, now: float) -> None:
        """A sequence goes on elsewhere; its KV stays here until it has been sent."""
        request = self.batch.request[seat]
        self.scheduler.stand_up(seat)
        self.book.status[request] = CARRIED
        self.book.done[request] = now
        self.leave(request)

    def leave(self, request: int) -> None:
        """Tell the fleet that a request is done here."""
        self.left_request[self.left] = request
        self.left += 1

    def forward(self, request: int) -> None:
        """The KV of a request that went on elsewhere has been sent."""
        tokens = self.book.prompt[request] + self.book.generated[request] - 1
        if self.scheduler.reserves:
            tokens = self.scheduler.most_tokens(request)
        shared = self.memory.leaves(request)
        self.memory.held -= self.memory.blocks(tokens - shared * self.memory.leaf)
        if shared > 0:
            self.memory.unshare(request, shared)

    def fail(self, now: float) -> None:
        """Stop in the middle of a step and lose all KV; `left_request` names those who were on."""
        self.left = 0
        if self.busy:
            self.break_off(now)
        while self.batch.count > 0:
            seat = self.batch.oldest
            self.leave(self.batch.request[seat])
            self.scheduler.interrupt(seat)
        self.memory.lose_all()
        self.power(False, now)

    def break_off(self, now: float) -> None:
        """Book the steps that are over, and the energy of the one that is not."""
        joules = self.stretch.energy_by(now)
        steps = self.stretch.done_by(now)
        begun = self.stretch.start
        decoding = self.scheduler.decoding
        sequences = decoding + self.scheduler.chunks
        if steps > 0:
            joules -= self.stretch.energy_j(steps)
            self.stretch.run(steps)
            begun = self.stretch.end
            self.finish()
        self.busy = False
        self.stretch.end = INF
        self.memory.grown = 0
        self.work_j += joules
        self.busy_s += now - begun
        if decoding > 0:
            self.batch.credit_j += joules / sequences
        for chunk in range(self.scheduler.chunks):
            request = self.batch.request[self.scheduler.chunk_seat[chunk]]
            self.book.energy[request] += joules / sequences
        self.scheduler.chunks = 0
        self.idle_from = INF

    # what the fleet asks at any time

    def power(self, on: bool, now: float) -> None:
        """Switch an idle replica on or off."""
        if on:
            self.idle_from = now
        elif self.idle_from < INF:
            self.idle_s += now - self.idle_from
            self.idle_from = INF

    def joules(self, now: float) -> float:
        """Energy until `now` [J]."""
        joules = self.work_j + self.table.idle_w * self.idle_s
        if self.busy:
            joules += self.stretch.energy_by(now)
        elif self.idle_from < now:
            joules += self.table.idle_w * (now - self.idle_from)
        return joules

    def blocks_used(self, now: float) -> int:
        """KV blocks that sequences hold at `now`."""
        if not self.busy or self.scheduler.decoding == 0:
            return self.memory.used(0)
        steps = min(self.stretch.done_by(now) + 1, self.stretch.steps)
        return self.memory.used(self.batch.tokens_in(steps))

    def close(self, now: float) -> None:
        """End the run: book what is under way, as far as it has come."""
        if self.busy:
            self.break_off(now)
        seat = self.batch.oldest
        while seat != NOBODY:
            if self.batch.decodes(seat):
                request = self.batch.request[seat]
                self.book.energy[request] += self.batch.joules(seat)
                self.book.generated[request] += self.batch.gained(seat)
            seat = self.batch.after[seat]

    def counters(self, now: float) -> dict[str, Any]:
        """What it has done by `now`."""
        return {
            "steps": self.steps,
            "prefill_tokens": self.scheduler.prefill_tokens,
            "cached_tokens": self.scheduler.cached_tokens,
            "preemptions": self.scheduler.preemptions,
            "evicted_prefixes": self.memory.evicted,
            "busy_s": self.busy_s,
            "energy_j": self.joules(now),
            "work_j": self.work_j,
            "bound_s": np.asarray(self.bound_s).copy(),
        }
