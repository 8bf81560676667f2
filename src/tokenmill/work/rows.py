"""Rows of a trace: which columns mean what, and which rows can be used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import Repr
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import BadRecord
from tokenmill.work.columns import (
    NO_TIME,
    TICKS_PER_S,
    calendar_ticks,
    identifiers,
    lists_of_ints,
    numbers,
)
from tokenmill.work.lengths import MAX_TOKENS
from tokenmill.work.traffic import Floats, Ints, Prefixes, joined

__all__ = ["SCHEMAS", "Rows", "Schema", "Table", "together"]

_MAX_S = 1e11  # later times are of another unit
_SHORT = Repr()  # repeats of a file's own text in messages stay short
_SHORT.maxstring = _SHORT.maxother = 80

_scan_json = json.JSONDecoder().raw_decode  # half the time of json.loads on a short line

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Schema:
    """Which column means what in one family of trace files; `per_s` 0 marks calendar time."""

    name: str
    time: str
    prompt: str
    output: str
    per_s: int = 1
    session: str = ""
    images: str = ""
    blocks: str = ""
    block_tokens: int = 0

    @property
    def required(self) -> tuple[str, ...]:
        """Columns by which the schema is known."""
        return tuple(filter(None, (self.time, self.prompt, self.output, self.images)))


SCHEMAS = (
    Schema("azure-lmm", "TIMESTAMP", "ContextTokens", "GeneratedTokens", 0, images="NumImages"),
    Schema("azure", "TIMESTAMP", "ContextTokens", "GeneratedTokens", 0),
    Schema("burstgpt", "Timestamp", "Request tokens", "Response tokens", session="Session ID"),
    Schema("vidur", "arrived_at", "num_prefill_tokens", "num_decode_tokens"),
    Schema("tokenmill", "arrival_s", "prompt_tokens", "output_tokens", session="session"),
    Schema(
        "mooncake", "timestamp", "input_length", "output_length", 1000,
        blocks="hash_ids", block_tokens=512,
    ),
)  # fmt: skip
_JSON = SCHEMAS[-1]


@dataclass(frozen=True)
class Rows:
    """Usable rows of a piece of a file, in file order, and what became of the others."""

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    sessions: Ints | None
    images: Ints | None
    prefixes: Prefixes | None
    rejected: int
    failed: int
    problem: str

    @property
    def bytes(self) -> int:
        """Memory that the arrays hold [B]."""
        columns = (self.arrival_s, self.prompt_tokens, self.output_tokens)
        held = [self.sessions, self.images]
        held += [] if self.prefixes is None else [self.prefixes.offsets, self.prefixes.hashes]
        return sum(column.nbytes for column in (*columns, *held) if column is not None)

    def take(self, index: Ints) -> Rows:
        """The rows at `index` (int64[m]), in that order; what is said of the others stays."""
        return replace(
            self,
            arrival_s=self.arrival_s[index],
            prompt_tokens=self.prompt_tokens[index],
            output_tokens=self.output_tokens[index],
            sessions=None if self.sessions is None else self.sessions[index],
            images=None if self.images is None else self.images[index],
            prefixes=None if self.prefixes is None else self.prefixes.take(index),
        )


class Table:
    """Turns lines of one trace file into rows; remembers when time began.

    Parameters: path for messages; first, the line (of number `line`) that shows the schema: the
    header of a CSV file or the first object of JSON lines; strict as in `traces`.
    Raises: BadRecord where that line fits no schema.
    """

    def __init__(self, path: Path, first: str, line: int, strict: bool) -> None:
        self.path, self.strict = path, strict
        self.is_json = first.lstrip().startswith("{")
        names = _keys(first) if self.is_json else first.replace('"', "").split(",")
        self._width = len(names)
        self._place = {name.strip().lower(): place for place, name in enumerate(names)}
        fitting = [schema for schema in SCHEMAS if self._fits(schema)]
        if not fitting:
            known = "; ".join(f"{schema.name}: {', '.join(schema.required)}" for schema in SCHEMAS)
            raise BadRecord(
                path, "header", f"{_SHORT.repr(first)} is of no known trace ({known})", line=line
            )
        self.schema = fitting[0]
        self._origin: int | float | None = None
        self._latest_s = 0.0

    def _fits(self, schema: Schema) -> bool:
        needed = {name.lower() for name in schema.required}
        return self.is_json == bool(schema.blocks) and needed <= set(self._place)

    def rows(self, lines: Sequence[str], first_line: int) -> Rows:
        """The usable rows of successive lines, the first of which is number `first_line`.

        Raises: BadRecord at the first row that is rejected or out of order, if strict.
        """
        where = [number for number, line in enumerate(lines, first_line) if line.strip()]
        cells = self._cells([line for line in lines if line.strip()])
        whole = [row is not None for row in cells]
        broken = next((line for line, ok in zip(where, whole, strict=True) if not ok), 0)
        faults = _Faults([line for line, ok in zip(where, whole, strict=True) if ok])
        if broken:
            shape = "a JSON object" if self.is_json else f"{self._width} fields"
            faults.first = (broken, "row", f"is not {shape}")
        rows = self._usable([row for row in cells if row is not None], faults)
        rows = replace(rows, rejected=rows.rejected + whole.count(False))
        if faults.first is None:
            return rows
        line, key, problem = faults.first
        if self.strict:
            raise BadRecord(self.path, key, problem, line=line)
        return replace(rows, problem=f"line {line}: {key}: {problem}")

    def _cells(self, texts: list[str]) -> list[Any]:
        """Each line as its cells (list or dict), or None where it is broken."""
        if not self.is_json:
            split = [text.replace('"', "").split(",") for text in texts]
            return [row if len(row) == self._width else None for row in split]
        try:
            found = list(map(_scan_json, texts))
        except (ValueError, RecursionError):
            found = [("", -1)]
        if [end for _, end in found] == list(map(len, texts)):
            objects = [row for row, _ in found]
        else:  # a broken line, or spaces around one
            objects = list(map(_json_or_none, texts))
        return [row if type(row) is dict else None for row in objects]

    def _column(self, cells: list[Any], name: str) -> list[Any]:
        if self.is_json:
            return [row.get(name) for row in cells]
        place = self._place[name.lower()]
        return [row[place] for row in cells]

    def _usable(self, cells: list[Any], faults: _Faults) -> Rows:
        schema = self.schema
        ticks, per_s = self._times(self._column(cells, schema.time), faults)
        prompt = self._counts(cells, schema.prompt, faults)
        faults.add(prompt == 0, schema.prompt, prompt, "makes an empty prompt")
        output = self._counts(cells, schema.output, faults)
        images = self._counts(cells, schema.images, faults) if schema.images else None
        prefixes = self._prefixes(cells, prompt, faults)
        failed = (output == 0) & ~faults.rejected
        keep = ~(faults.rejected | failed)
        arrival_s = np.zeros(len(cells))
        arrival_s[keep] = self._arrivals(ticks[keep], per_s, faults, keep)
        sessions = None
        if schema.session.lower() in self._place and not self.is_json:
            sessions = identifiers(self._column(cells, schema.session))
        rows = Rows(
            arrival_s=arrival_s,
            prompt_tokens=prompt,
            output_tokens=output,
            sessions=sessions,
            images=images,
            prefixes=prefixes,
            rejected=int(faults.rejected.sum()),
            failed=int(failed.sum()),
            problem="",
        )
        return rows if keep.all() else rows.take(np.flatnonzero(keep))

    def _times(self, column: list[Any], faults: _Faults) -> tuple[Ints | Floats, int]:
        """Times in ticks, and how many ticks make a second."""
        name, per_s = self.schema.time, self.schema.per_s
        if per_s == 0:
            calendar = calendar_ticks(column)
            faults.add(calendar == NO_TIME, name, column, "is not a date with time of day")
            return calendar, TICKS_PER_S
        ticks = numbers(column)
        good = (ticks >= 0) & (ticks <= _MAX_S * per_s)
        faults.add(~good, name, column, "is not a time since the start")
        return ticks, per_s

    def _arrivals(self, ticks: Ints | Floats, per_s: int, faults: _Faults, keep: Mask) -> Floats:
        """Seconds since the earliest of the first rows that could be used."""
        if len(ticks) == 0:
            return np.empty(0)
        if self._origin is None:
            self._origin = ticks.min()
        arrival_s = (ticks - self._origin) / per_s
        before = np.maximum.accumulate(np.concatenate(([self._latest_s], arrival_s)))
        early = arrival_s < before[:-1]
        self._latest_s = float(before[-1])
        if self.strict and early.any() and faults.first is None:
            line = np.asarray(faults.where)[keep][int(early.argmax())]
            faults.first = (int(line), self.schema.time, "comes before the row above it")
        return arrival_s

    def _counts(self, cells: list[Any], name: str, faults: _Faults) -> Ints:
        """A column of whole numbers; 0 where a cell is something else."""
        column = self._column(cells, name)
        values = numbers(column)
        good = (values >= 0) & (values <= MAX_TOKENS) & (values == np.floor(values))
        faults.add(~good, name, column, f"is not a whole number from 0 to {MAX_TOKENS}")
        return np.where(good, values, 0).astype(np.int64)

    def _prefixes(self, cells: list[Any], prompt: Ints, faults: _Faults) -> Prefixes | None:
        name, size = self.schema.blocks, self.schema.block_tokens
        if not name:
            return None
        column = self._column(cells, name)
        offsets, hashes, bad = lists_of_ints(column)
        faults.add(np.array(bad, np.bool_), name, column, "is not a list of whole numbers")
        counts = np.diff(offsets)
        over = counts > -(-prompt // size)
        faults.add(over, name, counts, f"blocks of {size} tokens are more than the prompt has")
        return Prefixes(offsets, hashes, size)


class _Faults:
    """Which rows are rejected, and the first of them in words."""

    def __init__(self, where: list[int]) -> None:
        self.where = where
        self.rejected: Mask = np.zeros(len(where), np.bool_)
        self.first: tuple[int, str, str] | None = None

    def add(self, bad: Mask, key: str, column: Sequence[Any] | Ints, why: str) -> None:
        """Reject the rows marked `bad`, unless they are already."""
        fresh = bad & ~self.rejected
        if not fresh.any():
            return
        index = int(fresh.argmax())
        if self.first is None or self.where[index] < self.first[0]:
            cell = column[index]
            shown = _SHORT.repr(cell.item() if isinstance(cell, np.generic) else cell)
            self.first = (self.where[index], key, f"{shown} {why}")
        self.rejected |= fresh


def _json_or_none(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _keys(text: str) -> list[str]:
    found = _json_or_none(text)
    return list(found) if isinstance(found, dict) else []


def together(pieces: Sequence[Rows]) -> Rows:
    """One Rows from successive pieces of the same file."""
    return Rows(
        arrival_s=np.concatenate([piece.arrival_s for piece in pieces]),
        prompt_tokens=np.concatenate([piece.prompt_tokens for piece in pieces]),
        output_tokens=np.concatenate([piece.output_tokens for piece in pieces]),
        sessions=joined([piece.sessions for piece in pieces]),
        images=joined([piece.images for piece in pieces]),
        prefixes=Prefixes.joined([piece.prefixes for piece in pieces]),
        rejected=sum(piece.rejected for piece in pieces),
        failed=sum(piece.failed for piece in pieces),
        problem=next((piece.problem for piece in pieces if piece.problem), ""),
    )
