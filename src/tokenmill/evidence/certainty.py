"""How sure an Outcome is: p10 to p90 of each of its figures, from the residuals on record.

A server that keeps up with the rate it is offered gives that rate exactly; what is uncertain then
is how long requests take, and what it draws. One that is loaded to the full is as uncertain as
its own rate, and its energy and money per token are so too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tokenmill.evidence.cluster.cluster import Cluster
from tokenmill.evidence.interval import Band, band_of, distance
from tokenmill.placement.platform import platform
from tokenmill.simulator.outcome import Interval, Outcome

__all__ = ["SERVING", "around", "outcome_band", "with_intervals"]

SERVING = "serving"
_EXACT = Band(1.0, 1.0, 1.0)
_TIMES = ("ttft", "tpot", "e2e")
_MONEY = ("per_million_tokens", "per_million_input_tokens", "per_million_output_tokens")


def outcome_band(
    outcome: Outcome, quantity: str, *, closed: bool, cluster: Cluster | None = None
) -> Band:
    """The band of a quantity of an outcome.

    Parameters: outcome; quantity, as `interval.quantity_of` says; closed: a number of users who
    wait for their answers, instead of a rate; cluster, where it runs and was measured.
    Raises: UnknownName.
    """
    near = distance(SERVING, outcome.accelerator, outcome.model, quantity)
    found = band_of(SERVING, quantity, "concurrency" if closed else "rate", near)
    if cluster is None:
        return found
    return cluster.narrowed(found, quantity, outcome.accelerator, outcome.engine)


def with_intervals(outcome: Outcome, *, closed: bool, cluster: Cluster | None = None) -> Outcome:
    """The outcome with 80 % intervals, by the names of its figures ("ttft_s", "ttft_p95_s").

    Parameters: as of `outcome_band`.
    Raises: UnknownName.
    """

    def band(quantity: str) -> Band:
        return outcome_band(outcome, quantity, closed=closed, cluster=cluster)

    found: dict[str, Interval] = {}
    for name in _TIMES:
        spread = getattr(outcome, f"{name}_s")
        found[f"{name}_s"] = around(spread.mean, band(name))
        for part in ("p50", "p95", "p99"):
            quantity = name if part == "p50" else f"{name}-tail"
            found[f"{name}_{part}_s"] = around(getattr(spread, part), band(quantity))
    full = closed or any(note.startswith("overloaded") for note in outcome.notes)
    rate, watts = band("rate") if full else _EXACT, band("power")
    for name in ("requests_per_s", "input_tokens_per_s", "output_tokens_per_s",
                 "total_tokens_per_s", "output_tokens_per_s_per_gpu"):  # fmt: skip
        found[name] = around(getattr(outcome, name), rate)
    found["gpu_watts"] = _drawn(outcome, around(outcome.gpu_watts, watts))
    # the machine around the GPUs moves with them
    moved = Band(found["gpu_watts"].low / outcome.gpu_watts, 1.0,
                 found["gpu_watts"].high / outcome.gpu_watts)  # fmt: skip
    found["watts"] = around(outcome.watts, moved)
    joules = band("energy") if full else moved
    found["joules_per_output_token"] = around(outcome.joules_per_output_token, joules)
    return replace(outcome, intervals=found | _money(outcome.money, rate.inverse()))


def around(value: float, band: Band) -> Interval:
    """The interval of a band around a prediction, which it always holds [its unit]."""
    return Interval(value * min(band.low, 1.0), value, value * max(band.high, 1.0))


def _drawn(outcome: Outcome, watts: Interval) -> Interval:
    """A card draws no less than idle and no more than its limit."""
    power = platform(outcome.hardware).power
    return replace(
        watts, low=max(watts.low, min(power.idle_w, watts.value)),
        high=min(watts.high, max(power.limit_w, watts.value)),
    )  # fmt: skip


def _money(money: dict[str, Any], seconds: Band) -> dict[str, Interval]:
    """Money per million tokens [currency of the outcome]: as the time that a token takes."""
    return {
        name: around(float(money[name]["amount"]), seconds)
        for name in _MONEY if money.get(name)
    }  # fmt: skip
