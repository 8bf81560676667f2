cimport cython

from tokenmill.simulator.engine_order cimport Ladder

cdef int FREE, PREFILLS, DECODES, NOBODY


@cython.final
cdef class Batch:
    cdef int seats
    cdef double rate
    cdef long long window
    cdef int count, decoders
    cdef long long step, clock
    cdef double written_sum, inside_sum
    cdef int inside
    cdef long long serial
    cdef int[::1] free
    cdef signed char[::1] state
    cdef int[::1] request
    cdef int[::1] urgency
    cdef long long[::1] rank
    cdef int[::1] before
    cdef int[::1] after
    cdef int oldest, newest
    cdef long long[::1] tokens
    cdef long long[::1] from_clock
    cdef long long[::1] from_step
    cdef signed char[::1] outside
    cdef double credit_j
    cdef double[::1] credit_from
    cdef Ladder ends
    cdef Ladder crossings

    @cython.locals(seat=int)
    cdef int sit(self, int request, int urgency) noexcept nogil
    @cython.locals(steps="long long")
    cdef void join(self, int seat, long long tokens, long long wanted) noexcept nogil
    cdef void leave(self, int seat) noexcept nogil
    @cython.locals(before=int, after=int)
    cdef void _unlink(self, int seat) noexcept nogil
    cdef double reached(self, int seat) noexcept nogil
    cdef double joules(self, int seat) noexcept nogil
    cdef long long gained(self, int seat) noexcept nogil
    @cython.locals(gained=double, seat=int)
    cdef void advance(self, long long steps) noexcept nogil
    cdef double contexts(self) noexcept nogil
    cdef double windowed(self) noexcept nogil
    @cython.locals(after="long long")
    cdef long long tokens_in(self, long long steps) noexcept nogil
    @cython.locals(step="long long", passed="long long")
    cdef long long step_at(self, long long clock) noexcept nogil
    cdef long long steps_within(self, long long tokens) noexcept nogil
    @cython.locals(steps="long long")
    cdef long long quiet_steps(self) noexcept nogil
    @cython.locals(chosen=int, seat=int)
    cdef int victim(self) noexcept nogil
