"""Quantities: what is read, what is refused in one line, and what reads back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.errors import BadUnit, TokenmillError
from tokenmill.units import format_quantity, format_si, parse, parse_any

READ = {
    "3.35 TB/s": (3.35e12, "bytes/s"),
    "989 TFLOP/s": (989e12, "flop/s"),
    "400 Gbit/s": (50e9, "bytes/s"),
    "400 Gbps": (50e9, "bytes/s"),
    "80 GB": (80e9, "bytes"),
    "80 GiB": (80 * 2.0**30, "bytes"),
    "1 KiB": (1024.0, "bytes"),
    "500 ms": (0.5, "time"),
    "20 µs": (20e-6, "time"),
    "10 min": (600.0, "time"),
    "2 days": (172_800.0, "time"),
    "700 W": (700.0, "power"),
    "1.2MW": (1.2e6, "power"),
    "3 kWh": (10.8e6, "energy"),
    "5 req/s": (5.0, "1/s"),
    "6 req/min": (0.1, "1/s"),
    "1.98 GHz": (1.98e9, "1/s"),
    "300 tokens/s": (300.0, "tokens/s"),
    "128 ktokens": (128e3, "tokens"),
    "40 %": (0.4, "1"),
    "132": (132.0, "1"),
    "1e5": (1e5, "1"),
    "8.03 G": (8.03e9, "1"),
    "¥3,000,000": (3e6, "money:JPY"),
    "300万円": (3e6, "money:JPY"),
    "$2.5": (2.5, "money:USD"),
    "12 usd": (12.0, "money:USD"),
    "€ 40k": (40e3, "money:EUR"),
    "5 t": (5000.0, "mass"),
}
REFUSED = [
    "", " ", "bananas", "3 bananas", "5 S", "--3 s", "1..2 s", "0x10", "1,5 s", "1,0000", "1_ s",
    "inf", "nan", "nan s", "1e309 s", "1e400", "1e308 EB", "¥", "$ 5 bananas", "USDUSD 5", "$1e400",
    "5\nbananas", "5 \x1b[31mred",
]  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_reads_the_value_and_its_dimension(text: str) -> None:
    value, dimension = parse_any(text)
    assert (value, dimension) == (pytest.approx(READ[text][0], rel=1e-15), READ[text][1])


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_in_one_line_that_quotes_the_text(text: str) -> None:
    with pytest.raises(BadUnit) as refusal:
        parse_any(text)
    assert len(str(refusal.value).splitlines()) == 1
    assert "\x1b" not in str(refusal.value)
    assert all(word in str(refusal.value) for word in text.replace("\x1b", " ").split())


@pytest.mark.parametrize("value", [True, None, [1], {}, b"5 s", math.nan, math.inf, 10**400])
def test_refuses_what_is_no_quantity(value: object) -> None:
    with pytest.raises(BadUnit):
        parse_any(value)  # type: ignore[arg-type]


def test_a_number_is_in_the_base_unit() -> None:
    assert parse_any(3) == (3.0, "1")
    assert parse(0.5, "time") == parse("0.5", "time") == 0.5


@pytest.mark.parametrize(
    ("text", "dimension", "said"),
    [
        ("700 W", "time", "power"),
        ("$5", "time", "money:USD"),
        ("5 tokens/s", "1/s", "token rate"),
        # a forgotten letter must not become a thousandth or a hundredth of a second
        ("5 m", "time", "without a unit"),
        ("5 %", "time", "without a unit"),
        ("2 k", "1/s", "without a unit"),
    ],
)
def test_refuses_another_dimension(text: str, dimension: str, said: str) -> None:
    with pytest.raises(BadUnit, match=said):
        parse(text, dimension)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value, dimension = parse_any(text)
    except TokenmillError as refusal:
        assert len(str(refusal).splitlines()) == 1
    else:
        assert math.isfinite(value)
        assert dimension


DIMENSIONS = sorted({dimension for _, dimension in READ.values()} | {"users", "energy/flop"})


@given(st.floats(1e-12, 1e24), st.sampled_from(DIMENSIONS))
def test_what_is_shown_reads_back(value: float, dimension: str) -> None:
    text = format_quantity(value, dimension, digits=17)
    assert parse_any(text) == (pytest.approx(value, rel=1e-12), dimension)


def test_prefixes_read_well() -> None:
    assert format_si(3.35e12, "B/s") == "3.35 TB/s"
    assert format_si(999.7, "W") == "1 kW"
    assert format_si(0.0307, "s") == "30.7 ms"
    assert format_si(0.0, "B") == "0 B"
    assert format_si(math.inf, "s") == "inf s"
    assert format_quantity(0.05, "1") == "0.05"
    assert format_quantity(400_000.0, "money:USD") == "400,000 USD"
    assert format_quantity(1360.0, "mass") == "1.36 t"
    assert format_quantity(30.0, "mass") == "30 kg"
