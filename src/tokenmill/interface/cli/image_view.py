"""How answers about images look on a terminal, or the same figures as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tokenmill.interface.cli import image_text as text
from tokenmill.interface.cli import view
from tokenmill.interface.cli.text import EVALUATED, FOOT_STALE, NO_LIMIT, NO_PRICE, WITHIN
from tokenmill.units import format_si

if TYPE_CHECKING:
    from tokenmill.planner.images.answer import ImageFit, ImageOption, ImageOutcome, ImagePlan

__all__ = ["show_image_fit", "show_image_outcome", "show_image_plan"]


def _seconds(value: float) -> str:
    return format_si(value, "s") if math.isfinite(value) else NO_LIMIT


def _gigabytes(value: float) -> str:
    return f"{value / 1e9:.1f} GB"


def _amount(cell: dict[str, Any] | None) -> str:
    from tokenmill.cost.money import Money

    return Money.of(cell["amount"], cell["currency"]).text() if cell else NO_PRICE


def show_image_outcome(outcome: ImageOutcome, *, json: bool) -> None:
    """Print one way of making images: its figures, and the catalogue figures used."""
    if json:
        view.print_json(outcome.to_dict())
        return
    from rich.table import Table

    out = view.console()
    out.print(text.TITLE.format(
        model=outcome.model, weights=outcome.weights, gpus=outcome.gpus,
        accelerator=outcome.accelerator, width=outcome.width, height=outcome.height,
        steps=outcome.steps, batch=outcome.batch, software=outcome.software,
    ), style="bold")  # fmt: skip
    if outcome.share > 1 or outcome.replicas > 1:
        out.print(text.SHARED.format(share=outcome.share, replicas=outcome.replicas))
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, words in _rows(outcome).items():
        table.add_row(text.ROWS[key], words)
    out.print(table)
    for note in outcome.notes:
        out.print(note, style="bold")
    out.print(view.figures_table(outcome.figures))


def _rows(outcome: ImageOutcome) -> dict[str, str]:
    def within(key: str, words: str, unit: str) -> str:
        band = outcome.intervals[key]
        low, high = format_si(band.low, unit), format_si(band.high, unit)
        return WITHIN.format(value=words, low=low, high=high)

    use, money = outcome.memory, outcome.money
    fetched = text.OFFLOAD.format(seconds=_seconds(outcome.offload_s)) if outcome.offload_s else ""
    rate = outcome.images_per_s
    energy = text.ENERGY.format(joules=outcome.joules_per_image, gpu=outcome.gpu_joules_per_image)
    return {
        "image": within("seconds_per_image", _seconds(outcome.seconds_per_image), "s"),
        "latency": within("latency_s", _seconds(outcome.latency_s), "s"),
        "parts": text.PARTS.format(
            text=_seconds(outcome.text_s), steps=outcome.steps,
            denoise=_seconds(outcome.denoise_s), decode=_seconds(outcome.decode_s),
            offload=fetched,
        ),
        "rate": text.RATE.format(second=rate, hour=rate * 3600.0),
        "busy": f"{outcome.busy:.0%} of the time",
        "memory": text.MEMORY.format(
            used=_gigabytes(use.used_bytes), capacity=_gigabytes(use.capacity_bytes),
            weights=_gigabytes(use.weights_bytes), work=_gigabytes(use.workspace_bytes),
            reserve=_gigabytes(use.reserve_bytes),
        ),
        "gpu_watts": within("gpu_watts", format_si(outcome.gpu_watts, "W"), "W"),
        "watts": format_si(outcome.watts, "W"),
        "joules": energy,
        "flop": format_si(outcome.flop_per_image, "FLOP"),
        "money": text.MONEY.format(
            image=_amount(money["per_image"]), thousand=_amount(money["per_thousand_images"]),
            hour=_amount(money["per_hour"]), basis=money["basis"],
        ) if money else NO_PRICE,
        "limit": outcome.limiting,
        "weakest": outcome.kind,
    }  # fmt: skip


def show_image_plan(plan: ImagePlan, *, json: bool) -> None:
    """Print a plan for images: the ranking, and every refusal with its change."""
    if json:
        view.print_json(plan.to_dict())
        return
    out = view.console()
    out.print(text.PLAN_TITLE.format(models=", ".join(plan.models)), style="bold")
    load = text.PLAN_LOAD if plan.images_per_s else text.PLAN_FREE
    limit = _seconds(plan.latency_limit_s) if math.isfinite(plan.latency_limit_s) else text.ANY
    out.print(load.format(rate=plan.images_per_s, hour=plan.images_per_s * 3600.0, limit=limit))
    if plan.options:
        out.print(_table(plan, out.width))
        out.print(text.FOOT, style="dim")
        if any(_stale(option) for option in plan.options):
            out.print(FOOT_STALE, style="dim")
        for option in plan.options:
            for note in option.notes:
                if "weights are fetched" in note:
                    out.print(text.NOTE.format(hardware=option.hardware, note=note), style="dim")
    else:
        out.print(text.NOTHING, style="bold")
    if plan.refused:
        out.print(view.refused_table(plan.refused))
    out.print(EVALUATED.format(count=plan.evaluated), style="dim")


# What a terminal has room for; the whole answer is in --json.
_NARROW = ("hardware", "gpus", "latency", "per_thousand")
_NORMAL = ("hardware", "gpus", "batch", "latency", "rate", "watts", "per_hour", "per_thousand")


def _table(plan: ImagePlan, width: int) -> Any:
    keys = _NARROW if width < 70 else _NORMAL if width < 125 else tuple(text.COLUMNS)
    return view.ranked_table({key: text.COLUMNS[key] for key in keys}, map(_cells, plan.options))


def _stale(option: ImageOption) -> bool:
    return any("older than a year" in note for note in option.notes)


def _cells(option: ImageOption) -> dict[str, str]:
    def each(key: str) -> str:
        return ", ".join(dict.fromkeys(str(getattr(item, key)) for item in option.outcomes))

    def money(value: Any) -> str:
        return value.text() if value is not None else NO_PRICE

    stale = "*" if _stale(option) else ""
    return {
        "hardware": option.hardware,
        "gpus": f"{option.gpus:,}",
        "weights": each("weights"),
        "software": each("software"),
        "batch": each("batch"),
        "latency": _seconds(option.latency_s),
        "rate": f"{option.images_per_s:,.3g}",
        "watts": format_si(option.watts, "W"),
        "joules": f"{option.joules_per_image:,.3g}",
        "per_hour": money(option.per_hour) + stale,
        "per_thousand": money(option.per_image and option.per_image * 1000),
        "basis": option.basis,
        "purchase": money(option.purchase),
    }


def show_image_fit(fit: ImageFit, *, json: bool) -> None:
    """Print whether a card makes images with a model, and how."""
    if json:
        view.print_json(fit.to_dict())
        return
    out = view.console()
    if not fit.runs:
        out.print(text.NO.format(reason=fit.reason), style="bold")
        if fit.change:
            out.print(text.NO_CHANGE.format(change=fit.change))
        return
    out.print(text.YES.format(accelerator=fit.accelerator, model=fit.model, weights=fit.weights,
                              width=fit.width, height=fit.height), style="bold")  # fmt: skip
    sizes = {"needs": fit.needs_bytes, "whole": fit.whole_bytes, "has": fit.has_bytes}
    out.print(text.WAYS[fit.way].format(**{key: _gigabytes(x) for key, x in sizes.items()}))
    out.print(text.YES_SPEED.format(
        steps=fit.steps, seconds=_seconds(fit.seconds_per_image), batch=fit.batch
    ))  # fmt: skip
