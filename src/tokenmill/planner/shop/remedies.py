"""What would run a workload that a card does not hold: every answer was asked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tokenmill.catalog import load
from tokenmill.catalog.boards import desktop_cards
from tokenmill.errors import NoPrice, TokenmillError
from tokenmill.planner.shop.answer import Remedy, Shortage
from tokenmill.planner.shop.images import picture_of
from tokenmill.planner.shop.money import CardPrice, Till
from tokenmill.planner.shop.question import Job
from tokenmill.planner.shop.use import Use, use_of
from tokenmill.work.precision import weight_format

__all__ = ["Ladder", "ladder", "relieved", "shortages"]

Ladder = tuple[tuple[str, CardPrice | None], ...]

_CHAT_FORMS = ("q4_k_m", "q3_k_m", "q2_k", "iq2_xxs")
_IMAGE_FORMS = ("fp8_wo", "int4_wo")
_MOST_CARDS = 4
_LEAST_CONTEXT, _LEAST_SIDE = 1024.0, 512


def ladder(counter: Till, condition: str) -> Ladder:
    """Desktop cards with their prices, from the cheapest on; then by memory those without one."""

    def priced(slug: str) -> CardPrice | None:
        try:
            return counter.card(slug, condition)
        except NoPrice:
            return None

    def place(step: tuple[str, CardPrice | None]) -> tuple[float, float, str]:
        slug, price = step
        amount = float("inf") if price is None else price.amount.amount
        return amount, load.accelerator(slug).value("memory"), slug

    return tuple(sorted(((slug, priced(slug)) for slug in desktop_cards()), key=place))


def shortages(
    uses: Sequence[Use], card: str, count: int, cap_w: float | None, cards: Ladder
) -> tuple[Shortage, ...]:
    """The workloads that a card does not hold in its memory, each with what would.

    Parameters: uses of that card; count of it; cap_w [W] set on it; cards, a ladder
    on which the first that is large enough wins.
    """
    return tuple(
        Shortage(use, relieved(use, card, count, cap_w, cards))
        for use in uses if use.way not in ("resident", "split")
    )  # fmt: skip


def relieved(
    use: Use, card: str, count: int, cap_w: float | None, cards: Ladder
) -> tuple[Remedy, ...]:
    """Changes after which a workload stays in memory, at most one of each kind.

    Another card must not be slower than this one is from the memory of the host.
    """
    found: dict[str, Remedy] = {}
    prices = dict(cards)
    for kind, value, job, other, cards_needed in _trials(use, card, count, cards):
        if kind in found:
            continue
        try:
            tried = use_of(job, other, cards_needed, cap_w)
        except TokenmillError:
            continue
        slower = use.runs and tried.per_s.value < use.per_s.value
        if tried.way in ("resident", "split") and not (kind == "card" and slower):
            found[kind] = Remedy(kind, value, tried, prices[other] if kind == "card" else None)
    return tuple(found.values())


def _trials(
    use: Use, card: str, count: int, cards: Ladder
) -> Iterator[tuple[str, object, Job, str, int]]:
    """(kind of change, its value, the workload then, card, how many), the nearest first."""
    job = use.job
    if job.kind == "chat":
        bits = weight_format(use.form).feed_forward_bits
        for form in _CHAT_FORMS:
            if weight_format(form).feed_forward_bits < bits:
                yield "form", form, replace(job, form=form), card, count
        context = job.context_tokens / 2.0
        while context >= _LEAST_CONTEXT:
            yield "context", context, replace(job, context_tokens=context), card, count
            context /= 2.0
        for more in range(count + 1, _MOST_CARDS + 1):
            yield "count", more, job, card, more
    else:
        for form in _IMAGE_FORMS:
            if form != use.form:
                yield "form", form, replace(job, form=form), card, count
        width, height, _ = picture_of(job)
        while min(width, height) // 2 >= _LEAST_SIDE:
            width, height = width // 2, height // 2
            smaller = replace(job, width=width, height=height)
            yield "size", width, smaller, card, count
    for other, _ in cards:
        if other != card:
            yield "card", other, job, other, 1
