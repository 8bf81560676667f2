"""Constants of engines, fitted on measured serving rows.

What lies between kernels and a user's stopwatch belongs to a line of an engine's versions, never
to a row, a GPU or a publication. Every line is fitted on the rows that ran it, in logarithms, by
a robust loss; ranges and errors come from leaving whole groups of rows out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import TokenmillError
from tokenmill.evidence.descent import Problem, descend, without
from tokenmill.evidence.points import Point
from tokenmill.evidence.serving.predict import predict_serving
from tokenmill.evidence.serving.setups import SINGLE_USER, setup_of
from tokenmill.placement.engines import Engine
from tokenmill.simulator.cases import language_model
from tokenmill.work.language import operations
from tokenmill.work.ops import ExpertBlock

__all__ = [
    "KEYS",
    "Fitted",
    "Row",
    "fit_line",
    "fitted",
    "left_out",
    "lines_of",
    "on_record",
    "predicted",
    "rows_of",
    "thinned",
    "tuned",
]

Array = NDArray[np.float64]

# figure of a record -> (field of Engine, unit, least, most); in the order of a point of a fit
KEYS: Mapping[str, tuple[str, str, float, float]] = {
    "host_step": ("host_step_s", "us", 10e-6, 40e-3),
    "host_sequence": ("host_sequence_s", "us", 0.2e-6, 200e-6),
    "host_prefill": ("host_prefill_s", "us", 0.5e-6, 400e-6),
    "request": ("request_s", "us", 1e-3, 200e-3),
    "tensor_share": ("tensor_share", "", 0.2, 1.5),
    "experts_share": ("experts_share", "", 0.1, 2.0),
    "prefill_share": ("prefill_share", "", 0.1, 2.0),
    "stream_share": ("stream_share", "", 0.3, 1.5),
    "attention_share": ("attention_share", "", 0.02, 1.3),
    "pipelining": ("pipelining", "", 0.02, 1.0),
    "host_layer": ("host_layer_s", "us", 1e-6, 600e-6),
    "host_stage": ("host_stage_s", "us", 1e-6, 2e-3),
    "activation_passes": ("activation_passes", "", 1.0, 20.0),
    "score_bytes": ("score_bytes", "", 1.0, 80.0),
    "unshared": ("unshared", "", 0.02, 1.5),
    "host_floor": ("host_floor_s", "us", 20e-6, 1e-3),
    "block": ("block_s", "us", 1e-6, 100e-6),
    "host_expert": ("host_expert_s", "us", 0.5e-6, 200e-6),
}
# How much a row of each quality counts, and what of it is held against a prediction: latencies,
# and a rate where the row has no latency. ITL, tails and end-to-end times say nothing new.
_TRUST = {"a": 1.0, "b": 0.7, "c": 0.1}
_METRICS = (
    "tpot_p50_s", "ttft_p50_s", "ttft_p99_s", "tpot_mean_s", "ttft_mean_s", "decode_tokens_per_s",
    "prefill_tokens_per_s", "output_tokens_per_s",
)  # fmt: skip
_SAME = (
    "publication", "gpu", "n_gpus", "model", "weight_dtype", "engine", "mode", "tp", "pp", "ep",
    "dp", "dp_attention", "speculative", "isl_mean", "osl_mean", "length_shape", "load",
    "concurrency", "request_rate_per_s", "num_requests",
)  # fmt: skip
# Before any row speaks: how far shares of kernel speed stray from those on record, and host times
# from what was estimated [logs]; how much that counts beside a row's residual.
_PRIOR, _LOOSE, _HELD = 0.2, 1.0, 2e-3
_SPREAD = {
    "tensor_share": _PRIOR, "experts_share": _PRIOR, "stream_share": _PRIOR,
    "request": 2.0 * _PRIOR,
}  # fmt: skip
_ROUNDS = 5
_MOVED = 1.0005  # a constant that rows tell moves by more than this
_ENDLESS = 1e6  # chunks in flight of an engine that states no bound
_IMPLIED = 0.3  # least share of the time per token that a row's own rate implies


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one configuration: what was measured, and how far it is trusted."""

    point: Point
    line: str
    metric: str
    measured: float
    trust: float

    def group(self, by: str) -> str:
        """The group of the row: its gpu, model or publication."""
        return self.point.text(by)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Constants of a line by key, with their range over the fits that left a group out."""

    line: str
    values: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    rows: int
    median_error: float  # each row predicted without its group


def rows_of(points: Iterable[Point]) -> list[Row]:
    """The rows that fits read: one for each configuration, the median of its repeats.

    Rows whose hardware or model is not on record are left out; `score` lists them.
    """
    seen: dict[tuple[str, ...], list[Point]] = {}
    for point in points:
        seen.setdefault(tuple(point.text(key) for key in _SAME), []).append(point)
    found: list[Row] = []
    for repeats in seen.values():
        found += _rows(repeats)
    return found


def _rows(repeats: Sequence[Point]) -> list[Row]:
    try:
        line = setup_of(repeats[0]).case.engine.record.slug
    except TokenmillError:
        return []
    trust = _TRUST.get(repeats[0].text("quality"), 0.5)
    trust *= repeats[0].share
    metrics = [key for key in _METRICS if repeats[0].text(key)]
    if _bundled(repeats[0]):
        metrics = [key for key in metrics if not key.startswith("tpot")]
    if "tpot_p50_s" in metrics:
        metrics = [key for key in metrics if key not in ("tpot_mean_s", "ttft_mean_s")]
    if repeats[0].text("load") == "offline":  # latencies are times of a drain
        metrics = [key for key in metrics if key == "output_tokens_per_s"]
    if any(key.startswith(("tpot", "decode")) for key in metrics):
        metrics = [key for key in metrics if key != "output_tokens_per_s"]
    rows = []
    for metric in metrics:
        values = [p.number(metric) for p in repeats if p.text(metric)]
        at = sorted(range(len(values)), key=values.__getitem__)[len(values) // 2]
        if values[at] > 0:
            chosen = [p for p in repeats if p.text(metric)][at]
            rows.append(Row(chosen, line, metric, values[at], trust / len(metrics)))
    return rows


def _bundled(point: Point) -> bool:
    """Whether a row's time per token contradicts its own rate: tokens were streamed in bundles."""
    users, rate = point.number("concurrency"), point.number("output_tokens_per_s")
    told = point.number("tpot_p50_s", point.number("tpot_mean_s"))
    return bool(told * rate / users < _IMPLIED)


