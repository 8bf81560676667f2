"""Kernel tables as rows: what was timed, on which accelerator, by which engine.

Reads the parquet files of `shared/silicon` (pyarrow is optional and imported late). Two rules
decide which rows count, both by group, never by row: an engine is known by its main kernel (the
one with the most rows in the group), and groups whose fastest row takes longer than 50 us are
left out because they time the host that launches, not the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError, Unsupported

__all__ = ["ENGINES", "GPUS", "Sample", "read_table"]

Array = NDArray[np.float64]

GPUS = ("a100-sxm-80gb", "h100-sxm", "h200-sxm", "l40s", "b200-sxm", "gb200")
ENGINES = {"trtllm": "tensorrt-llm", "vllm": "vllm", "sglang": "sglang"}
HOST_BOUND_S = 50e-6


@dataclass(frozen=True)
class Sample:
    """Rows of one accelerator, precision and engine: shapes by name, and measured seconds [s]."""

    gpu: str
    precision: str
    engine: str
    shapes: Mapping[str, Array]
    seconds: Array

    def take(self, index: NDArray[Any]) -> Sample:
        """The rows of that index."""
        shapes = {name: column[index] for name, column in self.shapes.items()}
        return Sample(self.gpu, self.precision, self.engine, shapes, self.seconds[index])

    def thin(self, most: int, seed: int = 1) -> Sample:
        """At most that many rows, drawn with a fixed seed."""
        if self.seconds.size <= most:
            return self
        index = np.random.default_rng(seed).permutation(self.seconds.size)[:most]
        return self.take(np.sort(index))


@dataclass(frozen=True)
class _Words:
    """A text column: a code per row, and the word of each code."""

    codes: NDArray[np.int64]
    words: list[str]

    def equal(self, word: str) -> NDArray[np.bool_]:
        """Rows that hold the word."""
        wanted = self.words.index(word) if word in self.words else -1
        rows: NDArray[np.bool_] = self.codes == wanted
        return rows

    def contain(self, part: str) -> NDArray[np.bool_]:
        """Rows whose word contains a part."""
        rows: NDArray[np.bool_] = np.array([part in word for word in self.words])[self.codes]
        return rows


def _open(path: Path, names: set[str]) -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise Unsupported(
            'reading parquet needs pyarrow; install it with: pip install "tokenmill[parquet]"'
        ) from None
    if not path.is_file():
        raise InputError(f"{path}: no such kernel table")
    return parquet.read_table(path, columns=sorted(names))


def _columns(path: Path, names: set[str]) -> tuple[dict[str, _Words], dict[str, Array]]:
    """Text and numeric columns; the exponent of a skewed distribution becomes a number."""
    table = _open(path, names - {"exponent"} | ({"distribution"} if "exponent" in names else set()))
    texts: dict[str, _Words] = {}
    numbers: dict[str, Array] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if "string" in str(column.type):
            coded = column.dictionary_encode()
            codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
            texts[name] = _Words(codes, coded.dictionary.to_pylist())
        else:
            numbers[name] = np.nan_to_num(column.to_numpy(zero_copy_only=False).astype(float))
    if "distribution" in texts:
        drawn = texts["distribution"]
        ends = [word.rpartition("power_law_") for word in drawn.words]
        numbers["exponent"] = np.array([float(end[2]) if end[1] else 0.0 for end in ends])[
            drawn.codes
        ]
    return texts, numbers


def read_table(
    path: Path, precision: Mapping[tuple[str, ...], str], keys: tuple[str, ...],
    shapes: tuple[str, ...], spare: str = "-", gpus: tuple[str, ...] = GPUS,
) -> list[Sample]:  # fmt: skip
    """The samples of one kernel table, by accelerator, precision and engine.

    Parameters: path of the parquet file; precision, from the values of the columns `keys` to
    our name of a precision (rows of other values are skipped); shapes, numeric columns to keep;
    spare, a part of the names of kernels that only stand in for the main ones; gpus to read.
    Returns: samples, main kernel of each only.
    Raises: Unsupported without pyarrow, InputError where the file is missing.
    """
    needed = {"gpu", "engine", "kernel_source", "latency_s", *keys, *shapes}
    texts, numbers = _columns(path, needed)
    kernels, seconds = texts["kernel_source"], numbers["latency_s"]
    main = ~kernels.contain(spare)
    found = []
    for gpu in gpus:
        on_gpu = main & texts["gpu"].equal(gpu)
        for engine, name in ENGINES.items():
            here = np.flatnonzero(on_gpu & texts["engine"].equal(engine))
            for values, ours in precision.items():
                index = here
                for key, value in zip(keys, values, strict=True):
                    index = index[texts[key].equal(value)[index]]
                if not index.size:
                    continue
                index = index[kernels.codes[index] == np.bincount(kernels.codes[index]).argmax()]
                if seconds[index].min() < HOST_BOUND_S:
                    kept = {shape: numbers[shape][index] for shape in shapes}
                    found.append(Sample(gpu, ours, name, kept, seconds[index]))
    return found
