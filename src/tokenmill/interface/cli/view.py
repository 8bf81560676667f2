"""How answers look on a terminal: tables and bars, or the same figures as JSON."""

from __future__ import annotations

import json as js
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tokenmill.interface.cli import text
from tokenmill.units import format_quantity, format_si

if TYPE_CHECKING:
    from rich.console import Console

    from tokenmill.cost.money import Money
    from tokenmill.planner.answer import Option, Plan, Refusal
    from tokenmill.planner.single import Fit
    from tokenmill.simulator.outcome import Distribution, FigureUse, MemoryUse, Outcome

__all__ = [
    "console", "figures_table", "outcome_money", "print_json", "progress", "ranked_table",
    "refused_table", "show_fit", "show_outcome", "show_plan",
]  # fmt: skip

_SLOW_S = 1.0  # work longer than this shows progress


def console() -> Console:
    """The terminal: colours only where there is one, tables never cut short of 100 columns."""
    from rich.console import Console

    out = Console(highlight=False, soft_wrap=False)
    return out if out.is_terminal else Console(highlight=False, width=max(out.width, 132))


def print_json(value: Any) -> None:
    """Print plain values as JSON; infinities as null, since JSON has none."""
    sys.stdout.write(js.dumps(_finite(value), ensure_ascii=False, indent=2) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line on standard error that names what is being searched, after a second of work."""
    import time

    start = time.monotonic()
    shown = False

    def told(name: str) -> None:
        nonlocal shown
        if sys.stderr.isatty() and time.monotonic() - start > _SLOW_S:
            shown = True
            sys.stderr.write("\r\x1b[K" + text.PROGRESS.format(name=name))
            sys.stderr.flush()

    try:
        yield told
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")


def _seconds(value: float) -> str:
    return format_si(value, "s") if math.isfinite(value) else text.NO_LIMIT


def _money(amount: Money | None) -> str:
    return amount.text() if amount is not None else text.NO_PRICE


def show_plan(plan: Plan, *, json: bool) -> None:
    """Print a plan: the ranking, the best for each goal, and every refusal with its change."""
    if json:
        print_json(plan.to_dict())
        return
    out = console()
    out.print(text.PLAN_TITLE.format(models=", ".join(plan.models), demand=plan.demand.origin),
              style="bold")  # fmt: skip
    demand = plan.demand
    load = text.PLAN_LOAD if demand.rate_per_s else text.PLAN_CLOSED
    out.print(load.format(rate=demand.rate_per_s, users=demand.concurrency,
                          prompt=demand.prompt_mean, output=demand.output_mean))  # fmt: skip
    out.print(text.PLAN_LIMITS.format(
        p=plan.percentile, ttft=_seconds(plan.ttft_limit_s), tpot=_seconds(plan.tpot_limit_s)
    ))  # fmt: skip
    if plan.options:
        out.print(_plan_table(plan, out.width))
        _print_best(out, plan)
        out.print(text.FOOT_BASIS, style="dim")
        if any(option.notes for option in plan.options):
            out.print(text.FOOT_STALE, style="dim")
    else:
        out.print(text.PLAN_NOTHING, style="bold")
    if plan.refused:
        out.print(refused_table(plan.refused))
    out.print(text.EVALUATED.format(count=plan.evaluated), style="dim")
    for note in plan.notes:
        out.print(note, style="dim")


def _print_best(out: Console, plan: Plan) -> None:
    """The best for each goal and the Pareto front, which may lie beside the ranked options."""
    goals = {"cheapest": plan.cheapest, "fastest": plan.fastest, "greenest": plan.greenest}
    for goal, option in goals.items():
        if option is not None:
            out.print(text.PLAN_BEST[goal].format(
                name=_named(option), hour=_money(option.per_hour), tpot=_seconds(option.tpot_s),
                joules=f"{option.joules_per_output_token:.3g}",
            ))  # fmt: skip
    goal = str(plan.question.get("minimise", "cost"))
    chances = ", ".join(
        f"{_named(option)} {chance:.2f}"
        for option, chance in list(zip(plan.options, plan.ahead, strict=False))[1:]
    )
    if chances:
        out.print(text.PLAN_AHEAD.format(
            name=_named(plan.options[0]), better=text.PLAN_BETTER[goal], chances=chances,
            within=f"{plan.options[0].within_limits:.2f}",
        ))  # fmt: skip
    names = ", ".join(_named(option) for option in plan.pareto)
    out.print(text.PLAN_FRONT.format(names=names))


def _named(option: Option) -> str:
    return f"{option.gpus} × {option.hardware}" if option.gpus > 1 else option.hardware


# What a terminal has room for; the whole answer is in --json.
_NARROW = ("hardware", "gpus", "tpot", "per_hour")
_NORMAL = ("hardware", "gpus", "weights", "ttft", "tpot", "watts", "per_hour", "per_mtok")
_LEFT = ("hardware", "layout", "weights", "software", "basis")  # columns of words


def _plan_table(plan: Plan, width: int) -> Any:
    keys = _NARROW if width < 70 else _NORMAL if width < 125 else tuple(text.COLUMNS)
    titles = {key: text.COLUMNS[key].format(p=plan.percentile) for key in keys}
    return ranked_table(titles, map(_option_cells, plan.options), fold="layout")


def ranked_table(
    titles: Mapping[str, str], options: Iterable[Mapping[str, str]], *, fold: str = ""
) -> Any:
    """Options by rank.

    Parameters: titles of the columns that are shown, by key; options, cells by key; fold, the
    column that may take several lines, where a table rather does that than cut its cells.
    """
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for key, title in titles.items():
        table.add_column(
            title, no_wrap=key != fold, overflow="fold" if fold else "ellipsis",
            justify="left" if key in _LEFT else "right",
        )  # fmt: skip
    for rank, option in enumerate(options, 1):
        cells = {"rank": str(rank)} | dict(option)
        table.add_row(*(cells[key] for key in titles))
    return table


def _whole(amount: Money | None) -> str:
    """A purchase without cents, unless it is small."""
    return amount.text(0) if amount is not None and amount.amount >= 1000 else _money(amount)


def _option_cells(option: Option) -> dict[str, str]:
    from tokenmill.planner.tell import OLD_PRICE, OLD_PURCHASE

    outcomes = option.outcomes
    layouts = (f"{x.replicas} × {x.layout}" if x.replicas > 1 else x.layout for x in outcomes)
    stale, old = ("*" if note in option.notes else "" for note in (OLD_PRICE, OLD_PURCHASE))
    return {
        "hardware": option.hardware,
        "gpus": f"{option.gpus:,}",
        "layout": ", ".join(layouts),
        "weights": ", ".join(dict.fromkeys(item.weights for item in outcomes)),
        "ttft": _seconds(option.ttft_s),
        "tpot": _seconds(option.tpot_s),
        "rate": f"{option.output_tokens_per_s:,.0f}",
        "watts": format_si(option.watts, "W"),
        "joules": f"{option.joules_per_output_token:.3g}",
        "per_hour": _money(option.per_hour) + stale,
        "per_mtok": _money(option.per_million_output_tokens),
        "basis": option.basis,
        "purchase": _whole(option.purchase) + old,
    }


def refused_table(refused: Iterable[Refusal]) -> Any:
    """Hardware that cannot do it, why, and what would."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, title=text.PLAN_REFUSED,
                  title_justify="left", title_style="bold")  # fmt: skip
    for title in text.REFUSED_COLUMNS:
        table.add_column(title, overflow="fold")
    for refusal in refused:
        words = text.CHECKED if refusal.checked else text.UNCHECKED
        table.add_row(refusal.hardware, refusal.message, words.format(remedy=refusal.remedy))
    return table