def thinned(rows: Sequence[Row], most: int) -> list[Row]:
    """At most about `most` rows of a line, every n-th of each publication and metric."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.point.text("publication"), row.metric), []).append(row)
    share = min(most / max(len(rows), 1), 1.0)
    kept: list[Row] = []
    for members in groups.values():
        wanted = max(round(len(members) * share**0.7), min(len(members), 4))
        kept += [members[int(i)] for i in np.linspace(0, len(members) - 1, wanted)]
    return kept


def lines_of(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by the line of versions that they ran."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(row.line, []).append(row)
    return lines


def tuned(values: Mapping[str, float]) -> Callable[[Engine], Engine]:
    """What sets an engine's constants to these values, by key."""
    fields = {KEYS[key][0]: value for key, value in values.items()}

    def tune(engine: Engine) -> Engine:
        return replace(engine, **fields)  # type: ignore[arg-type]

    return tune


def predicted(rows: Sequence[Row], tune: Callable[[Engine], Engine]) -> Array:
    """What each row's metric would be [SI]; NaN where nothing is predicted."""
    told: dict[int, Mapping[str, float]] = {}
    values = np.full(len(rows), np.nan)
    for place, row in enumerate(rows):
        key = id(row.point)
        if key not in told:
            try:
                told[key] = predict_serving(row.point, tune)
            except TokenmillError:
                told[key] = {}
        values[place] = told[key].get(row.metric, np.nan)
    return values


def _keys(rows: Sequence[Row], start: Engine) -> tuple[str, ...]:
    """The constants that some rows can tell: shares of kernel speed need both kinds of time."""
    metrics = {row.metric for row in rows}
    timed = any(key.startswith(("ttft", "prefill")) for key in metrics)
    if rows[0].line.removeprefix("engine-").startswith(SINGLE_USER):
        return _own_keys(rows, start, timed)
    keys = ["host_step", "host_sequence", "stream_share", "tensor_share"]
    keys += ["host_floor"] if start.host_floor_s else []
    keys += ["block"] if start.block_s else []
    keys += ["experts_share"] if start.experts_share != 1.0 else []
    if rows[0].line.endswith("-apart"):
        keys.append("prefill_share")
    if timed:
        keys += ["host_prefill", "request"]
    return tuple(key for key in KEYS if key in keys)


def _has_experts(model: str) -> bool:
    return any(isinstance(op, ExpertBlock) for op in operations(language_model(model)[1]))


