"""How long prompts and answers are: laws of lengths, and drawing two that go together.

Each law turns standard normal draws into lengths, longer for larger draws, so that correlated
normals give correlated lengths whatever the two laws are (a Gaussian copula).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tokenmill.errors import InputError
from tokenmill.work.traffic import Floats, Ints

__all__ = [
    "MAX_TOKENS",
    "Fixed",
    "LengthLaw",
    "LogNormal",
    "Quantiles",
    "Uniform",
    "check_number",
    "draw_lengths",
]

MAX_TOKENS = 100_000_000


class LengthLaw(Protocol):
    """How long prompts or answers are."""

    def tokens(self, normal: Floats) -> Ints:
        """Lengths [tokens] int64[n] for standard normal draws [n]: larger draws, longer texts."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Every length the same [tokens]."""

    length: int

    def __post_init__(self) -> None:
        _check_lengths(self.length, self.length)

    def tokens(self, normal: Floats) -> Ints:
        """As `LengthLaw.tokens`."""
        return np.full(len(normal), self.length, np.int64)


@dataclass(frozen=True)
class Uniform:
    """Every whole length from `low` to `high` [tokens] equally likely."""

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_lengths(self.low, self.high)

    def tokens(self, normal: Floats) -> Ints:
        """As `LengthLaw.tokens`."""
        steps = np.floor(_normal_cdf(normal) * (self.high - self.low + 1))
        lengths: Ints = np.minimum(self.low + steps, self.high).astype(np.int64)
        return lengths


@dataclass(frozen=True)
class LogNormal:
    """Log-normal lengths of a mean [tokens] and a coefficient of variation, kept in a range."""

    mean: float
    cv: float
    low: int = 1
    high: int = MAX_TOKENS

    def __post_init__(self) -> None:
        _check_lengths(self.low, self.high)
        check_number("mean length", self.mean, 1.0, MAX_TOKENS)
        check_number("cv of lengths", self.cv, 0.0, 100.0)

    def tokens(self, normal: Floats) -> Ints:
        """As `LengthLaw.tokens`."""
        variance = math.log1p(self.cv**2)
        drawn = np.exp(math.log(self.mean) - variance / 2 + math.sqrt(variance) * normal)
        lengths: Ints = np.rint(np.clip(drawn, self.low, self.high)).astype(np.int64)
        return lengths


@dataclass(frozen=True)
class Quantiles:
    """A law given by its quantiles, linear between them.

    Parameters: levels [1], rising from 0 to 1; values, never falling, in tokens or seconds.
    """

    levels: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        levels, values = np.array(self.levels, float), np.array(self.values, float)
        if len(levels) != len(values) or len(levels) < 2:
            raise InputError(f"{len(levels)} quantile levels for {len(values)} values; give pairs")
        if levels[0] != 0 or levels[-1] != 1 or not (np.diff(levels) > 0).all():
            raise InputError("quantile levels must rise from 0 to 1")
        if not np.isfinite(values).all() or values[0] < 0 or (np.diff(values) < 0).any():
            raise InputError("quantile values must be finite, not negative, and never fall")

    @property
    def mean(self) -> float:
        """Mean of the law, in the unit of its values."""
        levels, values = np.array(self.levels), np.array(self.values)
        return float((np.diff(levels) * (values[1:] + values[:-1])).sum() / 2)

    def at(self, level: Floats) -> Floats:
        """Values at levels [1] in 0 to 1, of the same shape."""
        return np.interp(level, self.levels, self.values)

    def tokens(self, normal: Floats) -> Ints:
        """As `LengthLaw.tokens`."""
        return np.maximum(np.rint(self.at(_normal_cdf(normal))), 1.0).astype(np.int64)


def draw_lengths(
    prompt: LengthLaw,
    output: LengthLaw,
    count: int,
    correlation: float,
    random: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Prompt and output lengths [tokens] int64[count], joined by a Gaussian copula.

    Parameters: prompt and output, their laws; correlation [1], Spearman's; random, the stream.
    Raises: InputError for a correlation outside -1 to 1.
    Reference: W. Kruskal, Ordinal measures of association, JASA 53 (1958), eq. for the bivariate
    normal: r = 2 sin(pi rho / 6).
    """
    check_number("correlation", correlation, -1.0, 1.0)
    r = 2 * math.sin(math.pi * correlation / 6)
    first = random.standard_normal(count)
    second = random.standard_normal(count)
    mixed = r * first + math.sqrt(max(0.0, 1 - r * r)) * second
    return prompt.tokens(first), output.tokens(mixed)


def _normal_cdf(z: Floats) -> Floats:
    """Standard normal distribution function, to 1.5e-7.

    Reference: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 7.1.26.
    """
    x = np.abs(z) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    tail = series * np.exp(-x * x) / 2
    return np.clip(np.where(z < 0, tail, 1 - tail), 0.0, 1.0)


def _check_lengths(low: int, high: int) -> None:
    if not 1 <= low <= high <= MAX_TOKENS:
        raise InputError(
            f"lengths from {low} to {high} tokens; give 1 <= low <= high <= {MAX_TOKENS}"
        )


def check_number(what: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside a range, NaN too. Raises: InputError."""
    if not low <= value <= high:
        raise InputError(f"{what} is {value}; give a number from {low:g} to {high:g}")