def _spread(value: Distribution) -> str:
    parts = {key: _seconds(getattr(value, key)) for key in ("mean", "p50", "p95", "p99")}
    return text.DISTRIBUTION.format(**parts)


def _gigabytes(value: float) -> str:
    return f"{value / 1e9:.1f} GB"


def _memory_words(use: MemoryUse) -> str:
    return text.MEMORY.format(
        used=_gigabytes(use.used_bytes), capacity=_gigabytes(use.capacity_bytes),
        weights=_gigabytes(use.weights_bytes), cache=_gigabytes(use.cache_bytes),
        workspace=_gigabytes(use.workspace_bytes), reserve=_gigabytes(use.reserve_bytes),
    )  # fmt: skip


def show_outcome(outcome: Outcome, *, json: bool) -> None:
    """Print an outcome: its figures, the breakdown of a step, and the catalogue figures used."""
    if json:
        print_json(outcome.to_dict())
        return
    from rich.table import Table

    out = console()
    out.print(text.ESTIMATE_TITLE.format(
        model=outcome.model, weights=outcome.weights, gpus=outcome.gpus,
        accelerator=outcome.accelerator, layout=outcome.layout, replicas=outcome.replicas,
        engine=outcome.engine,
    ), style="bold")  # fmt: skip
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, words in _outcome_rows(outcome).items():
        table.add_row(text.ESTIMATE_ROWS[key], words)
    out.print(table)
    for note in outcome.notes:
        out.print(note, style="bold")
    out.print(_breakdown(outcome))
    out.print(figures_table(outcome.figures))


