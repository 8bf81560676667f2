"""Serving rows as if their GPU, model or publication had never been measured.

The constants of an engine's line are fitted without the rows of a group, and the group is
predicted by them; what is fitted elsewhere (kernels, networks, habits of clients) stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tokenmill.errors import TokenmillError
from tokenmill.evidence.family import Predict, family_named
from tokenmill.evidence.points import Point
from tokenmill.evidence.score import Score, score_points
from tokenmill.evidence.serving.fit import left_out, lines_of, on_record, rows_of, tuned
from tokenmill.evidence.serving.predict import predict_serving
from tokenmill.evidence.serving.setups import setup_of

__all__ = ["GROUPS", "held_out"]

GROUPS = ("gpu", "model", "publication")

Constants = Mapping[tuple[str, str], Mapping[str, float]]  # by kind of group and its name


def held_out(points: Sequence[Point], kinds: Sequence[str] = GROUPS) -> Iterator[tuple[str, Score]]:
    """(kind of group, score of all points, each by constants fitted without its group)."""
    constants: dict[str, Constants] = {}
    for line, rows in lines_of(rows_of(points)).items():
        start = setup_of(rows[0].point).case.engine
        constants[line] = left_out(rows, start, on_record(start), kinds)
    lines = _lines(points)
    for kind in kinds:
        family = replace(family_named("serving"), predict=_predict(constants, lines, kind))
        yield kind, score_points(points, family)


def _predict(constants: Mapping[str, Constants], lines: Mapping[str, str], kind: str) -> Predict:
    def predict(point: Point) -> Mapping[str, float]:
        found = constants.get(lines[point.id], {}).get((kind, point.text(kind)), {})
        return predict_serving(point, tuned(found))

    return predict


def _lines(points: Sequence[Point]) -> dict[str, str]:
    found = {}
    for point in points:
        try:
            found[point.id] = setup_of(point).case.engine.record.slug
        except TokenmillError:
            found[point.id] = ""
    return found
