cimport cython

from tokenmill.simulator.engine_room cimport Room
from tokenmill.simulator.engine_stretch cimport Stretch

cdef double INF, SHORTEST_GAP_S, IN_TIME
cdef int GAPS_PER_E_FOLD, GAP_BINS, COARSE_CELLS
cdef double COARSE_PER_S, COARSE_S


@cython.final
cdef class Gaps:
    cdef double[::1] edges
    cdef long long[::1] counts
    cdef int[::1] coarse
    @cython.locals(cell=int, found=int, low=int, high=int, middle=int)
    cdef int bin_of(self, double gap_s) noexcept nogil
    cdef void add(self, double gap_s, long long count) noexcept nogil
    @cython.locals(place=int, last_s=double)
    cdef void add_run(
        self, double first_s, double slope_s, long long steps, long long count) noexcept nogil
    @cython.locals(last_s=double, within="long long")
    cdef void _spread(
        self, int place, double first_s, double slope_s, long long steps,
        long long count) noexcept nogil


@cython.final
cdef class Rhythm:
    cdef Gaps gaps
    cdef double pulse
    cdef int late
    cdef int* late_seat
    cdef double* last_s
    cdef Room room
    cdef void join(self, int seat, double last_s, bint alone) noexcept nogil
    @cython.locals(place=int)
    cdef double leave(self, int seat) noexcept nogil
    @cython.locals(place=int, seat=int, first_s=double, second_s=double)
    cdef void beat(self, Stretch stretch, int decoders, double now) noexcept nogil
