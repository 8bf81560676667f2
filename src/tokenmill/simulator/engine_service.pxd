cimport cython

from tokenmill.simulator.engine_book cimport Queue
from tokenmill.simulator.engine_gaps cimport Gaps
from tokenmill.simulator.engine_router cimport Router

cdef double INF
cdef int NOBODY


@cython.final
cdef class Service:
    cdef readonly int index, first, count, starting
    cdef readonly Router router
    cdef readonly Gaps gaps
    cdef Queue homeless
    cdef int queue_limit
    cdef double timeout_s
    cdef int watch_first, watch_last
    cdef int next
    cdef double latency_s, token_s
    cdef bint scales
    cdef int minimum
    cdef double target, interval_s, startup_s, cooldown_s, calm_since
    cdef double mtbf_s, mttr_s
    cdef double sampled_j
    @cython.locals(replicas="long long")
    cdef int wanted(self) noexcept nogil
