"""Calibration: synthetic clusters are found again, result files are read, the twin uses both."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tokenmill as tm
from tokenmill.errors import BadRecord, InputError
from tokenmill.evidence.cluster.calibrate import calibrate
from tokenmill.evidence.cluster.cluster import SCALES, Cluster, read_cluster, tuned, write_cluster
from tokenmill.evidence.cluster.results import read_results
from tokenmill.evidence.points import Point
from tokenmill.evidence.serving.predict import predict_serving

TRUTH = (0.20, -0.12, 0.60, 0.0, 0.15)  # logarithms of the scales, in their order
METRICS = ("tpot_mean_s", "ttft_mean_s", "output_tokens_per_s", "gpu_power_w")
FIVE = [(1, 500, 200), (8, 1000, 300), (32, 2000, 200), (64, 200, 500), (128, 1000, 100)]
OTHERS = [(2, 800, 100), (16, 4000, 300), (48, 500, 500), (96, 1500, 250), (200, 300, 300)]
GIVEN = {"gpu": "h100-sxm", "model": "llama-3.1-8b", "n_gpus": "1", "tp": "1"}


def cells(users: int, prompt: int, output: int) -> dict[str, str]:
    return {
        **GIVEN, "engine": "vllm", "load": "concurrency", "concurrency": str(users),
        "isl_mean": str(prompt), "osl_mean": str(output), "id": f"{users}/{prompt}",
    }  # fmt: skip


def measured(users: int, prompt: int, output: int, noise: np.random.Generator) -> Point:
    """A row of the synthetic cluster, with 3 % of noise."""
    row = cells(users, prompt, output)
    told = predict_serving(Point("x", 1, row), lambda engine: tuned(engine, TRUTH))
    power = math.exp(TRUTH[-1])
    for metric in METRICS:
        scale = power if metric == "gpu_power_w" else 1.0
        row[metric] = str(told[metric] * scale * math.exp(noise.normal(0.0, 0.03)))
    return Point("x", 1, row)


def error(cluster_logs: tuple[float, ...]) -> float:
    """Mean error on loads that the calibration has not seen."""
    off = []
    for users, prompt, output in OTHERS:
        point = Point("x", 1, cells(users, prompt, output))
        real, seen = (
            predict_serving(point, lambda engine, x=logs: tuned(engine, x))  # type: ignore[misc]
            for logs in (TRUTH, cluster_logs)
        )
        for metric in METRICS:
            power = math.exp(cluster_logs[-1] - TRUTH[-1]) if metric == "gpu_power_w" else 1.0
            off.append(abs(seen[metric] * power / real[metric] - 1.0))
    return float(np.mean(off))


@pytest.fixture(scope="module")
def five() -> Cluster:
    noise = np.random.default_rng(0)
    return calibrate([measured(*load, noise) for load in FIVE]).cluster


def test_five_rows_halve_the_error_on_loads_they_do_not_hold(five: Cluster) -> None:
    assert error(five.mean) < 0.5 * error((0.0,) * len(SCALES))


def test_the_truth_lies_in_the_posterior_which_is_narrower_than_the_prior(five: Cluster) -> None:
    for name, truth, before in zip(SCALES, TRUTH, five.prior, strict=True):
        assert (five.spread(name) < before) is (name != "link")  # one GPU has no links
        assert abs(five.mean[SCALES.index(name)] - truth) < 2.0 * five.spread(name)


def test_rows_of_several_gpus_tell_how_fast_their_links_are() -> None:
    rows = []
    for load in FIVE:
        row = {**cells(*load), "gpu": "l40s", "n_gpus": "4", "tp": "4", "model": "llama-3.1-70b"}
        told = predict_serving(
            Point("x", 1, row), lambda engine: tuned(engine, (0.0, 0.0, 0.0, 0.3, 0.0))
        )
        rows.append(Point("x", 1, {**row, **{key: str(told[key]) for key in METRICS[:2]}}))
    found = calibrate(rows).cluster
    assert found.mean[SCALES.index("link")] == pytest.approx(0.3, abs=0.15)
    assert found.spread("link") < found.prior[SCALES.index("link")]


def test_without_differences_nothing_is_found() -> None:
    rows = []
    for load in FIVE:
        row = cells(*load)
        told = predict_serving(Point("x", 1, row))
        rows.append(Point("x", 1, {**row, **{key: str(told[key]) for key in METRICS}}))
    found = calibrate(rows)
    assert found.cluster.mean == pytest.approx((0.0,) * len(SCALES), abs=1e-6)
    assert found.after < 1e-6


def test_a_cluster_is_saved_beside_the_factory_and_read_back(five: Cluster, tmp_path: Path) -> None:
    path = write_cluster(five, tmp_path / "factory.toml")
    assert path.name == "factory.calibration.toml"
    for name in (path, tmp_path / "factory.toml"):
        back = read_cluster(name)
        assert back.mean == pytest.approx(five.mean, rel=1e-5)
        assert np.array(back.covariance) == pytest.approx(np.array(five.covariance), rel=1e-4)
    path.write_text("mean = [1]\n")
    with pytest.raises(BadRecord, match="calibrate again"):
        read_cluster(path)


def test_every_answer_uses_it_on_its_own_gpu_and_engine(five: Cluster, tmp_path: Path) -> None:
    saved = str(write_cluster(five, tmp_path / "factory.toml"))
    plain, here = (
        tm.estimate("llama-3.1-8b", on="h100-sxm", concurrency=16, calibration=path)
        for path in ("", saved)
    )
    assert here.tpot_s.mean != plain.tpot_s.mean and here.gpu_watts > plain.gpu_watts
    wide, narrow = (x.intervals["tpot_s"].high / x.intervals["tpot_s"].low for x in (plain, here))
    assert narrow < wide
    run = tm.simulate(
        "llama-3.1-8b", on="h100-sxm", traffic={"concurrency": 16, "requests": 200},
        calibration=saved,
    )  # fmt: skip
    assert run.outcome.tpot_s.mean == pytest.approx(here.tpot_s.mean, rel=0.25)
    plans = [
        tm.plan(models="llama-3.1-8b", hardware="h100", calibration=path) for path in ("", saved)
    ]
    assert plans[0].options[0].tpot_s != plans[1].options[0].tpot_s


def test_files_calibrate_in_one_call(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(VLLM))
    found = tm.calibrate(path, on="H100", tp=1, save=tmp_path / "factory.toml")
    assert found.cluster.accelerator == "h100-sxm" and found.cluster.rows >= 5
    assert read_cluster(Path(found.saved)).mean == pytest.approx(found.cluster.mean, rel=1e-5)
    with pytest.raises(InputError, match="--on"):
        tm.calibrate(path)


def test_what_cannot_be_calibrated_is_refused() -> None:
    noise = np.random.default_rng(0)
    with pytest.raises(InputError, match="no row"):
        calibrate([])
    other = measured(*FIVE[0], noise)
    other = Point("x", 2, {**other.cells, "gpu": "a100-sxm-80gb"})
    with pytest.raises(InputError, match="several clusters"):
        calibrate([measured(*FIVE[0], noise), other])


VLLM = {
    "model_id": "meta-llama/Llama-3.1-8B", "num_prompts": 100, "request_rate": "inf",
    "max_concurrency": 8, "duration": 20.0, "completed": 100, "total_input_tokens": 100_000,
    "total_output_tokens": 20_000, "request_throughput": 5.0, "output_throughput": 1000.0,
    "mean_ttft_ms": 60.0, "median_ttft_ms": 50.0, "p99_ttft_ms": 100.0, "mean_tpot_ms": 8.0,
    "median_tpot_ms": 7.9, "p99_tpot_ms": 9.0,
}  # fmt: skip
AIPERF = {
    "request_throughput": {"unit": "requests/sec", "avg": 5.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 1000.0},
    "time_to_first_token": {"unit": "ms", "avg": 60.0, "p50": 50.0, "p99": 100.0},
    "inter_token_latency": {"unit": "ms", "avg": 8.0, "p50": 7.9, "p99": 9.0},
    "input_sequence_length": {"unit": "tokens", "avg": 1000.0},
    "output_sequence_length": {"unit": "tokens", "avg": 200.0},
    "request_count": {"unit": "requests", "avg": 100.0},
    "input_config": {
        "endpoint": {"model_names": ["meta-llama/Llama-3.1-8B"]}, "loadgen": {"concurrency": 8}
    },
}  # fmt: skip


def _stat(mean: float, p50: float, p99: float) -> dict[str, Any]:
    return {"successful": {"mean": mean, "median": p50, "percentiles": {"p50": p50, "p99": p99}}}


GUIDELLM = {
    "benchmarks": [{
        "config": {"strategy": {"type_": "concurrent", "streams": 8}},
        "metrics": {
            "requests_per_second": _stat(5.0, 5.0, 5.0),
            "output_tokens_per_second": _stat(1000.0, 1000.0, 1000.0),
            "time_to_first_token_ms": _stat(60.0, 50.0, 100.0),
            "inter_token_latency_ms": _stat(8.0, 7.9, 9.0),
            "prompt_token_count": _stat(1000.0, 1000.0, 1000.0),
            "output_token_count": _stat(200.0, 200.0, 200.0),
            "request_totals": {"successful": 100},
        },
    }]
}  # fmt: skip


@pytest.mark.parametrize("content", [VLLM, AIPERF, GUIDELLM], ids=["vllm", "aiperf", "guidellm"])
def test_result_files_are_rows_of_the_serving_schema(tmp_path: Path, content: object) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content))
    (point,) = read_results([path], GIVEN)
    want = {
        "concurrency": 8.0, "isl_mean": 1000.0, "osl_mean": 200.0, "ttft_mean_s": 0.06,
        "ttft_p50_s": 0.05, "tpot_mean_s": 0.008, "tpot_p99_s": 0.009,
        "output_tokens_per_s": 1000.0, "num_requests": 100.0,
    }  # fmt: skip
    assert {key: point.number(key) for key in want} == pytest.approx(want)
    assert point.text("load") == "concurrency" and predict_serving(point)


def _series(name: str, values: list[float], **labels: str) -> dict[str, Any]:
    samples = [[1000.0 + 15.0 * at, str(value)] for at, value in enumerate(values)]
    return {"metric": {"__name__": name, "model_name": "llama-3.1-8b", **labels}, "values": samples}


def test_prometheus_ranges_are_windows_of_a_running_service(tmp_path: Path) -> None:
    count = 17  # samples 15 s apart: two windows
    up = [float(at) for at in range(count)]
    found = [
        _series("vllm:num_requests_running", [8.0] * count),
        _series("vllm:num_requests_waiting", [0.0] * count),
        _series("vllm:request_success_total", [75.0 * x for x in up], finished_reason="stop"),
        _series("vllm:prompt_tokens_total", [75_000.0 * x for x in up]),
        _series("vllm:generation_tokens_total", [15_000.0 * x for x in up]),
        _series("vllm:time_to_first_token_seconds_sum", [4.5 * x for x in up]),
        _series("vllm:time_to_first_token_seconds_count", [75.0 * x for x in up]),
        _series("vllm:time_to_first_token_seconds_bucket", [75.0 * x for x in up], le="1"),
        _series("vllm:time_per_output_token_seconds_sum", [0.6 * x for x in up]),
        _series("vllm:time_per_output_token_seconds_count", [75.0 * x for x in up]),
        _series("DCGM_FI_DEV_POWER_USAGE", [500.0] * count, gpu="0"),
        _series("DCGM_FI_DEV_POWER_USAGE", [400.0] * count, gpu="1"),
    ]
    parts = [found[:6], found[6:]]  # one export for each query is the usual way
    paths = []
    for at, part in enumerate(parts):
        paths.append(tmp_path / f"{at}.json")
        answer = {"status": "success", "data": {"resultType": "matrix", "result": part}}
        paths[-1].write_text(json.dumps(answer))
    points = read_results(paths, GIVEN)
    want = {
        "concurrency": 8.0, "isl_mean": 1000.0, "osl_mean": 200.0, "ttft_mean_s": 0.06,
        "tpot_mean_s": 0.008, "gpu_power_w": 900.0, "requests_per_s": 5.0,
    }  # fmt: skip
    assert len(points) == 2
    for point in points:
        assert {key: point.number(key) for key in want} == pytest.approx(want)
    with pytest.raises(InputError, match="vllm:num_requests_running"):
        read_results(paths[1:], GIVEN)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', json.dumps({**VLLM, "completed": 0})])
def test_other_files_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BadRecord) as refused:
        read_results([path], GIVEN)
    assert "\n" not in str(refused.value) and "x.json" in str(refused.value)
