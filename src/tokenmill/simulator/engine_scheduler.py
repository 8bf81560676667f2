# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""Who is in the next step of a replica: admission, prefill chunks, preemption.

The rules of the real engines, from four switches (`policies.BatchingRule`). Nothing here knows
what a step costs.
"""

from __future__ import annotations

from math import ceil

import numpy as np

from tokenmill.simulator.engine_batch import Batch
from tokenmill.simulator.engine_book import Book, Queue
from tokenmill.simulator.engine_gaps import Gaps, Rhythm
from tokenmill.simulator.engine_memory import Memory
from tokenmill.simulator.policies import Bound, Event, Pool, Preemption, Status

__all__ = ["Scheduler"]

NOBODY = -1
WAITING, RUNNING = Status.WAITING.value, Status.RUNNING.value
SWAPPED, CARRIED = Status.SWAPPED.value, Status.CARRIED.value
NOTHING, SEQUENCES, TOKENS = Bound.NOTHING.value, Bound.SEQUENCES.value, Bound.TOKENS.value
MEMORY, CLOSED = Bound.MEMORY.value, Bound.CLOSED.value
SCHEDULED, PREEMPTED = Event.SCHEDULE.value, Event.PREEMPT.value


class Scheduler:
    """Queue, seats and memory of one replica, and the step that is being formed.

    The step: `decoding` sequences decode (all that can, or none), `chunks` prompts are computed
    by `chunk_size` tokens each, after `extra_s` of moving KV. `bound` says what kept the next
    request out.
    """

    def __init__(self, index: int, book: Book, pool: Pool, gaps: Gaps) -> None:
        wanted, rule = pool.scheduling, pool.scheduling.rule
        seats = wanted.max_sequences
        self.index = index
        self.book = book
        self.queue = Queue(book, wanted.priorities)
        self.batch = Batch(
            seats, wanted.tokens_per_step, int(pool.table.window_tokens), self.book.room
        )
        leaf = book.leaf if wanted.prefix_cache else 0
        self.memory = Memory(book, wanted.kv_blocks, wanted.block_tokens, leaf)
        self.rhythm = Rhythm(seats, gaps, self.book.room)
        self.token_budget, self.max_sequences = wanted.token_budget, seats
        self.verified = 1 + wanted.draft_tokens
        self.most_gain = ceil(wanted.tokens_per_step)
        self.watermark = int(wanted.watermark * wanted.kv_blocks)
        self.swaps = wanted.preemption is Preemption.SWAP
        self.swap_token_s = wanted.swap_token_s
        self.mixed, self.chunked = rule.mixed, rule.chunked
        self.reserves, self.refills = rule.reserves, rule.refills
        self.open = True
        self.partial = NOBODY
        self.computed = self.book.room.ints(np.zeros(seats))
        self.shared = self.book.room.ints(np.zeros(seats))
        self.residue = self.book.room.ints(np.zeros(seats))

        self.bound = NOTHING
        self.decoding = 0
        self.extra_s = 0.0
        self.chunks = 0
        self.chunk_tokens = 0
        self.chunk_seat = self.book.room.ints(np.zeros(seats))
        self.chunk_size = self.book.room.ints(np.zeros(seats))
        self.prefill_tokens = self.cached_tokens = self.preemptions = 0

    def most_tokens(self, request: int) -> int:
        """Tokens that a request can have in memory at most."""
        output = self.book.output[request]
        return self.book.prompt[request] + max(output, 1) - 1 + self.verified - 1

    def total(self, request: int) -> int:
        """Tokens to compute before a request makes its next one."""
        return self.book.prompt[request] + self.book.generated[request]

    # forming a step

    def form(self, now: float) -> bool:
        """Form the step that starts now; says whether there is one."""
        self.extra_s = 0.0
        self.compose(now)
        if self.chunks == 0 and self.decoding == 0 and self.queue.count > 0:
            self.compose(now)  # those who had to leave have made room
        return self.chunks > 0 or self.decoding > 0

    def compose(self, now: float) -> None:
        """Running sequences first, then those who wait."""
        self.chunks = 0
        self.chunk_tokens = 0
        self.bound = NOTHING
        if self.batch.count == 0:
            self.open = True
        evicted = False
        if self.mixed:
            evicted = self.make_room(now)
        if self.partial != NOBODY and self.continue_partial(now):
            evicted = True
        if not evicted and self.queue.count > 0:
            self.admit(now)
        if not self.mixed and self.chunks == 0:
            self.make_room(now)
        self.decoding = self.batch.decoders if self.mixed or self.chunks == 0 else 0
        if self.decoding > 0 and not self.refills:
            self.open = False

    def quiet_steps(self) -> int:
        """Decode steps until the batch or its memory must change."""
        if self.queue.count > 0 and self.bound == NOTHING:
            return 1  # somebody was preempted; admission looks again after this step
        steps = min(self.batch.ends.least, self.batch.crossings.least) - self.batch.step
        tokens = steps if self.batch.whole else self.batch.tokens_in(steps)
        reached = self.memory.reach(tokens, self.bound == MEMORY)
        if reached < tokens:
            steps = self.batch.steps_within(reached)
        return steps

    def make_room(self, now: float) -> bool:
        """Take the blocks of the next decode step, preempting until they are there."""
        evicted = False
        while self.batch.decoders > 0 and not self.memory.claim(self.batch.gain):
            self.preempt(self.victim(), now)
            evicted = True
        return evicted

    def budget(self) -> int:
        """Tokens that the step being formed can still take."""
        left = self.token_budget - self.chunk_tokens
        if self.mixed:
            left -= self.batch.decoders * self.verified
        return left

    def continue_partial(self, now: float) -> bool:
        """The next chunk of the prompt that was cut; says whether somebody was preempted."""
        seat = self.partial
        size = min(self.total(self.batch.request[seat]) - self.computed[seat], self.budget())
        if size <= 0:
            return False
        need = self.need(seat, self.computed[seat] + size)
        evicted = False
        while need > self.memory.available():
            victim = self.victim()
            self.preempt(victim, now)
            evicted = True
            if victim == seat:
                return True
            if self.mixed:
                self.memory.claim(self.batch.gain)
        self.memory.take(need)
        self.add_chunk(seat, size)
        return evicted

    def need(self, seat: int, tokens: int) -> int:
        """More blocks that a prompt needs to be computed up to `tokens`."""
        if self.reserves:
            return 0
        own = self.shared[seat] * self.memory.leaf
        return self.memory.blocks(tokens - own) - self.memory.blocks(self.computed[seat] - own)

    def admit(self, now: float) -> None:
        """Seat those who wait, in order, until the first who cannot be."""
        while self.queue.count > 0:
            if not self.open:
                self.bound = CLOSED
                return
            if self.batch.count >= self.max_sequences:
                self.bound = SEQUENCES
                return
            request = self.queue.peek()
            status = self.book.status[request]
            if status in (SWAPPED, CARRIED):
                if not self.take_back(request, status):
                    return
            elif not self.seat(request):
                return
            self.book.status[request] = RUNNING
            if not self.book.schedule[request] >= 0.0:
                self.book.schedule[request] = now
            if self.book.journal_rows > 0:
                self.book.note(SCHEDULED, now, request, self.index)

    def fits(self, blocks: int) -> bool:
        """Whether blocks can be had, less those that admission must leave."""
        if self.batch.count > 0:
            blocks += self.watermark
        if blocks > self.memory.available():
            self.bound = MEMORY
            return False
        return True

    def seat(self, request: int) -> bool:
        """Seat a request that has its prompt (and what it made before) to compute."""
        hits = self.memory.match(request)
        start = hits * self.memory.leaf
        size = self.total(request) - start
        budget = self.budget()
        if size > budget:
            # a whole prompt waits for a step that can take it; none can if it exceeds them all
            if budget <= 0 or not (self.chunked or size > self.token_budget):
                self.bound = TOKENS
                return False
            size = budget
        held = self.most_tokens(request) if self.reserves else start + size
        blocks = self.memory.blocks(held - start)
        if not self.fits(blocks + self.memory.cold * self.memory.span):
            return False
        seat = self.batch.sit(self.queue.pop())
        if hits > 0:
            self.memory.share(request, hits)
        self.memory.take(blocks)
        self.shared[seat] = hits
        self.computed[seat] = start
        self.cached_tokens += start
        self.add_chunk(seat, size)
        return True

    def take_back(self, request: int, status: int) -> bool:
        """Seat a request whose KV comes with it; it decodes at once."""
        if self.mixed and self.budget() < self.verified:
            self.bound = TOKENS
            return False
        tokens = self.book.prompt[request] + self.book.generated[request] - 1
        most = self.most_tokens(request) if self.reserves else tokens + self.most_gain
        if not self.fits(self.memory.blocks(most)):
            return False
        seat = self.batch.sit(self.queue.pop())
        self.shared[seat] = 0
        self.memory.take(self.memory.blocks(most if self.reserves else tokens))
        if status == SWAPPED:
            self.extra_s += tokens * self.swap_token_s
        self.join(seat, tokens, self.book.done[request])
        if self.mixed:
            self.memory.claim(self.batch.gain)
        return True

    def add_chunk(self, seat: int, size: int) -> None:
        """Put a prefill chunk into the step; the prefixes it completes can be shared at once."""
        self.chunk_seat[self.chunks] = seat
        self.chunk_size[self.chunks] = size
        self.chunks += 1
        self.chunk_tokens += size
        self.prefill_tokens += size
        if self.memory.span > 0:
            request = self.batch.request[seat]
            full = (self.computed[seat] + size) // self.memory.leaf
            full = min(full, self.memory.leaves(request))
            if full > self.shared[seat]:
                self.memory.publish(request, self.shared[seat], full)
                self.shared[seat] = full

    def join(self, seat: int, tokens: int, last_token_s: float) -> None:
        """The sequence, `tokens` long in memory, decodes from the next step on."""
        request = self.batch.request[seat]
        self.rhythm.join(seat, last_token_s, self.batch.decoders == 0)
        self.batch.join(seat, tokens, self.book.output[request] - self.book.generated[request])
        if not self.reserves:
            self.residue[seat] = self.memory.join(tokens)

    # leaving

    def own_blocks(self, seat: int) -> int:
        """Blocks that a sequence holds for itself."""
        tokens = self.computed[seat]
        if self.reserves:
            tokens = self.most_tokens(self.batch.request[seat])
        elif self.batch.decodes(seat):
            tokens = self.batch.tokens[seat] + self.batch.gained(seat)
        return self.memory.blocks(tokens - self.shared[seat] * self.memory.leaf)

    def release(self, seat: int) -> None:
        """Give back the memory of a sequence and its seat."""
        self.memory.held -= self.own_blocks(seat)
        if self.shared[seat] > 0:
            self.memory.unshare(self.batch.request[seat], self.shared[seat])
        self.stand_up(seat)

    def stand_up(self, seat: int) -> None:
        """Free a seat, whatever becomes of its memory, and book the energy of its sequence."""
        if self.batch.decodes(seat):
            self.book.energy[self.batch.request[seat]] += self.batch.joules(seat)
            if not self.reserves:
                self.memory.leave(self.residue[seat])
            self.rhythm.leave(seat)
        self.batch.leave(seat)
        if seat == self.partial:
            self.partial = NOBODY

    def victim(self) -> int:
        """Who leaves when memory is short: of the least urgent class, the last to come."""
        chosen = self.batch.newest
        if self.queue.classes == 1:
            return chosen
        seat = chosen
        lowest = -1
        while seat != NOBODY:
            line = self.queue.line(self.batch.request[seat])
            if line > lowest:
                chosen = seat
                lowest = line
            seat = self.batch.before[seat]
        return chosen

    def interrupt(self, seat: int) -> None:
        """Take a sequence off its seat; the tokens it has made stay made."""
        request = self.batch.request[seat]
        if self.batch.decodes(seat):
            self.book.generated[request] += self.batch.gained(seat)
            self.book.done[request] = self.rhythm.leave(seat)
        self.book.status[request] = WAITING
        self.release(seat)

    def preempt(self, seat: int, now: float) -> None:
        """Send a sequence to the front of the queue; its KV is lost, or swapped to the host."""
        request = self.batch.request[seat]
        decoded = self.batch.decodes(seat)
        self.interrupt(seat)
        if self.swaps and decoded:
            self.book.status[request] = SWAPPED
            tokens = self.book.prompt[request] + self.book.generated[request] - 1
            self.extra_s += tokens * self.swap_token_s
        self.book.preempted[request] += 1
        self.preemptions += 1
        self.bound = NOTHING
        self.queue.return_first(request)
        if self.book.journal_rows > 0:
            self.book.note(PREEMPTED, now, request, self.index)
