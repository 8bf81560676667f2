cimport cython

from tokenmill.simulator.engine_book cimport Book

cdef int NONE, NAME, OLDER, NEWER, NEXT, CELLS


@cython.final
cdef class Memory:
    # what every event reads stands first
    cdef int block, growing, mark, oldest, newest, free
    cdef readonly long long total, held, grown, active, idle
    cdef long long leaf, span, cold
    cdef int* residues
    cdef Book book
    cdef long long mask
    cdef int fold, entries
    cdef readonly long long evicted
    cdef int* head
    cdef int* cells

    cdef long long blocks(self, long long tokens) noexcept nogil
    cdef long long available(self) noexcept nogil
    cdef long long used(self, long long tokens) noexcept nogil
    cdef void take(self, long long blocks) noexcept nogil
    @cython.locals(need="long long")
    cdef bint claim(self, long long tokens) noexcept nogil
    cdef void _make_good(self) noexcept nogil
    @cython.locals(residue=int)
    cdef int join(self, long long tokens) noexcept nogil
    cdef void leave(self, int residue) noexcept nogil
    @cython.locals(rounds="long long", need="long long", place=int, _="long long")
    cdef long long growth(self, long long tokens) noexcept nogil
    @cython.locals(room="long long", rounds="long long", reached="long long", place=int)
    cdef long long reach(self, long long tokens, bint keep) noexcept nogil
    @cython.locals(growth="long long")
    cdef void advance(self, long long tokens) noexcept nogil

    @cython.locals(named="long long")
    cdef long long leaves(self, int request) noexcept nogil
    @cython.locals(most="long long", start="long long", found="long long", entry=int)
    cdef long long match(self, int request) noexcept nogil
    @cython.locals(start="long long", place="long long")
    cdef void share(self, int request, long long count) noexcept nogil
    @cython.locals(start="long long", place="long long", entry=int)
    cdef void publish(self, int request, long long first, long long last) noexcept nogil
    @cython.locals(start="long long", place="long long", entry=int)
    cdef void unshare(self, int request, long long count) noexcept nogil
    @cython.locals(place=int)
    cdef void lose_all(self) noexcept nogil
    @cython.locals(entry=int)
    cdef void _free_all(self) noexcept nogil
    cdef void _use(self, int entry) noexcept nogil
    cdef inline long long _place(self, long long name) noexcept nogil
    @cython.locals(entry=int)
    cdef int _find(self, long long name) noexcept nogil
    @cython.locals(place="long long", entry=int)
    cdef int _enter(self, long long name) noexcept nogil
    @cython.locals(gone=int, place="long long", entry=int)
    cdef void _forget_oldest(self) noexcept nogil
    cdef void _link(self, int entry) noexcept nogil
    @cython.locals(before=int, after=int)
    cdef void _unlink(self, int entry) noexcept nogil
