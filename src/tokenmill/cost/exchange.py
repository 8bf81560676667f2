"""Dated exchange rates that the user can set, and conversion of money and statements."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from tokenmill.catalog.prices import Price, first_day, prices
from tokenmill.cost.money import Line, Money, Statement
from tokenmill.errors import InputError
from tokenmill.units import parse_any

__all__ = ["Rate", "Rates", "rates"]


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit of a currency costs in another, on a date, by a source."""

    currency: str
    worth: Fraction
    in_currency: str
    date: str
    source: str


@dataclass(frozen=True)
class Rates:
    """Exchange rates, at most one per currency; any two that a chain of rates joins convert."""

    known: Mapping[str, Rate]

    def worth(self, currency: str, in_currency: str) -> Fraction:
        """What one unit of `currency` costs in another. Raises: InputError without a rate."""
        if currency == in_currency:
            return Fraction(1)
        edges: dict[str, dict[str, Fraction]] = {}
        for rate in self.known.values():
            edges.setdefault(rate.currency, {})[rate.in_currency] = rate.worth
            edges.setdefault(rate.in_currency, {})[rate.currency] = 1 / rate.worth
        reached, frontier = {currency: Fraction(1)}, [currency]
        while frontier and in_currency not in reached:
            here = frontier.pop(0)
            for there, worth in edges.get(here, {}).items():
                if there not in reached:
                    reached[there] = reached[here] * worth
                    frontier.append(there)
        if in_currency not in reached:
            raise InputError(
                f"no exchange rate from {currency} to {in_currency}; "
                f'give one with --rate "{currency}=1.25 {in_currency}" (known: '
                f"{', '.join(sorted(edges)) or 'none'})"
            )
        return reached[in_currency]

    def convert(self, amount: Money, currency: str) -> Money:
        """The amount in another currency. Raises: InputError without a rate."""
        if amount.currency == currency:
            return amount
        return Money(round(amount.nano * self.worth(amount.currency, currency)), currency)

    def convert_statement(self, statement: Statement, currency: str) -> Statement:
        """Every line converted; the total is again the exact sum of the lines."""
        lines = (
            Line(one.label, self.convert(one.money, currency), one.basis)
            for one in statement.lines
        )  # fmt: skip
        return Statement.of(lines, currency)

    def price(self, entry: Price, currency: str) -> Money:
        """A price on record as money in `currency`, for one of its unit."""
        return self.convert(Money.of(entry.amount, entry.currency), currency)

    def replaced(self, text: str, *, today: datetime.date) -> Rates:
        """These rates with one set by the user: "USD=¥150" or "EUR=$1.17". Raises: InputError."""
        text = " ".join(text.split())
        currency, _, rest = text.partition("=")
        currency = currency.strip().upper()
        if not rest or len(currency) != 3 or not currency.isalpha():
            raise InputError(f'cannot read the rate "{text[:40]}"; write "USD=¥150"')
        amount, dimension = parse_any(rest)
        if not dimension.startswith("money:") or amount <= 0:
            raise InputError(f'the rate "{text[:40]}" must be money above zero; write "USD=¥150"')
        into = dimension.removeprefix("money:")
        if into == currency:
            raise InputError(f'the rate "{text[:40]}" joins {currency} with itself')
        rate = Rate(currency, Fraction(str(amount)), into, today.isoformat(), "given by the user")
        known = {
            name: one for name, one in self.known.items()
            if {one.currency, one.in_currency} != {currency, into} and name != currency
        }  # fmt: skip
        return Rates({**known, currency: rate})


def rates(*, date: datetime.date | None = None) -> Rates:
    """The newest rates on record, none newer than `date`."""
    known: dict[str, Rate] = {}
    newest_first = prices(None, ("exchange",), date=date)
    for entry in sorted(newest_first, key=lambda one: first_day(one.date)):
        currency = entry.items[0].upper()
        known[currency] = Rate(
            currency, Fraction(str(entry.amount)), entry.currency, entry.date, entry.source.title
        )
    return Rates(known)
