# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""The seats of one replica: which sequences run, and how far the decoding ones are.

All decoding sequences move together: `step` counts decode steps of the replica, `clock` the
tokens that each sequence gained in them (more than one a step with speculative decoding). So a
sequence needs no update of its own until it ends, leaves, or crosses the attention window.
"""

from __future__ import annotations

import numpy as np

from tokenmill.simulator.engine_order import Ladder
from tokenmill.simulator.engine_room import Room

__all__ = ["Batch"]

NOBODY = -1


class Batch:
    """Seats, and sums over the sequences that decode.

    Parameters: seats [count]; rate [tokens] that a decoding sequence gains in a step, a multiple
    of 1/65536 so that its multiples are exact; window [tokens], 0 for none; room.
    """

    def __init__(self, seats: int, rate: float, window: int, room: Room) -> None:
        self.room = room
        self.seats = seats
        self.rate = rate
        self.whole = rate == 1.0
        self.window = window
        self.count = 0
        self.decoders = 0
        # what each decoding sequence gains in the next step
        self.gain = int(rate)
        self.step = 0
        self.clock = 0
        self.written_sum = 0.0
        self.inside = 0
        self.inside_sum = 0.0
        self.free = self.room.ints(np.arange(seats)[::-1])
        self.request = self.room.ints(np.full(seats, NOBODY))
        self.before = self.room.ints(np.full(seats, NOBODY))
        self.after = self.room.ints(np.full(seats, NOBODY))
        self.oldest = NOBODY
        self.newest = NOBODY
        self.tokens = self.room.ints(np.zeros(seats))
        self.from_clock = self.room.longs(np.zeros(seats))
        self.from_step = self.room.longs(np.zeros(seats))
        self.credit_j = 0.0
        self.credit_from = self.room.floats(np.zeros(seats))
        self.ends = Ladder(seats, room)
        self.crossings = Ladder(seats, room)

    def sit(self, request: int) -> int:
        """Give a request a seat; there must be one."""
        seat = self.free[self.seats - self.count - 1]
        self.count += 1
        self.request[seat] = request
        self.before[seat] = self.newest
        self.after[seat] = NOBODY
        if self.newest == NOBODY:
            self.oldest = seat
        else:
            self.after[self.newest] = seat
        self.newest = seat
        return seat

    def join(self, seat: int, tokens: int, wanted: int) -> None:
        """The sequence, `tokens` long in memory, decodes until it has `wanted` more."""
        self.decoders += 1
        self.tokens[seat] = tokens
        self.from_clock[seat] = self.clock
        self.from_step[seat] = self.step
        self.credit_from[seat] = self.credit_j
        self.written_sum += tokens
        self.ends.push(seat, self.step_at(self.clock + wanted))
        if self.window > tokens:
            self.inside += 1
            self.inside_sum += tokens
            steps = int((self.window - tokens - 1) / self.rate)
            self.crossings.push(seat, self.step + steps + 1)

    def decodes(self, seat: int) -> bool:
        """Whether the sequence on a seat decodes; otherwise its prompt is being computed."""
        return self.ends.place[seat] >= 0

    def leave(self, seat: int) -> None:
        """Free the seat."""
        if self.ends.place[seat] >= 0:
            self.decoders -= 1
            self.written_sum -= self.reached(seat)
            self.ends.remove(seat)
            if self.crossings.place[seat] >= 0:
                self.inside -= 1
                self.inside_sum -= self.reached(seat)
                self.crossings.remove(seat)
        self._unlink(seat)
        self.count -= 1
        self.free[self.seats - self.count - 1] = seat

    def _unlink(self, seat: int) -> None:
        before, after = self.before[seat], self.after[seat]
        if before == NOBODY:
            self.oldest = after
        else:
            self.after[before] = after
        if after == NOBODY:
            self.newest = before
        else:
            self.before[after] = before

    def reached(self, seat: int) -> float:
        """Expected tokens of a decoding sequence in memory; whole ones without speculation."""
        return self.tokens[seat] + (self.step - self.from_step[seat]) * self.rate

    def joules(self, seat: int) -> float:
        """Energy of a decoding sequence since it joined [J]: its share of every step since."""
        return self.credit_j - self.credit_from[seat]

    def gained(self, seat: int) -> int:
        """Tokens that a decoding sequence has made since it joined."""
        return self.clock - self.from_clock[seat]

    def advance(self, steps: int) -> int:
        """All decoding sequences have done so many steps; returns the tokens each has gained."""
        tokens = self.tokens_in(steps)
        self.step += steps
        self.clock += tokens
        gained = self.rate * steps
        self.written_sum += self.decoders * gained
        if self.window > 0:
            self.inside_sum += self.inside * gained
            while self.crossings.least <= self.step:
                seat = self.crossings.first()
                self.crossings.remove(seat)
                self.inside -= 1
                self.inside_sum -= self.reached(seat)
        self.gain = self.tokens_in(1)
        return tokens

    def windowed(self) -> float:
        """Context tokens within the attention window in the next step, the new token included."""
        return self.inside_sum + self.inside + 1.0 * (self.decoders - self.inside) * self.window

    def tokens_in(self, steps: int) -> int:
        """Tokens that each decoding sequence gains in so many steps."""
        if self.whole:
            return steps
        after = int((self.step + steps) * self.rate)
        return after - self.clock

    def step_at(self, clock: int) -> int:
        """The first decode step after which the clock is at least `clock`."""
        if self.whole:
            return clock
        step = int(clock / self.rate)
        passed = int(step * self.rate)
        while passed < clock:
            step += 1
            passed = int(step * self.rate)
        return step

    def steps_within(self, tokens: int) -> int:
        """Most steps in which no sequence gains more than so many tokens."""
        return self.step_at(self.clock + tokens + 1) - 1 - self.step
