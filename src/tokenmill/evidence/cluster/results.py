"""Result files of benchmark clients and monitoring, read as rows of the serving schema.

`vllm bench serve --save-result`, aiperf (profile_export_aiperf.json), guidellm (benchmarks.json),
and answers of Prometheus range queries on metrics of vLLM and DCGM. They do not say what hardware
ran: that is given beside them. Times come in milliseconds but where a name says otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenmill.errors import BadRecord, InputError
from tokenmill.evidence.cluster.calibrate import Calibrated, calibrate
from tokenmill.evidence.cluster.cluster import write_cluster
from tokenmill.evidence.cluster.monitor import monitored
from tokenmill.evidence.points import Point, read_points

__all__ = ["calibrate_files", "read_results"]

Cells = dict[str, float | str]
_LIMIT_BYTES = 200_000_000
_KINDS = "a CSV of the serving schema, or JSON of vllm bench serve, aiperf, guidellm or Prometheus"


def read_results(paths: Sequence[Path], given: Mapping[str, str]) -> list[Point]:
    """Rows of result files.

    Parameters: paths; given, cells for what files do not say (gpu, model, tp ...), which win over
    what they do say where both speak.
    Raises: BadRecord for a file that is none of the kinds.
    """
    points: list[Point] = []
    series: list[Mapping[str, Any]] = []
    for path in paths:
        if path.suffix.lower() == ".csv" or str(path) == "-":
            points += [_filled(point, given) for point in read_points(path)]
            continue
        content = _json(path)
        if found := _matrix(content):
            series += found
            continue
        rows = list(_rows(path, content))
        points += [_point(path, at, cells, given) for at, cells in enumerate(rows)]
    if series:
        name = paths[0]
        points += [_point(name, at, cells, given) for at, cells in enumerate(monitored(series))]
    return points


def calibrate_files(
    *paths: str | Path, save: str | Path | None = None, on: str = "", model: str = "",
    engine: str = "", engine_version: str = "", weights: str = "", gpus: int | None = None,
    tp: int | None = None,
) -> Calibrated:  # fmt: skip
    """Tighten the twin to a cluster by result files of its own.

    Parameters: paths of result files; save, a factory file to save the calibration beside; on,
    model, engine, engine_version, weights, gpus [count, of all] and tp, what the files do not say.
    Returns: a Calibrated. Raises: BadRecord for a file, InputError for rows of no use.
    """
    count = tp if gpus is None else gpus
    given = {
        "gpu": on, "model": model, "engine": engine, "engine_version": engine_version,
        "weight_dtype": weights, "n_gpus": "" if count is None else str(count),
        "tp": "" if tp is None else str(tp),
    }  # fmt: skip
    points = read_results([Path(path) for path in paths], {k: v for k, v in given.items() if v})
    if points and not all(point.text("gpu") for point in points):
        raise InputError("the files do not say what GPU ran them; give it with --on")
    found = calibrate(points)
    if save is not None:
        found = replace(found, saved=str(write_cluster(found.cluster, Path(save))))
    return found


def _filled(point: Point, given: Mapping[str, str]) -> Point:
    return Point(point.path, point.line, {**point.cells, **given}, point.surplus)


def _point(path: Path, at: int, cells: Cells, given: Mapping[str, str]) -> Point:
    known = {
        key: value if isinstance(value, str) else f"{value:.9g}"
        for key, value in cells.items()
        if isinstance(value, str) or math.isfinite(value)
    }
    return Point(str(path), at + 1, {"engine": "vllm", **known, **given})


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise BadRecord(path, "", "larger than 200 MB; export less of it")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise BadRecord(path, "", f"cannot be read: {problem.strerror}") from None
    except (ValueError, RecursionError):
        raise BadRecord(path, "", f"neither JSON nor CSV; give {_KINDS}") from None


def _matrix(content: Any) -> list[Mapping[str, Any]]:
    """The series of a Prometheus answer, none where it is something else."""
    data = content.get("data") if isinstance(content, Mapping) else None
    if not isinstance(data, Mapping) or data.get("resultType") != "matrix":
        return []
    return [one for one in data.get("result", []) if isinstance(one, Mapping)]


def _rows(path: Path, content: Any) -> Iterator[Cells]:
    readers: tuple[tuple[str, Callable[[Mapping[str, Any]], Iterable[Cells]]], ...] = (
        ("benchmarks", _guidellm), ("time_to_first_token", _aiperf), ("request_throughput", _vllm),
    )  # fmt: skip
    for one in content if isinstance(content, list) else [content]:
        if not isinstance(one, Mapping):
            raise BadRecord(path, "", f"not a result file; give {_KINDS}")
        reader = next((reader for key, reader in readers if key in one), None)
        if reader is None:
            raise BadRecord(path, "", f"not a result file; give {_KINDS}")
        try:
            yield from reader(one)
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as problem:
            raise BadRecord(path, "", f"an incomplete result file: {problem}") from None


def _load(concurrency: float, rate: float, requests: float) -> Cells:
    """The load of a run: users in flight, a rate, or everything at once."""
    kind = "concurrency" if concurrency > 0 else "rate" if 0 < rate < math.inf else "offline"
    cells: Cells = {"load": kind, "num_requests": requests}
    if kind == "concurrency":
        cells["concurrency"] = concurrency
    elif kind == "rate":
        cells["request_rate_per_s"] = rate
    return cells


def _number(value: Any) -> float:
    """A number, 0 where there is none; "inf" is infinite."""
    return float(value) if value not in (None, "") else 0.0


def _vllm(run: Mapping[str, Any]) -> Iterator[Cells]:
    done = _number(run["completed"])
    cells: Cells = {
        "model": str(run.get("model_id", "")),
        "isl_mean": _number(run["total_input_tokens"]) / done,
        "osl_mean": _number(run["total_output_tokens"]) / done,
        "requests_per_s": _number(run["request_throughput"]),
        "output_tokens_per_s": _number(run["output_throughput"]),
    }
    cells |= _load(_number(run.get("max_concurrency")), _number(run.get("request_rate")), done)
    for name in ("ttft", "tpot"):
        for key, part in (("mean", "mean"), ("median", "p50"), ("p90", "p90"), ("p99", "p99")):
            if f"{key}_{name}_ms" in run:
                cells[f"{name}_{part}_s"] = _number(run[f"{key}_{name}_ms"]) / 1e3
    yield cells


def _aiperf(run: Mapping[str, Any]) -> Iterator[Cells]:
    def stat(name: str, part: str = "avg") -> float:
        return _number((run.get(name) or {}).get(part, math.nan))

    config = run.get("input_config") or {}
    endpoint, generator = config.get("endpoint") or {}, config.get("loadgen") or {}
    models = endpoint.get("model_names") or [""]
    cells: Cells = {
        "model": str(models[0]),
        "isl_mean": stat("input_sequence_length"),
        "osl_mean": stat("output_sequence_length"),
        "requests_per_s": stat("request_throughput"),
        "output_tokens_per_s": stat("output_token_throughput"),
    }
    cells |= _load(
        _number(generator.get("concurrency")), _number(generator.get("request_rate")),
        stat("request_count"),
    )  # fmt: skip
    # its latency between tokens is (whole request - first token) / (tokens - 1): our TPOT
    for own, name in (("time_to_first_token", "ttft"), ("inter_token_latency", "tpot")):
        for part, ours in (("avg", "mean"), ("p50", "p50"), ("p90", "p90"), ("p99", "p99")):
            cells[f"{name}_{ours}_s"] = stat(own, part) / 1e3
    yield cells


def _guidellm(report: Mapping[str, Any]) -> Iterator[Cells]:
    for run in report["benchmarks"]:
        yield _guidellm_run(run)


def _guidellm_run(run: Mapping[str, Any]) -> Cells:
    metrics = run["metrics"]

    def stat(name: str, part: str = "mean") -> float:
        found = (metrics.get(name) or {}).get("successful") or {}
        return _number(found.get(part, (found.get("percentiles") or {}).get(part, math.nan)))

    config = run.get("config") or run.get("args") or {}
    strategy = config.get("strategy") or config.get("profile") or {}
    kind = str(strategy.get("type_", ""))
    streams = strategy.get("streams", strategy.get("max_concurrency"))
    streams = streams[0] if isinstance(streams, list) and streams else streams
    streams = 1.0 if kind == "synchronous" else _number(streams)
    rate = _number(strategy.get("rate")) if kind in ("constant", "poisson", "async") else 0.0
    cells: Cells = {
        "isl_mean": stat("prompt_token_count"),
        "osl_mean": stat("output_token_count"),
        "requests_per_s": stat("requests_per_second"),
        "output_tokens_per_s": stat("output_tokens_per_second"),
    }
    cells |= _load(0.0 if rate else streams, rate, _number(
        (metrics.get("request_totals") or {}).get("successful")))  # fmt: skip
    # its time per token counts the first one too; the latency between tokens is ours
    for own, name in (("time_to_first_token_ms", "ttft"), ("inter_token_latency_ms", "tpot")):
        for part, ours in (("mean", "mean"), ("p50", "p50"), ("p90", "p90"), ("p99", "p99")):
            cells[f"{name}_{ours}_s"] = stat(own, part) / 1e3
    return cells
