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

__all__ = ["Memory"]

NONE = -1
# the cells of an entry, so few that many fit into a cache: its name; the next older and the next
# newer one that nobody uses, or in place of the older one -1 less those who use it; the next one
# listed at the same head, or free. An entry is known by its first cell.
NAME, OLDER, NEWER, NEXT, CELLS = 0, 1, 2, 3, 4


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
        self.residues = self.book.room.ints(np.zeros(block))
        self.active = 0
        self.idle = 0
        self.cold = 0
        self.evicted = 0
        entries = total // self.span + 1 if self.span else 0
        heads = 1
        while heads < 2 * entries:
            heads *= 2
        self.mask = heads - 1
        self.head = self.book.room.ints(np.full(heads, NONE))
        self.fold = heads.bit_length() - 1
        self.cells = self.book.room.ints(np.zeros(entries * CELLS))
        self.entries = entries
        self.free = NONE
        self._free_all()
        self.oldest = NONE
        self.newest = NONE

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

    def claim(self, tokens: int) -> bool:
        """Take what the decoding sequences need for so many tokens each, if it can be had."""
        need = self.growth(tokens)
        if need > self.total - self.held - self.active * self.span:
            return False
        self.grown = need
        self._make_good()
        return True

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
            self.book.entries[start + found] = entry
            if self.cells[entry + OLDER] >= NONE:
                self.cold += 1
        return most

    def share(self, request: int, count: int) -> None:
        """A sequence uses the first entries of its request, as `match` has just found them."""
        start = self.book.offsets[request]
        for place in range(start, start + count):
            self._use(self.book.entries[place])

    def publish(self, request: int, first: int, last: int) -> None:
        """A sequence has computed the entries `first` to `last` (exclusive) of its request.

        The blocks it holds for them become entries; where there is one already, they are free.
        """
        self.held -= (last - first) * self.span
        start = self.book.offsets[request]
        for place in range(start + first, start + last):
            entry = self._find(self.book.ids[place])
            if entry == NONE:
                entry = self._enter(self.book.ids[place])
                self.cells[entry + OLDER] = NONE - 1
                self.active += 1
            else:
                self._use(entry)
            self.book.entries[place] = entry

    def unshare(self, request: int, count: int) -> None:
        """A sequence no longer uses the first `count` entries of its request."""
        start = self.book.offsets[request]
        # the last entry becomes unused first, so that a prefix is forgotten from its end
        for place in range(start + count - 1, start - 1, -1):
            entry = self.book.entries[place]
            self.cells[entry + OLDER] += 1
            if self.cells[entry + OLDER] == NONE:
                self._link(entry)
                self.active -= 1
                self.idle += 1

    def lose_all(self) -> None:
        """Nothing is in memory any more; no sequence decodes."""
        self.held = self.grown = self.active = self.idle = 0
        self.oldest = self.newest = NONE
        for place in range(self.mask + 1):
            self.head[place] = NONE
        self._free_all()

    def _free_all(self) -> None:
        self.free = NONE
        for entry in range(self.entries):
            self.cells[entry * CELLS + NEXT] = self.free
            self.free = entry * CELLS

    def _use(self, entry: int) -> None:
        if self.cells[entry + OLDER] >= NONE:
            self._unlink(entry)
            self.idle -= 1
            self.active += 1
            self.cells[entry + OLDER] = NONE
        self.cells[entry + OLDER] -= 1

    def _place(self, name: int) -> int:
        """Where the entries of a name are listed: names in a row stand in a row."""
        return (name ^ (name >> self.fold) ^ (name >> 2 * self.fold)) & self.mask

    def _find(self, name: int) -> int:
        entry = self.head[self._place(name)]
        while entry != NONE and self.cells[entry + NAME] != name:
            entry = self.cells[entry + NEXT]
        return entry

    def _enter(self, name: int) -> int:
        place = self._place(name)
        entry = self.free
        self.free = self.cells[entry + NEXT]
        self.cells[entry + NAME] = name
        self.cells[entry + NEXT] = self.head[place]
        self.head[place] = entry
        return entry

    def _forget_oldest(self) -> None:
        gone = self.oldest
        self._unlink(gone)
        self.idle -= 1
        self.evicted += 1
        place = self._place(self.cells[gone + NAME])
        entry = self.head[place]
        if entry == gone:
            self.head[place] = self.cells[gone + NEXT]
        else:
            while self.cells[entry + NEXT] != gone:
                entry = self.cells[entry + NEXT]
            self.cells[entry + NEXT] = self.cells[gone + NEXT]
        self.cells[gone + NEXT] = self.free
        self.free = gone

    def _link(self, entry: int) -> None:
        self.cells[entry + OLDER] = self.newest
        self.cells[entry + NEWER] = NONE
        if self.newest == NONE:
            self.oldest = entry
        else:
            self.cells[self.newest + NEWER] = entry
        self.newest = entry

    def _unlink(self, entry: int) -> None:
        before, after = self.cells[entry + OLDER], self.cells[entry + NEWER]
        if before == NONE:
            self.oldest = after
        else:
            self.cells[before + NEWER] = after
        if after == NONE:
            self.newest = before
        else:
            self.cells[after + OLDER] = before
