"""Serving rows as if their GPU, model or publication had never been measured.

The constants of an engine's line are fitted on all rows but those of one group, and the group is
predicted by them; what is fitted elsewhere (kernels, networks) stays. One pass takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tokenmill.errors import TokenmillError
from tokenmill.evidence.points import Point
from tokenmill.evidence.serving.fit import Row, fit_line, lines_of, rows_of, thinned, tuned
from tokenmill.evidence.serving.predict import predict_serving
from tokenmill.evidence.serving.setups import setup_of

__all__ = ["GROUPS", "held_out"]

GROUPS = ("gpu", "model", "publication")
_MOST_ROWS = 100  # of a fit
_ROUNDS = 2


def held_out(points: Sequence[Point], by: str) -> Iterator[tuple[Point, Mapping[str, float]]]:
    """Each point with its predictions by constants that were fitted without its group.

    Parameters: points; by, one of `GROUPS`.
    Returns: points in the order of their lines and groups; no metrics where a row cannot be
    predicted.
    """
    rows = lines_of(rows_of(points))
    for line, group in _groups(points, by).items():
        name, label = line
        rest = [row for row in rows.get(name, []) if row.group(by) != label]
        constants = _fit(thinned(rest, _MOST_ROWS), group[0]) if rest else {}
        tune = tuned(np.array(list(constants.values())), list(constants))
        for point in group:
            try:
                yield point, predict_serving(point, tune)
            except TokenmillError:
                yield point, {}


def _groups(points: Sequence[Point], by: str) -> dict[tuple[str, str], list[Point]]:
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        try:
            line = setup_of(point).case.engine.record.slug
        except TokenmillError:
            line = ""
        groups.setdefault((line, point.text(by)), []).append(point)
    return groups


def _fit(rows: Sequence[Row], one: Point) -> dict[str, float]:
    return fit_line(rows, setup_of(one).case.engine, rounds=_ROUNDS)
