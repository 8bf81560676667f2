"""How scores and calibrations look on a screen."""

from __future__ import annotations

import math

from tokenmill.evidence.cluster.calibrate import Calibrated
from tokenmill.evidence.cluster.cluster import SCALES
from tokenmill.evidence.interval import P90
from tokenmill.evidence.score import Score
from tokenmill.interface.cli import text
from tokenmill.interface.cli.view import console, print_json

__all__ = ["show_calibrated", "show_score"]

_MOST_REASONS = 40


def show_score(score: Score) -> None:
    """Print how predictions hold against measurements, per metric and group."""
    from rich.table import Table

    out = console()
    out.print(text.SCORE_TITLE.format(
        family=score.family, predicted=score.predicted_rows, rows=score.rows,
        coverage=score.coverage,
    ), style="bold")  # fmt: skip
    for note in score.notes:
        out.print(note)
    for group, lines in score.groups().items():
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column(group)
        for title in text.SCORE_COLUMNS:
            table.add_column(title, justify="right")
        for line in lines:
            table.add_row(line.name or "–", str(line.count), f"{line.median_error:.1%}",
                          f"{line.mape:.1%}", f"{line.p90_error:.1%}", f"{line.bias:+.1%}",
                          f"{line.inside:.0%}")  # fmt: skip
        if lines:
            out.print(table)
    reasons = score.reasons().most_common()
    for reason, count in reasons[:_MOST_REASONS]:
        out.print(f"{count} × {reason}", style="dim")
    if len(reasons) > _MOST_REASONS:
        out.print(text.SCORE_MORE.format(count=len(reasons) - _MOST_REASONS), style="dim")


def show_calibrated(found: Calibrated, *, json: bool) -> None:
    """Print what measurements have told of a cluster."""
    from rich.table import Table

    if json:
        print_json(found.to_dict())
        return
    cluster = found.cluster
    out = console()
    out.print(text.CALIBRATE_TITLE.format(
        rows=cluster.rows, accelerator=cluster.accelerator, engine=cluster.engine,
        before=found.before, after=found.after,
    ), style="bold")  # fmt: skip
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, title in enumerate(text.CALIBRATE_COLUMNS):
        table.add_column(title, justify="right" if index else "left")
    for name, before in zip(SCALES, cluster.prior, strict=True):
        scale, wide = cluster.scale(name), math.exp(P90 * cluster.spread(name))
        table.add_row(
            text.CALIBRATE_NAMES[name], f"{scale:.3f}", f"{scale / wide:.3f} to {scale * wide:.3f}",
            f"{math.exp(-P90 * before):.2f} to {math.exp(P90 * before):.2f}",
        )  # fmt: skip
    out.print(table)
    for reason in found.left:
        out.print(text.CALIBRATE_LEFT.format(reason=reason), style="dim")
    if found.saved:
        out.print(text.WRITTEN.format(path=found.saved))
