# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""The state of the pools at even times, in bounded memory: full tables drop every other row."""

from __future__ import annotations

from typing import Any

import numpy as np

from tokenmill.simulator.engine_order import floats, ints

__all__ = ["Samples"]

INF = float("inf")


class Samples:
    """Rows at multiples of interval_s: state at that time, energy since the row before.

    Parameters: pools [count]; interval_s [s], infinity for none; rows [count], even.
    """

    def __init__(self, pools: int, interval_s: float, rows: int) -> None:
        self.pools = pools
        self.interval_s = interval_s
        self.most = rows
        self.count = 0
        self.next_s = interval_s
        # one row more for the end of the run
        self.time = floats(np.zeros(rows + 1))
        self.batch = ints(np.zeros((rows + 1) * pools, np.int32))
        self.queue = ints(np.zeros((rows + 1) * pools, np.int32))
        self.blocks = ints(np.zeros((rows + 1) * pools, np.int64))
        self.serving = ints(np.zeros((rows + 1) * pools, np.int32))
        self.joules = floats(np.zeros((rows + 1) * pools))

    def add(
        self, pool: int, batch: int, queue: int, blocks: int, serving: int, joules: float
    ) -> None:
        """State of one pool in the row that is being written; energy since the row before."""
        place = self.count * self.pools + pool
        self.batch[place] = batch
        self.queue[place] = queue
        self.blocks[place] = blocks
        self.serving[place] = serving
        self.joules[place] = joules

    def close_row(self, now: float) -> None:
        """The row is complete; make room for the next one."""
        self.time[self.count] = now
        self.count += 1
        if now < self.next_s:
            return  # the last row of the run
        self.next_s = now + self.interval_s
        if self.count == self.most:
            self.halve()
            # the rows that are left end at an even multiple
            self.next_s = now + self.interval_s

    def halve(self) -> None:
        """Join rows by twos."""
        self.interval_s *= 2.0
        self.count = self.count // 2
        for row in range(self.count):
            self.time[row] = self.time[2 * row + 1]
            for pool in range(self.pools):
                place = row * self.pools + pool
                source = (2 * row + 1) * self.pools + pool
                self.batch[place] = self.batch[source]
                self.queue[place] = self.queue[source]
                self.blocks[place] = self.blocks[source]
                self.serving[place] = self.serving[source]
                self.joules[place] = self.joules[source] + self.joules[source - self.pools]

    def columns(self) -> dict[str, Any]:
        """Arrays [rows] and [rows, pools]."""
        columns = {"time_s": np.asarray(self.time)[: self.count].copy()}
        for name, column in (
            ("batch", self.batch), ("queue", self.queue), ("kv_blocks", self.blocks),
            ("serving", self.serving), ("energy_j", self.joules),
        ):  # fmt: skip
            table = np.asarray(column).reshape(-1, self.pools)
            columns[name] = table[: self.count].copy()
        return columns
