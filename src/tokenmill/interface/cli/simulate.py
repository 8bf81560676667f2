"""The verb `simulate` and its options."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from tokenmill.errors import InputError
from tokenmill.interface.cli import simulate_text as text
from tokenmill.interface.cli import text as shared
from tokenmill.interface.cli.options import Count, Number, Text, options

if TYPE_CHECKING:
    from tokenmill.planner.scenario import Scenario
    from tokenmill.simulator.simulated import Simulated

__all__ = ["register"]

File = Optional[Path]  # noqa: UP045

_option = options(text.OPTION, shared.OPTION)


def register(app: typer.Typer) -> None:
    """Add the verb to an app."""
    app.command("simulate", help=text.SIMULATE)(simulate)


def simulate(
    model: Annotated[Text, typer.Argument(help=shared.OPTION["models"])] = None,
    on: Annotated[Text, _option("on", "--on")] = None,
    scenario: Annotated[File, _option("scenario", "--scenario")] = None,
    weights: Annotated[Text, _option("weights", "--weights")] = None,
    cache: Annotated[Text, _option("cache", "--cache")] = None,
    engine: Annotated[Text, _option("engine", "--engine")] = None,
    tp: Annotated[Count, _option("tp", "--tp")] = None,
    pp: Annotated[Count, _option("pp", "--pp")] = None,
    dp: Annotated[Count, _option("dp", "--dp")] = None,
    ep: Annotated[Count, _option("ep", "--ep")] = None,
    replicas: Annotated[Count, _option("replicas", "--replicas")] = None,
    router: Annotated[Text, _option("router", "--router")] = None,
    batching: Annotated[Text, _option("batching", "--batching")] = None,
    max_sequences: Annotated[Count, _option("sequences", "--max-sequences")] = None,
    token_budget: Annotated[Count, _option("budget_tokens", "--token-budget")] = None,
    prefix_cache: Annotated[
        Optional[bool],  # noqa: UP045
        _option("prefix_cache", "--prefix-cache/--no-prefix-cache"),
    ] = None,
    queue_limit: Annotated[Count, _option("queue_limit", "--queue-limit")] = None,
    timeout: Annotated[Text, _option("timeout", "--timeout")] = None,
    trace: Annotated[Text, _option("trace", "--trace")] = None,
    profile: Annotated[Text, _option("profile", "--profile")] = None,
    head: Annotated[Count, _option("head", "--head")] = None,
    rate: Annotated[Text, _option("rate", "--rate")] = None,
    stretch: Annotated[Number, _option("stretch", "--stretch")] = None,
    users: Annotated[Count, _option("users", "--users")] = None,
    think: Annotated[Text, _option("think", "--think")] = None,
    concurrency: Annotated[Count, _option("concurrency", "--concurrency")] = None,
    prompt: Annotated[Count, _option("prompt", "--prompt")] = None,
    output: Annotated[Count, _option("output", "--output")] = None,
    prompt_cv: Annotated[Number, _option("prompt_cv", "--prompt-cv")] = None,
    output_cv: Annotated[Number, _option("output_cv", "--output-cv")] = None,
    burst: Annotated[Number, _option("burst", "--burst")] = None,
    requests: Annotated[Count, _option("requests", "--requests")] = None,
    duration: Annotated[Text, _option("duration", "--duration")] = None,
    slo_ttft: Annotated[Text, _option("slo_ttft", "--slo-ttft")] = None,
    slo_tpot: Annotated[Text, _option("slo_tpot", "--slo-tpot")] = None,
    slo_e2e: Annotated[Text, _option("slo_e2e", "--slo-e2e")] = None,
    power_cap: Annotated[Text, _option("power_cap", "--power-cap")] = None,
    until: Annotated[Text, _option("until", "--until")] = None,
    seed: Annotated[Count, _option("seed", "--seed")] = None,
    budget_events: Annotated[Count, _option("budget_events", "--budget-events")] = None,
    budget_seconds: Annotated[Text, _option("budget_seconds", "--budget-seconds")] = None,
    budget_memory: Annotated[Text, _option("budget_memory", "--budget-memory")] = None,
    currency: Annotated[str, _option("currency", "--currency")] = "USD",
    region: Annotated[str, _option("region", "--region")] = "",
    price: Annotated[Optional[list[str]], _option("price", "--price")] = None,  # noqa: UP045
    calibration: Annotated[
        str, typer.Option("--calibration", help=shared.OPTION["calibration"], show_default=False)
    ] = "",
    save: Annotated[File, _option("save", "--save")] = None,
    plot: Annotated[File, _option("plot", "--plot")] = None,
    json: Annotated[bool, _option("json", "--json")] = False,
) -> None:
    """Play real traffic against one model, or a whole scenario."""
    started = time.monotonic()
    given: dict[str, dict[str, Any]] = {
        "service": {
            "model": model, "on": on, "weights": weights, "cache": cache, "engine": engine,
            "tp": tp, "pp": pp, "dp": dp, "ep": ep, "replicas": replicas, "router": router,
            "batching": batching, "max_sequences": max_sequences, "token_budget": token_budget,
            "prefix_cache": prefix_cache, "queue_limit": queue_limit, "timeout_s": timeout,
        },
        "traffic": {
            "trace": trace, "profile": profile, "head": head, "rate_per_s": rate,
            "stretch": stretch, "users": users, "think_s": think, "concurrency": concurrency,
            "prompt_tokens": prompt, "output_tokens": output, "prompt_cv": prompt_cv,
            "output_cv": output_cv, "cv": burst, "requests": requests, "duration_s": duration,
        },
        "slo": {"ttft_s": slo_ttft, "tpot_s": slo_tpot, "e2e_s": slo_e2e},
        "budget": {
            "events": budget_events, "wall_s": budget_seconds, "memory_bytes": budget_memory,
        },
        "": {"power_cap_w": power_cap, "until_s": until, "seed": seed},
    }  # fmt: skip
    _answer(
        _asked(scenario, given), started, save=save, plot=plot, json=json,
        prices={
            "currency": currency, "region": region, "prices": tuple(price or ()),
            "calibration": calibration,
        },
    )  # fmt: skip


def _asked(path: Path | None, given: Mapping[str, Mapping[str, Any]]) -> Scenario:
    """A scenario from a file, if any, under the options that were given."""
    from tokenmill.planner.scenario import read_scenario, scenario

    tables = {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in given.items()
    }
    values: dict[str, Any] = {}
    if path is not None:
        values = read_scenario(path).model_dump(exclude_unset=True)
    services = [dict(service) for service in values.get("service", [{}])]
    if tables["service"] and len(services) > 1:
        option = next(iter(tables["service"])).removesuffix("_s").replace("_", "-")
        raise InputError(text.ONE_SERVICE.format(option=option, count=len(services)))
    services[0] |= tables.pop("service")
    if not (services[0].get("model") and services[0].get("on")):
        raise InputError(text.NO_MODEL)
    if "," in services[0]["model"]:
        raise InputError(text.MANY_MODELS)
    values |= tables.pop("")
    for name, table in tables.items():
        values[name] = {**values.get(name, {}), **table}
    return scenario({**values, "service": services})


def _answer(
    wanted: Scenario, started: float, *, save: Path | None, plot: Path | None, json: bool,
    prices: dict[str, Any],
) -> None:  # fmt: skip
    from tokenmill.interface.cli import simulate_view, view
    from tokenmill.planner.trial import trial

    if save is not None:
        from tokenmill.evidence.saved import can_save

        can_save()
    if plot is not None:
        from tokenmill.interface.cli.plots import can_draw

        can_draw(plot)
    with view.progress() as told:
        result = trial(wanted, progress=told, **prices)
    simulate_view.show_simulated(result, json=json)
    said = []
    if save is not None:
        said += _saved(wanted, result, save, time.monotonic() - started)
    if plot is not None:
        from tokenmill.interface.cli.plots import draw_simulated

        draw_simulated(result, plot)
        said.append(text.DRAWN.format(path=plot))
    for line in said:
        typer.echo(line, err=json)


def _saved(wanted: Scenario, result: Simulated, folder: Path, took_s: float) -> list[str]:
    """Save a run, enter it into the ledger, and say where it is."""
    from importlib.metadata import version

    from tokenmill.evidence.ledger import record
    from tokenmill.evidence.saved import save, summary

    question = wanted.model_dump(mode="json", exclude_defaults=True)
    paths = save(result, question, folder)
    title = ", ".join(
        f"{s.outcome.model} on {s.outcome.gpus} x {s.outcome.accelerator}" for s in result.services
    )
    number = record(
        "simulate", f"{title}: {result.load}", version=version("tokenmill"), took_s=took_s,
        question=question, answer=summary(result), files=paths,
    )  # fmt: skip
    return [*(text.SAVED.format(path=path) for path in paths), text.RECORDED.format(number=number)]
