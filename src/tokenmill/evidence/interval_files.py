"""Files of intervals: every family that is predicted, and how far its bands hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenmill.evidence.family import FAMILIES, Family
from tokenmill.evidence.interval_fit import held_out, interval_file
from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.residuals import Residuals, as_relatives, residuals_of
from tokenmill.evidence.score import score_points

__all__ = ["files", "points_of"]

_LEAST = 20  # residuals of a family


def points_of(family: Family, measurements: Path) -> list[Point]:
    """The rows of a family in a folder of measurements, of every file that starts with its name."""
    found: list[Point] = []
    for path in sorted(measurements.glob(f"{family.name}*.csv")):
        found += read_points(path)
    return found


def files(measurements: Path) -> tuple[dict[str, str], list[str]]:
    """(interval-NAME by family, lines that tell coverage without publication, GPU and model)."""
    texts, told = {}, []
    for family in FAMILIES:
        points = points_of(family, measurements)
        rows = residuals_of(score_points(points, family).scored)
        if rows.log.size < _LEAST:
            continue
        far = as_relatives(points, family)
        texts[f"interval-{family.name}"] = interval_file(family.name, rows, far)
        told += list(_told(family.name, rows, far))
    return texts, told


def _told(name: str, rows: Residuals, far: Residuals) -> Iterator[str]:
    for group, held in held_out(rows, far).items():
        words = ", ".join(f"{quantity} {share:.0%}" for quantity, share in held.items())
        yield f"{name}: 80 % intervals without the {group} hold: {words}"
