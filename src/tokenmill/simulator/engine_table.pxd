cimport cython

from tokenmill.simulator.engine_batch cimport Batch
from tokenmill.simulator.engine_stretch cimport Stretch


@cython.final
cdef class Table:
    cdef const double[::1] linear_s
    cdef const double[::1] linear_j
    cdef const double[::1] sequence_s
    cdef const double[::1] sequence_j
    cdef const double[::1] decode_ctx_s
    cdef const double[::1] decode_ctx_j
    cdef const double[::1] decode_window_s
    cdef const double[::1] decode_window_j
    cdef double chunk_s, chunk_j, pair_s, pair_j, window_pair_s, window_pair_j
    cdef long long window
    cdef readonly double idle_w
    cdef double slowness, priced_s, priced_j
    cdef int verified

    cdef double pairs(self, long long tokens, long long context) noexcept nogil
    @cython.locals(growing="long long")
    cdef double windowed_pairs(self, long long tokens, long long context) noexcept nogil
    @cython.locals(pairs=double)
    cdef void price_chunk(self, long long tokens, long long context) noexcept nogil
    @cython.locals(in_step="long long", contexts=double, windowed=double, grow=double)
    cdef void price(
        self, Stretch stretch, Batch batch, int decoders, int chunks, long long tokens,
        double seconds, double joules) noexcept nogil
