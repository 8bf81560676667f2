cimport cython

from tokenmill.simulator.engine_batch cimport Batch
from tokenmill.simulator.engine_book cimport Book, Queue
from tokenmill.simulator.engine_gaps cimport Rhythm
from tokenmill.simulator.engine_memory cimport Memory

cdef int NOBODY
cdef int WAITING, RUNNING, SWAPPED, CARRIED
cdef int NOTHING, SEQUENCES, TOKENS, MEMORY, CLOSED
cdef int SCHEDULED, PREEMPTED


@cython.final
cdef class Scheduler:
    # what every event reads stands first
    cdef int bound, decoding, chunks, partial
    cdef bint open, swaps, mixed, chunked, reserves, refills
    cdef int max_sequences, verified
    cdef long long chunk_tokens, token_budget
    cdef double extra_s
    cdef Book book
    cdef Queue queue
    cdef Batch batch
    cdef Memory memory
    cdef Rhythm rhythm
    cdef readonly long long prefill_tokens, cached_tokens, preemptions
    cdef long long watermark
    cdef double swap_token_s
    cdef int most_gain, index
    cdef int* chunk_seat
    cdef int* chunk_size
    cdef int* computed
    cdef int* shared
    cdef int* residue

    @cython.locals(output="long long")
    cdef long long most_tokens(self, int request) noexcept nogil
    cdef long long total(self, int request) noexcept nogil
    cdef bint form(self, double now) noexcept nogil
    @cython.locals(evicted=bint)
    cdef void compose(self, double now) noexcept nogil
    @cython.locals(steps="long long", tokens="long long", reached="long long")
    cdef long long quiet_steps(self) noexcept nogil
    @cython.locals(evicted=bint)
    cdef bint make_room(self, double now) noexcept nogil
    @cython.locals(left="long long")
    cdef long long budget(self) noexcept nogil
    @cython.locals(seat=int, size="long long", need="long long", evicted=bint, victim=int)
    cdef bint continue_partial(self, double now) noexcept nogil
    @cython.locals(own="long long")
    cdef long long need(self, int seat, long long tokens) noexcept nogil
    @cython.locals(request=int, status=int)
    cdef void admit(self, double now) noexcept nogil
    cdef bint fits(self, long long blocks) noexcept nogil
    @cython.locals(
        hits="long long", start="long long", size="long long",
        budget="long long", held="long long", blocks="long long", seat=int)
    cdef bint seat(self, int request) noexcept nogil
    @cython.locals(tokens="long long", most="long long", seat=int)
    cdef bint take_back(self, int request, int status) noexcept nogil
    @cython.locals(request=int, full="long long")
    cdef void add_chunk(self, int seat, long long size) noexcept nogil
    @cython.locals(request=int)
    cdef void join(self, int seat, long long tokens, double last_token_s) noexcept nogil
    @cython.locals(tokens="long long")
    cdef long long own_blocks(self, int seat) noexcept nogil
    cdef void release(self, int seat) noexcept nogil
    cdef void stand_up(self, int seat) noexcept nogil
    @cython.locals(chosen=int, seat=int, line=int, lowest=int)
    cdef int victim(self) noexcept nogil
    @cython.locals(request=int)
    cdef void interrupt(self, int seat) noexcept nogil
    @cython.locals(request=int, decoded=bint, tokens="long long")
    cdef void preempt(self, int seat, double now) noexcept nogil
