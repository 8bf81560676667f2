"""Which uncertain figure moves the answer most: a table for a tornado chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tokenmill.errors import InputError

__all__ = ["Range", "Swing", "tornado"]


@dataclass(frozen=True, slots=True)
class Range:
    """A figure between its bounds, in whatever unit its name says."""

    low: float
    value: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise InputError(
                f"low <= value <= high does not hold: {self.low}, {self.value}, {self.high}"
            )


@dataclass(frozen=True, slots=True)
class Swing:
    """The answer with one figure at its low and at its high bound, all others at their value."""

    name: str
    figure: Range
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        """How far the answer moves between the bounds."""
        return abs(self.at_high - self.at_low)


def tornado(
    answer: Callable[[Mapping[str, float]], float], figures: Mapping[str, Range]
) -> tuple[Swing, ...]:
    """Each figure moved alone from bound to bound, the widest swing first.

    Parameters: answer, from the named figures to one number; figures, with bounds.
    Returns: one row per figure. Raises: whatever `answer` raises at a bound.
    """
    middle = {name: figure.value for name, figure in figures.items()}
    rows = [
        Swing(
            name, figure,
            answer({**middle, name: figure.low}), answer({**middle, name: figure.high}),
        )
        for name, figure in figures.items()
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: -row.width))
