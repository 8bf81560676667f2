"""Measured points: rows of a CSV in the documented schema, checked and typed.

A row is one measured configuration. Blank cells, and the words that programs write for a missing
number, are unknown. What is wrong with one row is said of that row; what is wrong with the file
(not text, not a table, a column twice) refuses the file.
"""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenmill.errors import BadRecord

__all__ = ["Point", "Table", "read_points", "read_table"]

_CELL_LIMIT = 100_000  # characters
_UNKNOWN = frozenset(("", "nan", "na", "n/a", "none", "null", "-", "?"))
_SHOWN = 40  # characters of a wrong cell
# Rows whose configuration is told in part only, as the README of the measurements warns: their
# launch command is the last one above them, and their label adds to it what it does not say.
_IN_PART, _PART = "launch command taken from", 0.2


@dataclass(frozen=True, slots=True)
class Point:
    """One row: its place in the file and its cells as text, blank where unknown; `surplus` counts
    cells beyond the header, which an unquoted comma makes."""

    path: str
    line: int
    cells: Mapping[str, str]
    surplus: int = 0

    @property
    def id(self) -> str:
        """The row's own id, or file and line where it has none."""
        return self.text("id") or f"{Path(self.path).name}:{self.line}"

    @property
    def share(self) -> float:
        """How much the row counts beside others [1]: less where it is told in part."""
        return _PART if _IN_PART in self.text("note") else 1.0

    def text(self, key: str, default: str = "") -> str:
        """A cell as text."""
        return self.cells.get(key, "").strip() or default

    def number(self, key: str, default: float = math.nan) -> float:
        """A cell as a number of zero or more. Raises: BadRecord where it is none."""
        text = self.text(key)
        if text.lower() in _UNKNOWN:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            problem = f'"{text[:_SHOWN]}" is not a finite number'
        elif value < 0:
            problem = f"{text[:_SHOWN]} is negative"
        else:
            return value
        raise BadRecord(self.path, key, problem, line=self.line)

    def count(self, key: str, default: int = 1) -> int:
        """A cell as a whole number of at least one. Raises: BadRecord."""
        value = self.number(key, float(default))
        if value > 1e7 or value != int(value):
            raise BadRecord(self.path, key, f"{value:g} is not a count", line=self.line)
        return max(int(value), 1) if value else default

    def flag(self, key: str) -> bool:
        """Whether a cell says true."""
        return self.text(key).lower() in ("true", "1", "yes")


@dataclass(frozen=True, slots=True)
class Table:
    """A measurement file: its columns in lower case, and its rows."""

    path: str
    header: tuple[str, ...]
    points: tuple[Point, ...]


def read_points(path: Path) -> Iterator[Point]:
    """The rows of a measurement CSV. Raises: as `read_table`."""
    return iter(read_table(path).points)


def read_table(path: Path) -> Table:
    """A measurement CSV ("-" for standard input), in UTF-8 with or without a byte-order mark.

    Raises: BadRecord for a file that is missing, empty, not UTF-8, or not a table.
    """
    if str(path) == "-":
        return _table("standard input", _decoded("standard input", sys.stdin.buffer.read()))
    try:
        return _table(str(path), _decoded(str(path), path.read_bytes()))
    except OSError as problem:
        raise BadRecord(path, "", f"cannot be read: {problem.strerror}") from None


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRecord(name, "", "not UTF-8 text; save it as CSV in UTF-8") from None


def _table(name: str, text: str) -> Table:
    csv.field_size_limit(_CELL_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = _header(name, next(reader, []))
        points = []
        for cells in reader:
            if any(cells):
                surplus = len(cells) - len(header) if any(cells[len(header) :]) else 0
                found = dict(zip(header, cells, strict=False))
                points.append(Point(name, reader.line_num, found, surplus))
    except csv.Error as problem:
        raise BadRecord(name, "", f"not a CSV table: {problem}", line=reader.line_num) from None
    return Table(name, header, tuple(points))


def _header(name: str, cells: list[str]) -> tuple[str, ...]:
    header = tuple(cell.strip().lower() for cell in cells)
    if not any(header):
        raise BadRecord(name, "", "empty; the first line must name the columns", line=1)
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise BadRecord(name, "", "cells must be separated by commas", line=1)
    for key in header:
        if key and header.count(key) > 1:
            raise BadRecord(name, key[:_SHOWN], "this column stands twice", line=1)
    return header
