"""Fitting kernel constants: the search, the files, and how well the shipped ones predict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tokenmill.catalog import load
from tokenmill.errors import InputError
from tokenmill.evidence.gauss_newton import minimise
from tokenmill.evidence.kernels import (
    fit,
    kernel_chips,
    read_kernels,
    review,
    shipped_constants,
    validate,
    write_kernels,
)
from tokenmill.evidence.kernels.draws import with_loads
from tokenmill.evidence.kernels.families import MEAN, TABLES, Constants, fit_group, predict
from tokenmill.evidence.kernels.rows import Sample, read_table
from tokenmill.physics.chip import Chip, kernel_constants
from tokenmill.placement.platform import chip_of

ROWS = 300  # per precision and engine: enough to see a drift, little enough to take seconds

# Median and mean error [%] by table and accelerator, on that sample. They may only shrink.
BUDGETS: dict[str, dict[str, tuple[float, float]]] = {
    "gemm": {
        "a100-sxm-80gb": (8, 11.5), "h100-sxm": (7, 9.5), "h200-sxm": (7.5, 10.5),
        "l40s": (9, 16), "b200-sxm": (6.5, 9.5), "gb200": (6, 9),
    },
    "moe": {
        "a100-sxm-80gb": (12, 16.5), "h100-sxm": (8.5, 12.5), "h200-sxm": (9, 13),
        "l40s": (8, 15.5), "b200-sxm": (9, 12), "gb200": (8.5, 11.5),
    },
    "generation_attention": {
        "a100-sxm-80gb": (8.5, 13.5), "h100-sxm": (9.5, 13.5), "h200-sxm": (10, 14),
        "l40s": (9.5, 16.5), "b200-sxm": (8, 10.5), "gb200": (6.5, 8.5),
    },
    "context_attention": {
        "a100-sxm-80gb": (3.5, 6), "h100-sxm": (8.5, 12), "h200-sxm": (8, 12),
        "l40s": (9, 14), "b200-sxm": (7.5, 10), "gb200": (7, 9.5),
    },
    "encoder_attention": {
        "h100-sxm": (7.5, 11), "h200-sxm": (7.5, 11), "l40s": (10.5, 19),
        "b200-sxm": (10, 16), "gb200": (9, 15),
    },
    "generation_mla": {
        "a100-sxm-80gb": (6.5, 9.5), "h100-sxm": (5, 7.5), "h200-sxm": (5.5, 8),
        "l40s": (9, 16), "b200-sxm": (8.5, 11), "gb200": (8.5, 11),
    },
    "context_mla": {
        "a100-sxm-80gb": (5, 6.5), "h100-sxm": (5.5, 8), "h200-sxm": (5, 7.5),
        "l40s": (7.5, 10), "b200-sxm": (7, 8.5), "gb200": (6, 8),
    },
    "gdn_conv_decode": {
        "h100-sxm": (2, 2.5), "h200-sxm": (2, 2.5), "l40s": (2, 4),
        "b200-sxm": (4, 5), "gb200": (4.5, 5),
    },
    "gdn_conv_prefill": {
        "h100-sxm": (5.5, 9), "h200-sxm": (6.5, 12), "l40s": (8, 11),
        "b200-sxm": (6, 10), "gb200": (4.5, 9),
    },
    "gdn_update": {
        "a100-sxm-80gb": (2.5, 3), "h100-sxm": (2, 3.5), "h200-sxm": (2.5, 5),
        "l40s": (3, 6.5), "b200-sxm": (4, 4.5), "gb200": (3.5, 4.5),
    },
    "gdn_scan": {
        "h100-sxm": (8, 12), "h200-sxm": (8, 12.5), "l40s": (9.5, 14),
        "b200-sxm": (8, 12), "gb200": (9, 14),
    },
    "mamba2_conv_decode": {
        "h100-sxm": (6, 8.5), "h200-sxm": (5.5, 7.5), "l40s": (8, 12.5),
        "b200-sxm": (11, 12), "gb200": (9.5, 11),
    },
    "mamba2_conv_prefill": {
        "h100-sxm": (7.5, 13.5), "h200-sxm": (7.5, 12), "l40s": (9, 16.5),
        "b200-sxm": (8.5, 12.5), "gb200": (6, 10.5),
    },
}  # fmt: skip


def test_the_search_finds_constants_through_odd_rows() -> None:
    random = np.random.default_rng(5)
    x, y = 10.0 ** random.uniform(-3, 3, (2, 2000))
    truth = np.array([2.0, 0.3, 50.0])

    def model(c: np.ndarray) -> np.ndarray:
        return c[0] + np.maximum(c[1] * x, c[2] * y)

    measured = model(truth) * np.exp(random.normal(0.0, 0.02, x.size))
    measured[::20] *= 10.0
    bounds = np.array([1e-3] * 3), np.array([1e3] * 3)
    found = minimise(model, measured, np.ones_like(x), np.ones(3), *bounds)
    np.testing.assert_allclose(found.point, truth, rtol=0.02)


def test_constants_stay_where_they_are_if_no_row_tells() -> None:
    x = np.linspace(1.0, 2.0, 50)
    low, high = np.array([0.01, 0.01]), np.array([100.0, 100.0])
    found = minimise(lambda c: c[0] * x, 3.0 * x, np.ones(50), np.array([1.0, 7.0]), low, high)
    np.testing.assert_allclose(found.point, [3.0, 7.0], rtol=1e-2)


def synthetic(chip: Chip, seed: int) -> tuple[Sample, dict[str, float]]:
    """Rows of a table made from known constants."""
    table, random = TABLES["generation_attention"], np.random.default_rng(seed)
    heads = random.choice([8.0, 32.0], 1500)
    shapes = {
        "batch_size": 2.0 ** random.integers(0, 9, 1500), "num_heads": heads,
        "step": 2.0 ** random.integers(0, 16, 1500), "num_key_value_heads": heads / 4.0,
        "head_dim": np.full(1500, 128.0), "window_size": np.zeros(1500),
    }  # fmt: skip
    truth = {name: middle for name, (_, middle, _) in table.bounds.items()}
    truth |= {"launch_clocks": 15e3, "memory_efficiency": 0.7, "block_clocks": 9e3}
    sample = Sample("h100-sxm", "bf16", "vllm", shapes, np.ones(1500))
    return replace(sample, seconds=predict(table, chip, sample, truth, (60.0, 0.8))), truth


def test_a_fit_recovers_the_constants_that_made_the_rows() -> None:
    chip = chip_of(load.accelerator("h100-sxm"))
    sample, truth = synthetic(chip, 3)
    values, _ = fit_group(TABLES["generation_attention"], {"h100-sxm": chip}, [sample])
    for name in ("launch_clocks", "memory_efficiency", "block_clocks"):
        assert values[name] == pytest.approx(truth[name], rel=0.1), name


def test_written_constants_read_back_and_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    values = {"launch_clocks": 5123.0, "memory_efficiency": 0.9, "sm_bytes_per_clock": 10.0}
    narrow = {name: 0.9 * value for name, value in values.items()}
    constants = Constants(values, narrow, values, (60.0, 0.5), 42)
    (path,) = write_kernels({MEAN: {"stream": {"any.vllm": constants}}}, tmp_path, "2026-11-23")
    record = load.read_record(path, type(load.calibration("hopper")))
    figures = {key: item.value for key, item in record.figures.items()}
    assert kernel_constants(figures).stream["any.vllm"].launch_clocks == 5123.0
    back = read_kernels(figures)["stream"]["any.vllm"]
    assert back.values == values
    assert back.nuisance == (60.0, 0.5)
    assert record.figures["stream/any.vllm/launch_clocks"].low == pytest.approx(4611.0)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match=r"gone\.parquet"):
        read_table(tmp_path / "gone.parquet", {}, (), ())


def test_the_shipped_constants_keep_their_error_budgets(shared: Path) -> None:
    pytest.importorskip("pyarrow")
    silicon = shared / "silicon"
    if not silicon.is_dir():
        pytest.skip("no ../shared/silicon beside the project: the kernel tables are absent")
    scores = review(silicon, kernel_chips(), shipped_constants(), most=ROWS)
    budgets = {(table, gpu): pair for table, row in BUDGETS.items() for gpu, pair in row.items()}
    assert set(scores) == set(budgets)
    over = [
        f"{table} on {gpu}: median {100 * s.median:.1f} %, mean {100 * s.mean:.1f} %"
        for (table, gpu), s in scores.items()
        if 100 * s.median > budgets[table, gpu][0] or 100 * s.mean > budgets[table, gpu][1]
    ]
    assert not over, "\n".join(over)


def test_the_loads_of_the_tables_add_up_and_the_busiest_rank_is_the_busiest() -> None:
    tokens = np.array([1.0, 8.0, 64.0, 4096.0])
    same = {"topk": 8.0, "num_experts": 128.0, "exponent": 1.2}
    shapes = {name: np.full(4, value) for name, value in same.items()} | {"num_tokens": tokens}
    whole, split = (
        with_loads(Sample("l40s", "bf16", "vllm", shapes | {"moe_ep_size": np.full(4, ep)}, tokens))
        for ep in (1.0, 8.0)
    )
    np.testing.assert_array_equal(whole.shapes["rank_rows"], 8.0 * tokens)
    assert (whole.shapes["rank_experts"] <= np.minimum(128.0, 8.0 * tokens)).all()
    assert (split.shapes["rank_rows"] >= tokens).all()
    assert (split.shapes["rank_experts"] <= 16.0).all()


def test_a_fit_of_one_table_writes_its_families_and_tells_how_far_to_trust_them(
    shared: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    if not (shared / "silicon").is_dir():
        pytest.skip("no ../shared/silicon beside the project: the kernel tables are absent")
    found = fit(shared, tmp_path, read="2026-11-28", tables=("mamba2_conv_decode",), rows=50)
    assert {path.stem for path in found.written} == set(found.families)
    rows = list(
        validate(shared / "silicon", kernel_chips(), found.families, ("mamba2_conv_decode",), 50)
    )
    assert {row.gpu for row in rows} == {"h100-sxm", "h200-sxm", "l40s", "b200-sxm", "gb200"}
    for row in rows:
        assert row.fitted.median <= row.left_out.median + 0.01
        assert row.worst
        assert row.worst_median >= row.fitted.median
