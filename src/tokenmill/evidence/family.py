"""Families of measurements: what a file of each holds, and what predicts a row of it.

A family is one value. `score` picks it by the header of a file, so that a new kind of measurement
joins by one more value at the end of `FAMILIES`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tokenmill.errors import BadRecord, Unsupported
from tokenmill.evidence.points import Point, Table

__all__ = ["FAMILIES", "Family", "Predict", "family_named", "family_of", "misspelt"]

Predict = Callable[[Point], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of measurement file.

    marks: columns that only its files have; needs: columns that every file must have; metrics:
    columns that a prediction is held against; inputs: other columns that are read; predict:
    metric -> prediction [its unit], of whatever can be predicted of a row; condition: under which
    of a few conditions a row was measured, whose errors differ.
    """

    name: str
    marks: frozenset[str]
    needs: tuple[str, ...]
    metrics: tuple[str, ...]
    inputs: tuple[str, ...]
    predict: Predict
    condition: Callable[[Point], str] = lambda point: ""  # ValueError: unknown

    def recognises(self, header: Iterable[str]) -> bool:
        """Whether a file with these columns is one of the family."""
        return not self.marks.isdisjoint(header)


_SERVING_METRICS = (
    "output_tokens_per_s", "total_tokens_per_s", "requests_per_s", "prefill_tokens_per_s",
    "decode_tokens_per_s", "ttft_mean_s", "ttft_p50_s", "ttft_p90_s", "ttft_p99_s",
    "tpot_mean_s", "tpot_p50_s", "tpot_p90_s", "tpot_p99_s", "itl_p50_s", "itl_p99_s",
    "e2e_p50_s", "e2e_p99_s", "gpu_power_w", "energy_j_per_output_token",
)  # fmt: skip
_SERVING_INPUTS = (
    "n_gpus", "weight_dtype", "kv_dtype", "engine", "engine_version", "mode", "tp", "pp", "ep",
    "dp", "dp_attention", "prefill_gpus", "decode_gpus", "speculative", "isl_mean", "osl_mean",
    "length_shape", "load", "concurrency", "request_rate_per_s", "num_requests", "publication",
    "date", "quality",
)  # fmt: skip
_POWER_INPUTS = (
    "scope", "n_gpus", "workload", "model", "precision", "batch", "power_cap_w", "energy_per",
    "throughput", "throughput_unit",
)  # fmt: skip


def _serving(point: Point) -> Mapping[str, float]:
    from tokenmill.evidence.serving.predict import predict_serving

    return predict_serving(point)


def _collectives(point: Point) -> Mapping[str, float]:
    from tokenmill.evidence.collectives.predict import predict_collective

    return predict_collective(point)


def _power(point: Point) -> Mapping[str, float]:
    from tokenmill.evidence.power.predict import predict_power

    return predict_power(point)


def _media(point: Point) -> Mapping[str, float]:
    from tokenmill.evidence.images.predict import predict_media

    return predict_media(point)


def _loaded(point: Point) -> str:
    """The kind of load, and what makes a row harder to foresee: lengths of a data set, prefill on
    GPUs of its own, drafts of tokens that may not hold."""
    parts = [point.text("load", "concurrency")]
    if point.text("length_shape", "fixed") not in ("fixed", "uniform"):
        parts.append("dataset")
    if point.text("mode") == "disaggregated":
        parts.append("disaggregated")
    if point.text("speculative"):
        parts.append("drafted")
    return "+".join(parts)


def _reach(point: Point) -> str:
    """Whether a group stays inside its domain, and what joins it there."""
    from tokenmill.placement.platform import platform

    local = point.text("gpus_per_node") or point.text("n_gpus", "1")
    if float(point.text("n_gpus", "1")) > float(local):
        return "across"
    return platform(point.text("gpu")).fabric.kind.split("-")[0]


def _drawn(point: Point) -> str:
    """Where power was read, and whether a cap bound it, which tells most of it beforehand."""
    from tokenmill.placement.platform import platform

    scope = point.text("scope", "gpu")
    if not point.text("power_cap_w"):
        return scope
    limit_w = platform(point.text("gpu")).power.limit_w
    return f"{scope}+capped" if point.number("power_cap_w") < 0.99 * limit_w else scope


