"""Traffic as a scenario asks for it: read, synthesised, or asked again and again by users."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tokenmill.errors import InputError
from tokenmill.planner.scenario import TrafficTable
from tokenmill.work.arrivals import ClosedLoop, ClosedTraffic, OpenLoop, closed_loop, open_loop
from tokenmill.work.lengths import Fixed, LengthLaw, LogNormal
from tokenmill.work.profiles import DEFAULT_PROFILE, traffic_profile
from tokenmill.work.traces import read_trace, stream_trace
from tokenmill.work.traffic import Traffic, concatenate

__all__ = ["read_within", "traffic_from"]

_PROMPT, _OUTPUT = 1024, 256  # tokens, where only one of them is given
_REQUESTS = 10_000  # synthetic ones, where neither a number nor a duration is given
_STREAM_BYTES = 64 << 20  # of a file, from which it is read piece by piece


def traffic_from(
    table: TrafficTable, seed: int, *, limit: int = 100_000_000
) -> Traffic | ClosedTraffic:
    """The requests that a table asks for.

    Parameters: table; seed; limit [requests], the most to hold: a trace is cut there, and its
    notes say so.
    Raises: InputError, BadRecord, UnknownName.
    """
    if table.trace or table.profile or table.prompt_tokens is None is table.output_tokens:
        traffic = _published(table, seed, limit)
        return _closed(table, traffic, seed, limit) if _is_closed(table) else traffic
    prompt = _law(table.prompt_tokens or _PROMPT, table.prompt_cv)
    output = _law(table.output_tokens or _OUTPUT, table.output_cv)
    if _is_closed(table):
        return closed_loop(_loop(table), prompt, output, requests=_count(table, limit), seed=seed)
    gaps = OpenLoop(table.rate_per_s or 1.0, cv=table.cv, profile=table.hourly)
    if table.duration_s is not None:
        _within(gaps.rate_per_s * table.duration_s, limit)
        return open_loop(gaps, prompt, output, duration_s=table.duration_s, seed=seed)
    return open_loop(gaps, prompt, output, requests=_count(table, limit), seed=seed)


def _is_closed(table: TrafficTable) -> bool:
    return table.users is not None or table.concurrency is not None


def _loop(table: TrafficTable) -> ClosedLoop:
    if table.users is None:
        return ClosedLoop(table.concurrency or 1)
    # people do not all ask in the same instant: they come over one think time
    return ClosedLoop(table.users, table.think_s, table.think_cv, ramp_s=table.think_s)


def _count(table: TrafficTable, limit: int) -> int:
    at_once = table.users or table.concurrency or 1
    return _within(table.requests or max(_REQUESTS, 10 * at_once), limit)


def _within(count: float, limit: int) -> int:
    """A number of requests that memory holds. Raises: InputError."""
    if count > limit:
        raise InputError(
            f"{count:,.0f} requests do not fit the memory budget, which holds {limit:,}; ask for "
            "fewer, or raise it"
        )
    return int(count)


def _law(mean: int, cv: float) -> LengthLaw:
    return LogNormal(mean, cv) if cv > 0 else Fixed(mean)


def _published(table: TrafficTable, seed: int, limit: int) -> Traffic:
    """A trace, or traffic of the shape of a profile, at the rate and length asked for."""
    if table.trace:
        traffic = read_within(Path(table.trace), limit, head=table.head)
        if table.requests is not None:
            traffic = traffic.head(table.requests)
        if table.duration_s is not None:
            index = np.flatnonzero(traffic.arrival_s < table.duration_s)
            traffic = traffic.take(index) if len(index) else traffic.head(1)
        if table.rate_per_s is not None:
            traffic = traffic.at_rate(table.rate_per_s)
    else:
        profile = traffic_profile(table.profile or DEFAULT_PROFILE)
        requests = table.requests or table.head
        if requests is None and table.duration_s is None:
            requests = profile.requests
        span = (table.duration_s or 0.0) * (table.rate_per_s or profile.rate_per_s)
        _within(requests or span, limit)
        traffic = profile.traffic(
            requests=requests, duration_s=table.duration_s, rate_per_s=table.rate_per_s, seed=seed
        )
    return traffic if table.stretch is None else traffic.stretched(table.stretch)


def _closed(table: TrafficTable, traffic: Traffic, seed: int, limit: int) -> ClosedTraffic:
    """Users who send the requests of a trace one after another, each waiting for its answer."""
    count = _within(table.requests or len(traffic), limit)
    pauses = closed_loop(_loop(table), Fixed(1), Fixed(1), requests=count, seed=seed)
    return replace(
        pauses, prompt_tokens=np.resize(traffic.prompt_tokens, count),
        output_tokens=np.resize(traffic.output_tokens, count), name=traffic.name,
        source=f"{traffic.source}; {pauses.source}",
    )  # fmt: skip


def read_within(path: Path, limit: int, *, head: int | None = None) -> Traffic:
    """A trace, or as much of its beginning as fits a limit [requests]; the notes say which.

    A large file is read piece by piece, so that what is held grows with the requests kept, not
    with the file.
    Raises: BadRecord, InputError.
    """
    wanted = limit if head is None else min(head, limit)
    try:
        large = path.stat().st_size > _STREAM_BYTES or path.suffix == ".gz"
    except OSError:
        large = False  # what is wrong with it is said in reading
    if not large:
        # one more than wanted shows whether there is more
        return _cut(read_trace(path, head=wanted + 1), wanted, limit)
    pieces: list[Traffic] = []
    count = 0
    for piece in stream_trace(path):
        pieces.append(piece)
        count += len(piece)
        if count > wanted:
            break
    return _cut(concatenate(pieces), wanted, limit)


def _cut(traffic: Traffic, wanted: int, limit: int) -> Traffic:
    """The beginning of a traffic; where memory is the reason, that is said."""
    if len(traffic) <= wanted:
        return traffic
    kept = traffic.head(wanted)
    if wanted < limit:
        return kept
    note = f"cut after {wanted:,} requests, which is what the memory budget holds"
    return replace(kept, notes=(*kept.notes, note))
