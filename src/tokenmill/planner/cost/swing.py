"""Which uncertain figure moves the cost of one unit most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tokenmill.cost.ownership import Ownership
from tokenmill.cost.sensitivity import Range, Swing, tornado

if TYPE_CHECKING:
    from tokenmill.planner.cost.answer import Way
    from tokenmill.planner.cost.desk import Desk

__all__ = ["tornado_of"]

# What a person may be wrong about where no record gives a range.
_HALF, _DOUBLE = 0.5, 2.0
_LIVES = (3.0, 6.0)
_FINANCE = (0.02, 0.10)


def tornado_of(desk: Desk, way: Way) -> tuple[Swing, ...]:
    """The cost of one of the first unit made by a way, each figure moved alone, widest first.

    Prices move within their records' ranges, speed within its 80 % interval, utilisation between
    half and double, life and finance rate within what is usual (assumed).
    """
    made = desk.work.main
    if made is None:
        return ()
    figures = {
        "utilisation": _utilisation(desk),
        "speed": Range(min(made.between[0], 1.0), 1.0, max(made.between[1], 1.0)),
    }
    entries = {one.what: one.entry for one in desk.till.origins}
    if way.purchase is not None:
        terms = desk.asked.terms
        price = entries["purchase"]
        per_kwh = next(one for what, one in entries.items() if what.startswith("electricity"))
        figures |= {
            "price of the machine": Range(price.low / price.amount, 1.0, price.high / price.amount),
            "price of electricity": Range(per_kwh.low / per_kwh.amount, 1.0,
                                          per_kwh.high / per_kwh.amount),
            "years of life": _around(terms.life_years, *_LIVES),
            "finance rate": _around(terms.finance_rate, *_FINANCE),
        }  # fmt: skip
    elif way.name.startswith("rent"):
        _, entry = desk.till.rent(way.name.replace(" ", "-"))
        figures["rent"] = Range(entry.low / entry.amount, 1.0, entry.high / entry.amount)
    else:
        return ()

    def answer(at: Mapping[str, float]) -> float:
        used = at["utilisation"]
        if way.purchase is None:
            hour = way.option.per_hour(used).amount * at["rent"]
        else:
            hour = _owned(desk, way, at)
        return hour * made.share / (made.per_s * at["speed"] * 3600.0 * used)

    return tuple(one for one in tornado(answer, figures) if one.figure.low < one.figure.high)


def _owned(desk: Desk, way: Way, at: Mapping[str, float]) -> float:
    """A calendar hour of owning with the figures moved."""
    assert way.purchase is not None  # the caller's case
    asked = desk.asked
    terms = Ownership(at["years of life"], asked.resale, at["finance rate"], asked.upkeep)
    changed = type(desk)(asked.model_copy(update={
        "life_years": terms.life_years, "finance_rate": terms.finance_rate,
    }), desk.work, desk.till)  # fmt: skip
    lines = changed.owned(at["utilisation"], way.purchase * at["price of the machine"]).lines
    return sum(
        line.money.amount * (at["price of electricity"] if line.label == "electricity" else 1.0)
        for line in lines
    )


def _utilisation(desk: Desk) -> Range:
    used, most = desk.asked.utilisation, len(desk.asked.busy_hours) / 24.0
    return Range(used * _HALF, used, max(used, min(used * _DOUBLE, most)))


def _around(value: float, low: float, high: float) -> Range:
    return Range(min(low, value), value, max(high, value))
