"""The demand of a question: its trace, its lengths and rate, or the bundled conversation hour."""

from __future__ import annotations

from functools import lru_cache

from tokenmill.planner.question import Question
from tokenmill.work.profiles import default_traffic
from tokenmill.work.traces import read_trace
from tokenmill.work.traffic import Traffic
from tokenmill.work.workload import Demand, demand_from_lengths, fixed_demand

__all__ = ["demand_of", "traffic_of"]

_PROMPT, _OUTPUT = 1024.0, 256.0  # tokens, where a rate or users are given without lengths


def demand_of(question: Question) -> Demand:
    """The demand that a question puts on each of its models.

    Users with a think time are taken as an open rate of users / think time, the most they can
    ask; users without one as that many requests always in flight.
    Raises: BadRecord for a trace that cannot be read.
    """
    rate, concurrency = _load(question)
    lengths_given = question.prompt_tokens is not None or question.output_tokens is not None
    if not lengths_given:
        return _of_traffic(question, rate, concurrency)
    if rate is None and not concurrency:
        rate = 1.0
    return fixed_demand(
        question.prompt_tokens or _PROMPT, question.output_tokens or _OUTPUT,
        rate_per_s=rate or 0.0, concurrency=concurrency,
    )  # fmt: skip


def _load(question: Question) -> tuple[float | None, float]:
    """(requests per second or None where the trace says, requests always in flight)."""
    if question.users is None:
        return question.rate_per_s, 0.0
    if question.think_s > 0:
        return question.users / question.think_s, 0.0
    return None, question.users


def traffic_of(question: Question) -> Traffic:
    """The traffic of a question: its trace file, or the bundled synthetic hour."""
    return _traffic(question.trace, question.seed)


@lru_cache(maxsize=4)
def _traffic(trace: str, seed: int) -> Traffic:
    return read_trace(trace) if trace else default_traffic(seed=seed)


def _of_traffic(question: Question, rate: float | None, concurrency: float) -> Demand:
    traffic = traffic_of(question)
    return demand_from_lengths(
        traffic.prompt_tokens, traffic.output_tokens, traffic.arrival_s,
        origin=traffic.name, rate_per_s=rate, concurrency=concurrency,
    )  # fmt: skip
