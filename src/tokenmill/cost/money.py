"""Money that adds up exactly, and the statement of lines that makes a total.

An amount is a whole number of billionths of its currency, so that sums are exact whatever
their order: a total equals the sum of its lines to the last digit (INV-10). Rounding
happens once, when a line is made from a float, half to even.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from tokenmill.errors import InputError
from tokenmill.units import parse_any

__all__ = ["CURRENCIES", "Line", "Money", "Statement", "money"]

CURRENCIES = {"JPY": ("¥", 0), "USD": ("$", 2), "EUR": ("€", 2)}
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An exact amount: `nano` billionths of one unit of `currency`."""

    nano: int
    currency: str

    @classmethod
    def of(cls, amount: float | Fraction, currency: str) -> Money:
        """Money from a number [currency]. Raises: InputError for NaN, infinity, no currency."""
        if not currency.isalpha() or len(currency) != 3:
            raise InputError(f'"{currency[:20]}" is not a currency; write JPY, USD or EUR')
        if isinstance(amount, float) and not math.isfinite(amount):
            raise InputError(f"{amount} {currency} is not an amount of money")
        return cls(round(Fraction(amount) * _NANO), currency.upper())

    @property
    def amount(self) -> float:
        """The amount as a float [currency]."""
        return self.nano / _NANO

    def __add__(self, other: Money) -> Money:
        return Money(self.nano + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.nano - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.nano, self.currency)

    def __mul__(self, factor: float | Fraction) -> Money:
        if isinstance(factor, float) and not math.isfinite(factor):
            raise InputError(f"money times {factor} is not money")
        return Money(round(self.nano * Fraction(factor)), self.currency)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Fraction) -> Money:
        if divisor == 0 or divisor != divisor:
            raise InputError(f"{self} over {divisor} is no cost; give a quantity above zero")
        if math.isinf(divisor):
            return Money(0, self.currency)
        return self * (1 / Fraction(divisor))

    def __lt__(self, other: Money) -> bool:
        return self.nano < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.nano <= self._same(other)

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int | None = None) -> str:
        """The amount for a person: "¥298,000", "$0.0312"; `digits` after the point."""
        sign, usual = CURRENCIES.get(self.currency, (f"{self.currency} ", 2))
        if digits is None:
            digits = usual if self.nano == 0 else _digits(abs(self.amount), usual)
        minus = "-" if self.nano < 0 else ""
        return f"{minus}{sign}{abs(self.amount):,.{digits}f}"

    def _same(self, other: Money) -> int:
        if not isinstance(other, Money):
            raise InputError(f"cannot set {self} against {other!r}: both must be money")
        if other.currency != self.currency:
            raise InputError(
                f"cannot set {self} against {other}: convert one with an exchange rate first"
            )
        return other.nano


def _digits(amount: float, usual: int) -> int:
    """Digits after the point that show at least three significant ones."""
    return max(usual, 2 - math.floor(math.log10(amount)))


def money(text: str, *, what: str = "amount") -> Money:
    """Read an amount such as "¥3,000,000", "$2.49" or "EUR 12", which must not be negative.

    Raises: InputError naming `what`.
    """
    text = " ".join(text.split())
    try:
        amount, dimension = parse_any(text)
    except InputError:
        amount, dimension = 0.0, ""
    if not dimension.startswith("money:"):
        raise InputError(
            f'{what}: "{text[:40]}" is not money of zero or more; write "¥3,000,000" or "$2.49"'
        )
    if amount < 0:
        raise InputError(f"{what} must not be negative: {text}")
    return Money.of(amount, dimension.removeprefix("money:"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a statement: what, how much, and where the figure comes from."""

    label: str
    money: Money
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """Lines in one currency; the total is their exact sum, never computed another way."""

    lines: tuple[Line, ...]
    currency: str

    def __post_init__(self) -> None:
        for line in self.lines:
            if line.money.currency != self.currency:
                raise InputError(
                    f"{line.label} is in {line.money.currency}, the statement in {self.currency}; "
                    "convert it with an exchange rate first"
                )

    @classmethod
    def of(cls, lines: Iterable[Line], currency: str) -> Statement:
        """A statement of lines that are all in `currency`."""
        return cls(tuple(lines), currency)

    @property
    def total(self) -> Money:
        """The exact sum of the lines."""
        return Money(sum(line.money.nano for line in self.lines), self.currency)

    def __add__(self, other: Statement) -> Statement:
        return Statement((*self.lines, *other.lines), self.currency)

    def times(self, factor: float | Fraction) -> Statement:
        """Every line times a factor; the total is again the sum of the lines."""
        lines = (Line(one.label, one.money * factor, one.basis) for one in self.lines)
        return Statement(tuple(lines), self.currency)

    def per(self, quantity: float | Fraction, what: str = "quantity") -> Statement:
        """Every line divided by a quantity. Raises: InputError for zero, negative or NaN."""
        if not quantity > 0:
            raise InputError(f"{what} must be above zero to share a cost, not {quantity:g}")
        lines = (Line(one.label, one.money / quantity, one.basis) for one in self.lines)
        return Statement(tuple(lines), self.currency)

    def shown(self, digits: int) -> Statement:
        """Lines rounded for print to `digits` after the point, total still their sum."""
        step = 10 ** (9 - digits)
        lines = (
            Line(one.label, Money(round(Fraction(one.money.nano, step)) * step, self.currency),
                 one.basis)
            for one in self.lines
        )  # fmt: skip
        return Statement(tuple(lines), self.currency)
