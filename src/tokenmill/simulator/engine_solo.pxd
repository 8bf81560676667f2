cimport cython

from tokenmill.simulator.engine_book cimport Book
from tokenmill.simulator.engine_gaps cimport Gaps
from tokenmill.simulator.engine_replica cimport Replica
from tokenmill.simulator.engine_samples cimport Samples
from tokenmill.simulator.engine_table cimport Table

cdef double INF
cdef int NOBODY, WAITING, REJECTED, SAW_ARRIVAL, SAW_REJECT, SAW_START
cdef int FINISHED, STUCK, EVENTS, UNTIL


@cython.final
cdef class Solo:
    cdef readonly Book book
    cdef readonly Gaps gaps
    cdef readonly Replica replica
    cdef readonly Samples samples
    cdef double sampled_j
    cdef int next
    cdef double next_s
    cdef readonly long long inside, events
    cdef readonly double now
    @cython.locals(reason=int)
    cpdef int run(self, double until_s, long long events)
    @cython.locals(now=double)
    cdef int play(self, double until_s, long long limit) noexcept nogil
    @cython.locals(request=int)
    cdef void arrive(self, double now) noexcept nogil
    @cython.locals(joules=double)
    cdef void sample(self, double now) noexcept nogil
    cpdef void close(self, double until_s)
