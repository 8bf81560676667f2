"""The shopper: which card for these workloads, at these hours, within these limits."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenmill.catalog import load
from tokenmill.catalog.boards import Board, board, desktop_cards
from tokenmill.catalog.records import Accelerator
from tokenmill.cost.exchange import Rate
from tokenmill.errors import NoPrice, Unsupported
from tokenmill.physics.power import family
from tokenmill.placement.platform import platform
from tokenmill.planner.shop.answer import (
    Offer,
    Remedy,
    Shop,
    Turned,
    best_rates,
    ranked,
    work_done,
)
from tokenmill.planner.shop.money import CardPrice, Till, costs, desktop, meter_w, pc_host, till
from tokenmill.planner.shop.question import Job, ShopQuestion, jobs_of, shop_question
from tokenmill.planner.shop.remedies import Ladder, ladder, relieved, shortages
from tokenmill.planner.shop.use import use_of
from tokenmill.simulator.outcome import Interval

__all__ = ["ask", "buy"]

_LEAST_CAP = 0.5  # of a card's limit; whether a driver lets it go lower is nowhere on record
_STEP_W = 5.0
_MOST_CHANGES = 3
_LASTING = ("unsupported", "price", "form", "cap")  # limits that no change of the question lifts


def buy(
    question: ShopQuestion, *, today: datetime.date | None = None,
    progress: Callable[[str], None] | None = None,
) -> Shop:  # fmt: skip
    """Cards ranked by what they do for the workloads of a question.

    Parameters: question; today, for the age of prices; progress, told each card's name.
    Returns: a Shop; cards that are out stand among those turned down, with their reason.
    Raises: InputError (UnknownName) for a question that cannot be read; NoPrice where the region
    has no tariff on record; Unsupported where none of the uses is modelled.
    """
    jobs, unmodelled, on_hours = jobs_of(question)
    if not jobs:
        raise Unsupported(
            f"{' and '.join(unmodelled)}: not predicted by any model here; "
            "name images, chat, or a model on record"
        )
    desk = _Desk(question, jobs, on_hours, till(question, today=today))
    names = [load.accelerator(name).slug for name in question.cards] or desktop_cards()
    offers: list[Offer] = []
    turned: list[Turned] = []
    for card in dict.fromkeys(names):
        if progress is not None:
            progress(card)
        found = [desk.examine(card, count) for count in range(1, question.count + 1)]
        good = [one for one in found if isinstance(one, Offer)]
        offers += good
        if not good:
            turned.append(next(one for one in found if isinstance(one, Turned)))
    return _assembled(desk, unmodelled, offers, turned)


def ask(cards: str | Sequence[str] = (), **given: Any) -> Shop:
    """Cards ranked for a question as keywords: ask("rtx-4090,rtx-4070", region="JP").

    Parameters: cards, none for every desktop card; given, the other fields of `ShopQuestion`.
    Returns, raises: as `buy`.
    """
    return buy(shop_question(cards=cards, **given))


@dataclass(frozen=True)
class _Desk:
    """A question with its workloads and its till."""

    question: ShopQuestion
    jobs: tuple[Job, ...]
    on_hours: float
    till: Till

    def examine(self, card: str, count: int) -> Offer | Turned:
        """An offer of `count` cards, or the limit that turns it down."""
        record = load.accelerator(card)
        if not record.form_factor.startswith("PCIe"):
            return Turned(card, count, "form", message=record.form_factor or record.market)
        try:
            idle_w = platform(card).power.idle_w
            if self.question.cap_w is not None and self.question.cap_w <= idle_w:
                return Turned(card, count, "cap", idle_w, self.question.cap_w)
            offer = self._offer(card, count)
        except Unsupported as problem:
            return Turned(card, count, "unsupported", message=str(problem))
        if not offer.runs:
            least = min(offer.uses, key=lambda use: use.needs_bytes)
            return Turned(card, count, "memory", least.needs_bytes, least.has_bytes)
        return self._over(offer) or offer

    def _offer(self, card: str, count: int) -> Offer:
        q, where = self.question, platform(card)
        power = where.power
        uses = tuple(use_of(job, card, count, q.cap_w) for job in self.jobs)
        idle = Interval(*[count * power.idle_w] * 3)
        busy = max((use.card_w for use in uses if use.runs), default=idle, key=lambda w: w.value)
        limit_w = max(min(power.limit_w, q.cap_w or math.inf), power.idle_w)
        price = self._price(card, q.condition)
        if q.condition == "either" and self._beyond(price, count):
            used = self._price(card, "used")
            price = price if self._beyond(used, count) else used
        return Offer(
            card=card, name=where.accelerator.name, count=count, uses=uses,
            memory_bytes=where.chip.memory_bytes, limit_w=limit_w, idle_w=power.idle_w,
            busy_w=busy, wall_w=meter_w(busy.value, host=True),
            most_wall_w=meter_w(limit_w * count, host=True),
            costs=costs(q, uses, count, price, power.idle_w, self.on_hours, self.till.per_kwh),
            price=price, used=self._price(card, "used"), board=_board(card),
            draw_kind=_draw_kind(where.accelerator),
        )  # fmt: skip

    def _price(self, card: str, condition: str) -> CardPrice | None:
        try:
            return self.till.card(card, condition)
        except NoPrice:
            return None

    def _beyond(self, price: CardPrice | None, count: int) -> bool:
        """Whether cards at that price, if it is known, cost more than the budget."""
        most = self._budget()
        return most is not None and (price is None or price.amount.amount * count > most)

    def _budget(self) -> float | None:
        budget = self.question.budget
        return None if budget is None else self.till.convert(budget.amount, budget.currency).amount

    def _over(self, offer: Offer) -> Turned | None:
        """The first limit that an offer is beyond."""
        q, count = self.question, offer.count
        if q.slots is not None and offer.board and offer.board.slots.value * count > q.slots:
            return Turned(offer.card, count, "slots", offer.board.slots.value * count, q.slots)
        most = self._budget()
        if most is not None and self._beyond(offer.price, count):
            if offer.purchase is None:
                return Turned(offer.card, count, "price", 0.0, most)
            return Turned(
                offer.card, count, "budget", offer.purchase.amount, most, price=offer.price
            )
        if q.power_w is not None and offer.wall_w > q.power_w:
            return Turned(offer.card, count, "power", offer.wall_w, q.power_w)
        if q.quiet_w is not None and offer.busy_w.value > q.quiet_w:
            return Turned(offer.card, count, "quiet", offer.busy_w.value, q.quiet_w)
        return None

    def changed(self, change: dict[str, object]) -> _Desk:
        """The same desk under a changed question."""
        return replace(self, question=ShopQuestion(**{**self.question.model_dump(), **change}))


def _draw_kind(accelerator: Accelerator) -> str:
    name = family(accelerator.architecture, accelerator.process)
    return load.calibration(name).weakest_kind()


def _board(card: str) -> Board | None:
    try:
        return board(card)
    except Unsupported:
        return None


def _assembled(
    desk: _Desk, unmodelled: tuple[str, ...], offers: list[Offer], turned: list[Turned]
) -> Shop:
    q = desk.question
    best = best_rates(offers, len(desk.jobs))
    measured = [replace(one, work=work_done(one.uses, best)) for one in offers]
    kept: dict[str, Offer] = {}
    for one in ranked(measured, q.best):
        kept.setdefault(one.card, one)
    rows = ladder(desk.till, q.condition)
    told = tuple(
        replace(one, shortages=shortages(one.uses, one.card, one.count, q.cap_w, rows))
        if at < q.top or q.cards
        else one
        for at, one in enumerate(kept.values())
    )
    return Shop(
        jobs=desk.jobs, unmodelled=unmodelled, goal=q.best, condition=q.condition, region=q.home,
        currency=q.money, on_hours=desk.on_hours, life_years=q.life_years, resale=q.resale,
        named=bool(q.cards), top=q.top, offers=told,
        turned=tuple(_with_remedies(desk, one, rows) for one in turned),
        tariff=desk.till.tariff, tariff_stale=desk.till.tariff.is_stale(desk.till.today),
        per_kwh=desk.till.per_kwh,
        exchange=_rates_used(desk.till, told), host=pc_host(),
        intervals=load.calibration("interval-serving").weakest_kind(),
        question=q.model_dump(mode="json", exclude_defaults=True),
    )  # fmt: skip


def _rates_used(counter: Till, offers: Iterable[Offer]) -> tuple[Rate, ...]:
    """The rates between the till's currency and those that prices stand in."""
    paid = {
        card.entry.currency
        for one in offers for card in (one.price, one.used) if card is not None
    } | {counter.tariff.currency}  # fmt: skip
    foreign = paid - {counter.currency}
    known = tuple(counter.exchange.known.values())
    direct = [one for one in known if {one.currency, one.in_currency} <= paid | {counter.currency}]
    return tuple(direct) if len(direct) >= len(foreign) else known  # else by way of a third


