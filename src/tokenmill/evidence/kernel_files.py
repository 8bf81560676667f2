"""Fitted kernel constants as calibration files, one per architecture family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tokenmill.evidence.kernels import Constants

__all__ = ["write_kernels"]

_HEAD = """\
name = "{family} kernels"
family = "kernels"
note = "keys: operation/precision[.engine]/constant; low and high span fits on one GPU and engine"

[figures]
"""
_SOURCE = """
[sources.tables]
kind = "measured"
title = "fit on kernel tables of NVIDIA aiconfigurator-core 0.12.0 (Apache-2.0), {rows} rows"
read = "{read}"
note = "written by: tokenmill fit kernels"
"""


def _text(name: str, value: float) -> str:
    """A constant with its unit."""
    if name.endswith("bytes_per_clock"):
        return f"{value:.4g} B"
    return f"{value:.4g}"


def _lines(operation: str, key: str, constants: Constants) -> Iterator[str]:
    for name, value in constants.values.items():
        low, high = (float(f"{bound[name]:.4g}") for bound in (constants.low, constants.high))
        middle = min(max(float(f"{value:.4g}"), low), high)
        cells = [f'value = "{_text(name, middle)}"']
        if low < middle:
            cells.append(f'low = "{_text(name, low)}"')
        if high > middle:
            cells.append(f'high = "{_text(name, high)}"')
        yield f'"{operation}/{key}/{name}" = {{ {", ".join(cells)}, source = "tables" }}\n'


def write_kernels(
    families: Mapping[str, Mapping[str, Mapping[str, Constants]]], folder: Path, read: str
) -> list[Path]:
    """Write `<family>.toml` per family into a folder; nothing is half-written.

    Parameters: families as `fit_kernels` returns them; folder of calibration records; read, the
    date of the fit.
    Returns: the files written.
    """
    written = []
    for family, operations in families.items():
        rows = sum(c.rows for keys in operations.values() for k, c in keys.items() if "." not in k)
        body = "".join(
            line
            for operation, keys in operations.items()
            for key, constants in keys.items()
            for line in _lines(operation, key, constants)
        )
        path = folder / f"{family}.toml"
        partial = path.with_suffix(".partial")
        partial.write_text(
            _HEAD.format(family=family) + body + _SOURCE.format(rows=rows, read=read),
            encoding="utf-8",
        )
        partial.replace(path)
        written.append(path)
    return written
