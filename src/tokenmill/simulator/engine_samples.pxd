cimport cython

cdef double INF


@cython.final
cdef class Samples:
    cdef int pools
    cdef readonly double interval_s
    cdef int most
    cdef readonly int count
    cdef readonly double next_s
    cdef double[::1] time
    cdef int[::1] batch
    cdef int[::1] queue
    cdef long long[::1] blocks
    cdef int[::1] serving
    cdef double[::1] joules
    @cython.locals(place=int)
    cdef void add(
        self, int pool, int batch, int queue, long long blocks, int serving,
        double joules) noexcept nogil
    cdef void close_row(self, double now) noexcept nogil
    @cython.locals(row=int, pool=int, place=int, source=int)
    cdef void halve(self) noexcept nogil
