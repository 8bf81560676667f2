"""Fitted kernel constants as calibration files, one per architecture family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tokenmill.evidence.calibration import Constant, Origin, render
from tokenmill.evidence.kernels.families import BENCHMARK, MEAN, Constants

__all__ = ["read_kernels", "write_kernels"]

_NOTE = "keys: operation/precision[.engine]/constant; low and high span fits on one GPU and engine"
_TITLE = "kernel tables of NVIDIA aiconfigurator-core 0.12.0 (Apache-2.0)"


def _origins(rows: int, read: str) -> dict[str, Origin]:
    by = "written by: tokenmill fit kernels"
    return {
        "tables": Origin("measured", f"fit on {rows} rows of {_TITLE}", read, note=by),
        "kin": Origin("derived", f"products and short convolutions in {_TITLE}", read, note=by),
        "mean": Origin("derived", f"mean of the families fitted on {_TITLE}", read, note=by),
    }


def _constants(operations: Mapping[str, Mapping[str, Constants]]) -> dict[str, Constant]:
    found = {}
    for operation, keys in operations.items():
        for key, c in keys.items():
            for name, value in c.values.items():
                constant = Constant(value, c.low[name], c.high[name], "", c.source)
                found[f'"{operation}/{key}/{name}"'] = constant
            for name, value in zip(BENCHMARK, c.nuisance, strict=False):
                constant = Constant(value, value, value, "", c.source)
                found[f'"benchmark/{operation}/{key}/{name}"'] = constant
    return found


def read_kernels(figures: Mapping[str, float]) -> dict[str, dict[str, Constants]]:
    """Constants by operation and key from the figures of a calibration record.

    What describes the benchmark comes along, so that a table can be predicted again.
    """
    values: dict[tuple[str, str], dict[str, float]] = {}
    warm: dict[tuple[str, str], dict[str, float]] = {}
    for path, value in figures.items():
        parts = path.split("/")
        if len(parts) == 3:
            values.setdefault((parts[0], parts[1]), {})[parts[2]] = value
        elif len(parts) == 4 and parts[0] == "benchmark":
            warm.setdefault((parts[1], parts[2]), {})[parts[3]] = value
    found: dict[str, dict[str, Constants]] = {}
    for (operation, key), constants in values.items():
        seen = warm.get((operation, key), {})
        nuisance = tuple(seen[name] for name in BENCHMARK) if seen else ()
        found.setdefault(operation, {})[key] = Constants(
            constants, constants, constants, nuisance, 0
        )
    return found


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
        constants = _constants(operations)
        rows = sum(c.rows for keys in operations.values() for k, c in keys.items() if "." not in k)
        used = {constant.source for constant in constants.values()}
        origins = {key: item for key, item in _origins(rows, read).items() if key in used}
        text = render(
            f"{family} kernels", "kernels", constants, origins, note=_NOTE,
            inherits="" if family == MEAN else MEAN,
        )  # fmt: skip
        path = folder / f"{family}.toml"
        partial = path.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        written.append(path)
    return written
