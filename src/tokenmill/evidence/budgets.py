"""Budgets of error, which may only shrink: what predictions of each kind have reached before.

    python -m tokenmill.evidence.budgets SHARED FILE

scores a part of the measurements and tightens every budget of FILE that is beaten.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tokenmill.errors import BadRecord
from tokenmill.evidence.claims import CLAIMS, reached
from tokenmill.evidence.family import FAMILIES
from tokenmill.evidence.fitting import written
from tokenmill.evidence.interval_files import points_of
from tokenmill.evidence.score import score_points

__all__ = ["Budgets", "exceeded", "measured", "read_budgets", "tightened"]

Budgets = Mapping[str, Mapping[str, float]]
_EVERY = 4  # row of the measurements, so that the check takes seconds
# what a change elsewhere may move without being a step back
_SLACK = {"missing": 0.002, "median": 0.01, "mape": 0.02, "intervals": 0.05}


def measured(measurements: Path) -> dict[str, dict[str, float]]:
    """What each claim reaches on every fourth row: share not predicted, median error, MAPE, and
    how far its intervals are from holding 80 %."""
    scores = [
        score_points(points_of(family, measurements)[::_EVERY], family) for family in FAMILIES
    ]
    found = {}
    for claim in CLAIMS:
        one = reached(claim, scores)
        if one.firm:
            found[claim.slug] = {
                "missing": round(1.0 - one.coverage, 4), "median": round(one.firm.median_error, 4),
                "mape": round(one.firm.mape, 4), "intervals": round(abs(one.firm.inside - 0.8), 4),
            }  # fmt: skip
    return found


def read_budgets(path: Path) -> dict[str, dict[str, float]]:
    """Budgets by claim and figure. Raises: BadRecord."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            slug: {key: float(value) for key, value in budget.items()}
            for slug, budget in found.items()
        }
    except (OSError, ValueError, AttributeError) as problem:
        raise BadRecord(path, "", f"no budgets: {problem}") from None


def exceeded(now: Budgets, budgets: Budgets) -> list[str]:
    """One line for every figure that is worse than its budget, or missing."""
    lines = []
    for slug, budget in budgets.items():
        for key, limit in budget.items():
            value = now.get(slug, {}).get(key)
            if value is None:
                lines.append(f"{slug}: nothing is predicted any more")
            elif value > limit + _SLACK.get(key, 0.0):
                lines.append(f"{slug}: {key} is {value:.1%}, its budget {limit:.1%}")
    return lines


def tightened(budgets: Budgets, now: Budgets) -> dict[str, dict[str, float]]:
    """Budgets as they were, or smaller where less was reached; new claims join as they are."""
    found = {slug: dict(budget) for slug, budget in budgets.items()}
    for slug, figures in now.items():
        mine = found.setdefault(slug, {})
        for key, value in figures.items():
            mine[key] = min(mine.get(key, value), value)
    return found


def main(arguments: Sequence[str]) -> None:
    """Tighten a file of budgets. Raises: BadRecord, InputError."""
    shared, path = Path(arguments[0]), Path(arguments[1])
    before = read_budgets(path) if path.exists() else {}
    now = measured(shared / "measurements")
    for line in exceeded(now, before):
        print(line)
    written(path, json.dumps(tightened(before, now), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
