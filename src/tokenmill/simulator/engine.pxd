cimport cython

from tokenmill.simulator.engine_flow cimport Flow
from tokenmill.simulator.engine_replica cimport Replica
from tokenmill.simulator.engine_router cimport Dice
from tokenmill.simulator.engine_samples cimport Samples
from tokenmill.simulator.engine_service cimport Service

cdef double INF
cdef int NOBODY
cdef int OFF, STARTING, UP, DRAINING, DOWN, READY, WAITING
cdef int STEP_ENDS, FAILS, SCALES, SAMPLES
cdef int SAW_LOSS, SAW_FAILURE, SAW_REPAIR
cdef int FINISHED, STUCK, EVENTS, UNTIL


@cython.final
cdef class Fleet(Flow):
    cdef readonly Samples samples
    cdef list dice
    cdef int at_samples, at_scaling, at_failures

    @cython.locals(service=Service, replica=int)
    cdef void _prepare(self) except *
    @cython.locals(limit="long long", source=int, now=double)
    cpdef int run(self, double until_s, long long events) except -1
    @cython.locals(index=int, service=Service)
    cdef bint _hopeless(self) except -1
    @cython.locals(wanted=int, active=int, index=int)
    cdef void _scale(self, Service service, double now) except *
    @cython.locals(replica=Replica)
    cdef void _start(self, Service service, int index, double now) except *
    cdef void _retire(self, Service service, int index, double now) except *
    @cython.locals(dice=Dice)
    cdef void _draw_failure(self, int index, double now, double mean_s) except *
    @cython.locals(service=Service)
    cdef void _fail_or_mend(self, int index, double now) except *
    @cython.locals(replica=Replica, place=int, lost=int)
    cdef void _fail(self, Service service, int index, double now) except *
    cdef void _move(self, Service service, int request, int index, double now) except *
    @cython.locals(
        service=Service, replica=Replica, index=int, batch=int, queue=int, blocks="long long",
        joules=double)
    cdef void _sample(self, double now) except *
    cpdef void close(self, double until_s) except *