def _own_keys(rows: Sequence[Row], start: Engine, timed: bool) -> tuple[str, ...]:
    """The same for engines with kernels and pipelines of their own, which serve one user."""
    keys = ["stream_share", "host_layer"]
    if timed:
        keys += ["tensor_share", "activation_passes"]
        routed = any(_has_experts(row.point.text("model")) for row in rows)
        keys += ["host_expert"] if start.host_expert_s and routed else []
        keys += ["score_bytes", "unshared"] if start.score_bytes else []
    if any(row.metric.startswith("ttft") for row in rows):
        keys.append("request")
    if len({row.point.text("n_gpus") for row in rows}) > 1 and start.in_flight < _ENDLESS:
        keys += ["host_stage", "pipelining"]
    return tuple(key for key in KEYS if key in keys)


def _problem(rows: Sequence[Row], start: Engine) -> tuple[tuple[str, ...], Problem]:
    """(keys, what is to be solved for them in logarithms) of one line; its centre is on record.

    Parameters: rows that ran it; start, the engine as it is on record.
    """
    keys = _keys(rows, start)
    usual = np.log([on_record(start)[key] for key in keys])
    low, high = (np.log([KEYS[key][place] for key in keys]) for place in (2, 3))
    own = rows[0].line.removeprefix("engine-").startswith(SINGLE_USER)
    spread = np.array([_LOOSE if own else _SPREAD.get(key, _LOOSE) for key in keys])
    measured = np.log([row.measured for row in rows])

    def wrong(x: Array) -> Array:
        return np.log(predicted(rows, tuned(_named(keys, x)))) - measured

    trust = np.array([row.trust for row in rows])
    return keys, Problem(wrong, trust, low, high, usual, _HELD / spread**2)


def _named(keys: Sequence[str], logs: Array) -> dict[str, float]:
    return dict(zip(keys, np.exp(logs).tolist(), strict=True))


def on_record(engine: Engine) -> dict[str, float]:
    """The constants of an engine by key [base units]."""
    return {key: getattr(engine, field) for key, (field, *_) in KEYS.items()}


def fit_line(rows: Sequence[Row], start: Engine, rounds: int = _ROUNDS) -> dict[str, float]:
    """Constants of one line by key [base units].

    Parameters: rows that ran it; start, the engine as it is on record; rounds of descent.
    """
    keys, problem = _problem(rows, start)
    return _named(keys, descend(problem, problem.centre, rounds))


def left_out(
    rows: Sequence[Row], start: Engine, values: Mapping[str, float], by: Sequence[str]
) -> dict[tuple[str, str], dict[str, float]]:
    """Constants of one line without each group of its rows, by (kind of group, its name).

    Parameters: rows and start, as of `fit_line`; values, the constants of all rows; by, kinds
    of groups: gpu, model, publication. An engine without any row stays as it is on record.
    """
    keys, problem = _problem(rows, start)
    names = [(kind, name) for kind in by for name in sorted({row.group(kind) for row in rows})]
    groups = [np.array([row.group(kind) == name for row in rows]) for kind, name in names]
    x = np.log([values[key] for key in keys])
    found = without(problem, x, groups)
    return {
        name: _named(keys, problem.centre if gone.all() else y)
        for name, gone, y in zip(names, groups, found, strict=True)
    }


def fitted(
    rows: Sequence[Row], start: Engine, by: Sequence[str] = ("publication", "gpu")
) -> Fitted:
    """Constants of a line with ranges and the error of rows predicted without their group."""
    values = fit_line(rows, start)
    folds = left_out(rows, start, values, by)
    errors = np.full((len(by), len(rows)), np.nan)
    for (kind, name), constants in folds.items():
        out = [place for place, row in enumerate(rows) if row.group(kind) == name]
        mine = [rows[place] for place in out]
        told = predicted(mine, tuned(constants))
        errors[by.index(kind), out] = np.abs(told / [row.measured for row in mine] - 1.0)
    seen = [values, *folds.values()]
    low = {key: min(fold[key] for fold in seen) for key in values}
    high = {key: max(fold[key] for fold in seen) for key in values}
    usual = on_record(start)
    # what no row moves, with any group left out, was not fitted: it stays as it is on record
    moved = [
        key for key in values
        if high[key] > low[key] * _MOVED or abs(np.log(values[key] / usual[key])) > np.log(_MOVED)
    ]  # fmt: skip
    return Fitted(
        rows[0].line, {key: values[key] for key in moved}, low, high, len(rows),
        float(np.nanmedian(np.nanmean(errors, axis=0))),
    )  # fmt: skip
