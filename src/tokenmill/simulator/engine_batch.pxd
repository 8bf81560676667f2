cimport cython

from tokenmill.simulator.engine_order cimport Ladder
from tokenmill.simulator.engine_room cimport Room

cdef int NOBODY


@cython.final
cdef class Batch:
    # what every event reads stands first
    cdef int count, decoders
    cdef long long step, clock, gain
    cdef double written_sum, rate, credit_j
    cdef Ladder ends
    cdef Ladder crossings
    cdef bint whole
    cdef int oldest, newest, seats, inside
    cdef long long window
    cdef double inside_sum
    cdef int* request
    cdef int* free
    cdef int* before
    cdef int* after
    cdef int* tokens
    cdef long long* from_clock
    cdef long long* from_step
    cdef double* credit_from
    cdef Room room

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
