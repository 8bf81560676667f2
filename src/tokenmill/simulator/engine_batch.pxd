cimport cython

from tokenmill.simulator.engine_order cimport Ladder

cdef int NOBODY


@cython.final
cdef class Batch:
    cdef int seats
    cdef double rate
    cdef bint whole
    cdef long long window
    cdef int count, decoders
    cdef long long gain, step, clock
    cdef double written_sum, inside_sum
    cdef int inside
    cdef int[::1] free
    cdef int[::1] request
    cdef int[::1] before
    cdef int[::1] after
    cdef int oldest, newest
    cdef int[::1] tokens
    cdef long long[::1] from_clock
    cdef long long[::1] from_step
    cdef double credit_j
    cdef double[::1] credit_from
    cdef Ladder ends
    cdef Ladder crossings

    @cython.locals(seat=int)
    cdef int sit(self, int request) noexcept nogil
    @cython.locals(steps="long long")
    cdef void join(self, int seat, long long tokens, long long wanted) noexcept nogil
    cdef bint decodes(self, int seat) noexcept nogil
    cdef void leave(self, int seat) noexcept nogil
    @cython.locals(before=int, after=int)
    cdef void _unlink(self, int seat) noexcept nogil
    cdef double reached(self, int seat) noexcept nogil
    cdef double joules(self, int seat) noexcept nogil
    cdef long long gained(self, int seat) noexcept nogil
    @cython.locals(tokens="long long", gained=double, seat=int)
    cdef long long advance(self, long long steps) noexcept nogil
    cdef double windowed(self) noexcept nogil
    @cython.locals(after="long long")
    cdef long long tokens_in(self, long long steps) noexcept nogil
    @cython.locals(step="long long", passed="long long")
    cdef long long step_at(self, long long clock) noexcept nogil
    cdef long long steps_within(self, long long tokens) noexcept nogil
