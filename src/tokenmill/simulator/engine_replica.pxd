cimport cython

from tokenmill.simulator.engine_batch cimport Batch
from tokenmill.simulator.engine_book cimport Book, Queue
from tokenmill.simulator.engine_gaps cimport Gaps
from tokenmill.simulator.engine_memory cimport Memory
from tokenmill.simulator.engine_scheduler cimport Scheduler
from tokenmill.simulator.engine_stretch cimport Stretch
from tokenmill.simulator.engine_table cimport Table

cdef double INF
cdef int NOBODY
cdef int CARRIED, DONE, FIRST_TOKEN, FINISHED


@cython.final
cdef class Replica:
    # what every event reads stands first
    cdef bint busy, hands_off
    cdef int index, left
    cdef readonly Scheduler scheduler
    cdef Stretch stretch
    cdef Batch batch
    cdef Queue queue
    cdef readonly Memory memory
    cdef Table table
    cdef Book book
    cdef readonly double work_j, busy_s, idle_s
    cdef double idle_from, limit_w, slowness, token_j, sequence_j, natural_j
    cdef readonly long long steps
    cdef Gaps gaps
    cdef int* left_request
    cdef double* own_j
    cdef readonly double[::1] bound_s

    cdef bint can_hold(self, int request) noexcept nogil
    cdef bint arrive(self, int request, double now) noexcept nogil
    cdef bint reconsider(self, int request, double now) noexcept nogil
    @cython.locals(steps="long long")
    cdef void begin(self, double now) noexcept nogil
    @cython.locals(
        seconds=double, joules=double, chunk=int, size="long long", context="long long",
        decoding=int, chunks=int, tokens="long long")
    cdef void price(self) noexcept nogil
    @cython.locals(now=double, steps="long long", decoding=int, joules=double, chunk=int)
    cdef void finish(self) noexcept nogil
    @cython.locals(
        sequences=int, each_j=double, total_j=double, share_j=double, chunk=int, request=int)
    cdef double book_chunks(self, double joules) noexcept nogil
    @cython.locals(seat=int, computed=int, total="long long", request=int)
    cdef void end_chunk(self, int chunk, double now) noexcept nogil
    @cython.locals(request=int)
    cdef void complete(self, int seat, double now) noexcept nogil
    @cython.locals(request=int)
    cdef void carry(self, int seat, double now) noexcept nogil
    cdef void leave(self, int request) noexcept nogil
    @cython.locals(tokens="long long", shared="long long")
    cdef void forward(self, int request) noexcept nogil
    @cython.locals(seat=int)
    cdef void fail(self, double now) noexcept nogil
    @cython.locals(
        joules=double, steps="long long", begun=double, decoding=int, sequences=int, chunk=int,
        request=int)
    cdef void break_off(self, double now) noexcept nogil
    cdef void power(self, bint on, double now) noexcept nogil
    @cython.locals(joules=double)
    cdef double joules(self, double now) noexcept nogil
    @cython.locals(steps="long long")
    cdef long long blocks_used(self, double now) noexcept nogil
    @cython.locals(seat=int, request=int)
    cpdef void close(self, double now)
