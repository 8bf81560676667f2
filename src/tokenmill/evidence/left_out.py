"""What fits reach on groups that were left out of them: kernels, collectives, power."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import Unsupported

__all__ = ["LeftOut", "collectives_left_out", "kernels_left_out", "power_left_out"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Errors [1] of rows of a subject: fitted with them, and without their group."""

    subject: str
    group: str
    rows: int
    fitted: tuple[float, float]  # median, mean
    without: tuple[float, float]


def kernels_left_out(shared: Path) -> Iterator[LeftOut]:
    """Every kernel table on every accelerator; nothing where tables or pyarrow are absent."""
    from tokenmill.evidence.kernels import kernel_rows

    if not (shared / "silicon").is_dir():
        return
    try:
        for row in kernel_rows(shared):
            yield LeftOut(
                f"{row.table} on {row.gpu}", "GPU", row.rows,
                (row.fitted.median, row.fitted.mean), (row.left_out.median, row.left_out.mean),
            )  # fmt: skip
    except Unsupported:
        return


def collectives_left_out(shared: Path) -> Iterator[LeftOut]:
    """Published collectives and kernel tables of them."""
    from tokenmill.evidence.collectives.fit import cross_validate, fit, predict
    from tokenmill.evidence.collectives.rows import read_rows

    silicon = shared / "silicon"
    try:
        rows = read_rows(shared / "measurements", silicon if silicon.is_dir() else None)
    except Unsupported:
        rows = read_rows(shared / "measurements")
    fitted = predict(rows, fit(rows)) / rows.seconds
    for name, by in (("publication", "publication"), ("GPU", "gpu")):
        without = cross_validate(rows, _labels(by))
        yield from _by(fitted, without / rows.seconds, rows.family, "collectives over", name)


def power_left_out(shared: Path) -> Iterator[LeftOut]:
    """GPU power of language models at a throughput that is known; cards that rest anchor what
    idles and are not asked."""
    from tokenmill.evidence.power.fit import cross_validate, fit_bent, predict
    from tokenmill.evidence.power.rows import read_activity

    rows, found = fit_bent(read_activity(shared / "measurements"))
    fitted = predict(rows, found) / rows.measured_w
    at_work = rows.model != "training"
    for name, by in (("publication", "publication"), ("GPU", "gpu"), ("model", "model")):
        without = cross_validate(rows, _labels(by)) / rows.measured_w
        yield from _by(fitted[at_work], without[at_work], rows.gpu[at_work], "power of", name)


def _labels(by: str) -> Callable[[Any], NDArray[np.str_]]:
    """The column of rows that groups them."""

    def column(rows: Any) -> NDArray[np.str_]:
        found: NDArray[np.str_] = getattr(rows, by)
        return found

    return column


def _by(
    fitted: NDArray[np.float64], without: NDArray[np.float64], labels: NDArray[np.str_],
    subject: str, group: str,
) -> Iterator[LeftOut]:  # fmt: skip
    for label in sorted(set(labels.tolist())):
        mine = (labels == label) & np.isfinite(without) & np.isfinite(fitted)
        if mine.any():
            errors = [np.abs(part[mine] - 1.0) for part in (fitted, without)]
            pairs = [(float(np.median(e)), float(e.mean())) for e in errors]
            yield LeftOut(f"{subject} {label}", group, int(mine.sum()), pairs[0], pairs[1])