def _outcome_rows(outcome: Outcome) -> dict[str, str]:
    def rate(value: float) -> str:
        return f"{value:,.4g} tokens/s"

    def within(key: str, words: str, shown: Callable[[float], str]) -> str:
        band = outcome.intervals.get(key)
        if band is None or band.low == band.high:  # the load decides it, not the twin
            return words
        return text.WITHIN.format(value=words, low=shown(band.low), high=shown(band.high))

    def watts(value: float) -> str:
        return format_si(value, "W")

    def joules(value: float) -> str:
        return f"{value:.3g} J"

    rows = {
        "ttft": within("ttft_s", _spread(outcome.ttft_s), _seconds),
        "tpot": within("tpot_s", _spread(outcome.tpot_s), _seconds),
        "e2e": within("e2e_s", _spread(outcome.e2e_s), _seconds),
        "rate": within("output_tokens_per_s", rate(outcome.output_tokens_per_s), rate),
        "per_gpu": within(
            "output_tokens_per_s_per_gpu", rate(outcome.output_tokens_per_s_per_gpu), rate
        ),
        "total": within("total_tokens_per_s", rate(outcome.total_tokens_per_s), rate),
        "requests": f"{outcome.requests_per_s:,.4g} a second",
        "batch": f"{outcome.batch:,.3g} of each instance, busy {outcome.utilisation:.0%}",
        "memory": _memory_words(outcome.memory),
        "gpu_watts": within("gpu_watts", watts(outcome.gpu_watts), watts),
        "watts": within("watts", watts(outcome.watts), watts),
        "joules": within(
            "joules_per_output_token", joules(outcome.joules_per_output_token), joules
        ),
        "money": outcome_money(outcome),
        "limit": outcome.limiting,
        "weakest": outcome.kind,
    }
    return rows


def outcome_money(outcome: Outcome) -> str:
    """What an outcome costs, in words."""
    from tokenmill.cost.money import Money

    if not outcome.money:
        return text.NO_PRICE

    def words(key: str) -> str:
        cell = outcome.money[key]
        return Money.of(cell["amount"], cell["currency"]).text() if cell else text.NO_PRICE

    return text.MONEY.format(
        hour=words("per_hour"), basis=outcome.money["basis"],
        inp=words("per_million_input_tokens"), out=words("per_million_output_tokens"),
    )  # fmt: skip


def _breakdown(outcome: Outcome) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, title=text.BREAKDOWN,
                  title_justify="left", title_style="bold")  # fmt: skip
    for index, title in enumerate(text.BREAKDOWN_COLUMNS):
        table.add_column(title, justify="right" if index in (1, 2, 3) else "left")
    for share in outcome.decode:
        table.add_row(share.name, _seconds(share.seconds), f"{share.share:.1%}",
                      f"{share.roofline_share:.0%}", share.bound)  # fmt: skip
    return table


def figures_table(figures: Iterable[FigureUse]) -> Any:
    """The catalogue figures that an answer rests on."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, title=text.FIGURES,
                  title_justify="left", title_style="bold")  # fmt: skip
    for title in text.FIGURE_COLUMNS:
        table.add_column(title)
    for use in figures:
        spread = ""
        if use.low != use.high:
            low, high = (format_quantity(x, use.dimension) for x in (use.low, use.high))
            spread = f"{low} to {high}"
        table.add_row(use.record, use.key, format_quantity(use.value, use.dimension), spread,
                      use.kind, use.source)  # fmt: skip
    return table


def show_fit(fit: Fit, *, json: bool) -> None:
    """Print whether a model runs on a card, with a memory bar."""
    if json:
        print_json(fit.to_dict())
        return
    out = console()
    if fit.runs:
        out.print(text.YES.format(
            gpus=fit.gpus, accelerator=fit.accelerator, model=fit.model, weights=fit.weights,
            engine=fit.engine,
        ), style="bold")  # fmt: skip
        out.print(text.YES_ROOM.format(requests=fit.requests, context=fit.context_tokens))
        out.print(text.SPEED.format(rate=fit.tokens_per_s, ttft=_seconds(fit.ttft_s)))
    else:
        out.print(text.NO.format(reason=fit.reason), style="bold")
        if fit.change:
            out.print(text.NO_CHANGE.format(change=fit.change))
    out.print(_bar(fit.memory, width=min(60, (out.width - 2) // 2)))
    out.print(_memory_words(fit.memory))


def _bar(use: MemoryUse, width: int) -> str:
    """Memory as a bar; what does not fit stands beyond the edge."""
    marks = "█▓▒░"
    parts = (use.weights_bytes, use.cache_bytes, use.workspace_bytes, use.reserve_bytes)
    cells = "".join(
        mark * round(part / use.capacity_bytes * width)
        for mark, part in zip(marks, parts, strict=True)
    )
    inside, beyond = cells[:width], cells[width : 2 * width]
    legend = "  ".join(f"{m} {name}" for m, name in zip(marks, text.BAR_PARTS, strict=False))
    return f"▏{inside.ljust(width, '·')}▕{beyond}\n{legend}"
