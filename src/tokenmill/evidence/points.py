"""Measured points: rows of a CSV in the documented schema, checked and typed.

Unknown columns are ignored, blank cells are unknown, names resolve through the catalogue's
aliases. One row is one measured configuration.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenmill.errors import BadRecord

__all__ = ["SERVING_METRICS", "Point", "read_points"]

# metric columns of a serving file that a prediction can be held against
SERVING_METRICS = (
    "output_tokens_per_s", "total_tokens_per_s", "requests_per_s", "prefill_tokens_per_s",
    "decode_tokens_per_s", "ttft_mean_s", "ttft_p50_s", "ttft_p90_s", "ttft_p99_s",
    "tpot_mean_s", "tpot_p50_s", "tpot_p90_s", "tpot_p99_s", "itl_p50_s", "itl_p99_s",
    "e2e_p50_s", "e2e_p99_s", "gpu_power_w", "energy_j_per_output_token",
)  # fmt: skip
_REQUIRED = ("gpu", "model")
_CELL_LIMIT = 100_000  # characters


@dataclass(frozen=True, slots=True)
class Point:
    """One row: its place in the file and its cells as text, blank where unknown."""

    path: str
    line: int
    cells: Mapping[str, str]

    @property
    def id(self) -> str:
        """The row's own id, or file and line where it has none."""
        return self.text("id") or f"{Path(self.path).name}:{self.line}"

    def text(self, key: str, default: str = "") -> str:
        """A cell as text."""
        return self.cells.get(key, "").strip() or default

    def number(self, key: str, default: float = math.nan) -> float:
        """A cell as a number. Raises: BadRecord where it is not a finite one."""
        text = self.text(key)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BadRecord(self.path, key, f'"{text[:40]}" is not a finite number', line=self.line)
        return value

    def count(self, key: str, default: int = 1) -> int:
        """A cell as a whole number of at least one. Raises: BadRecord."""
        value = self.number(key, float(default))
        if value != int(value) or not 0 <= value <= 1e7:
            raise BadRecord(self.path, key, f"{value:g} is not a count", line=self.line)
        return max(int(value), 1) if value else default

    def flag(self, key: str) -> bool:
        """Whether a cell says true."""
        return self.text(key).lower() in ("true", "1", "yes")


def read_points(path: Path) -> Iterator[Point]:
    """The rows of a measurement CSV, one after another.

    Raises: BadRecord for a file that is missing, empty, not UTF-8, or lacks a needed column.
    """
    csv.field_size_limit(_CELL_LIMIT)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            missing = [key for key in _REQUIRED if key not in header]
            if missing:
                raise BadRecord(path, missing[0], "the header lacks this column", line=1)
            for row in reader:
                cells = {key: value or "" for key, value in row.items() if isinstance(key, str)}
                yield Point(str(path), reader.line_num, cells)
    except OSError as problem:
        raise BadRecord(path, "", f"cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise BadRecord(path, "", "not UTF-8 text") from None
    except csv.Error as problem:
        raise BadRecord(path, "", f"not a CSV table: {problem}") from None
