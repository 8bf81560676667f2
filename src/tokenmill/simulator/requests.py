"""Requests as the engine takes them: columns, one entry per request, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError
from tokenmill.work.traffic import Prefixes, Traffic

__all__ = ["Requests"]

MOST_TOKENS = 1 << 30


@dataclass(frozen=True, eq=False, slots=True)
class Requests:
    """What users ask for.

    Parameters, arrays of n entries: arrival_s [s], from 0, in any order; prompt_tokens [tokens],
    at least 1; output_tokens [tokens], 0 for a prompt that is only read; priority, 0 the most
    urgent class; tenant, an index; pool, the index of the pool that serves it; after, the request
    whose end starts this one (-1: it comes at its own arrival_s), delay_s [s] later (the think
    time of a user, the way to the next service); prefixes, the prompt as named blocks.
    Raises: InputError naming the column, the entry and what is wrong.
    """

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    priority: NDArray[np.int8] | None = None
    tenant: NDArray[np.int32] | None = None
    pool: NDArray[np.int32] | None = None
    after: NDArray[np.int32] | None = None
    delay_s: NDArray[np.float64] | None = None
    prefixes: Prefixes | None = None

    def __post_init__(self) -> None:
        count = len(self.arrival_s)
        if count >= 1 << 31:
            raise InputError(f"{count} requests in one run; split them, 2147483647 are the most")
        for name, kind, least, most in (
            ("arrival_s", np.float64, 0, np.inf),
            ("prompt_tokens", np.int32, 1, MOST_TOKENS),
            ("output_tokens", np.int32, 0, MOST_TOKENS),
            ("priority", np.int8, 0, 127),
            ("tenant", np.int32, 0, MOST_TOKENS),
            ("pool", np.int32, 0, MOST_TOKENS),
            ("after", np.int32, -1, count - 1),
            ("delay_s", np.float64, 0, np.inf),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _column(name, value, kind, least, most, count))
        if self.prefixes is not None and len(self.prefixes.offsets) != count + 1:
            raise InputError(f"prefix offsets must number {count + 1}, one more than the requests")
        if self.after is not None and (self.after >= np.arange(count)).any():
            row = int(np.argmax(self.after >= np.arange(count)))
            raise InputError(
                f"after[{row}] is {self.after[row]}; a request can only follow an earlier one"
            )

    def __len__(self) -> int:
        return len(self.arrival_s)

    @classmethod
    def of(cls, traffic: Traffic) -> Requests:
        """The requests of a traffic."""
        return cls(
            arrival_s=traffic.arrival_s,
            prompt_tokens=traffic.prompt_tokens,  # type: ignore[arg-type]
            output_tokens=traffic.output_tokens,  # type: ignore[arg-type]
            prefixes=traffic.prefixes,
        )

    def block_ids(self) -> NDArray[np.int32]:
        """Names of prefix blocks as small whole numbers."""
        if self.prefixes is None:
            return np.zeros(0, np.int32)
        names = self.prefixes.hashes
        if len(names) and (names.min() < 0 or names.max() > 4 * len(names) + 1024):
            names = np.unique(names, return_inverse=True)[1]
        return names.astype(np.int32)


def _column(
    name: str, value: Any, kind: Any, least: float, most: float, count: int
) -> NDArray[Any]:
    """A contiguous array of a kind within limits; not a number is outside of all."""
    given = np.asarray(value)
    if given.shape != (count,):
        raise InputError(f"{name} has shape {given.shape} for {count} requests; give ({count},)")
    if given.dtype.kind not in "iuf":
        raise InputError(f"{name} holds {given.dtype}; give numbers")
    wrong = ~((given >= least) & (given <= most) & np.isfinite(given))
    if given.dtype.kind == "f" and kind is not np.float64:
        wrong |= given != np.floor(given)
    if wrong.any():
        row = int(np.argmax(wrong))
        limit = f"from {least} to {most}" if most < np.inf else f"at least {least}"
        sort = "a number" if kind is np.float64 else "a whole number"
        raise InputError(f"{name}[{row}] is {given[row]}; it must be {sort} {limit}")
    return np.ascontiguousarray(given, dtype=kind)
