"""Traffic: when requests arrive and how many tokens each brings and wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError

__all__ = [
    "Floats",
    "Ints",
    "Prefixes",
    "Spread",
    "Traffic",
    "TrafficSummary",
    "concatenate",
    "joined",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVELS = (0.5, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True, eq=False)
class Prefixes:
    """The prompt of each request as named blocks, so that shared beginnings are seen.

    Request i holds `hashes[offsets[i]:offsets[i + 1]]`; two requests with equal leading hashes
    share those blocks. offsets: int64[n + 1]; hashes: int64[offsets[-1]]; block_tokens [tokens].
    """

    offsets: Ints
    hashes: Ints
    block_tokens: int

    def __post_init__(self) -> None:
        offsets, hashes = _frozen(self.offsets, np.int64), _frozen(self.hashes, np.int64)
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "hashes", hashes)
        if self.block_tokens < 1:
            raise InputError(f"a prefix block of {self.block_tokens} tokens; give at least 1")
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(hashes):
            raise InputError("prefix offsets must start at 0 and end at the number of hashes")
        if (np.diff(offsets) < 0).any():
            raise InputError("prefix offsets must not fall")

    def take(self, index: Ints) -> Prefixes:
        """The blocks of the requests at `index` (int64[m]), in that order."""
        lengths = np.diff(self.offsets)[index]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        shift = np.repeat(self.offsets[:-1][index] - offsets[:-1], lengths)
        return Prefixes(offsets, self.hashes[shift + np.arange(offsets[-1])], self.block_tokens)

    @classmethod
    def joined(cls, parts: Sequence[Prefixes | None]) -> Prefixes | None:
        """The blocks of successive pieces, which must all have some or all none."""
        present = [part for part in parts if part is not None]
        if not present:
            return None
        if len(present) < len(parts) or len({part.block_tokens for part in present}) > 1:
            raise InputError("pieces of traffic must all carry prefix blocks of one size, or none")
        starts = np.cumsum([0] + [len(part.hashes) for part in present[:-1]])
        moved = [part.offsets[1:] + start for part, start in zip(present, starts, strict=True)]
        return cls(
            np.concatenate([np.zeros(1, np.int64), *moved]),
            np.concatenate([part.hashes for part in present]),
            present[0].block_tokens,
        )

    def reuse(self) -> float:
        """Share of all blocks that an unlimited cache would already hold [1].

        A block's hash stands for everything before it too, so a block is a hit exactly where its
        hash came earlier.
        """
        if len(self.hashes) == 0:
            return 0.0
        return 1.0 - len(np.unique(self.hashes)) / len(self.hashes)


@dataclass(frozen=True)
class Spread:
    """How a quantity spreads over requests, in the quantity's own unit."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, values: Ints | Floats) -> Spread:
        """The spread of an array of at least one value."""
        p50, p90, p95, p99, p999 = (float(value) for value in np.quantile(values, LEVELS))
        return cls(float(values.mean()), p50, p90, p95, p99, p999, float(values.max()))


