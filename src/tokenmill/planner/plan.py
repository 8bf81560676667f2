"""The planner: from a question to a ranked plan, hardware by hardware."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from tokenmill.cost.money import Money
from tokenmill.errors import Infeasible, NoPrice, TokenmillError, Unsupported
from tokenmill.placement.platform import Platform, platform
from tokenmill.planner.answer import Option, Plan, Priced, Refusal, pareto, ranked
from tokenmill.planner.chances import ahead
from tokenmill.planner.demand import demand_of
from tokenmill.planner.pricing import PriceBook, price_book
from tokenmill.planner.question import Question
from tokenmill.planner.question import question as build
from tokenmill.planner.refuse import MORE_GPUS, binding
from tokenmill.planner.search import Choice, choose, grids, limits_of, platforms
from tokenmill.planner.tell import tell
from tokenmill.simulator.cases import Grid, language_model
from tokenmill.work.workload import Demand

__all__ = ["answer_on", "excess", "plan"]

_GOALS = ("cost", "latency", "energy")
# Hardware to offer where memory is short, from small to large.
_LARGER = (
    "rtx-3060-12gb", "rtx-4090", "rtx-5090", "rtx-pro-6000-workstation", "h100-sxm", "h200-sxm",
    "b200-sxm", "b300-sxm", "gb300-nvl72",
)  # fmt: skip
_MOST_CHANGES = 16


def plan(question: Question, *, progress: Callable[[str], None] | None = None) -> Plan:
    """The ranked answer to a question.

    Parameters: question; progress, told the name of each hardware before it is searched.
    Returns: a Plan; hardware that cannot do it stands among the refusals with its reason.
    Raises: InputError (UnknownName, BadRecord) for a question that cannot be read.
    """
    demand = demand_of(question)
    book = price_book(question.currency, region=question.region, own=question.prices)
    found: list[Option] = []
    refused: list[Refusal] = []
    evaluated = 0
    for where in platforms(question):
        if progress is not None:
            progress(where.name)
        options, refusal, count = _explore(question, where, demand, book)
        evaluated += count
        found += options
        if refusal is not None:
            refused.append(_checked(question, where, refusal, book))
    return _assemble(question, demand, found, refused, evaluated)


def _assemble(
    question: Question, demand: Demand, found: list[Option], refused: list[Refusal], evaluated: int
) -> Plan:
    best: dict[str, Option] = {}
    for option in ranked(found, question.minimise):
        best.setdefault(option.hardware, option)

    options = ranked(best.values(), question.minimise)

    def first(goal: str) -> Option | None:
        return next(iter(ranked(found, goal)), None)

    return Plan(
        question=question.model_dump(mode="json", exclude_defaults=True),
        models=tuple(language_model(name)[0].slug for name in question.models),
        demand=demand,
        percentile=question.percentile,
        ttft_limit_s=question.ttft_s or math.inf,
        tpot_limit_s=question.tpot_s or math.inf,
        currency=question.currency,
        options=options,
        ahead=ahead(options, question.minimise, closed=demand.rate_per_s == 0),
        refused=tuple(refused),
        pareto=pareto(found),
        cheapest=first("cost"),
        fastest=first("latency"),
        greenest=first("energy"),
        evaluated=evaluated,
    )


def answer_on(question: Question, hardware: str) -> Option | Refusal:
    """The best option on one kind of hardware, or the refusal with its unchecked remedy.

    Raises: InputError.
    """
    demand = demand_of(question)
    book = price_book(question.currency, region=question.region, own=question.prices)
    options, refusal, _ = _explore(question, platform(hardware), demand, book)
    if options:
        return ranked(options, question.minimise)[0]
    return refusal or Refusal(hardware, "unsupported", "nothing to try", "ask for a known model")


def _explore(
    question: Question, where: Platform, demand: Demand, book: PriceBook
) -> tuple[list[Option], Refusal | None, int]:
    """(options, refusal where there are none, configurations evaluated) on one platform."""
    chosen: list[list[Choice]] = []
    evaluated = 0
    for name in question.models:
        try:
            tried = list(grids(question, where, name, demand))
        except Unsupported as problem:
            words = "another model or hardware"
            return [], Refusal(where.name, "unsupported", str(problem), words), evaluated
        evaluated += sum(grid.fits.size for grid in tried)
        choices = _choices(question, tried, demand)
        if not choices:
            return [], binding(question, where.name, tried, demand, limits_of(question)), evaluated
        chosen.append(choices)
    return (*_priced(question, where, _combined(chosen), demand, book), evaluated)


def _choices(question: Question, tried: Iterable[Grid], demand: Demand) -> list[Choice]:
    """The best points of every format for every goal, less those that another beats.

    A point with more GPUs and a longer time per token than another of the same hardware can be
    neither cheaper nor faster; it is not worth telling in full.
    """
    found: dict[tuple[str, int, int], Choice] = {}
    for grid in tried:
        for goal in _GOALS:
            point = choose(grid, demand, limits_of(question), goal, most_gpus=question.gpus)
            if point is not None:
                found[grid.case.weights.name, point.row, point.column] = point
    points = list(found.values())
    if question.minimise == "energy":
        return points  # a slower point of another format may draw less
    return [
        one for one in points
        if not any(x.gpus <= one.gpus and x.tpot_s < one.tpot_s for x in points if x is not one)
    ]  # fmt: skip


def _combined(chosen: list[list[Choice]]) -> list[tuple[Choice, ...]]:
    """One choice per model: all of them for one model, the best for each goal for several."""
    if len(chosen) == 1:
        return [(choice,) for choice in chosen[0]]
    by_gpus = tuple(min(choices, key=lambda c: c.gpus) for choices in chosen)
    by_speed = tuple(min(choices, key=lambda c: c.tpot_s) for choices in chosen)
    return [by_gpus] if by_gpus == by_speed else [by_gpus, by_speed]


def _priced(
    question: Question, where: Platform, combined: list[tuple[Choice, ...]], demand: Demand,
    book: PriceBook,
) -> tuple[list[Option], Refusal | None]:  # fmt: skip
    """Options inside the limits on GPUs, power and money; else the nearest one's refusal."""
    options: list[Option] = []
    refusals: list[tuple[float, Refusal]] = []
    for choices in combined:
        option = tell(question, where, choices, demand, book)
        beyond = excess(question, option)
        if beyond is None:
            options.append(option)
        else:
            refusals.append(beyond)
    if options or not refusals:
        return options, None
    return [], min(refusals, key=lambda item: item[0])[1]


