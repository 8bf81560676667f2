"""Figures of the shopper's answer in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenmill.cost.money import Money
from tokenmill.interface.cli import buy_text as text

if TYPE_CHECKING:
    from tokenmill.planner.shop.answer import Offer, Remedy
    from tokenmill.planner.shop.money import CardPrice
    from tokenmill.planner.shop.question import Job
    from tokenmill.planner.shop.use import Use
    from tokenmill.simulator.outcome import Interval

__all__ = [
    "draw", "form", "gigabytes", "job_name", "listed", "marks", "named", "places", "priced",
    "remedies", "watts",
]  # fmt: skip

_TIGHT = 0.05


def named(offer: Offer) -> str:
    """A card, with how many of it where more than one."""
    if offer.count == 1:
        return offer.card
    return text.COUNT.format(count=offer.count, card=offer.card)


def job_name(job: Job) -> str:
    """A workload as its model, with the format where one was asked for."""
    return f"{job.model}@{job.form}" if job.form else job.model


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {text.AND} {words[-1]}"


def form(name: str) -> str:
    """A number format as people say it."""
    return text.FORMS.get(name, name)


def gigabytes(value: float) -> str:
    """An amount of memory [B]."""
    return text.GIGABYTES.format(value=value / 2**30)


def watts(value: float) -> str:
    """A power [W]."""
    return f"{value:,.0f} W"


def draw(value: Interval) -> str:
    """A power with its interval [W]."""
    return f"{value.value:.0f} W"


def places(use: Use) -> str:
    """Where a workload's memory is, and how much of it."""
    needs, has = (f"{value / 2**30:.1f}" for value in (use.needs_bytes, use.has_bytes))
    words = text.WAY[use.way].format(needs=needs, has=has)
    left = 1.0 - use.needs_bytes / use.has_bytes
    return words + text.TIGHT if 0 <= left < _TIGHT else words


def priced(amount: Money, price: CardPrice) -> str:
    """An amount with what there is to know of the price behind it."""
    words = amount.text() + marks(price)
    return text.USED.format(price=words) if price.used else words


def marks(price: CardPrice | None) -> str:
    """What to mind of a price: its age, or that no shop asks it."""
    return "" if price is None else text.OLD * price.stale + text.LAUNCH * price.launch


def remedies(found: Sequence[Remedy], card: str, *, join: str = "; ", currency: str = "") -> str:
    """Changes that work, in words."""
    return join.join(_remedy(one, card, currency) for one in found)


def _remedy(one: Remedy, card: str, currency: str) -> str:
    value = one.value
    if one.kind == "budget":
        value = Money.of(float(value), currency)
    if one.kind == "form":
        value = form(value)
    rate = ""
    if one.use is not None:
        image = one.use.job.kind == "image"
        per = one.use.per_s.value * (60.0 if image else 1.0)
        rate = text.REMEDY_RATE.format(
            rate=f"{per:.3g}", unit=text.IMAGE_UNIT if image else text.CHAT_UNIT
        )
    price = ""
    if one.price is not None:
        price = text.REMEDY_PRICE.format(price=priced(one.price.amount, one.price))
    return text.REMEDY[one.kind].format(
        value=value, card=card, rate=rate, price=price, keeps=one.keeps
    )
