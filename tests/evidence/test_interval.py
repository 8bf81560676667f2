"""Intervals: bands by distance, conformal quantiles, outcomes that carry them, and chances."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokenmill as tm
from tokenmill.catalog import load
from tokenmill.evidence.family import family_named
from tokenmill.evidence.interval import DISTANCES, Band, band_of, beats, distance, quantity_of
from tokenmill.evidence.interval_fit import coverage, quantiles, shared_errors
from tokenmill.evidence.points import Point
from tokenmill.evidence.residuals import Residuals

FAMILIES = ("serving", "collectives", "media")


@pytest.mark.parametrize("family", FAMILIES)
def test_bands_hold_their_middle_and_grow_with_distance(family: str) -> None:
    figures = load.calibration(f"interval-{family}").figures
    names = {key.rsplit("/", 1)[0] for key in figures if key.rsplit("/", 1)[-1] in DISTANCES}
    assert names
    for name in names:
        near, middle, far = (figures[f"{name}/{at}"] for at in DISTANCES)
        assert 0 < far.low <= middle.low <= near.low <= near.value <= near.high
        assert near.high <= middle.high <= far.high


def test_distance_is_that_of_the_measurements() -> None:
    assert distance("serving", "H100", "meta-llama/Llama-3.1-8B") == "measured"
    assert distance("serving", "h100-sxm", "qwen2.5-1.5b") == "architecture"
    assert distance("serving", "tpu-v6e", "llama-3.1-8b") == "specification"


def test_watts_are_as_far_as_watts_were_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = load.files("calibration")["interval-serving"].read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith('"rows/power/')]
    row = '"rows/power/hopper" = { value = "274", low = "274", high = "274", source = "rows" }'
    at = next(n for n, line in enumerate(kept) if line.startswith('"rows/'))
    (tmp_path / "calibration").mkdir()
    path = tmp_path / "calibration" / "interval-serving.toml"
    path.write_text("\n".join([*kept[:at], row, *kept[at:]]), encoding="utf-8")
    monkeypatch.setenv("TOKENMILL_CATALOG", str(tmp_path))
    assert distance("serving", "b200-sxm", "deepseek-r1") == "measured"
    assert distance("serving", "b200-sxm", "deepseek-r1", "power") == "specification"
    assert distance("serving", "h100-sxm", "llama-3.1-8b", "power") == "measured"
    assert distance("serving", "h200-sxm", "qwen3-8b", "power") == "architecture"


def test_a_binding_cap_is_a_condition_of_its_own() -> None:
    def condition(**cells: str) -> str:
        cells = {"scope": "gpu", "gpu": "v100-pcie-32gb"} | cells
        return family_named("power").condition(Point("row", 1, cells))

    assert condition() == condition(power_cap_w="250") == "gpu"
    assert condition(power_cap_w="150") == "gpu+capped"
    assert condition(scope="system") == "system"


def test_tails_are_quantities_of_their_own() -> None:
    assert quantity_of("ttft_p99_s") == "ttft-tail" and quantity_of("ttft_p50_s") == "ttft"
    assert quantity_of("outputs_per_s") == "rate"


def test_weak_measurements_are_foreseen_wider() -> None:
    good, weak = (band_of("serving", "rate", "offline", "measured", q) for q in "ac")
    assert weak.low <= good.low and weak.high >= good.high and weak.middle == good.middle


@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_a_looser_limit_is_kept_more_probably(predicted: float, limit: float) -> None:
    band = Band(0.8, 1.05, 1.5)
    kept = band.below(predicted, limit)
    assert 0.0 <= kept <= band.below(predicted, 1.5 * limit) <= 1.0
    assert band.below(predicted, predicted * 1.5) == pytest.approx(0.9)
    assert band.below(predicted, predicted * 0.8) == pytest.approx(0.1)
    assert band.below(predicted, math.inf) == 1.0


def test_shared_errors_make_comparisons_surer() -> None:
    apart, together = (beats(1.0, 1.2, (0.3, 0.3), shared) for shared in (0.0, 0.9))
    assert 0.5 < apart < together < 1.0
    assert beats(1.2, 1.0, (0.3, 0.3), 0.5) == pytest.approx(1 - beats(1.0, 1.2, (0.3, 0.3), 0.5))


def test_quantiles_by_weight() -> None:
    values, weight = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 98.0])
    assert quantiles(values, weight, 0.5)[1] == pytest.approx(2.0, abs=0.05)


def test_biased_groups_are_covered_less_until_the_level_is_raised() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 50).astype(str)
    values = rng.normal(0, 0.3, 12)[groups.astype(int)] + rng.normal(0, 0.1, 600)
    held, asked = coverage(values, np.ones(600), groups, np.array([0.8, 0.99]))
    assert asked == pytest.approx(1.0)
    assert held[0] < 0.8 < held[1]


def test_a_group_that_is_most_of_the_rows_is_not_asked_of_the_few_that_are_left() -> None:
    groups = np.array(["long"] * 90 + ["short"] * 10)
    values = np.where(groups == "long", np.linspace(-1.0, 1.0, 100), 5.0)
    held, asked = coverage(values, np.ones(100), groups, np.array([0.8]))
    assert asked == pytest.approx(0.1)
    assert held[0] == 0.0


def test_errors_that_a_gpu_shares_are_found() -> None:
    rng = np.random.default_rng(1)
    gpu = np.repeat(np.arange(30), 20).astype(str)
    log = rng.normal(0, 0.3, 30)[gpu.astype(int)] + rng.normal(0, 0.3, 600)
    one = np.full(600, "x")
    rows = Residuals(
        np.arange(600).astype(str), one, np.full(600, "tpot"), one, one, gpu, one, one, one, one,
        log, np.ones(600),
    )  # fmt: skip
    shared = shared_errors(rows)
    assert shared["same-gpu"] == pytest.approx(0.5, abs=0.15)
    assert shared["other-gpu"] == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("load_of", [{"concurrency": 16.0}, {"rate_per_s": 1.0}])
def test_every_figure_of_an_outcome_lies_in_its_interval(load_of: dict[str, float]) -> None:
    outcome = tm.estimate("llama-3.1-8b", on="h100", **load_of)  # type: ignore[arg-type]
    assert len(outcome.intervals) > 20
    for name, band in outcome.intervals.items():
        assert 0 < band.low <= band.value <= band.high, name
    assert outcome.intervals["ttft_s"].value == outcome.ttft_s.mean
    assert outcome.intervals["gpu_watts"].high <= 700.0
    exact = outcome.intervals["output_tokens_per_s"]
    assert (exact.low == exact.high) is ("rate_per_s" in load_of)


def test_a_refresh_is_as_near_as_the_architecture_it_refreshes() -> None:
    near = {
        gpu: distance("serving", gpu, "deepseek-r1")
        for gpu in ("b200-sxm", "b300-sxm", "gb300", "mi355x", "tpu-v6e")
    }
    assert near == {
        "b200-sxm": "measured", "b300-sxm": "architecture", "gb300": "architecture",
        "mi355x": "specification", "tpu-v6e": "specification",
    }  # fmt: skip
    assert distance("serving", "b300-sxm", "deepseek-r1", "power") == "specification"


def test_an_unmeasured_gpu_is_less_sure() -> None:
    known, strange = (tm.estimate("llama-3.1-8b", on=gpu) for gpu in ("h100-sxm", "tpu-v6e"))
    wide = [one.intervals["tpot_s"].high / one.intervals["tpot_s"].low for one in (known, strange)]
    assert wide[1] > wide[0]


def test_a_run_carries_the_bands_of_an_estimate() -> None:
    run = tm.simulate("llama-3.1-8b", on="h100", traffic={"rate_per_s": 2.0, "requests": 200})
    told = run.outcome.intervals["tpot_s"]
    told_too = tm.estimate("llama-3.1-8b", on="h100", rate_per_s=2.0).intervals["tpot_s"]
    assert told.high / told.value == pytest.approx(told_too.high / told_too.value)


def test_a_plan_says_how_surely_its_first_option_is_ahead() -> None:
    plan = tm.plan(models="llama-3.1-8b", hardware="h100,b200,l40s")
    assert len(plan.ahead) == len(plan.options) and plan.ahead[0] == 0.5
    assert all(0.5 <= chance <= 1.0 for chance in plan.ahead)
    assert all(0.0 < option.within_limits <= 1.0 for option in plan.options)
    assert tuple(plan.to_dict()["ahead"]) == plan.ahead
