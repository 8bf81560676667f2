"""Saving a run: one Parquet file with a row for each request, one JSON file with the answer.

A file appears under its name whole or not at all. Names come from what was asked, so that the
same question writes the same files again, byte for byte, and another question never overwrites
them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tokenmill.errors import InputError, Unsupported
from tokenmill.evidence.ledger import finite
from tokenmill.simulator.policies import Status
from tokenmill.simulator.simulated import Simulated

__all__ = ["can_save", "digest", "save", "summary", "whole"]

_GROUP_ROWS = 1 << 17  # rows of a Parquet row group: what is held twice while writing


def can_save() -> None:
    """Refuse before a long run what could not be saved after it. Raises: Unsupported."""
    if find_spec("pyarrow") is None:
        raise Unsupported(
            "saving writes Parquet, for which pyarrow is not installed; install tokenmill[parquet]"
        )


def digest(question: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that stand for a question."""
    text = json.dumps(finite(question), ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def save(result: Simulated, question: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Write a run into a folder, which is made where it is missing.

    Parameters: result; question, plain values that it answers; folder.
    Returns: paths of the Parquet and the JSON file.
    Raises: Unsupported without pyarrow; InputError where the folder cannot be written.
    """
    can_save()
    name = digest(question)
    answer = {"question": dict(question), "answer": result.to_dict(timeline=True)}
    text = json.dumps(finite(answer), ensure_ascii=False, indent=1) + "\n"
    table, summary = folder / f"requests-{name}.parquet", folder / f"run-{name}.json"
    whole(table, lambda path: _write_requests(result, path))
    whole(summary, lambda path: path.write_text(text, encoding="utf-8"))
    return table, summary


def summary(result: Simulated) -> dict[str, Any]:
    """The answer as plain values without the breakdown of a step and the figures used."""
    plain = result.to_dict()
    for service in plain["services"]:
        for key in ("prefill", "decode", "figures"):
            del service["outcome"][key]
    return plain


def whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a file beside a path, then put it there at once.

    Raises: InputError where that is not possible; nothing is left behind then.
    """
    # the ending stays, since writers go by it
    scratch = path.with_name(f".{os.getpid()}-part-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(scratch)
        scratch.replace(path)
    except OSError as problem:
        raise InputError(f"{path}: cannot be written: {problem.strerror or problem}") from None
    finally:
        with suppress(OSError):  # it may be in place by now, or never have been
            scratch.unlink()


def _write_requests(result: Simulated, path: Path) -> None:
    """The requests in row groups, so that no second copy of all columns is needed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = result.per_request.columns()
    names = [service.name for service in result.services]
    words = [status.name.lower() for status in Status]
    count = len(result.per_request.load)
    fields = [
        (name, pa.dictionary(pa.int8(), pa.string()) if name in ("service", "status")
         else pa.from_numpy_dtype(column.dtype))
        for name, column in columns.items()
    ]  # fmt: skip

    def cells(name: str, rows: slice) -> Any:
        part = columns[name][rows]
        if name in ("service", "status"):
            kinds = names if name == "service" else words
            return pa.DictionaryArray.from_arrays(part.astype(np.int8), kinds)
        return pa.array(part, from_pandas=True)  # NaN is what did not happen: null

    with pq.ParquetWriter(path, pa.schema(fields), compression="zstd") as writer:
        for start in range(0, count, _GROUP_ROWS):
            rows = slice(start, start + _GROUP_ROWS)
            arrays = [cells(name, rows) for name, _ in fields]
            writer.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)))
