"""How growth looks on a terminal: curves, policies side by side, each by year."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tokenmill.cost.money import Money
from tokenmill.interface.cli import growth_text as text
from tokenmill.interface.cli import view
from tokenmill.units import format_si

if TYPE_CHECKING:
    from tokenmill.planner.growth.answer import GrowthAnswer, Path
    from tokenmill.simulator.outcome import Interval

__all__ = ["show"]

_YEARS = 5  # rows of a table by year; all of them are in --json


def show(answer: GrowthAnswer) -> None:
    """Print curves, totals, the rebound, years and money."""
    out = view.console()
    out.print(text.TITLE.format(
        name=answer.name, first=answer.years[0], last=answer.years[-1], samples=answer.samples,
        seed=answer.seed,
    ), style="bold")  # fmt: skip
    _list(out, text.CURVES, [one.words for one in answer.curves])
    out.print(text.GENERATIONS.format(names=", ".join(answer.generations)), style="dim")
    _policies(out, answer)
    _list(out, text.REBOUND, [path.rebound.words for path in answer.paths if path.rebound])
    for path in answer.paths:
        _years(out, answer, path)
    _list(out, text.MONEY, [_money(path) for path in answer.paths])
    _list(out, text.NOTES, answer.notes, style="dim")


def _units(currency: str) -> dict[str, Callable[[float], str]]:
    """How each quantity is written."""

    def paid(value: float) -> str:
        return Money.of(float(f"{value:.3g}"), currency).text(0)

    return {
        "gpus": lambda value: f"{value:,.0f}",
        "power_w": lambda value: format_si(value, "W"),
        "tokens_per_s": lambda value: format_si(value, ""),
        "price": lambda value: Money.of(float(f"{value:.3g}"), currency).text(),
        "paid": paid,
        "unserved": lambda value: f"{value:.0%}",
        "energy_j": lambda value: format_si(value / 3600.0, "Wh"),
        "tokens": lambda value: format_si(value, ""),
    }


def _range(write: Callable[[float], str], low: float, middle: float, high: float) -> str:
    return text.RANGE.format(middle=write(middle), low=write(low), high=write(high))


def _policies(out: Any, answer: GrowthAnswer) -> None:
    write = _units(answer.currency)

    def cell(path: Path, name: str) -> str:
        total: Interval = path.totals[name]
        return _range(write[name], total.low, total.value, total.high)

    _table(out, text.POLICIES, text.POLICY_COLUMNS, [
        (path.policy, *(cell(path, name) for name in ("energy_j", "tokens", "paid")))
        for path in answer.paths
    ])  # fmt: skip


def _years(out: Any, answer: GrowthAnswer, path: Path) -> None:
    """A few years of one policy; unserved demand only where there is any."""
    write = _units(answer.currency)
    names = [name for name in text.YEAR_COLUMNS if name != "year"]
    if not any(path.bands["unserved"].high):
        names.remove("unserved")
    count = len(answer.years)
    told = sorted({round(k * (count - 1) / (_YEARS - 1)) for k in range(_YEARS)})
    rows = [
        (answer.years[at], *(
            _range(write[name], band.low[at], band.middle[at], band.high[at])
            for name in names for band in [path.bands[name]]
        ))
        for at in told
    ]  # fmt: skip
    columns = [text.YEAR_COLUMNS[name] for name in ("year", *names)]
    _table(out, text.BY_YEAR.format(policy=path.policy), columns, rows)


def _money(path: Path) -> str:
    parts = [
        text.MONEY_PART.format(label=line.label, amount=line.money.text())
        for line in path.money.lines
    ]
    return text.MONEY_LINE.format(
        policy=path.policy, lines=", ".join(parts), total=path.money.total.text()
    )


def _table(out: Any, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
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
