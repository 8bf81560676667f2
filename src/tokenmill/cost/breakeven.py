"""Rent, buy or call a hosted model: which is cheapest at which utilisation.

Every option costs `fixed + busy * utilisation` per hour of the calendar, so that break-even
is where two straight lines cross, and the cheapest option over utilisation is their lower
envelope: exact, no search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from tokenmill.cost.money import Money, Statement
from tokenmill.errors import InputError

__all__ = ["Option", "Span", "break_even", "cheapest", "envelope", "hosted", "owned", "rented"]


@dataclass(frozen=True, slots=True)
class Option:
    """A way to get the work done: money per calendar hour, and more for every busy hour."""

    name: str
    fixed_per_hour: Money
    busy_per_hour: Money

    def __post_init__(self) -> None:
        if min(self.fixed_per_hour.nano, self.busy_per_hour.nano) < 0:
            raise InputError(f"{self.name}: a cost per hour must not be negative")
        self.fixed_per_hour + self.busy_per_hour  # one currency, or InputError

    def per_hour(self, utilisation: float) -> Money:
        """Money per calendar hour at a utilisation in 0 to 1. Raises: InputError outside."""
        if not 0 <= utilisation <= 1:
            raise InputError(f"utilisation must lie in 0 to 1, not {utilisation}")
        return self.fixed_per_hour + self.busy_per_hour * utilisation


@dataclass(frozen=True, slots=True)
class Span:
    """The option that is cheapest from one utilisation to another."""

    option: Option
    start: float
    end: float


def owned(per_hour: Statement, idle_electricity: Money, name: str = "buy") -> Option:
    """Owning: everything but the electricity of work is due whether busy or not.

    Parameters: per_hour, cost of a busy hour with a line "electricity"; idle_electricity,
    what an idle hour draws; name.
    """
    electricity = sum(line.money.nano for line in per_hour.lines if line.label == "electricity")
    idle = min(idle_electricity.nano, electricity)
    currency = per_hour.currency
    (per_hour.total + idle_electricity)  # one currency, or InputError
    fixed = Money(per_hour.total.nano - electricity + idle, currency)
    return Option(name, fixed, Money(electricity - idle, currency))


def rented(per_hour: Statement, *, released_when_idle: bool, name: str = "rent") -> Option:
    """Renting: by the busy hour where machines are given back, else by the calendar hour."""
    nothing = Money(0, per_hour.currency)
    if released_when_idle:
        return Option(name, nothing, per_hour.total)
    return Option(name, per_hour.total, nothing)


def hosted(
    input_price: Money,
    output_price: Money,
    input_tokens_per_s: float,
    output_tokens_per_s: float,
    name: str = "API",
) -> Option:
    """A hosted model that does the tokens of a busy hour at prices per million tokens.

    Parameters: prices per million tokens; rates [tokens/s] of the machine it stands in for.
    Raises: InputError for a negative or infinite rate.
    """
    for rate in (input_tokens_per_s, output_tokens_per_s):
        if not 0 <= rate < math.inf:
            raise InputError(f"a rate must be tokens per second from zero up, not {rate}")
    million_per_hour = 3600.0 / 1e6
    busy = input_price * (input_tokens_per_s * million_per_hour)
    busy += output_price * (output_tokens_per_s * million_per_hour)
    return Option(name, Money(0, busy.currency), busy)


def break_even(first: Option, second: Option) -> float | None:
    """The utilisation in 0 to 1 at which two options cost the same; None where they never do.

    Options that cost the same everywhere break even at 0.
    """
    gap = (second.fixed_per_hour - first.fixed_per_hour).nano
    slope = (first.busy_per_hour - second.busy_per_hour).nano
    if gap == 0:
        return 0.0
    if slope == 0 or not 0 <= Fraction(gap, slope) <= 1:
        return None
    return float(Fraction(gap, slope))


def cheapest(options: Sequence[Option], utilisation: float) -> Option:
    """The option that costs least at a utilisation; the first of equals."""
    if not options:
        raise InputError("give at least one option: rent, buy or API")
    return min(options, key=lambda option: option.per_hour(utilisation).nano)


def envelope(options: Sequence[Option]) -> tuple[Span, ...]:
    """Which option is cheapest over all utilisations, from 0 to 1, as spans in order."""
    crossings = {0.0, 1.0}
    for index, first in enumerate(options):
        for second in options[index + 1 :]:
            at = break_even(first, second)
            if at is not None:
                crossings.add(at)
    spans: list[Span] = []
    bounds = sorted(crossings)
    for start, end in pairwise(bounds):
        best = cheapest(options, (start + end) / 2)
        if spans and spans[-1].option is best:
            spans[-1] = Span(best, spans[-1].start, end)
        else:
            spans.append(Span(best, start, end))
    return tuple(spans)
