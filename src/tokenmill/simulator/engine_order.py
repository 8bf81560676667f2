# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""The order of events, in one place: the next one is the smallest (time, phase, source).

`Order` picks the next event among a fixed number of sources, `Later` keeps what will happen at
known times, `Ladder` keeps the seats of a batch by the decode step that ends them. The types
that a compiler needs stand in `engine_order.pxd`; this file is plain Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tokenmill.simulator.engine_room import Room

__all__ = ["Ladder", "Later", "Order", "floats", "ints"]

INF = float("inf")
# a step that no run reaches
NEVER = 1 << 60


def floats(array: Any) -> memoryview[float]:
    """The buffer of an array: typed when compiled, quick Python numbers when interpreted."""
    return memoryview(array)


def ints(array: Any) -> memoryview[int]:
    """The same for whole numbers."""
    return memoryview(array)


class Order:
    """A tournament over sources: each has its next (time, phase); the winner is the least.

    Equal times go by phase, equal phases by source. With times that are not times (loads of
    replicas, say) it is the quick way to the smallest one.
    """

    def __init__(self, sources: int) -> None:
        self.size = 1
        while self.size < sources:
            self.size *= 2
        self.time = floats(np.full(self.size, INF))
        self.phase = ints(np.zeros(self.size, np.int32))
        self.tree = ints(np.zeros(2 * self.size, np.int32))
        for source in range(self.size):
            self.tree[self.size + source] = source
        for node in range(self.size - 1, 0, -1):
            self.tree[node] = self.tree[2 * node]

    def first(self) -> int:
        """The source whose event comes next."""
        return self.tree[1]

    def put(self, source: int, time: float, phase: int) -> None:
        """Give a source its next event; infinity for none."""
        self.time[source] = time
        self.phase[source] = phase
        spot = self.size + source
        winner = source
        while spot > 1:
            rival = self.tree[spot ^ 1]
            rival_time = self.time[rival]
            if rival_time < time or (rival_time == time and self._precedes(rival, winner)):
                winner = rival
                time = rival_time
            spot = spot >> 1
            if self.tree[spot] == winner and winner != source:
                break  # from here on nothing has changed
            self.tree[spot] = winner

    def is_alone(self, source: int) -> bool:
        """Whether no other source has an event at the time of this one, the first, or before."""
        spot = self.size + source
        while spot > 1:
            if self.time[self.tree[spot ^ 1]] <= self.time[source]:
                return False
            spot = spot >> 1
        return True

    def _precedes(self, one: int, other: int) -> bool:
        """Which of two sources comes first at one time."""
        if self.phase[one] != self.phase[other]:
            return bool(self.phase[one] < self.phase[other])
        return one < other


class Later:
    """What will happen at a known time: a heap by (time, order of entry)."""

    def __init__(self) -> None:
        self.size = 0
        self.entered = 0
        self.capacity = 0
        self.time = floats(np.zeros(0))
        self.kind = ints(np.zeros(0, np.int32))
        self.number = self.what = self.where = ints(np.zeros(0, np.int64))
        self._reserve(64)

    def _reserve(self, capacity: int) -> None:
        """Make room for so many, keeping those that are here."""
        time, number = np.zeros(capacity), np.zeros((3, capacity), np.int64)
        kind = np.zeros(capacity, np.int32)
        if self.size > 0:
            time[: self.size] = self.time
            kind[: self.size] = self.kind
            for row, column in enumerate((self.number, self.what, self.where)):
                number[row, : self.size] = column
        self.time, self.kind = floats(time), ints(kind)
        self.number, self.what, self.where = ints(number[0]), ints(number[1]), ints(number[2])
        self.capacity = capacity

    def next_time(self) -> float:
        """When the first of them happens; infinity for never."""
        return self.time[0] if self.size > 0 else INF

    def add(self, time: float, kind: int, what: int, where: int) -> None:
        """Enter something of a kind, with two numbers to remember."""
        if self.size == self.capacity:
            self._reserve(2 * self.capacity)
        spot = self.size
        self.size += 1
        number = self.entered
        self.entered += 1
        while spot > 0:
            parent = (spot - 1) >> 1
            # a later entry never goes before an equal time
            if self.time[parent] <= time:
                break
            self._copy(parent, spot)
            spot = parent
        self._fill(spot, time, number, kind, what, where)

    def drop_first(self) -> None:
        """Take the first one away."""
        self.size -= 1
        last = self.size
        spot = 0
        child = 1
        while child < last:
            if child + 1 < last and self._before(child + 1, child):
                child += 1
            if not self._before(child, last):
                break
            self._copy(child, spot)
            spot = child
            child = 2 * spot + 1
        self._copy(last, spot)

    def _before(self, one: int, other: int) -> bool:
        if self.time[one] != self.time[other]:
            return bool(self.time[one] < self.time[other])
        return bool(self.number[one] < self.number[other])

    def _copy(self, source: int, target: int) -> None:
        self.time[target] = self.time[source]
        self.number[target] = self.number[source]
        self.kind[target] = self.kind[source]
        self.what[target] = self.what[source]
        self.where[target] = self.where[source]

    def _fill(self, spot: int, time: float, number: int, kind: int, what: int, where: int) -> None:
        self.time[spot] = time
        self.number[spot] = number
        self.kind[spot] = kind
        self.what[spot] = what
        self.where[spot] = where


class Ladder:
    """Seats by the decode step at which something happens to them; any seat can leave early.

    A binary heap by (key, order of entry) that knows where each seat stands; `least` is the
    first key.
    """

    def __init__(self, seats: int, room: Room) -> None:
        self.room = room
        self.size = 0
        self.entered = 0
        self.least = NEVER
        self.heap = self.room.ints(np.zeros(seats))
        self.place = self.room.ints(np.full(seats, -1))
        self.key = self.room.longs(np.zeros(seats))
        self.rank = self.room.longs(np.zeros(seats))

    def first(self) -> int:
        """The seat that comes first; there must be one."""
        return self.heap[0]

    def push(self, seat: int, key: int) -> None:
        """Enter a seat."""
        self.key[seat] = key
        self.rank[seat] = self.entered
        self.entered += 1
        self.size += 1
        self._rise(self.size - 1, seat)
        self.least = self.key[self.heap[0]]

    def remove(self, seat: int) -> None:
        """Take a seat out, wherever it stands; nothing happens if it is not there."""
        spot = self.place[seat]
        if spot < 0:
            return
        self.place[seat] = -1
        self.size -= 1
        moved = self.heap[self.size]
        if moved == seat:
            self.least = self.key[self.heap[0]] if self.size > 0 else NEVER
            return
        # the hole goes down to the end of the heap; whoever stood last rises from there
        child = 2 * spot + 1
        while child < self.size:
            below = self.heap[child]
            if child + 1 < self.size and self._before(self.heap[child + 1], below):
                child += 1
                below = self.heap[child]
            self.heap[spot] = below
            self.place[below] = spot
            spot = child
            child = 2 * spot + 1
        self._rise(spot, moved)
        self.least = self.key[self.heap[0]]

    def _before(self, one: int, other: int) -> bool:
        if self.key[one] != self.key[other]:
            return bool(self.key[one] < self.key[other])
        return bool(self.rank[one] < self.rank[other])

    def _rise(self, spot: int, seat: int) -> None:
        while spot > 0:
            parent = (spot - 1) >> 1
            above = self.heap[parent]
            if not self._before(seat, above):
                break
            self.heap[spot] = above
            self.place[above] = spot
            spot = parent
        self.heap[spot] = seat
        self.place[seat] = spot
