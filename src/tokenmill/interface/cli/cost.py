"""The verb `cost` and its options."""

from __future__ import annotations

from typing import Annotated

import typer

from tokenmill.interface.cli import cost_text as text
from tokenmill.interface.cli.options import Count, Number, Text, Texts, options

__all__ = ["register"]


_option = options(text.OPTION)


def register(app: typer.Typer) -> None:
    """Add the verb to an app."""
    app.command("cost", help=text.COST)(cost)


def cost(
    on: Annotated[str, _option("on", "--on")],
    model: Annotated[str, typer.Argument(help=text.MODEL, show_default=False)] = "",
    gpus: Annotated[Count, _option("gpus", "--gpus")] = None,
    makes: Annotated[Texts, _option("makes", "--makes")] = None,
    gpu_hours: Annotated[Number, _option("gpu_hours", "--gpu-hours")] = None,
    prompt: Annotated[Number, _option("prompt", "--prompt")] = None,
    output: Annotated[Number, _option("output", "--output")] = None,
    concurrency: Annotated[Number, _option("concurrency", "--concurrency")] = None,
    weights: Annotated[Text, _option("weights", "--weights")] = None,
    engine: Annotated[Text, _option("engine", "--engine")] = None,
    utilisation: Annotated[Number, _option("utilisation", "--utilisation", "--use")] = None,
    hours: Annotated[Text, _option("hours", "--hours")] = None,
    site: Annotated[Text, _option("site", "--site")] = None,
    tariff: Annotated[Text, _option("tariff", "--tariff")] = None,
    pue: Annotated[Number, _option("pue", "--pue")] = None,
    years: Annotated[Number, _option("years", "--years")] = None,
    resale: Annotated[Number, _option("resale", "--resale")] = None,
    finance: Annotated[Number, _option("finance", "--finance")] = None,
    upkeep: Annotated[Number, _option("upkeep", "--upkeep")] = None,
    space: Annotated[Text, _option("space", "--space")] = None,
    staff: Annotated[Text, _option("staff", "--staff")] = None,
    machines: Annotated[Number, _option("machines_per_person", "--machines-per-person")] = None,
    software: Annotated[Text, _option("software", "--software")] = None,
    network: Annotated[Number, _option("network", "--network")] = None,
    currency: Annotated[Text, _option("currency", "--currency")] = None,
    region: Annotated[Text, _option("region", "--region")] = None,
    price: Annotated[Texts, _option("price", "--price")] = None,
    rate: Annotated[Texts, _option("rate", "--rate")] = None,
    json: Annotated[bool, _option("json", "--json")] = False,
) -> None:
    """Cost of an hour and of each unit made, every way that has a price."""
    from tokenmill.interface.cli import cost_view, view
    from tokenmill.planner.cost import cost as planner
    from tokenmill.planner.cost.question import cost_question

    given = {
        "gpus": gpus, "units": tuple(makes or ()) or None, "gpu_hours": gpu_hours,
        "prompt_tokens": prompt, "output_tokens": output, "concurrency": concurrency,
        "weights": weights, "engine": engine, "utilisation": utilisation, "hours": hours,
        "site": site, "tariff": tariff, "pue": pue, "life_years": years, "resale": resale,
        "finance_rate": finance, "upkeep": upkeep, "space": space, "staff": staff,
        "machines_per_person": machines, "software": software, "network": network,
        "currency": currency, "region": region, "prices": tuple(price or ()) or None,
        "rates": tuple(rate or ()) or None,
    }  # fmt: skip
    stated = {key: value for key, value in given.items() if value is not None}
    answer = planner.cost(cost_question(on=on, model=model, **stated))
    if json:
        view.print_json(answer.to_dict())
    else:
        cost_view.show(answer)
