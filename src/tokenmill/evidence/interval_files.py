"""Files of intervals: one for every family that is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenmill.evidence.family import FAMILIES, Family
from tokenmill.evidence.held_out import held_out
from tokenmill.evidence.interval_fit import interval_file
from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.residuals import Residuals, as_relatives, residuals_of
from tokenmill.evidence.score import score_points

__all__ = ["files", "points_of", "tables_of", "without_gpu"]

_LEAST = 20  # residuals of a family
_REFITTED = "serving"  # fitted anew without each GPU
_OWN = "media"  # its fit writes bands of its own, from refits without each group


def points_of(family: Family, measurements: Path) -> list[Point]:
    """The rows of a family in a folder of measurements, of every file that starts with its name."""
    found: list[Point] = []
    for path in sorted(measurements.glob(f"{family.name}*.csv")):
        found += read_points(path)
    return found


def tables_of(family: Family, measurements: Path, known: Sequence[Point]) -> list[Point]:
    """Kernel tables beside a folder of measurements as points of a family, of GPUs that nobody
    published: constants were fitted on them too, and their bands are those of a measured GPU."""
    silicon = measurements.parent / "silicon"
    if family.name != "collectives" or not silicon.is_dir():
        return []
    from tokenmill.evidence.collectives.rows import kernel_cells

    seen = {point.text("gpu") for point in known}
    return [
        Point("nccl", line, cells) for line, cells in enumerate(kernel_cells(silicon), 1)
        if cells["gpu"] not in seen
    ]  # fmt: skip


def without_gpu(points: Sequence[Point]) -> Residuals:
    """Residuals of serving rows by engines that were fitted without the rows of their GPU."""
    ((_, score),) = held_out(points, ("gpu",))
    return residuals_of(score.scored)


def files(measurements: Path) -> tuple[dict[str, str], list[str]]:
    """(interval-NAME by family, lines that tell what they are made of)."""
    texts, told = {}, []
    for family in FAMILIES:
        if family.name == _OWN:
            continue
        points = points_of(family, measurements)
        points += tables_of(family, measurements, points)
        rows = residuals_of(score_points(points, family).scored)
        if rows.log.size < _LEAST:
            continue
        far = as_relatives(points, family)
        apart = without_gpu(points) if family.name == _REFITTED else None
        texts[f"interval-{family.name}"] = interval_file(family.name, rows, far, apart)
        told.append(
            f"{family.name}: {rows.log.size} residuals of {len(points)} rows, "
            f"{far.log.size} with another architecture's constants"
        )
    return texts, told
