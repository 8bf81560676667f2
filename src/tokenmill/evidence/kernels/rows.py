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


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise Unsupported(
            'reading parquet needs pyarrow; install it with: pip install "tokenmill[parquet]"'
        ) from None
    if not path.is_file():
        raise InputError(f"{path}: no such kernel table")
    table = parquet.read_table(path)
    found: dict[str, NDArray[Any]] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if str(column.type) in ("string", "large_string"):
            coded = column.dictionary_encode()
            codes = coded.indices.to_numpy(zero_copy_only=False)
            words = np.array(coded.dictionary.to_pylist(), dtype=object)
            found[name] = words[np.nan_to_num(codes).astype(int)]
        else:
            found[name] = np.nan_to_num(column.to_numpy(zero_copy_only=False).astype(float))
    if "distribution" in found:
        exponents = {"balanced": 0.0, "power_law_1.01": 1.01, "power_law_1.2": 1.2}
        names, code = np.unique(found["distribution"].astype(str), return_inverse=True)
        found["exponent"] = np.array([exponents.get(name, 0.0) for name in names])[code]
    return found


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
    columns = _columns(path)
    code = np.full(columns["gpu"].size, -1)
    labels: list[tuple[str, str, str]] = []
    for gpu in gpus:
        on_gpu = columns["gpu"] == gpu
        for engine, name in ENGINES.items():
            here = on_gpu & (columns["engine"] == engine)
            if not here.any():
                continue
            for values, ours in precision.items():
                match = here.copy()
                for key, value in zip(keys, values, strict=True):
                    match &= columns[key] == value
                if match.any():
                    code[match] = len(labels)
                    labels.append((gpu, ours, name))
    names, place = np.unique(columns["kernel_source"].astype(str), return_inverse=True)
    stand_in = np.array([spare in name for name in names])[place]
    found = []
    for number, label in enumerate(labels):
        index = np.flatnonzero((code == number) & ~stand_in)
        if not index.size:
            continue
        kernels, counts = np.unique(columns["kernel_source"][index].astype(str), return_counts=True)
        index = index[columns["kernel_source"][index] == kernels[np.argmax(counts)]]
        seconds = columns["latency_s"][index]
        if seconds.min() < HOST_BOUND_S:
            kept = {name: columns[name][index] for name in shapes}
            found.append(Sample(*label, kept, seconds))
    return found
