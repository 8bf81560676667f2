"""The validation page: every publication, every family, worst first, nothing left out.

    python -m tokenmill.evidence.validation SHARED DOCS

scores every measurement of SHARED and writes DOCS/validation.md with a drawing for each kind of
prediction in DOCS/validation/.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tokenmill.catalog import load
from tokenmill.evidence.claims import CLAIMS, Claim, Reached, reached
from tokenmill.evidence.family import FAMILIES
from tokenmill.evidence.fitting import written
from tokenmill.evidence.held_out import held_out as unmeasured
from tokenmill.evidence.interval import distance
from tokenmill.evidence.interval_files import points_of
from tokenmill.evidence.interval_fit import held_out
from tokenmill.evidence.left_out import (
    LeftOut,
    collectives_left_out,
    kernels_left_out,
    power_left_out,
)
from tokenmill.evidence.points import Point
from tokenmill.evidence.residuals import as_relatives, residuals_of
from tokenmill.evidence.scatter import panels
from tokenmill.evidence.score import Score, Scored, Summary, score_points, summary
from tokenmill.evidence.where import Bucket, buckets

__all__ = ["main", "page", "scores_of"]

_WORST_ROWS = 12
_REASONS = 15
_INTRO = """# Validation
Written by `make validation`; do not edit. Every published row of `../shared/measurements` is
predicted and held against what was measured: error is |predicted / measured − 1|, bias the median
of predicted / measured − 1, *inside* the share of rows that the 80 % interval holds. Constants
belong to an architecture, an engine's line of versions, an operation or a kind of benchmark
client, never to a row; what each fit reaches where whole groups are left out stands below.
Drawings: both axes logarithmic, each metric by its own scale, bars are intervals, and points
outside theirs are red.
"""


def scores_of(measurements: Path) -> tuple[list[Score], dict[str, list[Point]]]:
    """(scores, points) of every family in a folder of measurements."""
    points = {family.name: points_of(family, measurements) for family in FAMILIES}
    scores = [score_points(points[family.name], family) for family in FAMILIES]
    return scores, points


def page(
    scores: Sequence[Score], points: dict[str, list[Point]], left_out: Iterable[LeftOut] = (),
    apart: Mapping[str, Score] | None = None,
) -> tuple[str, dict[str, str]]:  # fmt: skip
    """(text of the page, drawings by file name).

    Parameters: scores and points of every family; left_out, what fits reach without a group;
    apart, scores of serving rows by engines fitted without their group, by the kind of group.
    """
    apart = apart or {}
    by_id = {point.id: point for found in points.values() for point in found}
    results = [reached(claim, scores) for claim in CLAIMS]
    results = [one for one in results if one.claim.of(scores)]
    lines = [_INTRO, *_summary(results), *_unmeasured(scores, apart)]
    lines += [*_held(scores, points, apart), *_fits(left_out)]
    drawings = {}
    for one in results:
        items = one.claim.of(scores)
        if one.all is None:
            continue
        groups = _by(items, lambda item: item.publication)
        name = f"{one.claim.slug}.svg"
        drawings[name] = panels(groups, one.claim.name)
        lines += _claim(one, items, groups, by_id, name)
    lines += _refused(scores)
    return "\n".join(lines).rstrip() + "\n", drawings


def _percent(value: float) -> str:
    return f"{value:.1%}".replace("%", " %")


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield _row(*head)
    yield _row("---", *["--:"] * (len(head) - 1))
    for row in rows:
        yield _row(*row)
    yield ""


def _figures(one: Summary) -> tuple[object, ...]:
    return (
        one.count, _percent(one.median_error), _percent(one.mape), _percent(one.p90_error),
        f"{one.bias:+.1%}".replace("%", " %"), f"{one.inside:.0%}".replace("%", " %"),
    )  # fmt: skip


_HEAD = ("rows", "median error", "MAPE", "p90", "bias", "inside")


def _summary(results: Sequence[Reached]) -> Iterator[str]:
    yield "## In one table"
    yield (
        "Firm rows are those of quality a and b; weak ones (c: anomalous, uncontrolled, "
        "second-hand) are told beside them and count in no aim."
    )
    yield ""
    rows: list[Sequence[object]] = []
    for one in results:
        claim = one.claim
        aim = f"{claim.median:.0%} / {claim.mape:.0%}" if claim.median and claim.mape else "–"
        met = {True: "yes", False: "**no**", None: ""}[one.met]
        figures = _figures(one.firm) if one.firm else ("",) * 6
        weak = f"{one.weak.count}: {_percent(one.weak.mape)}" if one.weak else "–"
        rows.append((claim.name, f"{one.coverage:.1%}", *figures, aim, met, weak))
    yield from _table(("kind", "coverage", *_HEAD, "aim", "met", "weak rows: MAPE"), rows)


def _unmeasured(scores: Sequence[Score], apart: Mapping[str, Score]) -> Iterator[str]:
    """Claims about serving, for rows whose group no engine's constants were fitted on."""
    yield "## Serving, groups left out"
    yield (
        "Constants of engines fitted without the GPU, the model or the publication of a row; "
        "kernels, networks and habits of clients as they are. Median and mean error of firm rows, "
        "and the share inside the interval of a GPU and model that were measured, which these are "
        "not; the next table asks the wider ones."
    )
    yield ""
    asked = [("all rows", [one for one in scores if one.family == "serving"])]
    asked += [(f"without its {kind}", [score]) for kind, score in apart.items()]
    rows = []
    for claim in (claim for claim in CLAIMS if claim.families == ("serving",)):
        found = (reached(claim, score).firm for _, score in asked)
        cells = (
            f"{_percent(x.median_error)} / {_percent(x.mape)}, {x.inside:.0%}" if x else "–"
            for x in found
        )  # fmt: skip
        rows.append((claim.name, *cells))
    yield from _table(("kind", *(name for name, _ in asked)), rows)


