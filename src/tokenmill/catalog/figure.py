"""Figure: one number of the catalogue, with where it comes from and how far to trust it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["KINDS", "Figure", "Kind", "Source"]

Kind = Literal["vendor", "measured", "paper", "secondary", "derived", "assumed"]

# From the firmest to the weakest; an answer headlines the weakest kind it rests on.
KINDS: tuple[Kind, ...] = ("vendor", "measured", "paper", "secondary", "derived", "assumed")


class Source(BaseModel):
    """Where a figure was read: kind, title, locator, date read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Kind
    title: str
    url: str = ""
    read: str = ""
    note: str = ""


class Figure(BaseModel):
    """A value in its base unit, its range and its source.

    `low` and `high` bound what sources say (equal to `value` where they agree); `dimension`
    is the one the record's field demands, as `units.parse` knows it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float
    low: float
    high: float
    dimension: str
    source: str
    kind: Kind
    note: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"low <= value <= high does not hold: {self.low}, {self.value}, {self.high}"
            )
        return self

    def __float__(self) -> float:
        return self.value