def _with_remedies(desk: _Desk, out: Turned, rows: Ladder) -> Turned:
    """What would let a card in again; every remedy was asked."""
    if out.limit == "memory":
        uses = [use_of(job, out.card, out.count, desk.question.cap_w) for job in desk.jobs]
        least = min(uses, key=lambda use: use.needs_bytes)
        return replace(out, remedies=relieved(least, out.card, out.count, None, rows))
    if out.limit in _LASTING:
        return out
    remedies: list[Remedy] = []
    change: dict[str, object] = {}
    current = out
    for _ in range(_MOST_CHANGES):
        remedy, more = _eased(desk.changed(change) if change else desk, current)
        change |= more
        remedies.append(remedy)
        answer = desk.changed(change).examine(out.card, out.count)
        if isinstance(answer, Offer):
            kept = [replace(one, keeps=_kept(answer)) if one.kind == "cap" else one
                    for one in remedies]  # fmt: skip
            return replace(out, remedies=tuple(kept))
        if answer.limit in (*_LASTING, "memory"):
            break
        current = answer
    return out


def _kept(capped: Offer) -> float:
    """The part of its speed that a card keeps under a power limit, over the hours of work."""
    pairs = [(use, use_of(use.job, capped.card, capped.count)) for use in capped.uses if use.runs]
    hours = sum(use.job.hours for use, _ in pairs)
    return sum(
        use.job.hours * use.per_s.value / free.per_s.value for use, free in pairs
    ) / hours  # fmt: skip


