cimport cython

cdef double INF
cdef long long FOREVER


@cython.final
cdef class Stretch:
    cdef double start, end, step_s, slope_s, step_j, slope_j, joules
    cdef long long steps
    cdef double length_s(self, long long steps) noexcept nogil
    cdef double energy_j(self, long long steps) noexcept nogil
    cdef void slow_down(self, double factor, double idle_w) noexcept nogil
    @cython.locals(steps="long long", crossing=double)
    cdef long long throttle(self, double limit_w, double idle_w) noexcept nogil
    @cython.locals(half=double)
    cdef void run(self, long long steps) noexcept nogil
    @cython.locals(steps="long long", guess=double, better=double)
    cdef bint cut(self, double now) noexcept nogil
    @cython.locals(low="long long", high="long long", middle="long long")
    cdef long long done_by(self, double now) noexcept nogil
    @cython.locals(steps="long long")
    cdef double energy_by(self, double now) noexcept nogil
