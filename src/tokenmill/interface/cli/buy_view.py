"""How the shopper's answer looks on a terminal, from 45 to 140 columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from tokenmill.cost.money import CURRENCIES, Money, Statement
from tokenmill.interface.cli import buy_text as text
from tokenmill.interface.cli.buy_words import (
    draw,
    form,
    gigabytes,
    job_name,
    listed,
    marks,
    named,
    places,
    priced,
    remedies,
    watts,
)
from tokenmill.interface.cli.page import Page, Row
from tokenmill.placement.engines import engine
from tokenmill.planner.shop.images import picture_of
from tokenmill.planner.shop.use import ENGINE

if TYPE_CHECKING:
    from tokenmill.planner.shop.answer import Offer, Shop, Turned
    from tokenmill.planner.shop.money import CardPrice
    from tokenmill.planner.shop.use import Use

__all__ = ["show"]

# Columns in the order they are shown, and those to leave out, the first one first, where the
# terminal is too narrow; the whole answer is in --json.
_RANKING = (
    ("rank", "card", "memory", "runs", "work", "money", "power", "price", "yearly"),
    ("work", "rank", "power", "price", "runs", "memory"),
)
_JOB = (
    ("card", "rate", "interval", "first", "form", "memory", "draw", "unit_cost"),
    ("first", "draw", "form", "unit_cost", "memory", "interval"),
)
_WATTS = (
    ("card", "limit", "busy", "interval", "idle", "wall", "most", "supply"),
    ("most", "interval", "supply", "idle", "wall"),
)
_YEAR = (
    ("card", "purchase", "working", "idle", "total", "between"),
    ("between", "idle", "working", "purchase"),
)
_LEFT = ("card", "form", "memory", "interval", "between")


def show(shop: Shop) -> None:
    """Print the answer: the ranking, each workload, watts, money, what does not fit, sources."""
    page = Page()
    told = shop.offers if shop.named else shop.offers[: shop.top]
    _heading(page, shop)
    if told:
        _best(page, shop)
        _ranking(page, shop, told)
        for at in range(len(shop.jobs)):
            _job(page, shop, told, at)
        _watts(page, shop, told)
        _year(page, shop, told)
        _short(page, told)
    else:
        page.say(text.NOTHING, "bold")
    _turned(page, shop)
    if told:
        _prices(page, shop, told)
    _sure(page, shop, told)


def _heading(page: Page, shop: Shop) -> None:
    page.say(text.TITLE.format(jobs=listed([job_name(job) for job in shop.jobs])), "bold")
    tariff = shop.tariff
    own = tariff.source.kind == "assumed" and tariff.region == ""
    page.say(text.SETTING.format(
        hours=shop.hours, on_hours=shop.on_hours, condition=text.CONDITION[shop.condition],
        years=shop.life_years, region=text.REGION.get(shop.region, shop.region),
        per_kwh=shop.per_kwh.text(2 if shop.per_kwh.amount >= 10 else 4), date=tariff.date,
        tariff=text.OWN_TARIFF if own else text.TARIFF[tariff.kind],
    ))  # fmt: skip


def _best(page: Page, shop: Shop) -> None:
    """The best card for each goal, and one that does more for the money but not everything."""
    best = {goal: shop.best(goal) for goal in ("speed", "money", "power")}
    first = best["speed"]
    assert first is not None  # there are offers
    known = [one for one in shop.offers if one.price is not None]
    tail = text.BEST_RUNS.format(runs=first.runs, jobs=len(shop.jobs))
    page.say()
    if known and len({one.card for one in best.values() if one}) == 1 and first.price:
        page.say(text.BEST["all"].format(card=named(first)) + tail, "bold")
    else:
        for goal, one in best.items():
            if one is not None and (goal != "money" or one.price is not None):
                page.say(text.BEST[goal].format(card=named(one)) + tail, "bold")
    if not known:
        page.say(text.NO_PRICE_BEST)
        return
    cheaper = max(known, key=lambda one: one.score("money"))
    top = best["money"]
    if top is not None and top.price is not None and cheaper.runs < top.runs:
        missing = [job_name(use.job) for use in cheaper.uses if not use.runs]
        page.say(text.CHEAPER.format(
            card=named(cheaper), jobs=listed(missing),
            percent=cheaper.score("money") / top.score("money") - 1.0,
        ))  # fmt: skip


def _ranking(page: Page, shop: Shop, told: Sequence[Offer]) -> None:
    most = {goal: max(one.score(goal) for one in shop.offers) for goal in ("money", "power")}

    def relative(one: Offer, goal: str) -> str:
        score = one.score(goal)
        return f"{100.0 * score / most[goal]:.0f}" if score > 0 else "–"

    rows = [
        {
            "rank": str(place), "card": named(one), "runs": f"{one.runs}/{len(shop.jobs)}",
            "memory": text.LABEL.format(value=one.memory_bytes / 2**30),
            "work": f"{one.work:.0%}", "money": relative(one, "money"),
            "power": relative(one, "power"),
            "price": _price(one.purchase, one.price), "yearly": _yearly(one),
        }
        for place, one in enumerate(told, 1)
    ]  # fmt: skip
    sign = _sign(shop.currency)
    page.say()
    shown = _table(page, text.RANKING, _RANKING, rows, sign=sign)
    if len(told) < len(shop.offers):
        page.say(text.MORE.format(count=len(shop.offers) - len(told), total=len(shop.offers)))
    told_of = " ".join(words for key, words in text.RANKING_FOOT.items() if key in shown)
    page.say(told_of.format(sign=sign), "dim")


def _job(page: Page, shop: Shop, told: Sequence[Offer], at: int) -> None:
    job = shop.jobs[at]
    if job.kind == "image":
        width, height, steps = picture_of(job)
        title = text.IMAGE_TITLE.format(model=job.model, width=width, height=height, steps=steps)
        words = {"rate": text.IMAGE_RATE, "first": text.IMAGE_FIRST, "amount": text.IMAGE_AMOUNT}
    else:
        title = text.CHAT_TITLE.format(
            model=job.model, context=job.context_tokens, form=told[0].uses[at].form
        )
        words = {"rate": text.CHAT_RATE, "first": text.CHAT_FIRST, "amount": text.CHAT_AMOUNT}
    rows = [
        {"card": named(one), "unit_cost": _unit_cost(one, at)} | _use_row(one.uses[at])
        for one in sorted(told, key=lambda one: -one.uses[at].per_s.value)
    ]
    title += text.JOB_HOURS.format(hours=job.hours)
    page.section(title)
    _table(page, text.JOB, _JOB, rows, sign=_sign(shop.currency), **words)


def _use_row(use: Use) -> dict[str, str]:
    cells = {"form": form(use.form), "memory": places(use)}
    if not use.runs:
        return cells | {"rate": "–", "interval": text.DOES_NOT_RUN, "first": "–", "draw": "–"}
    scale = 60.0 if use.job.kind == "image" else 1.0
    low, value, high = (f"{x * scale:.3g}" for x in (
        use.per_s.low, use.per_s.value, use.per_s.high))  # fmt: skip
    return cells | {
        "rate": value, "interval": text.BETWEEN.format(low=low, high=high),
        "first": f"{use.first_s:.3g} s", "draw": draw(use.card_w),
    }  # fmt: skip


def _unit_cost(one: Offer, at: int) -> str:
    cost = one.unit_costs[at]
    if cost is None:
        return "–" if not one.uses[at].runs else text.NO_PRICE
    return cost.text()


def _watts(page: Page, shop: Shop, told: Sequence[Offer]) -> None:
    rows = [
        {
            "card": named(one), "limit": watts(one.limit_w * one.count),
            "busy": watts(one.busy_w.value),
            "interval": text.BETWEEN.format(
                low=f"{one.busy_w.low:.0f}", high=watts(one.busy_w.high)),
            "idle": watts(one.idle_w * one.count), "wall": watts(one.wall_w),
            "most": watts(one.most_wall_w),
            "supply": _supply(one),
        }
        for one in told
    ]  # fmt: skip
    page.section(text.WATTS_TITLE)
    shown = _table(page, text.WATTS, _WATTS, rows)
    cap = shop.question.get("cap_w")
    foot = text.WATTS_FOOT.format(
        cap=text.WATTS_CAP.format(cap=cap) if cap else "", host=shop.host.value,
        low=shop.host.low, high=shop.host.high, kind=text.KIND[shop.host.kind],
    )  # fmt: skip
    page.say(foot + text.SUPPLY_FOOT if "supply" in shown else foot, "dim")
    kinds: dict[str, list[str]] = {}
    for one in told:
        kinds.setdefault(one.draw_kind, []).append(one.card)
    for kind, cards in kinds.items():
        page.say(text.DRAW_KIND[kind].format(cards=", ".join(cards)), "dim")


def _supply(one: Offer) -> str:
    """The supply suggested for one card; for several nobody suggests any."""
    return watts(one.board.supply.value) if one.board and one.count == 1 else "–"


def _year(page: Page, shop: Shop, told: Sequence[Offer]) -> None:
    rows = []
    for one in told:
        lines = _shown(one)
        bought = 1 if one.costs.purchase else 0
        working = sum((line.money for line in lines.lines[bought:-1]), Money(0, shop.currency))
        rows.append({
            "card": named(one),
            "purchase": lines.lines[0].money.text() if bought else text.NO_PRICE,
            "working": working.text(), "idle": lines.lines[-1].money.text(),
            "total": lines.total.text() if bought else text.NO_PRICE,
            "between": text.BETWEEN.format(low=one.between[0].text(), high=one.between[1].text())
            if one.between else "",
        })  # fmt: skip
    sign = _sign(shop.currency)
    page.section(text.YEAR_TITLE.format(sign=sign))
    _table(page, text.YEAR, _YEAR, rows)
    resale = text.YEAR_RESALE.format(resale=shop.resale) if shop.resale else ""
    page.say(text.YEAR_FOOT.format(
        years=shop.life_years, resale=resale, pc=shop.pc_yearly.text(_digits(shop.currency))
    ), "dim")  # fmt: skip


def _short(page: Page, told: Sequence[Offer]) -> None:
    found = [(one, short) for one in told for short in one.shortages]
    if not found:
        return
    page.section(text.SHORT_TITLE)
    for one, short in found:
        use = short.use
        page.say(text.SHORT[use.runs].format(
            card=named(one), model=use.job.model, form=form(use.form),
            needs=gigabytes(use.needs_bytes), has=gigabytes(use.has_bytes),
        ))  # fmt: skip
        words = remedies(short.remedies, one.card)
        line = text.FITS_WITH.format(remedies=words) if words else text.NO_REMEDY
        page.say(line, indent=2)
    page.say(text.ALL_TRIED, "dim")


def _turned(page: Page, shop: Shop) -> None:
    if not shop.turned:
        return
    page.section(text.OUT_TITLE)
    unpriced = [one.card for one in shop.turned if one.limit == "price"]
    others = [one for one in shop.turned if one.limit != "price"]
    told = others if shop.named else others[: shop.top]
    for one in told:
        page.say(_out_words(one, shop.currency))
        words = remedies(one.remedies, one.card, join=text.OUT_AND, currency=shop.currency)
        if words:
            page.say(text.OUT_REMEDY.format(remedies=words), indent=2)
        elif one.limit == "memory":
            page.say(text.NO_REMEDY, indent=2)
    if len(told) < len(others):
        page.say(text.OUT_MORE.format(count=len(others) - len(told)))
    if unpriced:
        cards = unpriced if shop.named else unpriced[: shop.top]
        more = [text.OUT_MORE.format(count=len(unpriced) - len(cards))]
        words = ", ".join(cards + more * (len(cards) < len(unpriced)))
        page.say(text.OUT["price"].format(cards=words))
        page.say(text.PRICE_HINT.format(card=unpriced[0], example=text.EXAMPLE[shop.currency]))


def _out_words(one: Turned, currency: str) -> str:
    units: dict[str, Callable[[float], str]] = {
        "memory": gigabytes, "budget": lambda value: Money.of(value, currency).text(),
        "power": watts, "quiet": watts, "cap": watts, "slots": lambda value: f"{value:.0f}",
    }  # fmt: skip
    unit = units.get(one.limit, str)
    card = text.COUNT.format(count=one.count, card=one.card) if one.count > 1 else one.card
    return text.OUT[one.limit].format(
        card=card,
        needs=unit(one.needs),
        has=unit(one.has),
        message=one.message,
        marks=marks(one.price),
    )


def _prices(page: Page, shop: Shop, told: Sequence[Offer]) -> None:
    page.section(text.PRICES_TITLE)
    for one in told:
        if one.price is None:
            example = text.EXAMPLE[shop.currency]
            page.say(text.PRICE_UNKNOWN.format(card=one.card, example=example))
        if one.price is not None:
            page.say(_price_line(one.card, one.price))
        if one.used is not None and (one.price is None or one.used.entry != one.price.entry):
            page.say(_price_line(one.card, one.used))
    shown = [card for one in told for card in (one.price, one.used) if card is not None]
    if any(card.stale for card in shown):
        page.say(text.OLD_FOOT, "dim")
    if any(card.launch for card in shown):
        page.say(text.LAUNCH_FOOT, "dim")
    page.say(text.PRICES_FOOT, "dim")
    for rate in shop.exchange:
        worth = Money.of(rate.worth, rate.in_currency).text()
        page.say(text.EXCHANGE.format(currency=rate.currency, worth=worth, date=rate.date,
                                       source=rate.source), "dim")  # fmt: skip


def _price_line(card: str, price: CardPrice) -> str:
    between = text.BETWEEN.format(low=price.low.text(), high=price.high.text())
    return text.PRICE.format(
        card=card, price=_price(price.amount, price), date=price.entry.date,
        range=f" ({between})" if price.low != price.high else "",
        source=", ".join(x for x in (price.entry.source.title, price.entry.region) if x),
    )  # fmt: skip


def _sure(page: Page, shop: Shop, told: Sequence[Offer]) -> None:
    page.section(text.SURE_TITLE)
    kinds = {use.kind for one in told for use in one.uses if use.runs}
    if kinds:
        weakest = max(kinds, key=_weakness)
        for line in text.SURE:
            page.say(
                line.format(
                    intervals=text.KIND[shop.intervals],
                    kind=text.KIND[weakest],
                    share=engine(ENGINE).memory_share,
                )
            )
    old = text.OLD if shop.tariff_stale else ""
    page.say(text.TARIFF_SOURCE.format(
        title=shop.tariff.source.title, date=shop.tariff.date, old=old))  # fmt: skip
    boards = {one.board.source.title for one in told if one.board}
    for title in sorted(boards):
        page.say(text.BOARD_SOURCE.format(title=title))
    unknown = [one.card for one in told if one.board is None]
    if unknown:
        page.say(text.NO_BOARD.format(cards=", ".join(unknown)))
    for use in shop.unmodelled:
        page.say(text.NOT_MODELLED[use], "bold")


def _weakness(kind: str) -> int:
    """How weak a kind of figure is, as a number that grows with it."""
    from tokenmill.catalog.figure import KINDS

    return [*KINDS].index(kind)  # type: ignore[arg-type]


def _sign(currency: str) -> str:
    return CURRENCIES.get(currency, (currency, 2))[0].strip()


def _price(amount: Money | None, price: CardPrice | None) -> str:
    if amount is None or price is None:
        return text.NO_PRICE
    return priced(amount, price)


def _yearly(one: Offer) -> str:
    return _shown(one).total.text() if one.price is not None else text.NO_PRICE


def _shown(one: Offer) -> Statement:
    """The year rounded line by line, so that what is printed adds up."""
    return one.yearly.shown(_digits(one.yearly.currency))


def _digits(currency: str) -> int:
    return CURRENCIES.get(currency, ("", 2))[1]


def _table(
    page: Page, titles: Mapping[str, str], columns: tuple[Sequence[str], Sequence[str]],
    rows: Sequence[Row], **words: str,
) -> tuple[str, ...]:  # fmt: skip
    shown, leave_out = columns
    return page.table({key: titles[key].format(**words) for key in shown}, rows, leave_out, _LEFT)
