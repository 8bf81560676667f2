cimport cython

from tokenmill.simulator.engine_room cimport Room

cdef int TIMED_OUT
cdef int NEVER


@cython.final
cdef class Book:
    cdef Room room
    cdef readonly int count
    cdef double[::1] arrival
    cdef const int[::1] prompt
    cdef const int[::1] output
    cdef const signed char[::1] urgency
    cdef const long long[::1] offsets
    cdef readonly const int[::1] ids
    cdef int[::1] entries
    cdef double[::1] schedule
    cdef double[::1] first
    cdef double[::1] done
    cdef double[::1] energy
    cdef signed char[::1] status
    cdef int[::1] preempted
    cdef int[::1] generated
    cdef int[::1] replica
    cdef int[::1] follow
    cdef bint urgent
    cdef readonly long long leaf
    cdef readonly long long journal_rows, rows
    cdef double[::1] row_time
    cdef signed char[::1] row_event
    cdef int[::1] row_request
    cdef int[::1] row_replica
    cdef void note(self, int event, double time, int request, int replica) noexcept nogil


@cython.final
cdef class Queue:
    cdef Book book
    cdef int classes
    cdef readonly int count
    cdef int* head
    cdef int* tail
    @cython.locals(line=int)
    cdef int line(self, int request) noexcept nogil
    @cython.locals(line=int)
    cdef void add(self, int request) noexcept nogil
    @cython.locals(line=int)
    cdef void return_first(self, int request) noexcept nogil
    @cython.locals(line=int, request=int)
    cdef int peek(self) noexcept nogil
    @cython.locals(line=int, request=int)
    cdef int pop(self) noexcept nogil
