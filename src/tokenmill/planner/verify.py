"""Verify: finalists of the closed form under the real traffic, with as few replicas as it takes.

The closed form knows averages and estimates tails; here every request is played, and the replicas
of each finalist are found by bisection: the fewest with which the percentiles stay inside the
limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from tokenmill.errors import Infeasible
from tokenmill.placement.layout import Layout
from tokenmill.placement.platform import platform
from tokenmill.planner.answer import Option, Plan, Refusal, pareto, ranked
from tokenmill.planner.chances import ahead
from tokenmill.planner.demand import demand_of
from tokenmill.planner.here import drawn_here, engine_here
from tokenmill.planner.plan import excess
from tokenmill.planner.plan import plan as plan_of
from tokenmill.planner.pricing import PriceBook, price_book
from tokenmill.planner.question import Question
from tokenmill.planner.scenario import TrafficTable
from tokenmill.planner.sources import traffic_from
from tokenmill.planner.tell import summed
from tokenmill.simulator.cases import Case, language_model
from tokenmill.simulator.load import Load, load
from tokenmill.simulator.outcome import Outcome
from tokenmill.simulator.policies import Router
from tokenmill.simulator.run import simulate_services
from tokenmill.simulator.service import Service
from tokenmill.simulator.simulated import Simulated
from tokenmill.work.precision import cache_format, weight_format

__all__ = ["Verified", "verify", "verify_plan"]

FINALISTS = 8
# of traffic at a rate that was asked for, a slice is played: so many replicas and their share
_SLICE = 8
_LOOSER = (4.0, math.inf)  # limits of the bolder finalists, over those asked for
_MAYBE = ("ttft", "tpot", "latency", "gpus", "budget", "power")  # refusals that a run may lift
_MOST_DOUBLINGS = 6  # up to 64 times what the closed form found


@dataclass(frozen=True, slots=True)
class Verified:
    """What the simulation says of one model of an option: its outcome, and how many runs it took.

    `holds` is False where no number of replicas that was tried keeps the limits; the outcome is
    then that of the most replicas tried.
    """

    outcome: Outcome
    holds: bool
    runs: int


def verify(question: Question, outcome: Outcome) -> Verified:
    """The fewest replicas of an outcome's layout that keep a question's limits on its traffic.

    Parameters: question; outcome, of the closed form, that names hardware, layout and formats.
    Raises: DoesNotFit; Unsupported.
    """
    tried: dict[int, tuple[bool, Outcome]] = {}

    def holds(replicas: int) -> bool:
        if replicas not in tried:
            tried[replicas] = _try(question, outcome, replicas)
        return tried[replicas][0]

    most = outcome.replicas << _MOST_DOUBLINGS
    if question.gpus is not None:
        most = max(min(most, question.gpus // (outcome.gpus // outcome.replicas)), 1)
    found = _fewest(holds, min(outcome.replicas, most), most)
    return Verified(tried[found or most][1], found is not None, len(tried))


def _fewest(holds: Callable[[int], bool], start: int, most: int) -> int | None:
    """The smallest count that holds, by doubling or halving from a start and then bisection."""
    low, high = 0, start
    if holds(start):
        while high > 1 and holds(half := high // 2):
            high = half
        low = high // 2
    else:
        while not holds(high):
            if high >= most:
                return None
            low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _try(question: Question, outcome: Outcome, replicas: int) -> tuple[bool, Outcome]:
    """Whether so many replicas keep the limits, and the outcome of all of them."""
    played = min(replicas, _SLICE) if _rescaled(question) else replicas
    result = _play(question, outcome, played, replicas)
    counts, told = result.counts, result.outcome
    inside = (
        told.ttft_s.at(question.percentile) <= (question.ttft_s or math.inf)
        and told.tpot_s.at(question.percentile) <= (question.tpot_s or math.inf)
    )  # fmt: skip
    return inside and counts.done == counts.requests, _whole(told, replicas / played)


def _play(question: Question, outcome: Outcome, played: int, replicas: int) -> Simulated:
    service = Service(
        _case(outcome, question.calibration), _layout(outcome.layout), played,
        router=Router.LEAST_OUTSTANDING if played > 1 else Router.ROUND_ROBIN,
    )  # fmt: skip
    return simulate_services([service], _traffic(question, played, replicas))


def _whole(told: Outcome, factor: float) -> Outcome:
    """The outcome of all replicas from that of the slice that was played."""
    if factor == 1.0:
        return told
    replicas = round(told.replicas * factor)
    return replace(
        told, replicas=replicas, gpus=told.gpus // told.replicas * replicas,
        requests_per_s=told.requests_per_s * factor, watts=told.watts * factor,
        input_tokens_per_s=told.input_tokens_per_s * factor,
        output_tokens_per_s=told.output_tokens_per_s * factor,
    )  # fmt: skip


def _rescaled(question: Question) -> bool:
    """Whether the question says its load itself, so that a share of it is as real as all of it."""
    own = (
        question.rate_per_s, question.users, question.prompt_tokens, question.output_tokens
    )  # fmt: skip
    return any(value is not None for value in own)


@lru_cache(maxsize=64)
def _traffic(question: Question, played: int, replicas: int) -> Load:
    """The question's traffic, or the share of it that so many of all replicas get."""
    demand = demand_of(question)
    lengths_given = question.prompt_tokens is not None or question.output_tokens is not None
    table = TrafficTable(trace=question.trace)
    if lengths_given:
        table = TrafficTable(
            prompt_tokens=round(question.prompt_tokens or demand.prompt_mean),
            output_tokens=round(question.output_tokens or demand.output_mean),
        )
    if demand.concurrency:
        users = max(round(demand.concurrency * played / replicas), 1)
        table = table.model_copy(update={"concurrency": users})
    elif _rescaled(question):
        table = table.model_copy(update={"rate_per_s": demand.rate_per_s * played / replicas})
    return load(traffic_from(table, question.seed))


