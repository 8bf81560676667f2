"""The verb `buy` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from tokenmill.interface.cli import buy_text as text
from tokenmill.interface.cli.options import Count, Number, Text, Texts, options

__all__ = ["register"]


_option = options(text.OPTION)


def register(app: typer.Typer) -> None:
    """Add the verb to an app."""
    app.command("buy", help=text.BUY)(buy)


def buy(
    cards: Annotated[Texts, typer.Argument(help=text.CARDS)] = None,
    jobs: Annotated[Texts, _option("jobs", "--for")] = None,
    hours: Annotated[Number, _option("hours", "--hours")] = None,
    on_hours: Annotated[Number, _option("on_hours", "--on-hours")] = None,
    budget: Annotated[Text, _option("budget", "--budget")] = None,
    power: Annotated[Text, _option("power", "--power")] = None,
    quiet: Annotated[Text, _option("quiet", "--quiet")] = None,
    cap: Annotated[Text, _option("cap", "--cap")] = None,
    count: Annotated[Count, _option("count", "--cards")] = None,
    slots: Annotated[Count, _option("slots", "--slots")] = None,
    region: Annotated[Text, _option("region", "--region")] = None,
    currency: Annotated[Text, _option("currency", "--currency")] = None,
    condition: Annotated[Text, _option("condition", "--condition")] = None,
    by: Annotated[Text, _option("by", "--by")] = None,
    years: Annotated[Number, _option("years", "--years")] = None,
    resale: Annotated[Number, _option("resale", "--resale")] = None,
    price: Annotated[Texts, _option("price", "--price")] = None,
    rate: Annotated[Texts, _option("rate", "--rate")] = None,
    top: Annotated[Count, _option("top", "--top")] = None,
    json: Annotated[bool, _option("json", "--json")] = False,
) -> None:
    """Rank graphics cards for what a person wants to do with one."""
    from tokenmill.interface.cli import buy_view, view
    from tokenmill.planner.shop import buy as shop
    from tokenmill.planner.shop.question import shop_question

    given = {
        "cards": tuple(cards or ()) or None, "jobs": jobs, "hours": hours,
        "on_hours": on_hours, "budget": budget,
        "power_w": power, "quiet_w": quiet, "cap_w": cap, "count": count, "slots": slots,
        "region": region, "currency": currency, "condition": condition, "best": by,
        "life_years": years, "resale": resale, "prices": tuple(price or ()) or None,
        "rates": tuple(rate or ()) or None, "top": top,
    }  # fmt: skip
    question = shop_question(**{key: value for key, value in given.items() if value is not None})
    with view.progress() as told:
        answer = shop.buy(question, progress=told)
    if json:
        view.print_json(answer.to_dict())
    else:
        buy_view.show(answer)