def _held(
    scores: Sequence[Score], points: dict[str, list[Point]], apart: Mapping[str, Score]
) -> Iterator[str]:
    """Coverage of intervals that were made without the group they are asked about."""
    yield "## Intervals without the group they are asked about"
    yield (
        "Bands made again without a publication, a GPU or a model, asked about what was left "
        "out: share inside, of all rows. An honest 80 % interval holds 75 to 85 %."
    )
    yield ""
    rows = []
    for score, family in zip(scores, FAMILIES, strict=True):
        found = residuals_of(score.scored)
        if found.log.size < 20:
            continue
        without = apart.get("gpu") if family.name == "serving" else None
        held = held_out(
            found, as_relatives(points[family.name], family),
            residuals_of(without.scored) if without else None,
        )  # fmt: skip
        for quantity in sorted({key for part in held.values() for key in part}):
            cells = [f"{part[quantity]:.0%}" if quantity in part else "–" for part in held.values()]
            rows.append((f"{family.name}: {quantity}", *cells))
    yield from _table(("quantity", "publication", "GPU", "model"), rows)


def _fits(left_out: Iterable[LeftOut]) -> Iterator[str]:
    """What fits reach where a group was left out, and what their records say of themselves."""
    yield "## Fits, groups left out"
    yield (
        "Each fit was made again without the group, and asked about it; the worst first. Median "
        "and mean of the error."
    )
    yield ""
    found = sorted(left_out, key=lambda one: -one.without[0])
    yield from _table(
        ("what", "left out", "rows", "fitted", "without it"),
        ((one.subject, one.group, one.rows, *(f"{_percent(m)} / {_percent(x)}"
          for m, x in (one.fitted, one.without))) for one in found),
    )  # fmt: skip
    yield "What the records of fits say of themselves:"
    yield ""
    rows = []
    for slug in load.names("calibration"):
        record = load.calibration(slug)
        told = record.note if "error" in record.note else ""
        told = told or next((x.note for x in record.sources.values() if "error" in x.note), "")
        if told and not slug.startswith("interval"):
            rows.append((f"`{slug}`", told.replace("|", "/")))
    yield from _table(("record", "n, residuals"), rows)


