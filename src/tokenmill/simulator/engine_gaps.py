# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""The times between tokens of one sequence, counted without visiting the tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenmill.simulator.engine_order import floats, ints
from tokenmill.simulator.engine_room import Room
from tokenmill.simulator.engine_stretch import Stretch

__all__ = ["Gaps", "Rhythm"]

INF = float("inf")
SHORTEST_GAP_S = 1e-6
GAPS_PER_E_FOLD = 200
GAP_BINS = 24 * GAPS_PER_E_FOLD
# a first look-up by even cells, for the gaps that are usual
COARSE_CELLS, COARSE_PER_S = 8192, 16384.0
COARSE_S = COARSE_CELLS / COARSE_PER_S
IN_TIME = -1.0


class Gaps:
    """How often which time passed between two tokens of one sequence: bins 0.5 % wide."""

    def __init__(self) -> None:
        edges = SHORTEST_GAP_S * np.exp(np.arange(GAP_BINS + 1) / GAPS_PER_E_FOLD)
        edges[0] = 0.0
        edges[GAP_BINS] = INF
        self.edges = floats(edges)
        cells = np.arange(COARSE_CELLS + 1) / COARSE_PER_S
        below = np.searchsorted(edges, cells, side="right") - 1
        self.coarse = ints(below.astype(np.int32))
        self.counts = ints(np.zeros(GAP_BINS, np.int64))

    def bin_of(self, gap_s: float) -> int:
        """The bin of a gap."""
        if gap_s < COARSE_S:
            cell = int(gap_s * COARSE_PER_S)
            found = self.coarse[cell]
            while self.edges[found + 1] <= gap_s:
                found += 1
            return found
        low = self.coarse[COARSE_CELLS]
        high = GAP_BINS - 1
        while low < high:
            middle = (low + high + 1) >> 1
            if self.edges[middle] <= gap_s:
                low = middle
            else:
                high = middle - 1
        return low

    def add(self, gap_s: float, count: int) -> None:
        """Count one gap so many times."""
        self.counts[self.bin_of(gap_s)] += count

    def add_run(self, first_s: float, slope_s: float, steps: int, count: int) -> None:
        """Count each of `steps` gaps that grow evenly, so many times."""
        place = self.bin_of(first_s)
        last_s = first_s + slope_s * (steps - 1)
        if self.edges[place] <= last_s < self.edges[place + 1]:
            self.counts[place] += count * steps
        else:
            self._spread(place, first_s, slope_s, steps, count)

    def _spread(self, place: int, first_s: float, slope_s: float, steps: int, count: int) -> None:
        """The same over several bins; steps can also shrink, where clocks throttle less."""
        last_s = first_s + slope_s * (steps - 1)
        while last_s >= self.edges[place + 1]:
            if first_s < self.edges[place + 1]:
                within = int((self.edges[place + 1] - first_s) / slope_s)
                within = min(within + 1, steps)
                self.counts[place] += count * within
                steps -= within
                first_s += slope_s * within
            place += 1
        while last_s < self.edges[place]:
            if first_s >= self.edges[place]:
                within = int((self.edges[place] - first_s) / slope_s)
                within = min(within + 1, steps)
                self.counts[place] += count * within
                steps -= within
                first_s += slope_s * within
            place -= 1
        self.counts[place] += count * steps

    def histogram(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Edges [s] and counts."""
        return np.asarray(self.edges).copy(), np.asarray(self.counts).copy()


class Rhythm:
    """When the decoding sequences of a replica made their last token.

    Most made it together, at `pulse`; those who joined at another time are late, once.
    """

    def __init__(self, seats: int, gaps: Gaps, room: Room) -> None:
        self.room = room
        self.gaps = gaps
        self.pulse = 0.0
        self.late = 0
        self.late_seat = self.room.ints(np.zeros(seats))
        self.last_s = self.room.floats(np.full(seats, IN_TIME))

    def join(self, seat: int, last_s: float, alone: bool) -> None:
        """A sequence that made its last token at last_s decodes from now on."""
        if alone:
            self.pulse = last_s
        elif last_s != self.pulse:
            self.last_s[seat] = last_s
            self.late_seat[self.late] = seat
            self.late += 1

    def leave(self, seat: int) -> float:
        """A sequence decodes no more; returns when it made its last token [s]."""
        last_s = self.last_s[seat]
        if last_s == IN_TIME:
            return self.pulse
        place = 0
        while self.late_seat[place] != seat:
            place += 1
        self.late -= 1
        self.late_seat[place] = self.late_seat[self.late]
        self.last_s[seat] = IN_TIME
        return last_s

    def beat(self, stretch: Stretch, decoders: int, now: float) -> None:
        """Count the gaps of a stretch that ends now, in which so many sequences decoded."""
        if self.late == 0 and self.pulse == stretch.start:
            self.gaps.add_run(stretch.step_s, stretch.slope_s, stretch.steps, decoders)
            self.pulse = now
            return
        first_s = stretch.start + stretch.length_s(1)
        if decoders > self.late:
            self.gaps.add(first_s - self.pulse, decoders - self.late)
        for place in range(self.late):
            seat = self.late_seat[place]
            self.gaps.add(first_s - self.last_s[seat], 1)
            self.last_s[seat] = IN_TIME
        self.late = 0
        if stretch.steps > 1:
            second_s = stretch.step_s + stretch.slope_s
            self.gaps.add_run(second_s, stretch.slope_s, stretch.steps - 1, decoders)
        self.pulse = now