@dataclass(frozen=True)
class TrafficSummary:
    """What traffic looks like in a few numbers; `gap_cv` is 1 for Poisson arrivals."""

    name: str
    source: str
    requests: int
    duration_s: float
    rate_per_s: float | None
    gap_cv: float | None
    prompt_tokens: Spread
    output_tokens: Spread
    prefix_reuse: float | None
    rejected: int
    failed: int
    unsorted: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Traffic:
    """Requests in the order in which they arrive; arrays are read-only.

    Parameters: arrival_s [s] float64[n], from 0, never falling; prompt_tokens and output_tokens
    [tokens] int64[n], at least 1; prefixes, sessions (int64[n], -1 for none) and images
    (int64[n], count) where the source has them; name and source for reports. `rejected` rows
    could not be used, `failed` rows asked for no output, `unsorted` rows came out of order and
    were sorted; `notes` says each in words.
    Raises: InputError where an array breaks these rules.
    """

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    name: str = "traffic"
    source: str = ""
    prefixes: Prefixes | None = None
    sessions: Ints | None = None
    images: Ints | None = None
    rejected: int = 0
    failed: int = 0
    unsorted: int = 0
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        count = len(self.arrival_s)
        object.__setattr__(self, "arrival_s", _frozen(self.arrival_s, np.float64))
        for name in ("prompt_tokens", "output_tokens", "sessions", "images"):
            value = getattr(self, name)
            if value is None:
                continue
            object.__setattr__(self, name, _frozen(value, np.int64))
            if len(value) != count:
                raise InputError(f"{self.name}: {len(value)} {name} for {count} arrivals")
        if count == 0:
            raise InputError(f"{self.name}: traffic needs at least one request")
        if not np.isfinite(self.arrival_s).all() or self.arrival_s[0] < 0:
            raise InputError(f"{self.name}: arrivals must be finite and not negative")
        if (np.diff(self.arrival_s) < 0).any():
            raise InputError(f"{self.name}: arrivals must be in order; sort them first")
        if self.prompt_tokens.min() < 1 or self.output_tokens.min() < 1:
            raise InputError(f"{self.name}: each request needs a prompt and an output token")
        if self.prefixes is not None and len(self.prefixes.offsets) != count + 1:
            raise InputError(f"{self.name}: prefix offsets must number {count + 1}")

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def duration_s(self) -> float:
        """From the first arrival to the last [s]."""
        return float(self.arrival_s[-1] - self.arrival_s[0])

    @property
    def rate_per_s(self) -> float:
        """Mean arrival rate: gaps per second of duration [1/s].

        Raises: InputError where all requests come at one instant.
        """
        if self.duration_s <= 0:
            raise InputError(f"{self.name}: {len(self)} requests at one instant have no rate")
        return (len(self) - 1) / self.duration_s

    @property
    def tokens(self) -> int:
        """Prompt and output tokens of all requests [tokens]."""
        return int(self.prompt_tokens.sum() + self.output_tokens.sum())

    def summary(self) -> TrafficSummary:
        """Rate, burstiness and lengths in a few numbers."""
        gaps = np.diff(self.arrival_s)
        moving = self.duration_s > 0
        return TrafficSummary(
            name=self.name,
            source=self.source,
            requests=len(self),
            duration_s=self.duration_s,
            rate_per_s=self.rate_per_s if moving else None,
            gap_cv=float(gaps.std() / gaps.mean()) if moving else None,
            prompt_tokens=Spread.of(self.prompt_tokens),
            output_tokens=Spread.of(self.output_tokens),
            prefix_reuse=None if self.prefixes is None else self.prefixes.reuse(),
            rejected=self.rejected,
            failed=self.failed,
            unsorted=self.unsorted,
            notes=self.notes,
        )

    def take(self, index: Ints) -> Traffic:
        """The requests at `index` (int64[m], rising), with their arrival times kept."""
        return replace(
            self,
            arrival_s=self.arrival_s[index],
            prompt_tokens=self.prompt_tokens[index],
            output_tokens=self.output_tokens[index],
            prefixes=None if self.prefixes is None else self.prefixes.take(index),
            sessions=None if self.sessions is None else self.sessions[index],
            images=None if self.images is None else self.images[index],
        )

    def head(self, requests: int) -> Traffic:
        """The first `requests` requests, or all where there are fewer."""
        if requests < 1:
            raise InputError(f"head of {requests} requests; ask for at least 1")
        return self if requests >= len(self) else self.take(np.arange(requests))

    def stretched(self, factor: float) -> Traffic:
        """The same requests over `factor` times the time: above 1 is calmer, below 1 busier."""
        if not (np.isfinite(factor) and factor > 0):
            raise InputError(f"stretch traffic by {factor}; give a finite number above 0")
        return replace(self, arrival_s=self.arrival_s * factor)

    def at_rate(self, rate_per_s: float) -> Traffic:
        """The same requests in the same rhythm at another mean rate [1/s]."""
        if not (np.isfinite(rate_per_s) and rate_per_s > 0):
            raise InputError(f"a rate of {rate_per_s} requests a second; give a number above 0")
        return self.stretched(self.rate_per_s / rate_per_s)


def concatenate(parts: Sequence[Traffic]) -> Traffic:
    """One traffic from pieces in order of time; counts add up, the first piece names it.

    Raises: InputError where pieces overlap in time or only some carry prefixes.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if any(later.arrival_s[0] < earlier.arrival_s[-1] for earlier, later in pairwise(parts)):
        raise InputError(f"{first.name}: pieces of traffic must follow one another in time")
    return replace(
        first,
        arrival_s=np.concatenate([part.arrival_s for part in parts]),
        prompt_tokens=np.concatenate([part.prompt_tokens for part in parts]),
        output_tokens=np.concatenate([part.output_tokens for part in parts]),
        prefixes=Prefixes.joined([part.prefixes for part in parts]),
        sessions=joined([part.sessions for part in parts]),
        images=joined([part.images for part in parts]),
        rejected=sum(part.rejected for part in parts),
        failed=sum(part.failed for part in parts),
        unsorted=sum(part.unsorted for part in parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def joined(columns: Sequence[Ints | None]) -> Ints | None:
    """One column from pieces, which must all be there or all be None."""
    present = [column for column in columns if column is not None]
    if len(present) < len(columns):
        if present:
            raise InputError("pieces of traffic must all carry sessions and images, or none")
        return None
    return np.concatenate(present)


def _frozen(values: Floats | Ints, kind: type[np.float64] | type[np.int64]) -> NDArray[np.generic]:
    """A read-only view in the given kind; whole numbers must be whole already."""
    given = np.asarray(values)
    if given.ndim != 1:
        raise InputError(f"traffic columns are one-dimensional, not of shape {given.shape}")
    if kind is np.int64 and given.dtype.kind not in "iu" and (given != np.floor(given)).any():
        raise InputError("tokens, blocks and sessions must be whole numbers")
    view = given.astype(kind, copy=False).view()
    view.flags.writeable = False
    return view
