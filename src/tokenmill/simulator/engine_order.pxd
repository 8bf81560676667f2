cimport cython

from tokenmill.simulator.engine_room cimport Room

cdef double INF
cdef long long NEVER


@cython.final
cdef class Order:
    cdef long long size
    cdef double[::1] time
    cdef int[::1] phase
    cdef int[::1] tree
    cdef int first(self) noexcept nogil
    @cython.locals(spot="long long", winner=int, rival=int, rival_time=double)
    cdef void put(self, int source, double time, int phase) noexcept nogil
    @cython.locals(spot="long long")
    cdef bint is_alone(self, int source) noexcept nogil
    cdef bint _precedes(self, int one, int other) noexcept nogil


@cython.final
cdef class Later:
    cdef readonly long long size
    cdef long long entered, capacity
    cdef double[::1] time
    cdef long long[::1] number
    cdef int[::1] kind
    cdef long long[::1] what
    cdef long long[::1] where
    cdef double next_time(self) noexcept nogil
    @cython.locals(spot="long long", parent="long long", number="long long")
    cdef int add(self, double time, int kind, long long what, long long where) except -1
    @cython.locals(last="long long", spot="long long", child="long long")
    cdef void drop_first(self) noexcept nogil
    cdef bint _before(self, long long one, long long other) noexcept nogil
    cdef void _copy(self, long long source, long long target) noexcept nogil
    cdef void _fill(
        self, long long spot, double time, long long number, int kind, long long what,
        long long where) noexcept nogil


@cython.final
cdef class Ladder:
    cdef readonly int size
    cdef long long entered, least
    cdef int* heap
    cdef int* place
    cdef long long* key
    cdef long long* rank
    cdef Room room
    cdef int first(self) noexcept nogil
    cdef void push(self, int seat, long long key) noexcept nogil
    @cython.locals(spot=int, moved=int, child=int, below=int)
    cdef void remove(self, int seat) noexcept nogil
    cdef inline bint _before(self, int one, int other) noexcept nogil
    @cython.locals(parent=int, above=int)
    cdef void _rise(self, int spot, int seat) noexcept nogil
