cimport cython

from tokenmill.simulator.engine_book cimport Book, Queue
from tokenmill.simulator.engine_order cimport Later, Order
from tokenmill.simulator.engine_replica cimport Replica
from tokenmill.simulator.engine_service cimport Service
from tokenmill.simulator.engine_table cimport Table

cdef double INF
cdef int NOBODY
cdef int OFF, STARTING, UP, DRAINING, DOWN
cdef int COMES, SENT, READY
cdef int WAITING, CARRIED, REJECTED, TIMED_OUT
cdef int STEP_ENDS, HAPPENS, ARRIVES, STEP_STARTS, TIMES_OUT
cdef int SAW_ARRIVAL, SAW_REJECT, SAW_TIME_OUT, SAW_HAND_OFF, SAW_LOSS, SAW_START, SAW_STOP


cdef class Flow:
    cdef readonly Book book
    cdef const int[::1] service_of
    cdef const int[::1] tenant
    cdef const int[::1] tenant_limit
    cdef int[::1] tenant_load
    cdef const int[::1] calendar
    cdef const int[::1] child
    cdef const int[::1] sibling
    cdef const double[::1] delay
    cdef const int[::1] spare
    cdef bint persistent, routed, limited, chained
    cdef int next_call, next_spare, calls, spares
    cdef readonly long long inside, coming, events
    cdef readonly double now
    cdef Later later
    cdef readonly list replicas
    cdef readonly list services
    cdef int pools, count
    cdef int[::1] owner
    cdef signed char[::1] state
    cdef int[::1] epoch
    cdef double[::1] link_free_s
    cdef int at_calendar, at_later, at_timeouts, at_others
    cdef Order order
    cdef int[::1] watch

    @cython.locals(index=int, service=Service, place=int, request=int)
    cdef void _let_go(self, Replica replica, double now) except *
    @cython.locals(replica=Replica)
    cdef void _step(self, int index, double now) except *
    @cython.locals(time=double)
    cdef void _call_next(self) noexcept
    @cython.locals(service=Service, replica=Replica, place=int)
    cdef void _arrive(self, int request, double now) except *
    @cython.locals(tenant=int, replica=Replica)
    cdef bint _welcome(self, Service service, int request) except -1
    @cython.locals(index=int, replica=Replica, shorter=bint)
    cdef void _place(self, Service service, int request, int place, double now) except *
    cdef void _follow_up(self, Replica replica, bint shorter, double now) noexcept
    @cython.locals(queue=Queue, request=int)
    cdef void _house(self, Service service, double now) except *
    cdef void _drop(self, int request, double now, int status) except *
    @cython.locals(child=int)
    cdef void _settle(self, int request, double now, bint served) except *
    cdef void _come(self, int request, double time) except *
    cdef void _enter(self, double time, int kind, long long what, long long where) except *
    @cython.locals(kind=int, what="long long", where="long long")
    cdef void _happen(self, double now) except *
    @cython.locals(tokens="long long", start=double, arrival=double, where="long long")
    cdef void _hand_off(
        self, Replica replica, Service service, int request, double now) except *
    @cython.locals(index=int, service=Service, replica=Replica, shorter=bint)
    cdef void _receive(self, int request, long long where, double now) except *
    @cython.locals(deadline=double)
    cdef void _watch_over(self, Service service, int request) noexcept
    cdef bint _waits(self, int request) noexcept
    @cython.locals(request=int, deadline=double)
    cdef void _time_out(self, Service service, double now) except *
    @cython.locals(index=int, replica=Replica, shorter=bint)
    cdef void _give_up(self, Service service, int request, double now) except *
    @cython.locals(replica=Replica, service=Service)
    cdef void _switch_on(self, int index, double now) except *
    @cython.locals(replica=Replica)
    cdef void _switch_off(self, int index, double now) except *
    cdef void _note(self, int event, double now, int request, int index) noexcept
