"""Synthetic traffic: when requests come, in an open or a closed loop.

All is drawn from numpy's PCG64 with separate streams for times and lengths, so that the
same seed gives the same bytes, and other lengths leave the arrivals as they were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenmill.errors import InputError
from tokenmill.work.lengths import LengthLaw, Quantiles, check_number, draw_lengths
from tokenmill.work.traffic import Floats, Ints, Traffic

__all__ = [
    "ClosedLoop",
    "ClosedTraffic",
    "OpenLoop",
    "closed_loop",
    "open_loop",
]

MAX_REQUESTS = 100_000_000


@dataclass(frozen=True)
class OpenLoop:
    """Requests that come however slow the service is.

    Parameters: rate_per_s [1/s], mean; cv [1] of the gaps: 0 even, 1 Poisson, above 1 bursts
    (Gamma gaps); profile, the relative rate in equal parts of `period_s` [s], such as 24 hourly
    weights of a day, repeated; gaps, quantiles that replace the Gamma law (their mean is set by
    the rate).
    Raises: InputError where a number cannot be.
    """

    rate_per_s: float
    cv: float = 1.0
    profile: tuple[float, ...] = ()
    period_s: float = 86400.0
    gaps: Quantiles | None = None

    def __post_init__(self) -> None:
        check_number("rate per second", self.rate_per_s, 1e-9, 1e9)
        check_number("cv of the gaps", self.cv, 0.0, 100.0)
        check_number("period in seconds", self.period_s, 1e-3, 1e9)
        for weight in self.profile:
            check_number("weight of the profile", weight, 0.0, 1e9)
        if self.profile and sum(self.profile) <= 0:
            raise InputError("a profile of zeros has no arrivals; give one weight above 0")
        if self.gaps is not None and self.gaps.mean <= 0:
            raise InputError("quantiles of gaps with a mean of 0 have no rate")

    def first(self, requests: int, random: np.random.Generator) -> Floats:
        """When the first `requests` requests come [s] float64[requests], from time 0."""
        return self._clock(np.cumsum(self._unit_gaps(requests, random)))

    def until(self, duration_s: float, random: np.random.Generator) -> Floats:
        """When requests come before `duration_s` [s]."""
        ends = self._expected(duration_s)
        parts: list[Floats] = [np.empty(0)]
        reached = 0.0
        while reached < ends:
            left = ends - reached
            block = int(left + 5 * self.cv * math.sqrt(left)) + 64
            parts.append(reached + np.cumsum(self._unit_gaps(block, random)))
            reached = float(parts[-1][-1])
        due = np.concatenate(parts)
        return self._clock(due[due < ends])

    def _unit_gaps(self, count: int, random: np.random.Generator) -> Floats:
        """Gaps of mean 1 [1]."""
        if self.gaps is not None:
            return self.gaps.at(random.random(count)) / self.gaps.mean
        return _unit_gamma(self.cv, count, random)

    def _steps(self) -> tuple[Floats, Floats]:
        """Times [s] within a period, and requests expected by each."""
        relative = np.array(self.profile or (1.0,), np.float64)
        weights = relative / relative.mean()
        step_s = self.period_s / len(weights)
        expected = np.concatenate(([0.0], np.cumsum(weights * self.rate_per_s * step_s)))
        return np.arange(len(weights) + 1, dtype=np.float64) * step_s, expected

    def _expected(self, time_s: float) -> float:
        """Requests expected before a time [s]."""
        times, expected = self._steps()
        periods, rest = divmod(time_s, self.period_s)
        return float(periods * expected[-1] + np.interp(rest, times, expected))

    def _clock(self, due: Floats) -> Floats:
        """The time [s] by which so many requests are expected: the inverse of `_expected`."""
        if not self.profile:
            return due / self.rate_per_s
        times, expected = self._steps()
        periods, rest = np.divmod(due, expected[-1])
        return periods * self.period_s + np.interp(rest, expected, times)


@dataclass(frozen=True)
class ClosedLoop:
    """Users who each wait for an answer, pause, and ask again.

    Parameters: users, how many at once (the concurrency of benchmark tools); think_s [s], mean
    pause before each request after a user's first; think_cv [1] of the pause: 0 fixed,
    1 exponential; ramp_s [s] over which users start, evenly.
    Raises: InputError where a number cannot be.
    """

    users: int
    think_s: float = 0.0
    think_cv: float = 0.0
    ramp_s: float = 0.0

    def __post_init__(self) -> None:
        check_number("number of users", self.users, 1, MAX_REQUESTS)
        check_number("think time in seconds", self.think_s, 0.0, 1e9)
        check_number("cv of the think time", self.think_cv, 0.0, 100.0)
        check_number("ramp in seconds", self.ramp_s, 0.0, 1e9)


@dataclass(frozen=True, eq=False)
class ClosedTraffic:
    """The requests that users of a closed loop take one by one, in this order.

    `starts_s` [s] float64[users]: when each user begins; the user who is free next takes the next
    request, waits its `pause_s` [s] float64[n] (0 for a user's first) and sends it. `prompt_tokens`
    and `output_tokens` [tokens] int64[n].
    """

    starts_s: Floats
    pause_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    name: str
    source: str

    def __len__(self) -> int:
        return len(self.prompt_tokens)


def open_loop(
    loop: OpenLoop,
    prompt: LengthLaw,
    output: LengthLaw,
    *,
    requests: int | None = None,
    duration_s: float | None = None,
    correlation: float = 0.0,
    seed: int = 0,
    name: str = "synthetic",
    source: str = "synthetic",
) -> Traffic:
    """Synthetic traffic: so many requests, or all within a duration.

    Parameters: loop, when they come; prompt and output, how long they are; either requests or
    duration_s [s]; correlation [1], Spearman's, of prompt with output length; seed.
    Raises: InputError where both or neither of requests and duration are given, for more than
    100 million requests, and where none falls into the duration.
    """
    times, lengths = _streams(seed)
    if (requests is None) == (duration_s is None):
        raise InputError("give either a number of requests or a duration")
    if requests is not None:
        check_number("number of requests", requests, 1, MAX_REQUESTS)
        arrival_s = loop.first(requests, times)
    else:
        span_s = float(duration_s or 0.0)
        check_number("duration in seconds", span_s, 1e-9, 1e11)
        check_number("expected number of requests", loop.rate_per_s * span_s, 0, MAX_REQUESTS)
        arrival_s = loop.until(span_s, times)
        if len(arrival_s) == 0:
            raise InputError(f"no request comes within {span_s:g} s; raise the rate or duration")
    prompts, outputs = draw_lengths(prompt, output, len(arrival_s), correlation, lengths)
    return Traffic(arrival_s, prompts, outputs, name=name, source=source)


def closed_loop(
    loop: ClosedLoop,
    prompt: LengthLaw,
    output: LengthLaw,
    *,
    requests: int,
    correlation: float = 0.0,
    seed: int = 0,
    name: str = "synthetic",
) -> ClosedTraffic:
    """The requests of a closed loop; parameters as `open_loop`."""
    check_number("number of requests", requests, 1, MAX_REQUESTS)
    times, lengths = _streams(seed)
    pause_s = np.zeros(requests)
    later = max(requests - loop.users, 0)
    if later and loop.think_s:
        pause_s[loop.users :] = loop.think_s * _unit_gamma(loop.think_cv, later, times)
    prompts, outputs = draw_lengths(prompt, output, requests, correlation, lengths)
    starts_s = np.arange(loop.users, dtype=np.float64) * (loop.ramp_s / loop.users)
    source = f"{loop.users} users, {loop.think_s:g} s between requests"
    return ClosedTraffic(starts_s, pause_s, prompts, outputs, name, source)


def _streams(seed: int) -> Sequence[np.random.Generator]:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed {seed!r}; give a whole number of at least 0")
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)]


def _unit_gamma(cv: float, count: int, random: np.random.Generator) -> Floats:
    """Draws of a Gamma law of mean 1 and a coefficient of variation [1]."""
    if cv == 0:
        return np.ones(count)
    if cv == 1:
        return random.standard_exponential(count)
    return random.standard_gamma(cv**-2, count) * cv**2