def _case(outcome: Outcome, calibration: str) -> Case:
    model, arch = language_model(outcome.model)
    where = platform(outcome.hardware)
    return Case(
        where, model, arch, weight_format(outcome.weights), cache_format(outcome.cache),
        engine_here(outcome.engine, where, calibration),
    )  # fmt: skip


def _layout(text: str) -> Layout:
    """A layout from its own text, such as "TP4·PP2"."""
    degrees = {part[:2].lower(): int(part[2:]) for part in text.split("·")}
    return Layout(**degrees)


def verify_plan(
    question: Question, plan: Plan, *, finalists: int = FINALISTS,
    progress: Callable[[str], None] | None = None,
) -> Plan:  # fmt: skip
    """A plan whose best options were played against the real traffic.

    Parameters: question; plan, its answer in closed form; finalists [kinds of hardware] to
    verify, the best first; progress, told the name of each.
    Returns: a Plan of the verified options alone, ranked anew; those that fail stand among the
    refusals.
    """
    book = price_book(question.currency, region=question.region, own=question.prices)
    names = [option.hardware for option in plan.options]
    names += [one.hardware for one in plan.refused if one.limit in _MAYBE]
    candidates = _candidates(question, plan, names[:finalists])
    best: dict[str, Option] = {}
    refused: dict[str, Refusal] = {one.hardware: one for one in plan.refused}
    runs = 0
    for hardware in candidates:
        if progress is not None:
            progress(hardware)
        for option in candidates[hardware]:
            answer, count = _verified(question, option, book)
            runs += count
            if isinstance(answer, Refusal):
                refused.setdefault(hardware, answer)
            elif hardware not in best or answer == _better(question, answer, best[hardware]):
                best[hardware] = answer
    found = ranked(best.values(), question.minimise)

    def first(goal: str) -> Option | None:
        return next(iter(ranked(found, goal)), None)

    said = f"{len(found)} of {len(candidates)} finalists hold under the traffic ({runs} runs)"
    left = len(names) - len(candidates)
    said += f"; {left} further kinds of hardware were not simulated" if left else ""
    return replace(
        plan, options=found, pareto=pareto(found), cheapest=first("cost"),
        ahead=ahead(found, question.minimise, closed=plan.demand.rate_per_s == 0),
        refused=tuple(one for name, one in refused.items() if name not in best),
        fastest=first("latency"), greenest=first("energy"), notes=(*plan.notes, said),
    )  # fmt: skip


def _candidates(question: Question, strict: Plan, names: list[str]) -> dict[str, list[Option]]:
    """What to simulate on each hardware, the best first: the plan's option and bolder ones.

    The closed form estimates the tails of queues, and where it is too careful it asks for more
    GPUs than the traffic needs; so the best under looser limits are played as well.
    """
    options = [option for option in strict.options if option.hardware in names]
    for factor in _LOOSER if names else ():
        limits = {
            key: limit * factor if limit and factor < math.inf else None
            for key, limit in (("ttft_s", question.ttft_s), ("tpot_s", question.tpot_s))
        }
        eased = question.model_copy(update={**limits, "hardware": tuple(names)})
        options += plan_of(eased).options
    found: dict[str, list[Option]] = {name: [] for name in names}
    for option in ranked(options, question.minimise):
        known = [_shape(one) for one in found[option.hardware]]
        if _shape(option) not in known:
            found[option.hardware].append(option)
    return found


def _shape(option: Option) -> tuple[tuple[str, str], ...]:
    """What an option is apart from its number of replicas."""
    return tuple((one.layout, one.weights) for one in option.outcomes)


def _better(question: Question, one: Option, other: Option) -> Option:
    return ranked([one, other], question.minimise)[0]


def _verified(question: Question, option: Option, book: PriceBook) -> tuple[Option | Refusal, int]:
    """The option as it was played, or why it is out, and how many runs that took."""
    where = platform(option.hardware)
    try:
        answers = [verify(question, outcome) for outcome in option.outcomes]
    except Infeasible as problem:
        return Refusal(where.name, "memory", str(problem), "more GPUs"), 0
    runs = sum(answer.runs for answer in answers)
    for answer in answers:
        if not answer.holds:
            told = answer.outcome
            return Refusal(
                where.name, "latency",
                f"{told.gpus} GPUs played against the traffic give TTFT "
                f"{told.ttft_s.at(question.percentile):.3g} s and TPOT "
                f"{told.tpot_s.at(question.percentile):.3g} s at p{question.percentile:g}",
                "looser limits, or another layout",
            ), runs  # fmt: skip
    closed = demand_of(question).rate_per_s == 0
    outcomes = tuple(drawn_here(answer.outcome, question.calibration) for answer in answers)
    played = summed(question, where, outcomes, book, closed=closed)
    beyond = excess(question, played)
    return (played if beyond is None else beyond[1]), runs