def _later(name: str) -> Predict:
    def refuse(point: Point) -> Mapping[str, float]:
        raise Unsupported(f"{name} rows are not predicted by this version")

    return refuse


FAMILIES: tuple[Family, ...] = (
    Family(
        "serving", frozenset(_SERVING_METRICS), ("gpu", "model"), _SERVING_METRICS,
        _SERVING_INPUTS, _serving, _loaded,
    ),
    Family(
        "collectives", frozenset(("op", "message_bytes")), ("gpu", "op", "message_bytes"),
        ("latency_s",), ("system", "n_gpus", "gpus_per_node", "library", "version"), _collectives,
        _reach,
    ),
    Family(
        "power", frozenset(("scope", "energy_per", "power_cap_w")), ("gpu",),
        ("power_w", "energy_j", "throughput"), _POWER_INPUTS, _power,
        _drawn,
    ),
    Family(
        "media", frozenset(("seconds_per_output", "outputs_per_s", "energy_j_per_output")),
        ("gpu", "model"),
        ("seconds_per_output", "outputs_per_s", "energy_j_per_output", "power_w"),
        ("n_gpus", "width", "height", "frames", "steps", "batch", "precision", "software"), _media,
    ),
    Family(
        "training",
        frozenset(("tokens_per_s_per_gpu", "model_tflops_per_gpu", "step_s", "time_to_train_s")),
        ("gpu", "model"),
        ("tokens_per_s_per_gpu", "model_tflops_per_gpu", "step_s", "time_to_train_s",
         "node_power_w"),
        ("task", "n_gpus", "precision", "seq_len", "global_batch", "micro_batch", "recompute"),
        _later("training"),
    ),
    Family(
        "policy", frozenset(("backbone_s", "action_head_s", "data_s")), ("gpu", "model"),
        ("data_s", "backbone_s", "action_head_s", "latency_s"), ("engine",), _later("policy"),
    ),
    Family(
        "robot_learning", frozenset(("env_steps_per_s", "envs")), ("gpu", "task"),
        ("env_steps_per_s",), ("n_gpus", "simulator", "includes"), _later("robot learning"),
    ),
    Family(
        "stages", frozenset(("stage", "value")), ("gpu", "value"), ("value",),
        ("n_gpus", "model", "software", "condition", "metric", "unit"), _later("stages"),
    ),
)  # fmt: skip


def family_named(name: str) -> Family:
    """The family of that name. Raises: KeyError for a name that none has."""
    return {family.name: family for family in FAMILIES}[name]


def family_of(table: Table) -> Family:
    """The family whose columns a file has, the one with most of them where several do.

    Raises: BadRecord where no family has, or a column is missing that it needs.
    """
    header = set(table.header)
    able = [family for family in FAMILIES if family.recognises(header)]
    if not able:
        problem = "the header names nothing that was measured"
        wanted = [key for family in FAMILIES for key in family.metrics]
        raise BadRecord(table.path, "", problem + _hint(table.header, wanted), line=1)
    family = max(able, key=lambda one: len(one.marks & header))
    for key in family.needs:
        if key not in header:
            problem = f"the header of a {family.name} file needs this column"
            raise BadRecord(table.path, key, problem + _hint(table.header, [key]), line=1)
    return family


def _hint(header: Iterable[str], wanted: Iterable[str]) -> str:
    for written, meant in _near(header, wanted):
        return f'; "{written}": did you mean {meant}?'
    return ""


def _near(header: Iterable[str], wanted: Iterable[str]) -> list[tuple[str, str]]:
    """(column of a header, what it may have meant) of the columns that are near to a wanted one."""
    pool = sorted(set(wanted) - set(header))
    found = []
    for written in header:
        close = difflib.get_close_matches(written, pool, n=1, cutoff=0.8)
        if close:
            found.append((written[:40], close[0]))
    return found


def misspelt(family: Family, header: Iterable[str]) -> list[str]:
    """One line for each column that is not read but looks like one that would be."""
    known = {*family.needs, *family.metrics, *family.inputs, "id", "publication", "quality", "note"}
    strange = [key for key in header if key not in known and key not in _EVERYWHERE]
    return [
        f'column "{written}" is not read; did you mean {meant}?'
        for written, meant in _near(strange, known - set(header))
    ]


_EVERYWHERE = {"use", "source", "locator", "date", "version"}