def excess(question: Question, option: Priced) -> tuple[float, Refusal] | None:
    """How far an option is beyond the limits on GPUs, power or money, and the refusal for it."""
    name = option.hardware
    if question.gpus is not None and option.gpus > question.gpus:
        text = f"the load needs {option.gpus} GPUs, {question.gpus} are allowed"
        remedy = f"allow {option.gpus} GPUs"
        return option.gpus / question.gpus, Refusal(
            name, "gpus", text, remedy, {"gpus": option.gpus}
        )
    if question.power_w is not None and option.watts > question.power_w:
        needed = option.watts * 1.01
        text = f"draws {option.watts / 1e3:.3g} kW, the limit is {question.power_w / 1e3:.3g} kW"
        remedy = f"a power limit of {needed / 1e3:.4g} kW"
        return option.watts / question.power_w, Refusal(
            name, "power", text, remedy, {"power_w": needed}
        )
    return _over_budget(question, option)


def _over_budget(question: Question, option: Priced) -> tuple[float, Refusal] | None:
    budget = question.budget
    if budget is None:
        return None
    spent = option.purchase if question.budget_per == "purchase" else option.per_hour
    if spent is None:
        return 1e9, Refusal(
            option.hardware, "price",
            f"no price on record for {option.hardware}, so a budget cannot be checked",
            f'give one: --price "{option.outcomes[0].accelerator}=$1,000"',
        )  # fmt: skip
    exchange = price_book(question.currency).exchange
    limit = exchange.convert(Money.of(budget.amount, budget.currency), spent.currency).amount
    amount = spent.amount * (730.0 if question.budget_per == "month" else 1.0)
    if amount <= limit:
        return None
    needed = float(f"{amount * 1.01:.4g}")
    per = {"purchase": "", "hour": " an hour", "month": " a month"}[question.budget_per]
    costs, wanted = (Money.of(x, spent.currency).text() for x in (amount, needed))
    return amount / max(limit, 1e-9), Refusal(
        option.hardware, "budget",
        f"costs {costs}{per}, the budget is {Money.of(budget.amount, budget.currency).text()}",
        f"a budget of {wanted}{per}",
        {"budget": {"amount": needed, "currency": spent.currency}},
    )  # fmt: skip


def _checked(question: Question, where: Platform, refusal: Refusal, book: PriceBook) -> Refusal:
    """The refusal with a change that was asked and works, gathering changes until one does."""
    change: dict[str, object] = {}
    remedies: list[str] = []
    current, hardware = refusal, where.name
    for _ in range(_MOST_CHANGES):
        eases = {"weights", "gpus"} & set(current.change)
        if current.limit in ("memory", "layout", "unsupported") and not eases:
            return _on_larger(question, refusal, change)
        if not current.change:
            return refusal
        change |= current.change
        remedies.append(current.remedy)
        try:
            answer = answer_on(_changed(question, change), hardware)
        except TokenmillError:
            return refusal
        if isinstance(answer, Refusal):
            current = answer
        elif change.get("gpus", 0) is None:  # possible without a limit: ask again with a number
            wanted = f"allow {answer.gpus} GPUs"
            current = replace(current, change={"gpus": answer.gpus}, remedy=wanted)
            remedies = [words for words in remedies if words != MORE_GPUS]
        else:
            remedy = " and ".join(dict.fromkeys(remedies))
            return replace(refusal, remedy=remedy, change=change, checked=True)
    return refusal


def _on_larger(question: Question, refusal: Refusal, change: dict[str, object]) -> Refusal:
    """More GPUs of the same kind cannot help: the first larger hardware that can."""
    eased = {key: value for key, value in change.items() if key != "weights"}
    for name in _LARGER:
        trial = eased | {"hardware": (name,)}
        if question.gpus is not None:
            trial["gpus"] = None
        try:
            answer = answer_on(_changed(question, trial), name)
        except (TokenmillError, Infeasible, NoPrice):
            continue
        if isinstance(answer, Option):
            remedy = f"{answer.gpus} x {name}" if answer.gpus > 1 else f"one {name}"
            return replace(refusal, remedy=remedy, change=trial, checked=True)
    return refusal


def _changed(question: Question, change: dict[str, object]) -> Question:
    return build(**{**question.model_dump(), **change})
