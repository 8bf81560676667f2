cimport cython

from tokenmill.simulator.engine_book cimport Book
from tokenmill.simulator.engine_order cimport Order

cdef double INF
cdef int NOBODY, RANDOM, LEAST, PREFIX


@cython.final
cdef class Dice:
    cdef long long one, two
    @cython.locals(mixed="long long")
    cdef double roll(self) noexcept nogil


@cython.final
cdef class Router:
    cdef int kind
    cdef Book book
    cdef int count
    cdef long long[::1] load
    cdef signed char[::1] serves
    cdef int serving
    cdef readonly long long total
    cdef Order least
    cdef Dice dice
    cdef int turn
    cdef long long leaf
    cdef double affinity, ratio, slack
    cdef int[::1] home
    cpdef void serve(self, int replica, bint serves) noexcept nogil
    @cython.locals(weight=double)
    cdef void weigh(self, int replica) noexcept nogil
    cdef void add(self, int replica, int change) noexcept nogil
    @cython.locals(ahead=int, chosen=int)
    cdef int choose(self, int request) noexcept nogil
    @cython.locals(request=int)
    cdef void _deal(self, int[::1] choices) noexcept
    @cython.locals(place=int)
    cdef int _serving_from(self, int start, int ahead) noexcept nogil
    @cython.locals(
        chosen=int, start="long long", stop="long long", known="long long", there=int,
        place="long long")
    cdef int _by_prefix(self, int request) noexcept nogil
