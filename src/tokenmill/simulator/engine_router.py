# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""Which replica of a pool gets a request, and the dice that chance is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenmill.simulator.engine_book import Book
from tokenmill.simulator.engine_order import Order, ints
from tokenmill.simulator.policies import Pool
from tokenmill.simulator.policies import Router as Rule

__all__ = ["Dice", "Router"]

INF = float("inf")
NOBODY = -1
KINDS = (Rule.ROUND_ROBIN, Rule.RANDOM, Rule.LEAST_OUTSTANDING, Rule.PREFIX_AWARE)
RANDOM, LEAST, PREFIX = 1, 2, 3
SIXTY_FOUR = (1 << 64) - 1


def mixed(number: int) -> int:
    """A number of 64 bits that looks like chance, for any number; equal for equal ones.

    Numpy's seeds would do, but their module is slow to import.
    Reference: Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195.
    """
    number = number * 0x9E3779B97F4A7C15 & SIXTY_FOUR
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & SIXTY_FOUR
    number = (number ^ number >> 27) * 0x94D049BB133111EB & SIXTY_FOUR
    return number ^ number >> 31


class Dice:
    """Uniform numbers from a seed: two multiplicative generators combined.

    Small enough to give the same numbers in C and in Python.
    Reference: L'Ecuyer 1988, doi:10.1145/62959.62969.
    """

    def __init__(self, seed: int, stream: int) -> None:
        self.one = mixed(2 * ((seed << 32) + stream)) % 2147483562 + 1
        self.two = mixed(2 * ((seed << 32) + stream) + 1) % 2147483398 + 1

    def roll(self) -> float:
        """The next number, above 0 and below 1."""
        self.one = self.one * 40014 % 2147483563
        self.two = self.two * 40692 % 2147483399
        mixed = self.one - self.two
        if mixed < 1:
            mixed += 2147483562
        return mixed / 2147483563.0


class Router:
    """Loads of the replicas of one pool, and the rule that chooses among those that serve.

    Parameters: pool; book; seed and stream of its dice.
    """

    def __init__(self, pool: Pool, book: Book, seed: int, stream: int) -> None:
        self.kind = KINDS.index(pool.router)
        self.book = book
        self.count = pool.most_replicas
        self.load = ints(np.zeros(self.count, np.int64))
        self.serves = ints(np.zeros(self.count, np.int8))
        self.serving = 0
        self.total = 0
        self.least = Order(self.count)
        self.dice = Dice(seed, stream)
        self.turn = 0
        self.leaf = book.leaf
        self.affinity, self.ratio = pool.affinity, pool.balance_ratio
        self.slack = pool.balance_slack
        names = 0
        if self.kind == PREFIX and len(book.ids) > 0:
            names = int(np.asarray(book.ids).max()) + 1
        self.home = ints(np.full(names, NOBODY, np.int32))

    def serve(self, replica: int, serves: bool) -> None:
        """A replica takes requests from now on, or no more."""
        if self.serves[replica] != serves:
            self.serving += 1 if serves else -1
            self.serves[replica] = serves
        self.weigh(replica)

    def weigh(self, replica: int) -> None:
        """Keep the least loaded one known, where a rule asks for it."""
        if self.kind >= LEAST:
            weight = INF
            if self.serves[replica]:
                # equal loads go by place, so no two weights are equal
                weight = 1.0 * self.load[replica] * self.count + replica
            self.least.put(replica, weight, 0)

    def add(self, replica: int, change: int) -> None:
        """A request came to a replica (1) or left it (-1)."""
        self.load[replica] += change
        self.total += change
        self.weigh(replica)

    def choose(self, request: int) -> int:
        """The replica for a request, -1 if none serves."""
        if self.serving == 0:
            return NOBODY
        if self.kind == PREFIX:
            return self._by_prefix(request)
        if self.kind == LEAST:
            return self.least.first()
        if self.kind == RANDOM:
            ahead = int(self.dice.roll() * self.serving)
            return self._serving_from(0, ahead)
        chosen = self._serving_from(self.turn, 0)
        self.turn = chosen + 1 if chosen + 1 < self.count else 0
        return chosen

    def deal(self, count: int) -> NDArray[np.int32]:
        """Choices for so many requests at once, where nothing but their order matters."""
        choices = np.zeros(count, np.int32)
        self._deal(ints(choices))
        return choices

    def _deal(self, choices: memoryview[int]) -> None:
        for request in range(len(choices)):
            choices[request] = self.choose(request)

    def _serving_from(self, start: int, ahead: int) -> int:
        """The first serving replica from `start` on, or the one that many after it."""
        if self.serving == self.count:
            return (start + ahead) % self.count
        place = start
        while True:
            if self.serves[place]:
                if ahead == 0:
                    return place
                ahead -= 1
            place = place + 1 if place + 1 < self.count else 0

    def _by_prefix(self, request: int) -> int:
        """Where most of the prompt was sent last, unless that is too little or too loaded."""
        chosen = self.least.first()
        if len(self.home) == 0:
            return chosen
        start = self.book.offsets[request]
        stop = self.book.offsets[request + 1]
        known = start
        while known < stop and self.home[self.book.ids[known]] != NOBODY:
            known += 1
        if known > start and (known - start) * self.leaf >= (
            self.affinity * self.book.prompt[request]
        ):
            there = self.home[self.book.ids[known - 1]]
            if self.serves[there] and self.load[there] <= (
                self.ratio * self.load[chosen] + self.slack
            ):
                chosen = there
        for place in range(start, stop):
            self.home[self.book.ids[place]] = chosen
        return chosen
