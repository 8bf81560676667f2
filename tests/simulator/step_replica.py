"""One replica, step by step and token by token: slow, with nothing clever in it.

The engine must agree with this to 1e-9. It keeps every sequence as an object, counts blocks by
asking each one, and forms every step anew.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from simulator.step_prices import price
from tokenmill.simulator.policies import Event, Pool, Preemption, Status


@dataclass(eq=False)
class Sequence:
    """A request that has a seat."""

    request: int
    serial: int
    urgency: int
    computed: int = 0
    total: int = 0
    tokens: int = 0  # in memory
    expected: float = 0.0  # the same, speculation counted by its expectation
    allocated: int = 0
    shared: list[int] = field(default_factory=list)
    decodes: bool = False
    joined: int = 0
    last_s: float = 0.0


@dataclass
class Step:
    """A step that runs."""

    start: float
    end: float
    joules: float
    natural_j: float
    decoders: list[Sequence]
    chunks: list[tuple[Sequence, int, float]]
    gain: int


class StepReplica:
    def __init__(self, world: Any, index: int, pool: Pool, slowness: float) -> None:
        self.world, self.index, self.pool = world, index, pool
        self.wanted, self.rule, self.table = pool.scheduling, pool.scheduling.rule, pool.table
        self.slowness = slowness
        self.leaf = world.leaf if self.wanted.prefix_cache else 0
        self.span = self.leaf // self.wanted.block_tokens
        self.rate = self.wanted.tokens_per_step
        self.verified = 1 + self.wanted.draft_tokens
        self.lines: list[list[int]] = [[] for _ in range(self.wanted.priorities)]
        self.running: list[Sequence] = []
        self.users: dict[int, int] = {}
        self.unused: OrderedDict[int, None] = OrderedDict()
        self.sent: dict[int, tuple[int, list[int]]] = {}
        self.step: Step | None = None
        self.decode_steps = 0
        self.serial = self.joined = 0
        self.open = True
        self.work_j = self.busy_s = self.idle_s = 0.0
        self.idle_from = math.inf
        self.steps = self.prefill_tokens = self.cached_tokens = self.preemptions = 0

    # queue

    def line(self, request: int) -> list[int]:
        urgency = self.world.priority
        return self.lines[min(urgency[request], len(self.lines) - 1) if urgency else 0]

    def queue(self) -> list[int]:
        return [request for line in self.lines for request in line]

    # memory

    def blocks(self, tokens: int) -> int:
        return math.ceil(tokens / self.wanted.block_tokens)

    def own(self, sequence: Sequence) -> int:
        return self.blocks(sequence.allocated - len(sequence.shared) * self.leaf)

    def used(self) -> int:
        own = sum(self.own(sequence) for sequence in self.running)
        return own + sum(blocks for blocks, _ in self.sent.values()) + len(self.users) * self.span

    def available(self) -> int:
        return self.wanted.kv_blocks - self.used()

    def forget(self) -> None:
        while self.unused and self.used() + len(self.unused) * self.span > self.wanted.kv_blocks:
            self.unused.popitem(last=False)

    def names(self, request: int) -> list[int]:
        if not self.leaf:
            return []
        ids: list[int] = self.world.blocks_of(request)
        return ids[: self.world.prompt[request] // self.leaf]

    def use(self, sequence: Sequence, name: int) -> None:
        self.unused.pop(name, None)
        self.users[name] = self.users.get(name, 0) + 1
        sequence.shared.append(name)

    def unuse(self, names: list[int]) -> None:
        for name in reversed(names):
            self.users[name] -= 1
            if not self.users[name]:
                del self.users[name]
                self.unused[name] = None

    # forming a step

    def begin(self, now: float) -> None:
        self.extra_s = 0.0
        decoders, chunks, gain = self.compose(now)
        if not decoders and not chunks and self.queue():
            decoders, chunks, gain = self.compose(now)
        if not decoders and not chunks:
            return
        if self.idle_from < math.inf:
            self.idle_s += now - self.idle_from
            self.idle_from = math.inf
        priced, step_s, step_j, natural_j = price(self, decoders, chunks)
        self.step = Step(now, now + step_s, step_j, natural_j, decoders, priced, gain)

    def compose(self, now: float) -> tuple[list[Sequence], list[tuple[Sequence, int]], int]:
        self.chunks: list[tuple[Sequence, int]] = []
        if not self.running:
            self.open = True
        gain = math.floor((self.decode_steps + 1) * self.rate) - math.floor(
            self.decode_steps * self.rate
        )
        evicted = self.grow(gain, now) if self.rule.mixed else False
        for sequence in [s for s in self.running if not s.decodes]:
            evicted |= self.continue_prompt(sequence, gain, now)
        if not evicted:
            self.admit(gain, now)
        if not self.rule.mixed and not self.chunks:
            self.grow(gain, now)
        decoders = [s for s in self.running if s.decodes]
        if not self.rule.mixed and self.chunks:
            decoders = []
        if decoders and not self.rule.refills:
            self.open = False
        return decoders, self.chunks, gain

    def grow(self, gain: int, now: float) -> bool:
        evicted = False
        while decoders := [s for s in self.running if s.decodes]:
            before = [s.allocated for s in decoders]
            if not self.rule.reserves:
                for sequence in decoders:
                    sequence.allocated = sequence.tokens + gain
            if self.available() >= 0:
                self.forget()
                break
            for sequence, allocated in zip(decoders, before, strict=True):
                sequence.allocated = allocated
            self.preempt(self.victim(), now)
            evicted = True
        return evicted

    def budget(self) -> int:
        left = self.wanted.token_budget - sum(size for _, size in self.chunks)
        if self.rule.mixed:
            left -= self.verified * sum(s.decodes for s in self.running)
        return left

    def continue_prompt(self, sequence: Sequence, gain: int, now: float) -> bool:
        size = min(sequence.total - sequence.computed, self.budget())
        if size <= 0:
            return False
        evicted = False
        before = sequence.allocated
        while True:
            if not self.rule.reserves:
                sequence.allocated = sequence.computed + size
            if self.available() >= 0:
                break
            sequence.allocated = before
            victim = self.victim()
            self.preempt(victim, now)
            evicted = True
            if victim is sequence:
                return True
        self.forget()
        self.add_chunk(sequence, size)
        return evicted

    def admit(self, gain: int, now: float) -> None:
        while waiting := self.queue():
            if not self.open or len(self.running) >= self.wanted.max_sequences:
                return
            request = waiting[0]
            status = self.world.status[request]
            if status in (Status.SWAPPED, Status.CARRIED):
                seated = self.take_back(request, status, gain)
            else:
                seated = self.seat(request)
            if not seated:
                return
            self.world.status[request] = Status.RUNNING
            if math.isnan(self.world.schedule[request]):
                self.world.schedule[request] = now
            self.world.note(Event.SCHEDULE, now, request, self.index)

    def sit(self, request: int) -> Sequence:
        self.line(request).remove(request)
        urgency = self.lines.index(self.line(request)) if len(self.lines) > 1 else 0
        if self.world.priority:
            urgency = min(self.world.priority[request], len(self.lines) - 1)
        sequence = Sequence(request, self.serial, urgency)
        self.serial += 1
        self.running.append(sequence)
        return sequence

    def keep_free(self) -> int:
        return int(self.wanted.watermark * self.wanted.kv_blocks) if self.running else 0

    def seat(self, request: int) -> bool:
        names = self.names(request)
        names = names[: (self.world.prompt[request] - 1) // self.leaf] if self.leaf else []
        hits: list[int] = []
        for name in names:
            if name not in self.users and name not in self.unused:
                break
            hits.append(name)
        total = self.world.prompt[request] + self.world.generated[request]
        start = len(hits) * self.leaf
        size, budget = total - start, self.budget()
        if size > budget:
            if budget <= 0 or not (self.rule.chunked or size > self.wanted.token_budget):
                return False
            size = budget
        hold = self.world.most_tokens(request, self.pool) if self.rule.reserves else start + size
        cold = sum(name in self.unused for name in hits) * self.span
        if self.blocks(hold - start) + cold + self.keep_free() > self.available():
            return False
        sequence = self.sit(request)
        for name in hits:
            self.use(sequence, name)
        sequence.allocated, sequence.computed, sequence.total = hold, start, total
        self.forget()
        self.cached_tokens += start
        self.add_chunk(sequence, size)
        return True

    def take_back(self, request: int, status: Status, gain: int) -> bool:
        if self.rule.mixed and self.budget() < self.verified:
            return False
        tokens = self.world.prompt[request] + self.world.generated[request] - 1
        most = tokens + math.ceil(self.rate)
        if self.rule.reserves:
            most = self.world.most_tokens(request, self.pool)
        if self.blocks(most) + self.keep_free() > self.available():
            return False
        sequence = self.sit(request)
        # a step of prefill alone leaves the growth for later
        sequence.allocated = tokens + gain if self.rule.mixed else tokens
        if self.rule.reserves:
            sequence.allocated = most
        self.forget()
        if status == Status.SWAPPED:
            self.extra_s += tokens * self.wanted.swap_token_s
        self.join(sequence, tokens, self.world.last_s[request])
        return True

    def add_chunk(self, sequence: Sequence, size: int) -> None:
        self.chunks.append((sequence, size))
        self.prefill_tokens += size
        if self.leaf:
            full = (sequence.computed + size) // self.leaf
            for name in self.names(sequence.request)[len(sequence.shared) : full]:
                self.use(sequence, name)

    def join(self, sequence: Sequence, tokens: int, last_s: float) -> None:
        sequence.decodes = True
        sequence.joined = self.joined
        self.joined += 1
        sequence.tokens = tokens
        sequence.expected = float(tokens)
        sequence.last_s = last_s

    # leaving

    def victim(self) -> Sequence:
        return max(self.running, key=lambda s: (s.urgency, s.serial))

    def interrupt(self, sequence: Sequence) -> None:
        self.unuse(sequence.shared)
        self.running.remove(sequence)
        self.world.status[sequence.request] = Status.WAITING
        if sequence.decodes:
            self.world.last_s[sequence.request] = sequence.last_s

    def preempt(self, sequence: Sequence, now: float) -> None:
        request = sequence.request
        self.interrupt(sequence)
        if self.wanted.preemption is Preemption.SWAP and sequence.decodes:
            self.world.status[request] = Status.SWAPPED
            tokens = self.world.prompt[request] + self.world.generated[request] - 1
            self.extra_s += tokens * self.wanted.swap_token_s
        self.world.preemptions[request] += 1
        self.preemptions += 1
        self.line(request).insert(0, request)
        self.world.note(Event.PREEMPT, now, request, self.index)

    # the end of a step

    def share_energy(self, step: Step) -> None:
        n = len(step.decoders) + len(step.chunks)
        tokens = sum(size for _, size, _ in step.chunks) + len(step.decoders) * self.verified
        rest = step.joules
        for sequence, size, own_j in step.chunks:
            share = own_j + size * self.table.linear_j[tokens] / tokens
            share += (self.table.sequence_j[n] + step.joules - step.natural_j) / n
            self.world.energy[sequence.request] += share
            rest -= share
        for sequence in step.decoders:
            self.world.energy[sequence.request] += rest / len(step.decoders)

    def finish(self) -> list[tuple[int, str]]:
        step = self.step
        assert step is not None
        now = step.end
        self.step = None
        self.idle_from = now
        self.steps += 1
        self.work_j += step.joules
        self.busy_s += now - step.start
        self.share_energy(step)
        left = []
        for sequence in step.decoders:
            sequence.tokens += step.gain
            sequence.expected += self.rate
            self.world.generated[sequence.request] += step.gain
            self.world.gap(self.pool, now - sequence.last_s)
            sequence.last_s = now
        self.decode_steps += 1 if step.decoders else 0
        for sequence in sorted(step.decoders, key=lambda s: s.joined):
            if self.world.generated[sequence.request] >= self.world.output[sequence.request]:
                left.append((sequence.request, self.complete(sequence, now)))
        for sequence, size, _ in step.chunks:
            sequence.computed += size
            if sequence.computed == sequence.total:
                left += self.prompt_is_done(sequence, now)
        return left

    def prompt_is_done(self, sequence: Sequence, now: float) -> list[tuple[int, str]]:
        request = sequence.request
        if self.world.generated[request] == 0:
            self.world.first[request] = now
            self.world.note(Event.FIRST_TOKEN, now, request, self.index)
        else:
            self.world.gap(self.pool, now - self.world.last_s[request])
        self.world.generated[request] += 1
        if self.world.generated[request] >= self.world.output[request]:
            return [(request, self.complete(sequence, now))]
        if self.pool.handoff:
            self.running.remove(sequence)
            self.sent[request] = self.own(sequence), sequence.shared
            self.world.status[request] = Status.CARRIED
            self.world.last_s[request] = now
            return [(request, "sent")]
        self.join(sequence, sequence.total, now)
        return []

    def complete(self, sequence: Sequence, now: float) -> str:
        request = sequence.request
        self.unuse(sequence.shared)
        self.running.remove(sequence)
        self.world.generated[request] = self.world.output[request]
        self.world.status[request] = Status.DONE
        self.world.done[request] = now
        self.world.note(Event.DONE, now, request, self.index)
        return "done"

    def break_off(self, now: float) -> None:
        """Stop in the middle of a step; its energy so far is shared evenly."""
        if self.step is None:
            return
        step, self.step = self.step, None
        joules = step.joules * (now - step.start) / (step.end - step.start)
        self.work_j += joules
        self.busy_s += now - step.start
        sequences = [*step.decoders, *(sequence for sequence, _, _ in step.chunks)]
        for sequence in sequences:
            self.world.energy[sequence.request] += joules / len(sequences)

    def fail(self, now: float) -> list[int]:
        self.break_off(now)
        lost = [sequence.request for sequence in self.running]
        for sequence in list(self.running):
            self.interrupt(sequence)
        self.users.clear()
        self.unused.clear()
        self.sent.clear()
        self.power(False, now)
        lost += self.queue()
        for line in self.lines:
            line.clear()
        return lost

    def power(self, on: bool, now: float) -> None:
        if on:
            self.idle_from = now
        elif self.idle_from < math.inf:
            self.idle_s += now - self.idle_from
            self.idle_from = math.inf

    def joules(self, now: float) -> float:
        joules = self.work_j + self.table.idle_w * self.idle_s
        if self.step is not None:
            step = self.step
            length_s = step.end - step.start
            return joules + (step.joules * (now - step.start) / length_s if length_s else 0.0)
        if self.idle_from < now:
            joules += self.table.idle_w * (now - self.idle_from)
        return joules
