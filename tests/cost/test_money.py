"""INV-10: money adds up to the last digit, whatever is added, shared, converted or rounded."""

from __future__ import annotations

import datetime
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.cost.exchange import Rates, rates
from tokenmill.cost.money import Line, Money, Statement, money
from tokenmill.errors import InputError

TODAY = datetime.date(2026, 11, 23)
amounts = st.floats(-1e12, 1e12, allow_nan=False)
statements = st.lists(amounts, max_size=12).map(
    lambda values: Statement.of(
        (Line(f"line {index}", Money.of(value, "USD")) for index, value in enumerate(values)), "USD"
    )
)


def exact_sum(statement: Statement) -> int:
    return sum(line.money.nano for line in statement.lines)


@given(statements, statements)
def test_totals_equal_the_sum_of_their_lines(one: Statement, other: Statement) -> None:
    assert one.total.nano == exact_sum(one)
    assert (one + other).total == one.total + other.total
    assert (one + other).total == (other + one).total


@given(statements, st.floats(1e-6, 1e9), st.integers(0, 9))
def test_sharing_rounding_and_converting_keep_the_sum(
    one: Statement, quantity: float, digits: int
) -> None:
    for made in (
        one.per(quantity), one.times(quantity), one.shown(digits),
        rates().convert_statement(one, "JPY"),
    ):  # fmt: skip
        assert made.total.nano == exact_sum(made)
        assert len(made.lines) == len(one.lines)


@given(statements, st.integers(0, 9))
def test_shown_lines_have_no_more_digits_and_stay_near(one: Statement, digits: int) -> None:
    step = 10 ** (9 - digits)
    for before, after in zip(one.lines, one.shown(digits).lines, strict=True):
        assert after.money.nano % step == 0
        assert abs(after.money.nano - before.money.nano) <= step / 2


@given(amounts)
def test_a_float_becomes_the_nearest_billionth(value: float) -> None:
    assert abs(Fraction(Money.of(value, "EUR").nano, 10**9) - Fraction(value)) <= Fraction(
        1, 2 * 10**9
    )


@given(st.lists(amounts, min_size=1, max_size=20), st.randoms())
def test_the_order_of_a_sum_does_not_matter(values: list[float], random: object) -> None:
    purse = [Money.of(value, "JPY") for value in values]
    total = sum(purse[1:], purse[0])
    random.shuffle(purse)  # type: ignore[attr-defined]
    assert sum(purse[1:], purse[0]) == total


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_number_no_money(bad: float) -> None:
    with pytest.raises(InputError):
        Money.of(bad, "USD")
    with pytest.raises(InputError):
        Money.of(1.0, "USD") * bad
    statement = Statement.of([Line("a", Money.of(1.0, "USD"))], "USD")
    with pytest.raises(InputError):
        statement.per(-bad if bad == math.inf else bad)


@pytest.mark.parametrize("bad", [0, 0.0, -1.0])
def test_nothing_is_shared_over_zero(bad: float) -> None:
    with pytest.raises(InputError, match="above zero"):
        Statement.of([Line("a", Money.of(1.0, "USD"))], "USD").per(bad, "hours")


def test_currencies_do_not_mix_without_a_rate() -> None:
    with pytest.raises(InputError, match="exchange rate"):
        Money.of(1.0, "USD") + Money.of(1.0, "JPY")
    with pytest.raises(InputError, match="exchange rate"):
        assert Money.of(1.0, "USD") < Money.of(1.0, "JPY")
    with pytest.raises(InputError, match="convert"):
        Statement.of([Line("a", Money.of(1.0, "JPY"))], "USD")
    with pytest.raises(InputError, match="no exchange rate from GBP"):
        rates().convert(Money.of(1.0, "GBP"), "JPY")
    with pytest.raises(InputError, match="not a currency"):
        Money.of(1.0, "pounds")


def test_rates_chain_and_are_dated() -> None:
    now = rates()
    assert now.worth("EUR", "JPY") == now.worth("EUR", "USD") * now.worth("USD", "JPY")
    assert now.worth("JPY", "USD") * now.worth("USD", "JPY") == 1
    assert now.known["USD"].date == "2026-01" and now.known["USD"].source
    then = rates(date=datetime.date(2025, 12, 1))
    assert then.known["USD"].date == "2025-10-07"


def test_the_user_sets_a_rate() -> None:
    mine = rates().replaced("USD=¥150", today=TODAY)
    assert mine.worth("USD", "JPY") == 150
    assert mine.worth("EUR", "JPY") == rates().worth("EUR", "USD") * 150
    assert Rates({}).replaced("USD=¥150", today=TODAY).worth("JPY", "USD") == Fraction(1, 150)
    assert rates().replaced("JPY=$0.01", today=TODAY).worth("USD", "JPY") == 100


@pytest.mark.parametrize("text", ["", "USD", "USD=", "USD=150 kg", "USD=¥0", "USD=¥-1", "USD=$1",
                                  "dollars=¥150", "USD=nan"])  # fmt: skip
def test_a_bad_rate_is_one_line(text: str) -> None:
    with pytest.raises(InputError) as problem:
        rates().replaced(text, today=TODAY)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("text", "nano", "currency"),
    [("¥3,000,000", 3_000_000 * 10**9, "JPY"), ("$2.49", 2_490_000_000, "USD"),
     ("EUR 12", 12 * 10**9, "EUR"), ("300万円", 3_000_000 * 10**9, "JPY")],
)  # fmt: skip
def test_money_is_read(text: str, nano: int, currency: str) -> None:
    assert money(text) == Money(nano, currency)


@pytest.mark.parametrize("text", ["5 kg", "-5 USD", "USD", "nan USD", "5"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        money(text, what="budget")


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(298000.0, "JPY", "¥298,000"), (2.49, "USD", "$2.49"), (0.0312345, "USD", "$0.0312"),
     (-12.5, "EUR", "-€12.50"), (0.0, "JPY", "¥0")],
)  # fmt: skip
def test_money_is_shown(amount: float, currency: str, text: str) -> None:
    assert str(Money.of(amount, currency)) == text
