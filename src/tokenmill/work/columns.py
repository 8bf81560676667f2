"""Text to columns of numbers: what a trace file says, with every bad cell marked, none dropped.

Each function takes one column as read (text from CSV, any JSON value from JSON lines) and
returns an array of the same length. The fast way converts the whole column in C; only where
that fails is each cell looked at by itself.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import numpy as np

from tokenmill.work.traffic import Floats, Ints

__all__ = ["NO_TIME", "TICKS_PER_S", "calendar_ticks", "identifiers", "lists_of_ints", "numbers"]

TICKS_PER_S = 10_000_000  # calendar times keep the seven digits that Azure publishes
NO_TIME = np.iinfo(np.int64).min

_DAY, _CLOCK, _PART = r"(?:19|20|21)\d\d-\d\d-\d\d", r"\d\d:\d\d:\d\d", r"\.\d{1,9}"
_STAMP = re.compile(rf"({_DAY})[ T]({_CLOCK})({_PART})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_UTC_STAMPS = re.compile(rf"(?:{_DAY}[ T]{_CLOCK}(?:{_PART})?(?:\+00:00)?\n)*+", re.ASCII)


def numbers(column: Sequence[object]) -> Floats:
    """Numbers as float64[n]; NaN where a cell is not a finite number."""
    if set(map(type, column)) <= {int, float, str}:
        try:
            values = np.fromiter(map(float, column), np.float64, len(column))  # type: ignore[arg-type]
        except (ValueError, OverflowError):
            pass
        else:
            return np.where(np.isfinite(values), values, np.nan)
    return np.fromiter(map(_number, column), np.float64, len(column))


def _number(cell: object) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return math.nan
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def calendar_ticks(column: Sequence[object]) -> Ints:
    """Dates with time of day as int64[n] ticks of 100 ns since 1970 (UTC), or NO_TIME.

    A cell is "2023-11-16 18:15:46.6805900", with up to nine fractional digits (the last two are
    dropped), a space or T between, and optionally Z or an offset such as +00:00.
    """
    texts = [cell.strip() if isinstance(cell, str) else "" for cell in column]
    joined = "\n".join([*texts, ""])
    if _UTC_STAMPS.fullmatch(joined):
        plain = joined.replace("+00:00", "").split("\n")[:-1]
        try:
            return np.array(plain, "datetime64[100ns]").view(np.int64)
        except ValueError:
            pass  # a 13th month, say: find which cell it is
    return np.fromiter(map(_ticks, map(_STAMP.fullmatch, texts)), np.int64, len(texts))


def _ticks(match: re.Match[str] | None) -> int:
    if match is None:
        return NO_TIME
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone or '+00:00'}").astimezone(UTC)
    except (ValueError, OverflowError):
        return NO_TIME
    return int(moment.timestamp()) * TICKS_PER_S + int((fraction or ".")[1:8].ljust(7, "0"))


def identifiers(column: Sequence[object]) -> Ints:
    """Names as int64[n]: a whole number stays itself, empty is -1, other text is hashed."""
    return np.fromiter(map(_identifier, column), np.int64, len(column))


def _identifier(cell: object) -> int:
    if cell is None or cell == "":
        return -1
    value = _number(cell)
    if abs(value) < 2**53 and value.is_integer():
        return int(value)
    digest = hashlib.blake2b(str(cell).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def lists_of_ints(column: Sequence[object]) -> tuple[Ints, Ints, Sequence[bool]]:
    """Lists of whole numbers as (offsets int64[n + 1], values int64[offsets[n]], bad bool[n]).

    A cell of None is an empty list; `bad` marks cells that are anything else, taken as empty.
    """
    lists: list[list[Any]] = [cell if isinstance(cell, list) else [] for cell in column]
    bad = [cell is not None and not isinstance(cell, list) for cell in column]
    if not set(map(type, chain.from_iterable(lists))) <= {int}:
        wrong = [any(type(item) is not int for item in cell) for cell in lists]
        lists = [[] if drop else cell for drop, cell in zip(wrong, lists, strict=True)]
        bad = [either or other for either, other in zip(bad, wrong, strict=True)]
    offsets = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    flat = chain.from_iterable(lists)
    try:
        return offsets, np.fromiter(flat, np.int64, int(offsets[-1])), bad
    except OverflowError:
        small = [None if any(abs(i) >= 2**63 for i in cell) else cell for cell in lists]
        offsets, values, _ = lists_of_ints(small)
        return offsets, values, [b or s is None for b, s in zip(bad, small, strict=True)]
