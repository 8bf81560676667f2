"""The ledger: what was run, when, with what answer, in one SQLite file of this computer.

Rows are only ever added, each in one transaction, so that any number of processes may write and
a process that is killed leaves a ledger that can be read. The file lies in the folder that the
platform keeps for the state of programs, or in $TOKENMILL_HOME.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tokenmill.errors import BadRecord, InputError

__all__ = [
    "Change", "RunRow", "diff", "finite", "flat", "ledger_path", "look_up", "record", "runs",
    "state_folder",
]  # fmt: skip

_NAME = "ledger.sqlite3"
_WAIT_S = 30.0  # for another process that is writing
_PAUSE_S = 0.005  # before it is asked again
_FORM = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    verb TEXT NOT NULL,
    title TEXT NOT NULL,
    version TEXT NOT NULL,
    took_s REAL NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    files TEXT NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: its number, when it was recorded (UTC), what was asked and answered.

    took_s [s] of the whole computation; question and answer are plain values; files were saved.
    """

    id: int
    at: str
    verb: str
    title: str
    version: str
    took_s: float
    question: dict[str, Any]
    answer: dict[str, Any]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A value that differs between two runs: its place, and both sides (None where absent)."""

    key: str
    before: Any
    after: Any

    @property
    def ratio(self) -> float:
        """After over before; NaN where that means nothing."""
        sides = (self.before, self.after)
        if any(isinstance(x, bool) or not isinstance(x, int | float) for x in sides):
            return math.nan
        return float(self.after / self.before) if self.before else math.nan


def state_folder() -> Path:
    """Where tokenmill keeps what it remembers: $TOKENMILL_HOME, or the platform's own folder."""
    own = os.environ.get("TOKENMILL_HOME")
    if own:
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "tokenmill"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/tokenmill"
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state) / "tokenmill"


def ledger_path() -> Path:
    """The file of the ledger; it need not be there yet."""
    return state_folder() / _NAME


def record(
    verb: str, title: str, *, version: str, took_s: float, question: Mapping[str, Any],
    answer: Mapping[str, Any], files: tuple[Path, ...] = (),
) -> int:  # fmt: skip
    """Add a run and return its number.

    Parameters: verb and title for people; version of tokenmill; took_s [s]; question and answer,
    plain values (infinities and NaN are kept as null); files that were saved.
    Raises: BadRecord where the ledger cannot be written.
    """
    row = (
        datetime.now(UTC).isoformat(timespec="seconds"), verb, title, version, took_s,
        _dump(question), _dump(answer), _dump([str(path.resolve()) for path in files]),
    )  # fmt: skip
    with _opened(writes=True) as connection:
        connection.execute("BEGIN IMMEDIATE")
        cursor = connection.execute(
            "INSERT INTO runs (at, verb, title, version, took_s, question, answer, files) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        connection.execute("COMMIT")
        return int(cursor.lastrowid or 0)


def runs(limit: int = 20) -> list[RunRow]:
    """The latest runs, the newest first; none where there is no ledger. Raises: InputError."""
    if limit < 1:
        raise InputError(f"a list of {limit} runs; ask for at least 1")
    if not ledger_path().exists():
        return []
    with _opened() as connection:
        rows = connection.execute("SELECT * FROM runs ORDER BY id DESC LIMIT ?", (limit,))
        return [_row(row) for row in rows]


def look_up(number: int) -> RunRow:
    """The run of that number. Raises: InputError."""
    if ledger_path().exists() and abs(number) < 1 << 62:
        with _opened() as connection:
            found = connection.execute("SELECT * FROM runs WHERE id = ?", (number,)).fetchone()
            if found is not None:
                return _row(found)
    raise InputError(f"no run {number} is in the ledger; list them with: tokenmill runs")


def diff(before: RunRow, after: RunRow) -> list[Change]:
    """What differs in question and answer between two runs, key by key."""
    sides = [
        dict(flat({"question": row.question, "answer": row.answer})) for row in (before, after)
    ]
    keys = dict.fromkeys([*sides[0], *sides[1]])
    changes = [Change(key, sides[0].get(key), sides[1].get(key)) for key in keys]
    return [change for change in changes if change.before != change.after]


def flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value of nested ones with the way to it."""
    pairs: Iterator[tuple[Any, Any]]
    if isinstance(value, dict):
        pairs = iter(value.items())
    elif isinstance(value, list):
        pairs = iter(enumerate(value))
    else:
        yield place, value
        return
    for key, item in pairs:
        yield from flat(item, f"{place}.{key}" if place else str(key))


def _dump(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, sort_keys=True)


def finite(value: Any) -> Any:
    """Plain values as JSON can hold them: infinities and NaN become null."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _row(row: tuple[Any, ...]) -> RunRow:
    number, at, verb, title, version, took_s, question, answer, files = row
    try:
        return RunRow(
            number, at, verb, title, version, took_s,
            json.loads(question), json.loads(answer), tuple(json.loads(files)),
        )  # fmt: skip
    except ValueError:
        raise BadRecord(ledger_path(), f"run {number}", "is not as it was written") from None


@contextmanager
def _opened(*, writes: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that ends with the block; every problem of the file is one line."""
    path = ledger_path()
    try:
        if writes:
            path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)) as connection:
            if writes:
                _prepare(connection, path)
            _check_form(connection, path)
            yield connection
    except (sqlite3.Error, OSError) as problem:
        raise BadRecord(
            path, "", f"cannot be used as a ledger: {problem}; move it away, or set TOKENMILL_HOME"
        ) from None


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the table, once, whoever comes first."""
    _write_ahead(connection)
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA user_version = {_FORM}")
        connection.execute("COMMIT")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers never wait for a writer; file systems that cannot do it keep their own way.

    SQLite refuses this switch at once where another process is in the file: it is asked again.
    """
    until_s = time.monotonic() + _WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
        time.sleep(_PAUSE_S)


def _check_form(connection: sqlite3.Connection, path: Path) -> None:
    form = connection.execute("PRAGMA user_version").fetchone()[0]
    if form != _FORM:
        raise BadRecord(path, "", f"a ledger of form {form}, this tokenmill reads form {_FORM}")
