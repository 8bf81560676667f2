"""The whole kernel fit as one call: read the tables, fit, write the calibration, report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenmill.catalog import load
from tokenmill.errors import NoCalibration
from tokenmill.evidence.kernels.families import TABLES, Constants, fit_kernels
from tokenmill.evidence.kernels.files import read_kernels, write_kernels
from tokenmill.evidence.kernels.review import KernelRow, validate
from tokenmill.evidence.kernels.rows import GPUS
from tokenmill.physics.chip import Chip
from tokenmill.placement.platform import bare_chip, constants

__all__ = ["KernelFit", "fit", "kernel_chips", "kernel_rows", "shipped_constants"]


@dataclass(frozen=True)
class KernelFit:
    """What a fit found: constants by family, operation and key; the files written."""

    families: dict[str, dict[str, dict[str, Constants]]]
    written: tuple[Path, ...]


def kernel_chips() -> dict[str, Chip]:
    """The accelerators that the kernel tables measured, as kernels see them."""
    return {gpu: bare_chip(load.accelerator(gpu)) for gpu in GPUS}


def fit(
    shared: Path, into: Path | None = None, *, read: str, tables: Sequence[str] = tuple(TABLES),
    rows: int = 2000,
) -> KernelFit:  # fmt: skip
    """Fit all kernel constants on `shared/silicon` and write one calibration file per family.

    Parameters: shared, the folder that holds `silicon`; into, the folder of calibration records,
    None to write nothing; read, the date that the files carry [YYYY-MM-DD]; tables to fit, all
    of them where files are written; rows at most per accelerator, precision and engine.
    Raises: Unsupported without pyarrow, InputError where a table is missing.
    """
    families = fit_kernels(shared / "silicon", kernel_chips(), tables, rows)
    written = tuple(write_kernels(families, into, read)) if into is not None else ()
    return KernelFit(families, written)


def shipped_constants() -> dict[str, dict[str, dict[str, Constants]]]:
    """The constants on record of every family that the kernel tables measured."""
    found = {}
    for family in dict.fromkeys(chip.architecture for chip in kernel_chips().values()):
        try:
            figures = constants(family)
        except NoCalibration:
            continue
        found[family] = read_kernels({key: figure.value for key, figure in figures.items()})
    return found


def kernel_rows(
    shared: Path, tables: Sequence[str] = tuple(TABLES), rows: int = 800
) -> Iterator[KernelRow]:
    """The validation of the constants on record, table by table and accelerator by accelerator.

    Parameters: shared, the folder that holds `silicon`; tables; rows at most per accelerator,
    precision and engine in the fits that leave an accelerator out. Two minutes of one core.
    Raises: Unsupported without pyarrow, InputError where a table is missing.
    """
    yield from validate(shared / "silicon", kernel_chips(), shipped_constants(), tables, rows)
