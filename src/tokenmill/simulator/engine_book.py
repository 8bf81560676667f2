# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""The book of requests: what each one asks, and what has happened to it so far.

Columns are buffers of caller-owned arrays, one entry per request. `Queue` threads requests into
first-in-first-out lines through one column, so that waiting costs no memory of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tokenmill.simulator.engine_order import floats, ints
from tokenmill.simulator.engine_room import Room
from tokenmill.simulator.policies import Status

__all__ = ["Book", "Queue"]

TIMED_OUT = Status.TIMED_OUT.value
NEVER = -1


class Book:
    """All requests of a run, and a journal of what happens to them if one is wanted.

    Parameters: columns by name (see `play`); priority, block_offsets and block_ids have length 0
    where the run has none, leaf_tokens [tokens] of a prefix block is then 0; journal_rows
    [count], 0 for no journal.
    """

    def __init__(self, columns: Mapping[str, Any], journal_rows: int = 0) -> None:
        self.room = Room()
        self.count = len(columns["arrival_s"])
        self.arrival = floats(columns["arrival_s"])
        self.prompt = ints(columns["prompt_tokens"])
        self.output = ints(columns["output_tokens"])
        self.urgency = ints(columns["priority"])
        self.offsets = ints(columns["block_offsets"])
        self.ids = ints(columns["block_ids"])
        # where each block that a running request shares stands in the cache of its replica
        self.entries = ints(np.zeros(len(columns["block_ids"]), np.int32))
        self.schedule = floats(columns["schedule_s"])
        self.first = floats(columns["first_token_s"])
        self.done = floats(columns["done_s"])
        self.energy = floats(columns["energy_j"])
        self.status = ints(columns["status"])
        self.preempted = ints(columns["preemptions"])
        self.generated = ints(columns["generated_tokens"])
        self.replica = ints(columns["replica"])
        self.follow = ints(np.full(self.count, NEVER, np.int32))
        self.urgent = len(columns["priority"]) > 0
        self.leaf = columns["leaf_tokens"]
        self.journal_rows = journal_rows
        self.rows = 0
        self.row_time = floats(np.zeros(journal_rows))
        self.row_event = ints(np.zeros(journal_rows, np.int8))
        self.row_request = ints(np.zeros(journal_rows, np.int32))
        self.row_replica = ints(np.zeros(journal_rows, np.int32))

    def note(self, event: int, time: float, request: int, replica: int) -> None:
        """Write a row of the journal; rows beyond its length are counted, not kept."""
        if self.rows < self.journal_rows:
            self.row_time[self.rows] = time
            self.row_event[self.rows] = event
            self.row_request[self.rows] = request
            self.row_replica[self.rows] = replica
        self.rows += 1

    def journal(self) -> dict[str, Any]:
        """The journal's columns as arrays."""
        kept = min(self.rows, self.journal_rows)
        return {
            "time_s": np.asarray(self.row_time)[:kept].copy(),
            "event": np.asarray(self.row_event)[:kept].copy(),
            "request": np.asarray(self.row_request)[:kept].copy(),
            "replica": np.asarray(self.row_replica)[:kept].copy(),
            "rows_lost": self.rows - kept if self.journal_rows else 0,
        }


class Queue:
    """Requests that wait at one place: a line for each class of urgency, the most urgent first.

    A request that timed out stays in line as a ghost and is skipped; `count` leaves it out.
    """

    def __init__(self, book: Book, classes: int) -> None:
        self.book = book
        self.classes = classes
        self.count = 0
        self.head = self.book.room.ints(np.full(classes, NEVER))
        self.tail = self.book.room.ints(np.full(classes, NEVER))

    def line(self, request: int) -> int:
        """The line where a request waits."""
        if not self.book.urgent:
            return 0
        return min(self.book.urgency[request], self.classes - 1)

    def add(self, request: int) -> None:
        """Put a request at the end of its line."""
        line = self.line(request)
        self.book.follow[request] = NEVER
        if self.head[line] == NEVER:
            self.head[line] = request
        else:
            self.book.follow[self.tail[line]] = request
        self.tail[line] = request
        self.count += 1

    def return_first(self, request: int) -> None:
        """Put a request back at the front of its line."""
        line = self.line(request)
        self.book.follow[request] = self.head[line]
        if self.head[line] == NEVER:
            self.tail[line] = request
        self.head[line] = request
        self.count += 1

    def peek(self) -> int:
        """The request that comes next, -1 if none waits."""
        for line in range(self.classes):
            request = self.head[line]
            while request != NEVER and self.book.status[request] == TIMED_OUT:
                request = self.book.follow[request]
                self.head[line] = request
            if request != NEVER:
                return request
        return NEVER

    def pop(self) -> int:
        """Take out the request that comes next; there must be one."""
        request = self.peek()
        line = self.line(request)
        self.head[line] = self.book.follow[request]
        self.count -= 1
        return request