def _claim(
    one: Reached, items: Sequence[Scored], groups: dict[str, list[Scored]],
    by_id: dict[str, Point], drawing: str,
) -> Iterator[str]:  # fmt: skip
    yield f"## {one.claim.name[0].upper()}{one.claim.name[1:]}"
    yield f"![predicted against measured](validation/{drawing})"
    yield ""
    for label, key in _KEYS:
        found = _summaries(items, key)
        if len(found) > 1 or label == "publication":
            yield from _table((label, *_HEAD), ((x.name or "–", *_figures(x)) for x in found))
    if one.met is False:
        yield from _where(one.claim, items, by_id)
    yield f"Worst rows of {one.claim.name}:"
    yield ""
    worst = sorted((x for x in items if math.isfinite(x.ratio)), key=lambda x: -_off(x))
    yield from _table(
        ("row", "metric", "measured", "predicted", "p10", "p90", "GPU", "model", "engine",
         "quality"),
        ((x.id, x.metric, *(f"{v:.3g}" for v in (x.measured, x.predicted, x.low, x.high) if v),
          x.gpu, x.model, x.engine, x.quality) for x in worst[:_WORST_ROWS]),
    )  # fmt: skip


def _off(item: Scored) -> float:
    return abs(math.log(item.ratio))


_KEYS: tuple[tuple[str, Callable[[Scored], str]], ...] = (
    ("publication", lambda item: item.publication), ("metric", lambda item: item.metric),
    ("condition", lambda item: item.condition), ("GPU", lambda item: item.gpu),
    ("engine", lambda item: item.engine), ("model", lambda item: item.model),
    ("quality", lambda item: item.quality), ("distance", lambda item: _distance(item)),
)  # fmt: skip


def _distance(item: Scored) -> str:
    if item.predicted is None:
        return ""
    return distance("serving", item.gpu, item.model)


def _by(items: Iterable[Scored], key: Callable[[Scored], str]) -> dict[str, list[Scored]]:
    """Items by a key, the group with the worst median first."""
    groups: dict[str, list[Scored]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    order = {
        name: one.median_error for name, part in groups.items() if (one := summary(name, part))
    }
    return {name: groups[name] for name in sorted(order, key=lambda name: -order[name])}


def _summaries(items: Iterable[Scored], key: Callable[[Scored], str]) -> list[Summary]:
    found = (summary(name, part) for name, part in _by(items, key).items())
    return [one for one in found if one]


def _where(claim: Claim, items: Sequence[Scored], by_id: dict[str, Point]) -> Iterator[str]:
    yield (
        f"**Where the error of {claim.name} sits** (aim {claim.median:.0%} / {claim.mape:.0%}): "
        "parts of the rows, by what they have in common, that hold the most error beyond their "
        "share; an error above 100 % counts as 100 %."
    )
    yield ""
    found: list[Bucket] = buckets(items, by_id)
    yield from _table(
        ("rows with", "share of rows", "share of error", "MAPE", "bias"),
        ((x.name, f"{x.rows:.0%}", f"{x.error:.0%}", _percent(x.mape), f"{x.bias:+.0%}")
         for x in found),
    )  # fmt: skip
    firm = np.array([abs(x.ratio - 1.0) for x in items if math.isfinite(x.ratio)])
    share = float(np.sort(firm)[-max(len(firm) // 20, 1) :].sum() / firm.sum())
    yield f"The worst twentieth of its rows holds {share:.0%} of the error."
    yield ""


def _refused(scores: Sequence[Score]) -> Iterator[str]:
    reasons: Counter[str] = Counter()
    for score in scores:
        for reason, count in score.reasons().items():
            reasons[f"{score.family}: {reason}"] += count
    yield "## Not predicted"
    yield ""
    if not reasons:
        yield "Nothing: every row got a prediction."
        return
    found = reasons.most_common()
    yield from _table(("reason", "metrics"), found[:_REASONS])
    if len(found) > _REASONS:
        rest = sum(count for _, count in found[_REASONS:])
        yield f"and {len(found) - _REASONS} more reasons for {rest} metrics."


def main(arguments: Sequence[str]) -> None:
    """Write the page and its drawings. Raises: InputError where a file cannot be written."""
    shared, docs = Path(arguments[0]), Path(arguments[1])
    left_out = (*power_left_out(shared), *collectives_left_out(shared), *kernels_left_out(shared))
    scores, points = scores_of(shared / "measurements")
    text, drawings = page(scores, points, left_out, dict(unmeasured(points["serving"])))
    written(docs / "validation.md", text)
    for name, drawing in drawings.items():
        written(docs / "validation" / name, drawing)


if __name__ == "__main__":
    main(sys.argv[1:])
