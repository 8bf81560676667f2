cimport cython

from tokenmill.simulator.engine_book cimport Book

cdef int NONE
cdef long long GOLDEN


@cython.final
cdef class Memory:
    cdef Book book
    cdef readonly long long total, held, grown, evicted
    cdef long long leaf, span
    cdef int block, growing, mark
    cdef int[::1] residues
    cdef readonly long long active, idle
    cdef long long cold, mask
    cdef int[::1] table
    cdef int[::1] entry_id
    cdef int[::1] users
    cdef int[::1] older
    cdef int[::1] newer
    cdef int oldest, newest
    cdef int[::1] free
    cdef int free_count

    cdef long long blocks(self, long long tokens) noexcept nogil
    cdef long long available(self) noexcept nogil
    cdef long long used(self, long long tokens) noexcept nogil
    cdef void take(self, long long blocks) noexcept nogil
    cdef void set_grown(self, long long blocks) noexcept nogil
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
    @cython.locals(start="long long", place="long long", entry=int)
    cdef void share(self, int request, long long first, long long last) noexcept nogil
    @cython.locals(start="long long", place="long long", entry=int)
    cdef void unshare(self, int request, long long count) noexcept nogil
    @cython.locals(spot="long long", entry=int)
    cdef void lose_all(self) noexcept nogil
    @cython.locals(spot="long long")
    cdef long long _spot(self, long long name) noexcept nogil
    cdef int _find(self, int name) noexcept nogil
    @cython.locals(entry=int)
    cdef int _enter(self, int name) noexcept nogil
    @cython.locals(entry=int, hole="long long", spot="long long", home="long long")
    cdef void _forget_oldest(self) noexcept nogil
    cdef void _link(self, int entry) noexcept nogil
    @cython.locals(before=int, after=int)
    cdef void _unlink(self, int entry) noexcept nogil
