"""What work costs: bought, rented or hosted, by the hour and by the piece, and its carbon."""

from __future__ import annotations

import datetime
from itertools import combinations
from typing import Any

from tokenmill.cost.breakeven import break_even, envelope
from tokenmill.planner.cost.answer import CostAnswer, Crossing
from tokenmill.planner.cost.desk import Desk
from tokenmill.planner.cost.question import CostQuestion, cost_question
from tokenmill.planner.cost.swing import tornado_of
from tokenmill.planner.cost.till import cost_till
from tokenmill.planner.cost.work import work_of

__all__ = ["ask", "cost"]


def ask(on: str, model: str = "", **given: Any) -> CostAnswer:
    """What work costs, from keywords: ask("h100", "llama-3.3-70b", gpus=2, utilisation=0.6).

    Parameters: on, GPU or system; model; given, the other fields of `CostQuestion`.
    Returns, raises: as `cost`.
    """
    return cost(cost_question(on=on, model=model, **given))


def cost(asked: CostQuestion, *, today: datetime.date | None = None) -> CostAnswer:
    """Every way to get the work of a question done, with its price, break-even and carbon.

    Parameters: asked; today, for the age of prices. Returns: a CostAnswer.
    Raises: InputError, UnknownName for a question that cannot be answered; DoesNotFit; NoPrice
    where no way has a price on record, or the place no tariff; Unsupported.
    """
    work = work_of(asked)
    desk = Desk(asked, work, cost_till(asked, work.where, today))
    ways, missing = desk.ways()
    pairs = [(a, b, break_even(a.option, b.option)) for a, b in combinations(ways, 2)]
    swung = next((way for way in ways if way.name == "buy"), ways[0])
    carbon = desk.carbon()
    return CostAnswer(
        hardware=work.where.name, gpus=work.gpus, words=work.words, currency=asked.money,
        utilisation=asked.utilisation, hours=asked.hours, made=work.made, busy_w=work.busy_w,
        idle_w=work.idle_w, pue=desk.pue, ways=ways, missing=missing,
        crossings=tuple(Crossing(a.name, b.name, at) for a, b, at in pairs if at),
        spans=envelope([way.option for way in ways]), swung=swung.name,
        tornado=tornado_of(desk, swung), carbon=carbon, origins=tuple(desk.till.origins),
        exchange=desk.till.rates(), notes=desk.notes(), kind=work.kind,
    )  # fmt: skip
