# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""Room for the columns of replicas, side by side in few large pieces of memory.

A run of many replicas looks at another one with every event. Columns that lie together, known by
their address alone, leave more of them in the caches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import cython
except ImportError:
    from tokenmill.simulator import interpreted as cython

__all__ = ["Room"]

LINE = 64  # bytes of a cache line
SMALLEST, LARGEST = 1 << 16, 1 << 22  # bytes of a piece; the system gives the largest huge pages


class Room:
    """Hands out columns, which live as long as the room does."""

    def __init__(self) -> None:
        self.piece: Any = np.zeros(0, np.uint8)
        self.pieces: list[Any] = []
        self.used = 0

    def settle(self, values: Any, dtype: Any) -> Any:
        """A copy of an array that starts at a cache line."""
        values = np.asarray(values, dtype)
        size = -(-values.nbytes // LINE) * LINE
        if self.used + size > len(self.piece):
            least = LARGEST if self.pieces else SMALLEST
            self.piece = np.zeros(max(size, least) + LINE, np.uint8)
            self.pieces.append(self.piece)
            self.used = -self.piece.ctypes.data % LINE
        home = self.piece[self.used : self.used + values.nbytes].view(dtype)
        self.used += size
        home[:] = values
        return home

    def ints(self, values: Any) -> memoryview[int]:
        """A column of whole numbers of 32 bits: its address when compiled, else a buffer."""
        home = self.settle(values, np.int32)
        if cython.compiled:
            address = home.ctypes.data
            return cython.cast(cython.p_int, cython.cast(cython.p_void, address))  # type: ignore[no-any-return]
        else:
            return memoryview(home)

    def longs(self, values: Any) -> memoryview[int]:
        """The same for 64 bits."""
        home = self.settle(values, np.int64)
        if cython.compiled:
            address = home.ctypes.data
            return cython.cast(cython.p_longlong, cython.cast(cython.p_void, address))  # type: ignore[no-any-return]
        else:
            return memoryview(home)

    def floats(self, values: Any) -> memoryview[float]:
        """The same for floats."""
        home = self.settle(values, np.float64)
        if cython.compiled:
            address = home.ctypes.data
            return cython.cast(cython.p_double, cython.cast(cython.p_void, address))  # type: ignore[no-any-return]
        else:
            return memoryview(home)
