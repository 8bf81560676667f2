"""Files of intervals: one for every family that is predicted."""

from __future__ import annotations

from pathlib import Path

from tokenmill.evidence.family import FAMILIES, Family
from tokenmill.evidence.interval_fit import interval_file
from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.residuals import as_relatives, residuals_of
from tokenmill.evidence.score import score_points

__all__ = ["files", "points_of"]

_LEAST = 20  # residuals of a family
_OWN = "media"  # its fit writes bands of its own, from refits without each group


def points_of(family: Family, measurements: Path) -> list[Point]:
    """The rows of a family in a folder of measurements, of every file that starts with its name."""
    found: list[Point] = []
    for path in sorted(measurements.glob(f"{family.name}*.csv")):
        found += read_points(path)
    return found


def files(measurements: Path) -> tuple[dict[str, str], list[str]]:
    """(interval-NAME by family, lines that tell what they are made of)."""
    texts, told = {}, []
    for family in FAMILIES:
        if family.name == _OWN:
            continue
        points = points_of(family, measurements)
        rows = residuals_of(score_points(points, family).scored)
        if rows.log.size < _LEAST:
            continue
        far = as_relatives(points, family)
        texts[f"interval-{family.name}"] = interval_file(family.name, rows, far)
        told.append(
            f"{family.name}: {rows.log.size} residuals of {len(points)} rows, "
            f"{far.log.size} with another architecture's constants"
        )
    return texts, told
