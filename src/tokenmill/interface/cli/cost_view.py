"""How costs look on a terminal: ways side by side, lines, break-even, tornado, carbon, prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenmill.cost.money import CURRENCIES, Money
from tokenmill.interface.cli import cost_text as text
from tokenmill.interface.cli.page import Page
from tokenmill.units import format_si

if TYPE_CHECKING:
    from tokenmill.planner.cost.answer import CostAnswer, Way

__all__ = ["show"]

_BAR = 20  # characters of the widest swing
_SHOWN = 6  # digits after the point of a line: what a line must not lose to rounding


def show(answer: CostAnswer) -> None:
    """Print the answer."""
    page = Page()
    hours = text.HOURS.format(hours=answer.hours) if answer.hours else ""
    page.say(text.TITLE.format(gpus=answer.gpus, hardware=answer.hardware, words=answer.words),
             "bold")  # fmt: skip
    page.say(text.SETTING.format(
        utilisation=answer.utilisation, hours=hours, busy=format_si(answer.busy_w, "W"),
        idle=format_si(answer.idle_w, "W"), pue=answer.pue,
    ))  # fmt: skip
    _ways(page, answer)
    for way in answer.ways:
        if way.purchase is not None:
            _lines(page, answer, way)
    _even(page, answer)
    _tornado(page, answer)
    _carbon(page, answer)
    _prices(page, answer)
    _notes(page, answer)


def _sign(currency: str) -> str:
    return CURRENCIES.get(currency, (currency, 2))[0].strip()


def _ways(page: Page, answer: CostAnswer) -> None:
    best = answer.ways[0]
    page.say()
    unit = answer.made[0].name
    page.say(text.CHEAPEST.format(way=best.name, cost=best.per_unit[unit].total, unit=unit), "bold")
    titles = {"way": "", "hour": text.WAYS["hour"]}
    titles |= {one.name: text.SHORT.get(one.name, one.name) for one in answer.made} | {
        "purchase": text.WAYS["purchase"]
    }
    rows = [
        {"way": way.name, "hour": way.per_hour.total.text(),
         "purchase": "" if way.purchase is None else way.purchase.text()}
        | {name: each.total.text() for name, each in way.per_unit.items()}
        for way in answer.ways
    ]  # fmt: skip
    page.say()
    leave = ["purchase", *(one.name for one in answer.made[:0:-1])]
    page.table(titles, rows, leave, ("way",))
    page.say(text.WAYS_FOOT, "dim")


def _lines(page: Page, answer: CostAnswer, way: Way) -> None:
    shown = way.per_hour.shown(_SHOWN)
    rows = [
        {"label": one.label, "amount": f"{one.money.amount:,.{_SHOWN}f}", "basis": one.basis}
        for one in shown.lines
    ]
    rows.append({"label": text.TOTAL, "amount": f"{shown.total.amount:,.{_SHOWN}f}", "basis": ""})
    page.section(text.LINES.format(way=way.name))
    sign = _sign(answer.currency)
    titles = {key: title.format(sign=sign) for key, title in text.LINE_COLUMNS.items()}
    page.table(titles, rows, ("basis",), ("label", "basis"))


def _even(page: Page, answer: CostAnswer) -> None:
    if len(answer.ways) < 2:
        return
    page.section(text.EVEN)
    for one in answer.crossings:
        page.say(text.CROSSING.format(first=one.first, second=one.second, at=one.utilisation))
    for span in answer.spans:
        page.say(text.SPAN.format(start=span.start, end=span.end, way=span.option.name))


def _tornado(page: Page, answer: CostAnswer) -> None:
    if not answer.tornado:
        return
    widest = max(one.width for one in answer.tornado) or 1.0

    def cost(value: float) -> str:
        return Money.of(value, answer.currency).text()

    rows = [
        {
            "name": one.name, "low": cost(one.at_low), "high": cost(one.at_high),
            "from": f"{one.figure.low:.3g} to {one.figure.high:.3g}",
            "bar": "█" * max(1, round(_BAR * one.width / widest)),
        }
        for one in answer.tornado
    ]  # fmt: skip
    page.section(text.TORNADO.format(
        way=answer.swung, sign=_sign(answer.currency), unit=answer.made[0].name))  # fmt: skip
    page.table(text.TORNADO_COLUMNS, rows, ("bar", "from"), ("name", "bar", "from"))
    page.say(text.TORNADO_FOOT, "dim")


def _mass(kg: float) -> str:
    return f"{kg / 1e3:.3g} t" if kg >= 1e3 else format_si(kg * 1e3, "g")


def _carbon(page: Page, answer: CostAnswer) -> None:
    here = answer.carbon
    page.section(text.CARBON.format(site=here.site))
    words = {
        "running": _mass(here.running.kg), "low": _mass(here.running.low_kg),
        "high": _mass(here.running.high_kg), "making": _mass(here.making.kg),
        "kind": text.KINDS[here.making_kind], "mean": _mass(here.mean_per_kwh.kg),
        "clean": _mass(here.cleanest.kg), "dirty": _mass(here.dirtiest.kg), "source": here.source,
    }  # fmt: skip
    for line in text.CARBON_LINES:
        page.say(line.format(**words))
    per = here.per_unit
    if per is not None:
        page.say(text.CARBON_UNIT.format(
            unit=answer.made[0].name, value=_mass(per.kg), low=_mass(per.low_kg),
            high=_mass(per.high_kg),
        ))  # fmt: skip


def _prices(page: Page, answer: CostAnswer) -> None:
    page.section(text.PRICES)
    for one in answer.origins:
        entry = one.entry
        low, amount, high = (
            Money.of(x, entry.currency).text() for x in (entry.low, entry.amount, entry.high)
        )
        page.say(text.PRICE.format(
            what=one.what, amount=amount, per=entry.per, date=entry.date,
            range=text.RANGE.format(low=low, high=high) if low != high else "",
            source=", ".join(x for x in (entry.provider, entry.source.title, entry.region) if x),
            old=text.OLD if one.stale else "",
        ))  # fmt: skip
    for rate in answer.exchange:
        worth = Money.of(rate.worth, rate.in_currency).text()
        page.say(text.EXCHANGE.format(currency=rate.currency, worth=worth, date=rate.date,
                                      source=rate.source, old=""), "dim")  # fmt: skip
    if answer.stale:
        page.say(text.OLD_FOOT, "dim")
    for missing in answer.missing:
        page.say(missing)


def _notes(page: Page, answer: CostAnswer) -> None:
    page.section(text.NOTES)
    for note in answer.notes:
        page.say(note)
    page.say(text.WEAKEST.format(kind=text.KINDS[answer.kind]))
