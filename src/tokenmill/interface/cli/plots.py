"""Plots on request: the timeline and latencies of a run, the Pareto front of a plan.

matplotlib is loaded only here, draws without a screen, and writes no date into the file, so that
the same run draws the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenmill.errors import InputError, Unsupported
from tokenmill.evidence.saved import whole
from tokenmill.interface.cli.growth_text import FIGURE as GROWTH
from tokenmill.interface.cli.simulate_text import FIGURE as TEXT

if TYPE_CHECKING:
    from tokenmill.planner.answer import Option, Plan
    from tokenmill.planner.growth.answer import GrowthAnswer
    from tokenmill.simulator.simulated import Simulated

__all__ = ["can_draw", "draw_growth", "draw_plan", "draw_simulated"]

_KINDS = (".png", ".svg")
_INK, _SOFT = "#222222", "#d9d9d9"
# distinguishable without colour vision (Okabe, Ito 2008)
_BLUE, _ORANGE, _GREEN, _PURPLE = "#0072b2", "#e69f00", "#009e73", "#cc79a7"
_STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.edgecolor": _INK, "axes.labelcolor": _INK, "text.color": _INK,
    "xtick.color": _INK, "ytick.color": _INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": _SOFT, "grid.linewidth": 0.6,
    "axes.axisbelow": True, "legend.frameon": False, "svg.hashsalt": "tokenmill",
    "svg.fonttype": "none", "figure.dpi": 110,
}  # fmt: skip
_MOST_POINTS = 2000  # of a curve: more than a screen shows


def can_draw(path: Path) -> None:
    """Refuse before a long run what could not be drawn after it.

    Raises: Unsupported without matplotlib; InputError for a name that ends in neither .svg nor
    .png.
    """
    if path.suffix.lower() not in _KINDS:
        raise InputError(f"{path}: a plot is a {' or '.join(_KINDS)} file; name it so")
    if find_spec("matplotlib") is None:
        raise Unsupported(
            "plots are drawn with matplotlib, which is not installed; install tokenmill[plots]"
        )


def draw_simulated(result: Simulated, path: Path) -> None:
    """Draw a run: requests, KV cache and power over time; the latencies as cumulative shares.

    Parameters: result; path ending in .svg or .png. Raises: Unsupported, InputError.
    """
    panels = [["requests", "cdf"], ["kv", "cdf"], ["watts", "cdf"]]
    with _drawing(path, (10.0, 6.2), panels) as axes:
        _timeline(result, axes)
        _latencies(result, axes["cdf"])
        title = f"{result.services[0].outcome.model} · {result.load}"
        axes["cdf"].figure.suptitle(title, x=0.01, ha="left", fontsize=10)


def draw_plan(plan: Plan, path: Path) -> None:
    """Draw a plan's options: time per token against cost, the Pareto front marked.

    Parameters: plan; path ending in .svg or .png.
    Raises: Unsupported, InputError; also where no option has a price to draw.
    """
    priced = [option for option in plan.options if option.per_hour is not None]
    if not priced:
        raise InputError("no option of this plan has a price, so there is nothing to draw")
    with _drawing(path, (8.0, 5.0), [["front"]]) as axes:
        _front(plan, priced, axes["front"])


def draw_growth(answer: GrowthAnswer, path: Path) -> None:
    """Draw the policies of a growth scenario by year, each with the band of 80 % of worlds.

    Parameters: answer; path ending in .svg or .png. Raises: Unsupported, InputError.
    """
    panels = [["gpus", "power_w"], ["tokens_per_s", "paid"]]
    years = [int(year) for year in answer.years]
    with _drawing(path, (10.0, 6.4), panels) as axes:
        for name, (label, scale) in GROWTH.items():
            for colour, told in zip(cycle((_INK, _BLUE, _ORANGE, _GREEN, _PURPLE)), answer.paths):
                band = told.bands[name]
                low, middle, high = (
                    np.array(side) / scale for side in (band.low, band.middle, band.high)
                )
                axes[name].plot(years, middle, color=colour, lw=1.6, label=told.policy)
                axes[name].fill_between(years, low, high, color=colour, alpha=0.12, lw=0)
            axes[name].set_ylabel(label.format(currency=answer.currency))
            axes[name].set_yscale("log")
            axes[name].yaxis.set_major_formatter("{x:g}")
            axes[name].yaxis.set_minor_formatter("{x:g}")
            axes[name].set_xticks(years[:: max(1, len(years) // 8)])
        _legend(axes["power_w"], len(answer.paths))
        axes["gpus"].figure.suptitle(answer.name, x=0.01, ha="left", fontsize=10)


@contextmanager
def _drawing(
    path: Path, size: tuple[float, float], panels: Sequence[Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """The panels of a figure by name; at the end it is written, without a screen or a date."""
    can_draw(path)
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = path.suffix[1:].lower()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.subplot_mosaic([list(row) for row in panels])
        told = {"Date": None} if kind == "svg" else {"Software": None}
        whole(path, lambda part: figure.savefig(part, format=kind, metadata=told))


def _timeline(result: Simulated, axes: Any) -> None:
    """Three panels that share the time axis; each value holds since the row before."""
    lines = result.timeline
    panels = {
        "requests": ((lines.running, TEXT["running"], _BLUE),
                     (lines.waiting, TEXT["waiting"], _ORANGE)),
        "kv": ((lines.kv_share, "", _GREEN),),
        "watts": ((lines.watts / 1e3, "", _PURPLE),),
    }  # fmt: skip
    titles = {"requests": "requests", "kv": "kv", "watts": "watts_axis"}
    for name, curves in panels.items():
        panel = axes[name]
        for values, label, colour in curves:
            panel.step(lines.time_s, values, where="pre", color=colour, lw=1.0, label=label)
        panel.set_ylabel(TEXT[titles[name]])
        panel.set_ylim(bottom=0.0)
        panel.set_xlim(0.0, max(float(lines.time_s.max(initial=0.0)), 1e-9))
        if len(curves) > 1:
            _legend(panel, 2)
    axes["requests"].tick_params(labelbottom=False)
    axes["kv"].tick_params(labelbottom=False)
    axes["watts"].set_xlabel(TEXT["time"])


def _latencies(result: Simulated, panel: Any) -> None:
    """Cumulative shares on a logarithmic axis of seconds, with what was promised as dashes."""
    each = result.per_request
    curves = (
        (each.tpot_s, TEXT["tpot"], _GREEN, result.slo.tpot_s),
        (each.ttft_s, TEXT["ttft"], _BLUE, result.slo.ttft_s),
        (each.e2e_s, TEXT["e2e"], _ORANGE, result.slo.e2e_s),
    )
    for values, label, colour, limit in curves:
        known = np.sort(values[~np.isnan(values)])
        if len(known) == 0:
            continue
        shares = np.linspace(1.0 / len(known), 1.0, min(len(known), _MOST_POINTS))
        rows = np.maximum(np.ceil(shares * len(known)).astype(int) - 1, 0)
        panel.step(known[rows], shares, where="post", color=colour, lw=1.4, label=label)
        if np.isfinite(limit):
            panel.axvline(limit, color=colour, lw=1.0, ls="--", label=f"{label} {TEXT['slo']}")
    panel.set_xscale("log")
    panel.set_ylim(0.0, 1.0)
    panel.set_xlabel(TEXT["latency"])
    panel.set_ylabel(TEXT["share"])
    _legend(panel, 6)


def _legend(panel: Any, columns: int) -> None:
    """Above the panel, where it hides no curve."""
    panel.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=columns, borderpad=0.0,
        handlelength=1.2, columnspacing=1.0,
    )  # fmt: skip


def _front(plan: Plan, options: Sequence[Option], panel: Any) -> None:
    """Every option as a point, the front joined; joules per token are written beside the name."""
    front = {id(option) for option in plan.pareto}
    names = {option.hardware for option in plan.pareto}
    for option in options:
        best = id(option) in front or option.hardware in names
        cost = float(option.per_hour.amount) if option.per_hour else 0.0
        panel.scatter(cost, option.tpot_s * 1e3, color=_BLUE if best else _SOFT, edgecolor=_INK,
                      linewidth=0.6, s=36, zorder=3)  # fmt: skip
        panel.annotate(
            f"{option.hardware} · {option.joules_per_output_token:.2g} J",
            (cost, option.tpot_s * 1e3), xytext=(6, 4), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    for colour, label in ((_BLUE, TEXT["front"]), (_SOFT, TEXT["beaten"])):
        panel.scatter([], [], color=colour, edgecolor=_INK, linewidth=0.6, s=36, label=label)
    panel.set_xscale("log")
    panel.set_yscale("log")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}")
    panel.set_xlabel(TEXT["cost"].format(currency=plan.currency))
    panel.set_ylabel(TEXT["tokens_axis"])
    panel.set_title(", ".join(plan.models), loc="left")
    panel.margins(x=0.3, y=0.15)
    _legend(panel, 2)
