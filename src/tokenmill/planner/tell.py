"""From chosen points to an Option: outcomes, money and notes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tokenmill.cost.hourly import per_million_tokens
from tokenmill.cost.money import Money
from tokenmill.errors import NoPrice
from tokenmill.placement.platform import Platform
from tokenmill.planner.answer import Option
from tokenmill.planner.chances import within_limits
from tokenmill.planner.here import drawn_here, sure_here
from tokenmill.planner.pricing import Bill, PriceBook
from tokenmill.simulator.describe import outcome
from tokenmill.simulator.outcome import Outcome
from tokenmill.work.workload import Demand

if TYPE_CHECKING:
    from tokenmill.planner.question import Question
    from tokenmill.planner.search import Choice

__all__ = ["OLD_PRICE", "OLD_PURCHASE", "prefill_share", "priced", "summed", "tell"]

OLD_PRICE = "price older than a year"
OLD_PURCHASE = "purchase price older than a year"


def tell(
    question: Question, where: Platform, choices: tuple[Choice, ...], demand: Demand,
    book: PriceBook,
) -> Option:  # fmt: skip
    """The option that runs one chosen point per model on a platform."""
    outcomes = tuple(
        drawn_here(
            outcome(
                choice.case, choice.layout, demand, choice.replicas,
                running=choice.running(demand),
            ), question.calibration,
        )
        for choice in choices
    )  # fmt: skip
    return summed(question, where, outcomes, book, closed=demand.rate_per_s == 0)


def summed(
    question: Question, where: Platform, outcomes: tuple[Outcome, ...], book: PriceBook, *,
    closed: bool,
) -> Option:  # fmt: skip
    """The option that these outcomes, one per model, make on a platform.

    Parameters: closed, whether users wait for their answers before they ask again.
    """
    gpus = sum(item.gpus for item in outcomes)
    watts = sum(item.watts for item in outcomes)
    output = sum(item.output_tokens_per_s for item in outcomes)
    bill = _bill(book, where, gpus, watts, question.acquire)
    bills = [bill]
    if len(outcomes) > 1:
        bills = [_bill(book, where, x.gpus, x.watts, question.acquire) for x in outcomes]
    option = Option(
        hardware=where.name,
        outcomes=tuple(
            sure_here(_with_money(item, own), question.calibration, closed=closed)
            for item, own in zip(outcomes, bills, strict=True)
        ),
        gpus=gpus,
        machines=math.ceil(gpus / where.machine_gpus),
        ttft_s=max(item.ttft_s.at(question.percentile) for item in outcomes),
        tpot_s=max(item.tpot_s.at(question.percentile) for item in outcomes),
        watts=watts,
        joules_per_output_token=watts / output,
        output_tokens_per_s=output,
        per_hour=bill.per_hour.total if bill else None,
        per_million_output_tokens=(bill.per_hour.total / (output * 3600.0 / 1e6) if bill else None),
        purchase=bill.purchase if bill else None,
        basis=bill.basis if bill else "no price on record",
        notes=_ages(bill),
    )
    limits = (question.ttft_s or math.inf, question.tpot_s or math.inf)
    return replace(option, within_limits=within_limits(option, *limits, closed=closed))


def _ages(bill: Bill | None) -> tuple[str, ...]:
    """Notes on prices older than a year."""
    if bill is None:
        return ()
    return (OLD_PRICE,) * bill.stale + (OLD_PURCHASE,) * bill.purchase_stale


def _bill(book: PriceBook, where: Platform, gpus: int, watts: float, acquire: str) -> Bill | None:
    try:
        return book.bill(where, gpus, watts, acquire)
    except NoPrice:
        return None


def priced(
    item: Outcome, where: Platform, book: PriceBook, acquire: str, *, closed: bool,
    calibration: str = "",
) -> Outcome:  # fmt: skip
    """An outcome with its money (per hour line by line, per million tokens, purchase), and with
    the intervals of all its figures.

    Parameters: closed, whether users wait for their answers before they ask again; calibration,
    the file of a cluster that was measured.
    """
    item = drawn_here(item, calibration)
    told = _with_money(item, _bill(book, where, item.gpus, item.watts, acquire))
    return sure_here(told, calibration, closed=closed)


def _with_money(item: Outcome, bill: Bill | None) -> Outcome:
    if bill is None:
        return replace(item, notes=(*item.notes, f"no price on record for {item.accelerator}"))
    busy = max(item.utilisation, 1e-9)
    share = prefill_share(item)
    tokens = per_million_tokens(
        bill.per_hour, item.input_tokens_per_s / busy, item.output_tokens_per_s / busy,
        prefill_share=share, utilisation=busy,
    )  # fmt: skip

    def plain(amount: Money | None) -> dict[str, object] | None:
        if amount is None:
            return None
        return {"amount": amount.amount, "currency": amount.currency}

    money = {
        "per_hour": plain(bill.per_hour.total),
        "lines": [
            {"label": line.label, "amount": line.money.amount, "basis": line.basis}
            for line in bill.per_hour.lines
        ],
        "per_million_tokens": plain(tokens.blended.total),
        "per_million_input_tokens": plain(tokens.input.total if tokens.input else None),
        "per_million_output_tokens": plain(tokens.output.total if tokens.output else None),
        "purchase": plain(bill.purchase),
        "basis": bill.basis,
        "currency": bill.per_hour.currency,
    }
    return replace(item, money=money, notes=(*item.notes, *_ages(bill)))


def prefill_share(item: Outcome) -> float:
    """Share of the busy time that prompts take: their part of a request's own step time."""
    prefill = sum(share.seconds for share in item.prefill)
    decode = sum(share.seconds for share in item.decode)
    prompts = item.input_tokens_per_s / max(item.requests_per_s, 1e-12)
    answers = item.output_tokens_per_s / max(item.requests_per_s, 1e-12)
    steps = answers * decode / max(item.batch, 1.0)
    chunks = max(prompts / 8192.0, 1.0)
    return min(prefill * chunks / max(prefill * chunks + steps, 1e-12), 1.0)
