cimport cython

from tokenmill.simulator.engine_batch cimport Batch
from tokenmill.simulator.engine_stretch cimport Stretch

cdef int LINEAR_S, LINEAR_J, BY_TOKENS
cdef int SEQUENCE_S, SEQUENCE_J, CTX_S, CTX_J, WINDOW_S, WINDOW_J, BY_SEQUENCES


@cython.final
cdef class Table:
    cdef double chunk_s, chunk_j, pair_s, pair_j, window_pair_s, window_pair_j
    cdef double key_s, key_j, window_key_s, window_key_j
    cdef long long window
    cdef readonly double idle_w
    cdef double priced_s, priced_j
    cdef int verified
    cdef const double[::1] tokens
    cdef const double[::1] sequences

    cdef double pairs(self, long long tokens, long long context) noexcept nogil
    @cython.locals(growing="long long")
    cdef double windowed_pairs(self, long long tokens, long long context) noexcept nogil
    @cython.locals(pairs=double, keys=double)
    cdef void price_chunk(self, long long tokens, long long context) noexcept nogil
    @cython.locals(row="long long", contexts=double, windowed=double, grow=double)
    cdef void price(
        self, Stretch stretch, Batch batch, int decoders, int chunks, long long tokens,
        double seconds, double joules) noexcept nogil
    cdef double token_j(self, long long tokens) noexcept nogil
    cdef double sequences_j(self, int sequences) noexcept nogil
