"""The verbs and their options; each hands its words to the API and the answer to a view."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from tokenmill.interface.cli import buy, cost, evidence, fleet, growth, hall, runs, simulate, text
from tokenmill.interface.cli.options import Count, Number, Text, options

__all__ = ["app"]

app = typer.Typer(
    name="tokenmill", help=text.APP, no_args_is_help=True, pretty_exceptions_enable=False,
    add_completion=True, rich_markup_mode=None,
)  # fmt: skip
new = typer.Typer(help=text.NEW, no_args_is_help=True)
app.add_typer(new, name="new")


_option = options(text.OPTION)


Json = Annotated[bool, _option("json", "--json")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(installed("tokenmill"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help=text.OPTION["version"], callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


@app.command(help=text.PLAN)
def plan(
    models: Annotated[Text, typer.Argument(help=text.OPTION["models"])] = None,
    on: Annotated[Text, _option("hardware", "--on")] = None,
    trace: Annotated[Text, _option("trace", "--trace")] = None,
    prompt: Annotated[Number, _option("prompt", "--prompt")] = None,
    output: Annotated[Number, _option("output", "--output")] = None,
    rate: Annotated[Text, _option("rate", "--rate")] = None,
    users: Annotated[Number, _option("users", "--users")] = None,
    think: Annotated[Text, _option("think", "--think")] = None,
    ttft: Annotated[Text, _option("ttft", "--ttft")] = None,
    tpot: Annotated[Text, _option("tpot", "--tpot")] = None,
    percentile: Annotated[Number, _option("percentile", "--percentile")] = None,
    budget: Annotated[Text, _option("budget", "--budget")] = None,
    budget_per: Annotated[Text, _option("budget_per", "--budget-per")] = None,
    power: Annotated[Text, _option("power", "--power")] = None,
    minimise: Annotated[Text, _option("minimise", "--minimise")] = None,
    acquire: Annotated[Text, _option("acquire", "--acquire")] = None,
    weights: Annotated[Text, _option("weights", "--weights")] = None,
    cache: Annotated[Text, _option("cache", "--cache")] = None,
    engine: Annotated[Text, _option("engine", "--engine")] = None,
    gpus: Annotated[Count, _option("gpus", "--gpus")] = None,
    currency: Annotated[Text, _option("currency", "--currency")] = None,
    region: Annotated[Text, _option("region", "--region")] = None,
    price: Annotated[Optional[list[str]], _option("price", "--price")] = None,  # noqa: UP045
    scenario: Annotated[Optional[Path], _option("scenario", "--scenario")] = None,  # noqa: UP045
    calibration: Annotated[Text, _option("calibration", "--calibration")] = None,
    seed: Annotated[Count, _option("seed", "--seed")] = None,
    resolution: Annotated[Text, _option("resolution", "--resolution")] = None,
    steps: Annotated[Count, _option("steps", "--steps")] = None,
    batch: Annotated[Count, _option("image_batch", "--batch")] = None,
    software: Annotated[Text, _option("softwares", "--software")] = None,
    latency: Annotated[Text, _option("latency", "--latency")] = None,
    played: Annotated[bool, _option("played", "--simulate")] = False,
    plot: Annotated[Optional[Path], _option("plot", "--plot")] = None,  # noqa: UP045
    json: Json = False,
) -> None:
    """Rank hardware for a question."""
    from tokenmill.errors import InputError
    from tokenmill.interface.cli import image_text, view
    from tokenmill.planner.ask import planned
    from tokenmill.planner.images.answer import ImagePlan
    from tokenmill.planner.question import asked

    question = asked(scenario, {
        "models": models, "hardware": on, "trace": trace, "prompt_tokens": prompt,
        "output_tokens": output, "rate_per_s": rate, "users": users, "think_s": think,
        "ttft_s": ttft, "tpot_s": tpot, "percentile": percentile, "budget": budget,
        "budget_per": budget_per, "power_w": power, "minimise": minimise, "acquire": acquire,
        "weights": weights, "cache": cache, "engine": engine, "gpus": gpus,
        "currency": currency, "region": region, "prices": tuple(price or ()) or None, "seed": seed,
        "calibration": calibration,
        "resolution": resolution, "steps": steps, "batch": batch, "software": software,
        "latency_s": latency,
    })  # fmt: skip
    with view.progress() as told:
        answer = planned(question, progress=told)
        if isinstance(answer, ImagePlan):
            if played or plot is not None:
                option = "--simulate" if played else "--plot"
                raise InputError(image_text.NOT_PLAYED.format(option=option))
        elif played:
            from tokenmill.planner.verify import verify_plan

            answer = verify_plan(question, answer, progress=told)
    if isinstance(answer, ImagePlan):
        from tokenmill.interface.cli.image_view import show_image_plan

        show_image_plan(answer, json=json)
        return
    view.show_plan(answer, json=json)
    if plot is not None:
        from tokenmill.interface.cli.plots import draw_plan

        draw_plan(answer, plot)


@app.command(help=text.DEMO)
def demo(json: Json = False) -> None:
    """Print the demonstration plan."""
    from tokenmill.interface.cli import view
    from tokenmill.planner import plan as planning
    from tokenmill.planner.question import DEMO

    view.show_plan(planning.plan(DEMO), json=json)


@app.command(help=text.ESTIMATE)
def estimate(
    model: Annotated[str, typer.Argument(help=text.OPTION["models"])],
    on: Annotated[str, _option("on", "--on")],
    weights: Annotated[Text, _option("weights", "--weights")] = None,
    cache: Annotated[str, _option("cache", "--cache")] = "bf16",
    engine: Annotated[str, _option("engine", "--engine")] = "vllm",
    tp: Annotated[int, _option("tp", "--tp")] = 1,
    pp: Annotated[int, _option("pp", "--pp")] = 1,
    dp: Annotated[int, _option("dp", "--dp")] = 1,
    ep: Annotated[int, _option("ep", "--ep")] = 1,
    replicas: Annotated[int, _option("replicas", "--replicas")] = 1,
    prompt: Annotated[float, _option("prompt", "--prompt")] = 1024.0,
    output: Annotated[float, _option("output", "--output")] = 256.0,
    rate: Annotated[Text, _option("rate", "--rate")] = None,
    concurrency: Annotated[Number, _option("concurrency", "--concurrency")] = None,
    resolution: Annotated[Text, _option("resolution", "--resolution")] = None,
    steps: Annotated[Count, _option("steps", "--steps")] = None,
    batch: Annotated[Count, _option("image_batch", "--batch")] = None,
    software: Annotated[Text, _option("software", "--software")] = None,
    share: Annotated[Count, _option("share", "--share")] = None,
    currency: Annotated[str, _option("currency", "--currency")] = "USD",
    region: Annotated[str, _option("region", "--region")] = "",
    price: Annotated[Optional[list[str]], _option("price", "--price")] = None,  # noqa: UP045
    calibration: Annotated[str, _option("calibration", "--calibration")] = "",
    json: Json = False,
) -> None:
    """Answer one configuration in closed form."""
    from tokenmill.interface.cli import view
    from tokenmill.planner.ask import estimate as answer
    from tokenmill.simulator.outcome import Outcome

    outcome = answer(
        model, on=on, weights=weights, cache=cache, engine=engine, tp=tp, pp=pp, dp=dp, ep=ep,
        replicas=replicas, prompt_tokens=prompt, output_tokens=output, rate_per_s=rate,
        concurrency=concurrency, currency=currency, region=region, prices=tuple(price or ()),
        calibration=calibration,
        resolution=resolution, steps=steps, batch=batch, software=software, share=share,
    )  # fmt: skip
    if isinstance(outcome, Outcome):
        view.show_outcome(outcome, json=json)
    else:
        from tokenmill.interface.cli.image_view import show_image_outcome

        show_image_outcome(outcome, json=json)


@app.command("can-i-run", help=text.CAN_I_RUN)
def can_i_run(
    model: Annotated[str, typer.Argument(help=text.OPTION["models"])],
    on: Annotated[str, _option("on", "--on")],
    gpus: Annotated[int, _option("gpus", "--gpus")] = 1,
    weights: Annotated[Text, _option("weights", "--weights")] = None,
    cache: Annotated[str, _option("cache", "--cache")] = "bf16",
    engine: Annotated[Text, _option("engine", "--engine")] = None,
    context: Annotated[Number, _option("context", "--context")] = None,
    resolution: Annotated[Text, _option("resolution", "--resolution")] = None,
    steps: Annotated[Count, _option("steps", "--steps")] = None,
    software: Annotated[Text, _option("software", "--software")] = None,
    json: Json = False,
) -> None:
    """Answer yes or no in words, with a memory bar."""
    from tokenmill.interface.cli import view
    from tokenmill.planner.ask import can_run
    from tokenmill.planner.single import Fit

    answer = can_run(
        model, on=on, gpus=gpus, weights=weights, cache=cache, engine=engine,
        context_tokens=context, resolution=resolution, steps=steps, software=software,
    )  # fmt: skip
    if isinstance(answer, Fit):
        view.show_fit(answer, json=json)
    else:
        from tokenmill.interface.cli.image_view import show_image_fit

        show_image_fit(answer, json=json)


@app.command(help=text.SHOW)
def show(
    kind: Annotated[Text, typer.Argument(help=text.OPTION["kind"])] = None,
    name: Annotated[Text, typer.Argument(help=text.OPTION["name"])] = None,
    json: Json = False,
) -> None:
    """Print what the catalogue holds."""
    from tokenmill.interface.cli import records

    records.show(kind, name, json=json)


@app.command(help=text.CHECK)
def check(
    paths: Annotated[Optional[list[Path]], typer.Argument(help=text.OPTION["files"])] = None,  # noqa: UP045
    json: Json = False,
) -> None:
    """Read every record and report the first that is wrong."""
    from tokenmill.interface.cli import records

    records.check(paths or [], json=json)


@new.command("model", help=text.NEW_MODEL)
def new_model(
    from_hf: Annotated[Path, _option("from_hf", "--from-hf")],
    slug: Annotated[Text, _option("slug", "--slug")] = None,
    folder: Annotated[Optional[Path], _option("folder", "--folder")] = None,  # noqa: UP045
    json: Json = False,
) -> None:
    """Write a model record from a config.json."""
    from tokenmill.interface.cli import records

    records.new_model(from_hf, slug, folder, json=json)


for _verb in (buy, cost, fleet, growth, hall, evidence, simulate, runs):
    _verb.register(app)
