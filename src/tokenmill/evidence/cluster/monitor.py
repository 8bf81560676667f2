"""Prometheus series of vLLM and DCGM as rows: a window of a running service is a measurement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError

__all__ = ["monitored"]

Array = NDArray[np.float64]
_WINDOWS = 6  # at most; one service seen over time is a few loads, not hundreds
_LEAST_SAMPLES = 8  # of a window
_LEAST_REQUESTS = 20.0
# sum and count of a histogram; newer versions name the time per token by request
_TTFT = ("vllm:time_to_first_token_seconds",)
_TPOT = ("vllm:request_time_per_output_token_seconds", "vllm:time_per_output_token_seconds",
         "vllm:inter_token_latency_seconds")  # fmt: skip
_RUNNING, _WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
_PROMPT, _OUTPUT = "vllm:prompt_tokens_total", "vllm:generation_tokens_total"
_DONE, _WATTS = "vllm:request_success_total", "DCGM_FI_DEV_POWER_USAGE"


class _Series:
    """Series by name: samples (n, 2) of time [s] and value, one array for each set of labels."""

    def __init__(self, found: Sequence[Mapping[str, Any]]) -> None:
        self.by_name: dict[str, list[Array]] = {}
        self.model = ""
        for one in found:
            labels = one.get("metric") or {}
            samples = [(float(t), float(v)) for t, v in one.get("values") or []]
            if samples and "le" not in labels:
                name = str(labels.get("__name__", ""))
                self.by_name.setdefault(name, []).append(np.array(samples))
                self.model = self.model or str(labels.get("model_name", ""))

    def mean(self, name: str, start: float, end: float) -> float:
        """The mean over a window of a gauge, added up over its labels; NaN without samples."""
        parts = [_inside(x, start, end)[:, 1] for x in self.by_name.get(name, [])]
        parts = [part for part in parts if part.size]
        return float(sum(part.mean() for part in parts)) if parts else float("nan")

    def grown(self, name: str, start: float, end: float) -> float:
        """How much a counter grew in a window, restarts left out; NaN without samples."""
        parts = [_inside(x, start, end)[:, 1] for x in self.by_name.get(name, [])]
        parts = [part for part in parts if part.size > 1]
        if not parts:
            return float("nan")
        return float(sum(np.maximum(np.diff(part), 0.0).sum() for part in parts))

    def each(self, names: Sequence[str], start: float, end: float) -> float:
        """The mean of a histogram in a window, by the first of its names that is there."""
        for name in names:
            count = self.grown(f"{name}_count", start, end)
            if count > 0:
                return self.grown(f"{name}_sum", start, end) / count
        return float("nan")


def _inside(samples: Array, start: float, end: float) -> Array:
    found: Array = samples[(samples[:, 0] >= start) & (samples[:, 0] <= end)]
    return found


def monitored(found: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, float | str]]:
    """Rows of the serving schema from the series of range queries, one for each window.

    Parameters: found, results of range queries, whole series with their names and labels.
    Raises: InputError where a metric is missing that a row needs.
    """
    series = _Series(found)
    for name in (_RUNNING, _PROMPT, _OUTPUT, _DONE):
        if name not in series.by_name:
            raise InputError(f"the Prometheus export lacks {name}; export it without rate()")
    times = np.unique(np.concatenate([x[:, 0] for x in series.by_name[_RUNNING]]))
    count = int(np.clip(len(times) // _LEAST_SAMPLES, 1, _WINDOWS))
    edges = np.linspace(times[0], times[-1], count + 1)
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        row = _row(series, start, end)
        if row is not None:
            yield row


def _row(series: _Series, start: float, end: float) -> dict[str, float | str] | None:
    done, span_s = series.grown(_DONE, start, end), end - start
    if not done >= _LEAST_REQUESTS:
        return None
    waiting = series.mean(_WAITING, start, end)
    output = series.grown(_OUTPUT, start, end)
    return {
        "model": series.model, "load": "concurrency", "num_requests": done,
        "concurrency": series.mean(_RUNNING, start, end) + (0.0 if waiting != waiting else waiting),
        "isl_mean": series.grown(_PROMPT, start, end) / done, "osl_mean": output / done,
        "requests_per_s": done / span_s, "output_tokens_per_s": output / span_s,
        "ttft_mean_s": series.each(_TTFT, start, end),
        "tpot_mean_s": series.each(_TPOT, start, end),
        "gpu_power_w": series.mean(_WATTS, start, end),
    }  # fmt: skip
