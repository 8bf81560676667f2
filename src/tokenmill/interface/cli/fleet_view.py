"""How a fleet plan looks on a terminal: narrow tables and sentences that wrap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tokenmill.interface.cli import fleet_text as text
from tokenmill.interface.cli import view
from tokenmill.units import format_si

if TYPE_CHECKING:
    from tokenmill.planner.fleet.answer import FleetAnswer, FleetPlan, Move, SiteUse, Stay
    from tokenmill.planner.fleet.conflict import Conflict

__all__ = ["show"]


def show(answer: FleetAnswer) -> None:
    """Print the plan, or the limits that leave none."""
    out = view.console()
    title = text.TITLE.format(name=answer.name, first=answer.periods[0], last=answer.periods[-1])
    out.print(title, style="bold")
    if answer.plan is not None:
        _plan(out, answer.plan, answer.periods)
    if answer.conflict is not None:
        _conflict(out, answer.conflict)
    if answer.declined:
        _list(out, text.DECLINED, [
            text.DECLINED_LINE.format(workload=d.workload, system=d.system, reason=d.reason)
            for d in answer.declined
        ])  # fmt: skip
    _list(out, text.NOTES, answer.notes, style="dim")


def _plan(out: Any, plan: FleetPlan, periods: Sequence[str]) -> None:
    out.print(text.TOTAL.format(
        present=plan.present.total.text(0), cash=plan.cash.total.text(0), gap=plan.gap
    ))  # fmt: skip
    if plan.bought:
        _table(out, text.BUY, text.BUY_COLUMNS, (
            (one.ordered, one.period, *_what(one)) for one in plan.bought
        ))  # fmt: skip
    else:
        out.print()
        out.print(text.BUY_NOTHING)
    if plan.retired:
        _table(out, text.RETIRE, text.RETIRE_COLUMNS, (
            (one.period, *_what(one)) for one in plan.retired
        ))  # fmt: skip
    _list(out, text.STOCK, _stock(plan, periods))
    _list(out, text.RUNS, _runs(plan.stays))
    _list(out, text.POWER, [_power(one, periods) for one in plan.use if any(one.peak_w)])
    _money(out, plan)
    limits = [one.words for one in plan.worth if one.limit != "demand"]
    demand = [one.words for one in plan.worth if one.limit == "demand"]
    _list(out, text.WORTH, [*(limits or [text.WORTH_NONE]), *demand])


def _what(move: Move) -> tuple[str, str, str, str]:
    machines = str(move.machines)
    if move.gpus:
        machines = text.MACHINES.format(machines=move.machines, gpus=move.gpus)
    return move.system, move.site, machines, move.money.text()


def _stock(plan: FleetPlan, periods: Sequence[str]) -> Iterator[str]:
    """One line per system and site: every change of its count."""
    for one in plan.stock:
        steps, before = [], 0
        for period, machines in zip(periods, one.machines, strict=True):
            if machines != before:
                steps.append(text.STOCK_STEP.format(machines=machines, period=period))
            before = machines
        yield text.STOCK_LINE.format(system=one.system, site=one.site, steps=", ".join(steps))


def _runs(stays: Iterable[Stay]) -> Iterator[str]:
    """The stays of each workload, its name at the first."""
    for workload, group in groupby(stays, lambda one: one.workload):
        parts = []
        for stay in group:
            span = stay.first
            if stay.first != stay.last:
                span = text.RUNS_SPAN.format(first=stay.first, last=stay.last)
            shares = [
                text.RUNS_PART.format(system=system, site=site, share=_share(low, high))
                for system, site, low, high in stay.shares
            ]
            parts.append(f"{span}: {', '.join(shares)}")
        yield f"{workload}: {'; '.join(parts)}"


def _share(low: float, high: float) -> str:
    words = text.SHARES if round(low, 2) != round(high, 2) else text.SHARE
    return words.format(low=low, high=high)


def _power(use: SiteUse, periods: Sequence[str]) -> str:
    at = max(range(len(use.peak_w)), key=lambda t: use.peak_w[t] / use.limit_w[t])
    return text.POWER_LINE.format(
        site=use.site, peak=format_si(use.peak_w[at], "W"), period=periods[at],
        limit=format_si(use.limit_w[at], "W"),
        energy=format_si(sum(use.energy_j) / 3600.0, "Wh"),
    )  # fmt: skip


def _money(out: Any, plan: FleetPlan) -> None:
    """Lines and totals as they were added up, in whole coins."""
    present = {line.label: line.money for line in plan.present.lines}
    rows = [
        (line.label, line.money.text(), present[line.label].text() if line.label in present else "")
        for line in plan.cash.lines
    ]
    rows.append((text.SUM, plan.cash.total.text(), plan.present.total.text()))
    _table(out, text.MONEY, text.MONEY_COLUMNS, rows, total=True)
    years = [(bill.year, bill.statement.total.text()) for bill in plan.by_year]
    years.append((text.SUM, plan.cash.total.text()))
    _table(out, text.YEARS, text.YEAR_COLUMNS, years, total=True)


def _conflict(out: Any, conflict: Conflict) -> None:
    out.print(text.NO_PLAN, style="bold")
    if conflict.together:
        _list(out, text.TOGETHER, conflict.together)
    else:
        out.print(text.PARTS)
    if conflict.remedies:
        _list(out, text.ENOUGH, [one.words for one in conflict.remedies])
    else:
        out.print(text.NOT_ENOUGH)


def _table(
    out: Any, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *,
    total: bool = False,
) -> None:  # fmt: skip
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for at, column in enumerate(columns):
        right = column in text.RIGHT
        table.add_column(column, justify="right" if right else "left", overflow="fold",
                         no_wrap=right and at > 0)  # fmt: skip
    told = list(rows)
    for row in told[:-1] if total else told:
        table.add_row(*row)
    if total:
        table.add_row(*told[-1], style="bold")
    out.print()
    out.print(title, style="bold")
    out.print(table)


def _list(out: Any, title: str, lines: Iterable[str], style: str = "") -> None:
    from rich.padding import Padding
    from rich.text import Text

    out.print()
    out.print(title, style="bold")
    for line in lines:
        out.print(Padding(Text(line, style=style), (0, 0, 0, 2), expand=False))
