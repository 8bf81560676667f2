cimport cython

cdef int LINE, SMALLEST, LARGEST


@cython.final
cdef class Room:
    cdef object piece
    cdef list pieces
    cdef long long used
    @cython.locals(size="long long")
    cdef object settle(self, object values, object dtype)
    @cython.locals(address=size_t)
    cdef int* ints(self, object values) except NULL
    @cython.locals(address=size_t)
    cdef long long* longs(self, object values) except NULL
    @cython.locals(address=size_t)
    cdef double* floats(self, object values) except NULL
