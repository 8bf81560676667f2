"""Read traces of real traffic as they are published, known by their header, in bounded memory.

What happens to a row is one of five, and each is counted:

- kept: also at the time of another row, in file order, and with up to MAX_TOKENS tokens;
- rejected: a cell that is not what its column means (NaN, negative, a fraction of a token, an
  empty prompt, a missing field, a broken line, more prefix blocks than the prompt has);
- failed: no output token was asked for or made (BurstGPT writes failures so);
- sorted: came after a later one, so it is moved to its time;
- blank lines are nothing.

`strict` ends at the first row that would be rejected or sorted. A file that is empty, unknown,
cut within its compression, or without one usable row always ends in one line.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from tokenmill.errors import BadRecord, InputError
from tokenmill.work.rows import Rows, Table, together
from tokenmill.work.traffic import Traffic

__all__ = ["read_trace", "stream_trace"]

CHUNK_BYTES = 4 << 20
LIMIT_BYTES = 2 << 30
_LINE_BYTES = 64 << 20  # a prompt of MAX_TOKENS tokens names 200 thousand blocks


def read_trace(
    path: str | Path,
    *,
    head: int | None = None,
    strict: bool = False,
    limit_bytes: int = LIMIT_BYTES,
) -> Traffic:
    """A whole trace file, or its first `head` usable rows, as one Traffic that starts at 0 s.

    Parameters: path of a CSV or JSON-lines file, plain or gzipped; strict as in the module;
    limit_bytes [B], the most memory the arrays may take.
    Raises: BadRecord naming file, line and column; InputError where the limit is passed.
    """
    if head is not None and head < 1:
        raise InputError(f"head of {head} requests; ask for at least 1")
    pieces: list[Rows] = []
    count = held_bytes = 0
    for rows in _pieces(Path(path), strict, CHUNK_BYTES):
        pieces.append(rows)
        count += len(rows.arrival_s)
        held_bytes += rows.bytes
        if held_bytes > limit_bytes:
            raise InputError(
                f"{path}: more than {limit_bytes / 1e9:.1f} GB of requests after {count} rows; "
                "take the head, or stream it"
            )
        if head is not None and count >= head:
            break
    traffic = _traffic(Path(path), together(pieces))
    return traffic if head is None else traffic.head(head)


def stream_trace(
    path: str | Path, *, strict: bool = False, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Traffic]:
    """A trace file as successive pieces of Traffic, in memory that does not grow with the file.

    Parameters: as `read_trace`; chunk_bytes [B] of text a piece. Arrivals count from the
    start of the first piece; each piece carries its own counts.
    Raises: BadRecord, also where a row belongs before a piece that is already out: such a file
    must be sorted first, or read whole.
    """
    if chunk_bytes < 1:
        raise InputError(f"chunks of {chunk_bytes} bytes; give at least 1")
    path, last_s = Path(path), 0.0
    pending: list[Rows] = []  # one piece with requests, and those around it that had none
    for rows in _pieces(path, strict, chunk_bytes):
        if len(rows.arrival_s):
            if rows.arrival_s.min() < last_s:
                raise BadRecord(
                    path, "", "out of order over a long way; sort the file, or read it whole"
                )
            if any(len(piece.arrival_s) for piece in pending):
                yield _traffic(path, together(pending))
                pending = []
            last_s = float(rows.arrival_s.max())
        pending.append(rows)
    yield _traffic(path, together(pending))


def _traffic(path: Path, rows: Rows) -> Traffic:
    """Rows in order of time, with what became of the others in words."""
    if len(rows.arrival_s) == 0:
        reason = rows.problem or f"{rows.failed} rows, each without output tokens"
        raise BadRecord(path, "", f"no usable row: {reason}")
    unsorted = int((rows.arrival_s < np.maximum.accumulate(rows.arrival_s)).sum())
    if unsorted:
        rows = rows.take(np.argsort(rows.arrival_s, kind="stable"))
    return Traffic(
        arrival_s=rows.arrival_s - min(0.0, float(rows.arrival_s[0])),
        prompt_tokens=rows.prompt_tokens,
        output_tokens=rows.output_tokens,
        name=path.name.removesuffix(".gz").rsplit(".", 1)[0],
        source=path.name,
        prefixes=rows.prefixes,
        sessions=rows.sessions,
        images=rows.images,
        rejected=rows.rejected,
        failed=rows.failed,
        unsorted=unsorted,
        notes=_notes(rows, unsorted),
    )


def _notes(rows: Rows, unsorted: int) -> tuple[str, ...]:
    said = []
    if rows.rejected:
        said.append(f"{rows.rejected} rows rejected, the first: {rows.problem}")
    if rows.failed:
        said.append(f"{rows.failed} rows without output tokens left out as failed")
    if unsorted:
        said.append(f"{unsorted} rows came out of order and were sorted")
    return tuple(said)


def _pieces(path: Path, strict: bool, chunk_bytes: int) -> Iterator[Rows]:
    """The rows of a file, a chunk of lines at a time; arrivals count from the first piece."""
    table: Table | None = None
    first_line = 1
    with _opened(path) as handle:
        for lines in _chunks_of_lines(path, handle, chunk_bytes):
            if table is None:
                lines[0] = lines[0].removeprefix("\ufeff")
                blank = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
                if blank == len(lines):
                    first_line += len(lines)
                    continue
                table = Table(path, lines[blank], first_line + blank, strict)
                skip = blank + (not table.is_json)
                lines, first_line = lines[skip:], first_line + skip
            yield table.rows(lines, first_line)
            first_line += len(lines)
    if table is None:
        raise BadRecord(path, "", "empty; a trace has a header and a row for each request")


def _chunks_of_lines(path: Path, handle: BinaryIO, chunk_bytes: int) -> Iterator[list[str]]:
    """Whole lines, about `chunk_bytes` of them at a time."""
    rest, line = b"", 1
    while block := _read(path, handle, chunk_bytes, line):
        block = rest + block
        cut = block.rfind(b"\n") + 1
        rest = block[cut:]
        if len(rest) > _LINE_BYTES:
            raise BadRecord(path, "", f"a line of over {_LINE_BYTES} bytes; no trace", line=line)
        if cut:
            lines = _lines(block[: cut - 1])
            line += len(lines)
            yield lines
    if rest:
        yield _lines(rest)


def _lines(block: bytes) -> list[str]:
    return block.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")


def _read(path: Path, handle: BinaryIO, size: int, line: int) -> bytes:
    try:
        return handle.read(size)
    except (EOFError, OSError, zlib.error) as problem:
        reason = "ends early" if isinstance(problem, EOFError) else f"is damaged ({problem})"
        raise BadRecord(path, "", f"the file {reason} after this line", line=line) from None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked if it is gzipped, whatever its name."""
    try:
        handle = path.open("rb")
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise BadRecord(path, "", f"cannot be read: {reason}") from None
    with handle:
        packed = handle.peek(2)[:2] == b"\x1f\x8b"
        yield cast(BinaryIO, gzip.GzipFile(fileobj=handle)) if packed else handle
