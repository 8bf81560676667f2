"""Quantities with units, in and out: "3.35 TB/s" <-> 3.35e12.

Inside tokenmill every number is a plain float in an SI base unit (s, B, FLOP, W, J,
token); prefixes exist only here, in data files and on screen. Prefixes are decimal
(GB = 1e9 B) unless binary is written (GiB = 2**30 B).
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from tokenmill.errors import BadUnit

__all__ = ["format_quantity", "format_si", "parse", "parse_any"]

_SI = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3,
    "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
}  # fmt: skip
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}

# unit -> (dimension, factor to the base unit, may carry a prefix)
_UNITS: dict[str, tuple[str, float, bool]] = {
    "s": ("time", 1.0, True),
    "sec": ("time", 1.0, False),
    "min": ("time", 60.0, False),
    "h": ("time", 3600.0, False),
    "hour": ("time", 3600.0, False),
    "hours": ("time", 3600.0, False),
    "day": ("time", 86400.0, False),
    "days": ("time", 86400.0, False),
    "year": ("time", 365.25 * 86400.0, False),
    "years": ("time", 365.25 * 86400.0, False),
    "B": ("bytes", 1.0, True),
    "bit": ("bytes", 0.125, True),
    "b": ("bytes", 0.125, True),
    "B/s": ("bytes/s", 1.0, True),
    "bit/s": ("bytes/s", 0.125, True),
    "b/s": ("bytes/s", 0.125, True),
    "bps": ("bytes/s", 0.125, True),
    "FLOP": ("flop", 1.0, True),
    "FLOP/s": ("flop/s", 1.0, True),
    "FLOPS": ("flop/s", 1.0, True),
    "OP/s": ("flop/s", 1.0, True),
    "OPS": ("flop/s", 1.0, True),
    "Hz": ("1/s", 1.0, True),
    "1/s": ("1/s", 1.0, False),
    "req/s": ("1/s", 1.0, True),
    "rps": ("1/s", 1.0, False),
    "req/min": ("1/s", 1.0 / 60.0, True),
    "req/h": ("1/s", 1.0 / 3600.0, True),
    "req/day": ("1/s", 1.0 / 86400.0, True),
    "image/s": ("1/s", 1.0, True),
    "image/min": ("1/s", 1.0 / 60.0, True),
    "image/h": ("1/s", 1.0 / 3600.0, True),
    "image/day": ("1/s", 1.0 / 86400.0, True),
    "images/s": ("1/s", 1.0, True),
    "images/min": ("1/s", 1.0 / 60.0, True),
    "images/h": ("1/s", 1.0 / 3600.0, True),
    "images/day": ("1/s", 1.0 / 86400.0, True),
    "tokens/s": ("tokens/s", 1.0, True),
    "token/s": ("tokens/s", 1.0, True),
    "tok/s": ("tokens/s", 1.0, True),
    "W": ("power", 1.0, True),
    "J": ("energy", 1.0, True),
    "Wh": ("energy", 3600.0, True),
    "J/B": ("energy/bytes", 1.0, True),
    "J/FLOP": ("energy/flop", 1.0, True),
    "g": ("mass", 1e-3, True),
    "t": ("mass", 1e3, False),
    "K": ("temperature", 1.0, False),
    "%": ("1", 0.01, False),
    "x": ("1", 1.0, False),
    "": ("1", 1.0, True),
    "token": ("tokens", 1.0, True),
    "tokens": ("tokens", 1.0, True),
    "user": ("users", 1.0, False),
    "users": ("users", 1.0, False),
}
_BASE = {
    "time": "s", "bytes": "B", "bytes/s": "B/s", "flop": "FLOP", "flop/s": "FLOP/s", "1/s": "Hz",
    "tokens/s": "tokens/s", "power": "W", "energy": "J", "1": "", "tokens": "tokens",
    "mass": "kg", "energy/bytes": "J/B", "energy/flop": "J/FLOP", "users": "users",
    "temperature": "K",
}  # fmt: skip
_CURRENCY_SIGN = {"¥": "JPY", "￥": "JPY", "$": "USD", "€": "EUR", "円": "JPY"}
_CURRENCIES = ("JPY", "USD", "EUR")

# Commas group thousands: "1,5" is refused, since half of the world means 1.5 and half nothing.
_WHOLE = r"\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:_\d+)*"
_NUMBER = rf"[+-]?(?:(?:{_WHOLE})(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_BARE = re.compile(rf"\s*{_NUMBER}\s*$")
_QUANTITY = re.compile(rf"^\s*({_NUMBER})\s*(.*?)\s*$")


def _number(text: str, factor: float, whole: str) -> float:
    value = float(text.replace(",", "").replace("_", "")) * factor
    if not math.isfinite(value):
        raise BadUnit(f'"{whole[:60]}" is not a finite number')
    return value


def _unit(unit: str) -> tuple[str, float] | None:
    """(dimension, factor) of a unit with its prefix, or None."""
    if unit in _UNITS:
        dimension, factor, _ = _UNITS[unit]
        return dimension, factor
    for prefix, scale in (*_BINARY.items(), *_SI.items()):
        rest = unit[len(prefix) :].strip()
        if prefix and unit.startswith(prefix) and rest in _UNITS and _UNITS[rest][2]:
            dimension, factor, _ = _UNITS[rest]
            return dimension, factor * scale
    return None


def parse_any(text: str | int | float) -> tuple[float, str]:
    """Read a quantity of any dimension.

    Parameters: text, such as "3.35 TB/s", "500 ms", "¥3,000,000", "40 %" or a bare number.
    Returns: (value in the base unit, dimension); money has the dimension "money:JPY" and a
    bare number has "1".
    Raises: BadUnit where the number or the unit cannot be read.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise BadUnit(f"{str(text)[:60]} is not a quantity")
    if isinstance(text, str):
        return _parse_text(text)
    try:
        value = float(text)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise BadUnit(f"{str(text)[:60]} is not a finite number")
    return value, "1"


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> tuple[float, str]:
    """The same few hundred texts come again and again in data files."""
    stripped = text.strip()
    for sign, code in _CURRENCY_SIGN.items():
        if stripped.startswith(sign) or stripped.endswith(sign):
            return _money(stripped.replace(sign, ""), code, text)
    for code in _CURRENCIES:
        if stripped.upper().startswith(code) or stripped.upper().endswith(code):
            bare = stripped[3:] if stripped.upper().startswith(code) else stripped[:-3]
            return _money(bare, code, text)
    match = _QUANTITY.match(stripped)
    if not match:
        raise BadUnit(f'"{text[:60]}" is not a quantity; write a number and a unit, like "500 ms"')
    found = _unit(match[2])
    if found is None:
        raise BadUnit(f'unknown unit "{match[2][:40]}" in "{text[:60]}"')
    return _number(match[1], found[1], text), found[0]


