# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""KV memory of one replica: blocks that sequences hold, and prefixes kept for the next ones.

Decoding sequences grow by the same number of tokens in every step, so their need of blocks over
any number of steps follows from how many of them stand at each place of their last block:
`residues`. Prefix entries are counted by the sequences that use them; unused ones stay until
their blocks are needed, the one unused for longest goes first.
"""

from __future__ import annotations

import numpy as np

from tokenmill.simulator.engine_book import Book
from tokenmill.simulator.engine_order import ints

__all__ = ["Memory"]

NONE = -1
# Knuth's multiplicative hash, 2^32 over the golden ratio
GOLDEN = 2654435761


class Memory:
    """Blocks of one replica.

    Parameters: book; total [blocks]; block [tokens]; leaf [tokens] of a prefix entry, 0 for no
    prefix cache.
    """

    def __init__(self, book: Book, total: int, block: int, leaf: int) -> None:
        self.book = book
        self.total = total
        self.block = block
        self.leaf = leaf
        self.span = self.leaf // block
        self.held = 0
        self.grown = 0
        self.growing = 0
        # the residue of those who need a block next
        self.mark = 0
        self.residues = ints(np.zeros(block, np.int32))
        self.active = 0
        self.idle = 0
        self.cold = 0
        self.evicted = 0
        entries = total // self.span + 1 if self.span else 0
        slots = 1
        while slots < 2 * entries + 2:
            slots *= 2
        self.mask = slots - 1
        self.table = ints(np.full(slots, NONE, np.int32))
        self.entry_id = ints(np.zeros(entries, np.int32))
        self.users = ints(np.zeros(entries, np.int32))
        self.older = ints(np.full(entries, NONE, np.int32))
        self.newer = ints(np.full(entries, NONE, np.int32))
        self.oldest = NONE
        self.newest = NONE
        self.free = ints(np.arange(entries, dtype=np.int32)[::-1].copy())
        self.free_count = entries

    # blocks of sequences

    def blocks(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return (tokens + self.block - 1) // self.block

    def available(self) -> int:
        """Blocks that can be had, unused prefixes given up if need be."""
        return self.total - self.held - self.grown - self.active * self.span

    def used(self, tokens: int) -> int:
        """Blocks that sequences hold once each decoding one has grown by `tokens`."""
        return self.held + self.growth(tokens) + self.active * self.span

    def take(self, blocks: int) -> None:
        """Hold more blocks; they must be available."""
        self.held += blocks
        self._make_good()

    def set_grown(self, blocks: int) -> None:
        """Blocks that the decoding sequences take in the coming step."""
        self.grown = blocks
        self._make_good()

    def _make_good(self) -> None:
        if self.idle > 0:
            while self.idle > 0 and (
                self.held + self.grown + (self.active + self.idle) * self.span > self.total
            ):
                self._forget_oldest()

    def join(self, tokens: int) -> int:
        """A sequence of so many tokens decodes from now on; returns its residue."""
        residue = (tokens + self.mark) % self.block
        self.residues[residue] += 1
        self.growing += 1
        return residue

    def leave(self, residue: int) -> None:
        """A sequence of that residue decodes no more."""
        self.residues[residue] -= 1
        self.growing -= 1

    def growth(self, tokens: int) -> int:
        """Blocks that the decoding sequences need for so many more tokens each."""
        if tokens == 1:
            return self.residues[self.mark]
        rounds = tokens // self.block
        need = rounds * self.growing
        place = self.mark
        for _ in range(tokens - rounds * self.block):
            need += self.residues[place]
            place = place - 1 if place > 0 else self.block - 1
        return need

    def reach(self, tokens: int, keep: bool) -> int:
        """How many tokens each decoding sequence can grow before blocks run out, up to `tokens`.

        Parameters: keep, whether unused prefixes must stay, as somebody may be waiting for them.
        """
        room = self.available() + self.grown
        if keep:
            room -= self.idle * self.span
        if (tokens + self.block) * self.growing <= room * self.block:
            return tokens
        rounds = room // self.growing
        room -= rounds * self.growing
        reached = rounds * self.block
        place = self.mark
        while reached < tokens and self.residues[place] <= room:
            room -= self.residues[place]
            place = place - 1 if place > 0 else self.block - 1
            reached += 1
        return reached

    def advance(self, tokens: int) -> None:
        """Every decoding sequence has grown by so many tokens."""
        if tokens == 1:
            self.held += self.grown
            self.grown = 0
            self.mark = self.mark - 1 if self.mark > 0 else self.block - 1
            return
        growth = self.growth(tokens)
        self.grown = 0
        self.take(growth)
        self.mark = (self.mark + self.block - tokens % self.block) % self.block

    # prefixes

    def leaves(self, request: int) -> int:
        """Prefix entries that the prompt of a request fills."""
        if self.span == 0:
            return 0
        named = self.book.offsets[request + 1] - self.book.offsets[request]
        return min(named, self.book.prompt[request] // self.leaf)

    def match(self, request: int) -> int:
        """Leading prefix entries of a request that are here; `cold` of them are unused.

        At least one token of the prompt is left to compute, as it makes the first output.
        """
        self.cold = 0
        if self.span == 0:
            return 0
        most = min(self.leaves(request), (self.book.prompt[request] - 1) // self.leaf)
        start = self.book.offsets[request]
        for found in range(most):
            entry = self._find(self.book.ids[start + found])
            if entry == NONE:
                return found
            if self.users[entry] == 0:
                self.cold += 1
        return most

    def share(self, request: int, first: int, last: int) -> None:
        """A sequence uses the entries `first` to `last` (exclusive) of its request.

        Entries that are not here are made from blocks that the sequence holds; where one is
        here already, the sequence's own blocks become free.
        """
        start = self.book.offsets[request]
        for place in range(start + first, start + last):
            entry = self._find(self.book.ids[place])
            if entry == NONE:
                entry = self._enter(self.book.ids[place])
            elif self.users[entry] == 0:
                self._unlink(entry)
                self.idle -= 1
                self.active += 1
            self.users[entry] += 1

    def unshare(self, request: int, count: int) -> None:
        """A sequence no longer uses the first `count` entries of its request."""
        start = self.book.offsets[request]
        # the last entry becomes unused first, so that a prefix is forgotten from its end
        for place in range(start + count - 1, start - 1, -1):
            entry = self._find(self.book.ids[place])
            self.users[entry] -= 1
            if self.users[entry] == 0:
                self._link(entry)
                self.active -= 1
                self.idle += 1

    def lose_all(self) -> None:
        """Nothing is in memory any more; no sequence decodes."""
        self.held = self.grown = self.active = self.idle = 0
        self.oldest = self.newest = NONE
        for spot in range(self.mask + 1):
            self.table[spot] = NONE
        self.free_count = len(self.free)
        for entry in range(self.free_count):
            self.free[entry] = entry

    def _spot(self, name: int) -> int:
        spot = (name * GOLDEN >> 15) & self.mask
        while self.table[spot] != NONE and self.entry_id[self.table[spot]] != name:
            spot = (spot + 1) & self.mask
        return spot

    def _find(self, name: int) -> int:
        return self.table[self._spot(name)]

    def _enter(self, name: int) -> int:
        self.free_count -= 1
        entry = self.free[self.free_count]
        self.entry_id[entry] = name
        self.users[entry] = 0
        self.table[self._spot(name)] = entry
        self.active += 1
        return entry

    def _forget_oldest(self) -> None:
        entry = self.oldest
        self._unlink(entry)
        self.idle -= 1
        self.evicted += 1
        hole = self._spot(self.entry_id[entry])
        self.free[self.free_count] = entry
        self.free_count += 1
        # close the gap, so that no search ends early at the hole
        spot = (hole + 1) & self.mask
        while self.table[spot] != NONE:
            home = (self.entry_id[self.table[spot]] * GOLDEN >> 15) & self.mask
            if ((spot - home) & self.mask) >= ((spot - hole) & self.mask):
                self.table[hole] = self.table[spot]
                hole = spot
            spot = (spot + 1) & self.mask
        self.table[hole] = NONE

    def _link(self, entry: int) -> None:
        self.older[entry] = self.newest
        self.newer[entry] = NONE
        if self.newest == NONE:
            self.oldest = entry
        else:
            self.newer[self.newest] = entry
        self.newest = entry

    def _unlink(self, entry: int) -> None:
        before, after = self.older[entry], self.newer[entry]
        if before == NONE:
            self.oldest = after
        else:
            self.newer[before] = after
        if after == NONE:
            self.newest = before
        else:
            self.older[after] = before