def _eased(desk: _Desk, out: Turned) -> tuple[Remedy, dict[str, object]]:
    """The change that lifts one limit: a power cap or a used card, else as much as is needed."""
    q = desk.question
    if out.limit in ("power", "quiet"):
        cap = _cap_w(desk, out)
        if cap is not None:
            return Remedy("cap", cap), {"cap_w": cap}
        needed = _STEP_W * math.ceil(out.needs / _STEP_W)
        return Remedy(out.limit, needed), {f"{out.limit}_w": needed}
    if out.limit == "slots":
        return Remedy("slots", out.needs), {"slots": int(out.needs)}
    if q.condition == "new":
        try:
            used = desk.till.card(out.card, "used")
        except NoPrice:
            used = None
        if used is not None and used.amount.amount * out.count <= out.has:
            return Remedy("used", used.amount * out.count), {"condition": "used"}
    needed = math.ceil(out.needs)
    return Remedy("budget", needed), {"budget": {"amount": needed, "currency": q.money}}


def _cap_w(desk: _Desk, out: Turned) -> float | None:
    """A power limit for each card that keeps a limit on power or noise, or None where too low."""
    if desk.question.cap_w is not None:
        return None
    if out.limit == "quiet":
        room_w = out.has
    else:
        pc = desktop()
        room_w = out.has * pc.supply_efficiency / (1.0 + pc.fan_share) - pc.host_w
    cap = _STEP_W * math.floor(room_w / out.count / _STEP_W)
    return cap if cap >= _LEAST_CAP * platform(out.card).power.limit_w else None