def _money(text: str, code: str, whole: str) -> tuple[float, str]:
    match = _QUANTITY.match(text)
    scale = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "万": 1e4, "億": 1e8}
    if not match or match[2] not in scale:
        raise BadUnit(f'"{whole[:60]}" is not an amount of money; write "¥3,000,000" or "$2.5"')
    return _number(match[1], scale[match[2]], whole), f"money:{code}"


def parse(text: str | int | float, dimension: str) -> float:
    """Read a quantity that must have the given dimension.

    Parameters: text as in `parse_any`; dimension, such as "time", "bytes/s", "power" or "1".
    A bare number is taken to be in the base unit already.
    Returns: the value in the base unit [of `dimension`].
    Raises: BadUnit for another dimension, or a number that cannot be read.
    """
    value, found = parse_any(text)
    if found == dimension or not isinstance(text, str) or _BARE.match(text):
        return value
    if {found, dimension} == {"1/s", "tokens/s"} and dimension == "1/s":
        raise BadUnit(f'"{text[:60]}" is a token rate, a request rate is needed ("5 req/s")')
    base = _BASE.get(dimension, dimension)
    what = f"a {found} quantity" if found != "1" else "a number without a unit"
    raise BadUnit(f'"{text[:60]}" is {what}, {dimension} (such as {base}) is needed')


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """A value [base unit] with the decimal prefix that reads best: 3.35e12, "B/s" -> 3.35 TB/s."""
    if not math.isfinite(value):
        return f"{value} {unit}".strip()
    if value == 0:
        return f"0 {unit}".strip()
    # a pure number has no milli: 0.05, not "50 m"
    for prefix in ("E", "P", "T", "G", "M", "k", "", *(("m", "µ", "n") if unit else ())):
        if abs(value) >= _SI[prefix] * (1 - 10.0**-digits / 2):
            return f"{value / _SI[prefix]:.{digits}g} {prefix}{unit}".strip()
    return f"{value:.{digits}g} {unit}".strip()


def format_quantity(value: float, dimension: str, digits: int = 3) -> str:
    """A value [base unit of `dimension`] as text that `parse_any` reads back."""
    unit = _BASE.get(dimension, "")
    if dimension.startswith("money:"):
        return f"{value:,.{max(digits, 12)}g} {dimension.removeprefix('money:')}"
    if dimension == "mass":  # the base unit has a prefix of its own
        heavy = abs(value) >= 1e3
        return f"{value / 1e3:.{digits}g} t" if heavy else format_si(value * 1e3, "g", digits)
    if unit in _UNITS and _UNITS[unit][2]:
        return format_si(value, unit, digits)
    return f"{value:.{digits}g} {unit}".strip()
