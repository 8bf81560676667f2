"""Table: how one operation of a kernel table is read, and how physics predicts its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.kernels.rows import Sample, read_table
from tokenmill.physics.chip import Chip

__all__ = ["WARM", "Bounds", "Table"]

Array = NDArray[np.float64]
Bounds = tuple[float, float, float]  # lowest, first guess, highest

# L2 rate [B per clock and multiprocessor] and the share of L2 that a benchmark keeps warm.
WARM: tuple[Bounds, ...] = ((4.0, 60.0, 200.0), (0.1, 0.8, 3.0))


@dataclass(frozen=True)
class Table:
    """One operation of one kernel table: how to read it and how to predict it."""

    name: str
    file: str
    operation: str
    constants: type
    bounds: Mapping[str, Bounds]
    keys: tuple[str, ...]
    precision: Mapping[tuple[str, ...], str]
    shapes: tuple[str, ...]
    predict: Callable[[Chip, Sample], Array]
    footprint: Callable[[Sample], Array] | None = None
    nuisance: tuple[Bounds, ...] = ()
    sharpness: float = 4.0
    keep: Callable[[Sample], NDArray[np.bool_]] | None = None
    spare: str = "-"
    usual: Callable[[Sample], NDArray[np.bool_]] | None = None
    prepare: Callable[[Sample], Sample] | None = None  # adds columns that shapes imply
    own_engine: tuple[str, ...] = ()  # precisions that say nothing about other engines

    def key(self, sample: Sample) -> str:
        """The constants group of a sample: its precision, with the engine if it is its own."""
        own = sample.precision in self.own_engine
        return f"{sample.precision}.{sample.engine}" if own else sample.precision

    def trust(self, sample: Sample) -> Array:
        """Weight of rows in a fit: shapes that serving rarely meets count a quarter."""
        if self.usual is None:
            return np.ones_like(sample.seconds)
        return np.where(self.usual(sample), 1.0, 0.25)

    def read(self, folder: Path) -> list[Sample]:
        """The samples of this operation. Raises: Unsupported, InputError."""
        found = read_table(folder / self.file, self.precision, self.keys, self.shapes, self.spare)
        if self.keep is not None:
            found = [sample.take(np.flatnonzero(self.keep(sample))) for sample in found]
        found = [sample for sample in found if sample.seconds.size]
        return [self.prepare(sample) for sample in found] if self.prepare else found
