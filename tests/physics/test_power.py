"""GPU power: linear energy, draw within its limits, caps, and how near measured watts it comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.catalog import load
from tokenmill.errors import InputError, NoCalibration
from tokenmill.evidence.points import Point
from tokenmill.evidence.power import fit as power_fit
from tokenmill.evidence.power.rows import Activity, read_activity
from tokenmill.evidence.power.shared import FIGURES
from tokenmill.evidence.serving.setups import setup_of
from tokenmill.physics import power
from tokenmill.physics.power import PowerConstants
from tokenmill.placement.energy import parts_joules
from tokenmill.placement.layout import Layout

FAMILIES = [
    name
    for name in load.names("calibration")
    if name.startswith("power-") and "idle_share" in load.calibration(name).figures
]
watts = st.floats(0.0, 1e5)


def chip_of(family: str, limit_w: float, memory_type: str) -> PowerConstants:
    return power.constants(
        load.calibration(family).figures, load.calibration("power-shared").figures,
        limit_w=limit_w, memory_type=memory_type,
    )  # fmt: skip


def h100() -> PowerConstants:
    return chip_of("power-hopper", 700.0, "HBM3")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_keeps_room_between_idle_and_limit(name: str) -> None:
    chip = chip_of(name, 500.0, "HBM3e")
    assert 0.0 < chip.idle_w < 0.4 * chip.limit_w
    busy = power.demand_w(chip, power.step_joules(chip, 1.0, {}, 0.0), 1.0)
    assert chip.idle_w < power.drawn_w(chip, busy) < chip.limit_w


def test_energy_adds_up() -> None:
    chip, rng = h100(), np.random.default_rng(0)
    parts = rng.uniform(0.0, 1.0, (5, 7))
    joules = [
        power.step_joules(
            chip, s, {"bf16": f * 1e14, "fp8": q * 1e14}, m * 1e12, li * 1e9, c * 1e11
        )
        for s, f, q, m, li, c, _ in parts
    ]
    s, f, q, m, li, c, _ = parts.sum(axis=0)
    together = power.step_joules(
        chip, s, {"bf16": f * 1e14, "fp8": q * 1e14}, m * 1e12, li * 1e9, c * 1e11
    )
    assert together == pytest.approx(sum(joules))
    assert power.step_joules(chip, 0.0, {}, 0.0) == 0.0


@given(wanted=watts, more=watts, limit=st.floats(0.0, 2000.0))
def test_drawn_power_stays_between_idle_and_limit(wanted: float, more: float, limit: float) -> None:
    chip = h100()
    drawn = power.drawn_w(chip, wanted, limit)
    assert chip.idle_w <= drawn <= max(limit, chip.idle_w)
    assert power.drawn_w(chip, wanted + more, limit) >= drawn - 1e-9
    if wanted > chip.idle_w:
        assert drawn <= wanted * (1 + 1e-12), "bending never adds power"


@given(wanted=watts, cap=st.floats(0.0, 1500.0), less=st.floats(0.0, 500.0), bound=st.floats(0, 1))
def test_a_lower_cap_is_never_faster_and_never_exceeded(
    wanted: float, cap: float, less: float, bound: float
) -> None:
    chip = h100()
    slow, drawn = power.capped(chip, wanted, cap, bound)
    slower, lower = power.capped(chip, wanted, max(cap - less, 0.0), bound)
    assert slow >= 1.0 - 1e-12
    assert slower >= slow - 1e-9
    assert chip.idle_w <= lower <= drawn <= max(cap, chip.idle_w) + 1e-9


def test_no_cap_no_loss_and_memory_bound_work_loses_less() -> None:
    chip = h100()
    assert power.capped(chip, 650.0, 700.0)[0] == pytest.approx(1.0)
    compute, _ = power.capped(chip, 900.0, 400.0, 1.0)
    memory, _ = power.capped(chip, 900.0, 400.0, 0.3)
    assert 1.0 < memory < compute < 3.0


def test_narrow_formats_and_heat() -> None:
    chip = h100()
    joules = [
        float(power.step_joules(chip, 0.0, {dtype: 1e15}, 0.0))
        for dtype in ("fp64", "fp32", "tf32", "bf16", "fp8", "fp4")
    ]
    assert joules == sorted(joules, reverse=True)
    hot = power.at_temperature(chip, 358.0)
    assert hot.idle_w > chip.idle_w
    assert hot.active_w > chip.active_w


def test_refusals() -> None:
    with pytest.raises(InputError, match="unknown number format"):
        power.step_joules(h100(), 1.0, {"fp7": 1.0}, 0.0)
    with pytest.raises(NoCalibration, match="byte_core"):
        chip_of("power-hopper", 700.0, "core")
    assert power.family("ampere", "Samsung 8 nm") == "power-ampere-samsung"
    assert power.family("ampere", "TSMC 7 nm") == "power-ampere"


MEASURED = ("power-ampere", "power-ampere-samsung", "power-hopper", "power-volta")


def read_shares() -> dict[str, power_fit.Shares]:
    found = {}
    for family in MEASURED:
        record = load.calibration(family)
        keys = ("idle_share", "active_share", "flop", "cache", "routed_share", "routed_flop")
        found[family] = power_fit.Shares(*(record.value(key) for key in keys))
    return found


@pytest.fixture(scope="module")
def activity(shared: Path) -> Activity:
    """One in three of the measured rows, which play in a few seconds."""
    return power_fit.fit_bent(read_activity(shared / "measurements", step=3))[0]


# Median and mean absolute error that measured GPU power may have at its measured speed. They may
# only shrink.
BUDGET = {
    "a100-sxm-40gb": (0.08, 0.10),
    "a40": (0.07, 0.10),
    "h100-sxm": (0.08, 0.12),
    "v100-sxm-16gb": (0.08, 0.09),
}


def by_gpu(rows: Activity) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return rows.gpu


def test_evidence_of_gpu_power(activity: Activity) -> None:
    found = power_fit.errors(activity, power_fit.predict(activity, read_shares()), by_gpu)
    found.pop("v100-pcie-32gb", None)  # its resting draw alone, which anchors what idles
    assert set(found) == set(BUDGET)
    for gpu, (_, median, mean) in found.items():
        assert median <= BUDGET[gpu][0], (gpu, median)
        assert mean <= BUDGET[gpu][1], (gpu, mean)


def test_evidence_of_gpu_power_with_groups_left_out(activity: Activity) -> None:
    at_work = activity.model != "training"  # resting cards anchor what idles; they are no test
    models = power_fit.cross_validate(activity, lambda r: r.model)
    wrong = np.abs(models / activity.measured_w - 1.0)[at_work]
    assert np.median(wrong) <= 0.08
    assert wrong.mean() <= 0.11
    gpus = np.abs(power_fit.cross_validate(activity, by_gpu) / activity.measured_w - 1.0)[at_work]
    assert np.median(gpus) <= 0.15
    assert gpus.mean() <= 0.19


def test_the_files_are_near_a_fit_on_a_third_of_the_rows(activity: Activity) -> None:
    written = read_shares()
    for family, shares in power_fit.fit(activity).items():
        watts = power_fit.predict(activity, {family: shares})
        record = power_fit.predict(activity, {family: written[family]})
        mine = np.isfinite(watts)
        assert np.median(np.abs(watts[mine] / record[mine] - 1.0)) < 0.05, family


def test_evidence_of_power_caps(shared: Path) -> None:
    rows = power_fit.read_caps(shared / "measurements")
    floor, knee = power_fit.fit_clock(rows)
    record = load.calibration("power-shared")
    assert record.value("voltage_floor") == pytest.approx(floor) == FIGURES["voltage_floor"]
    assert record.value("knee") == pytest.approx(knee) == FIGURES["knee"]
    found = power_fit.cap_errors(rows)
    assert found["v100-pcie-32gb"][2] <= 0.05
    assert found["a40"][1] <= 0.05
    assert found["a40"][2] <= 0.065


def test_moving_messages_draws_less_and_grouped_products_more() -> None:
    chip = h100()
    assert 0.0 < chip.link_share < 1.0
    assert chip.routed_w > 0.0
    assert 0.0 < chip.static_share < 1.0


def test_time_of_sequences_draws_where_the_engine_sorts_on_the_gpu() -> None:
    point = Point("row", 1, {
        "gpu": "h100-sxm", "model": "qwen3-8b", "engine": "vllm", "engine_version": "0.10",
        "load": "concurrency", "concurrency": "512", "isl_mean": "400", "osl_mean": "600",
    })  # fmt: skip
    case = setup_of(point).case
    assert case.engine.sampling > 0.0
    quiet = replace(case, engine=replace(case.engine, sampling=0.0))
    one = (Layout(1),)
    seconds, joules = [], []
    for told in (case, quiet):
        parts = tuple(told.times(one).sequence_parts(np.array([[512.0]])))
        seconds.append(float(np.ravel(sum(part.seconds for part in parts))[0]))
        joules.append(float(np.ravel(parts_joules(case.platform.power, parts))[0]))
    assert seconds[0] == pytest.approx(seconds[1])
    assert joules[0] > joules[1]


def test_ranks_that_wait_for_the_busiest_draw_less() -> None:
    alone, spread = Layout(8), Layout(8, 1, 1, 8)
    case = setup_of(Point("row", 1, {
        "gpu": "h100-sxm", "n_gpus": "8", "model": "llama-4-scout", "engine": "vllm",
        "concurrency": "8", "isl_mean": "400", "osl_mean": "400",
    })).case  # fmt: skip
    shares = []
    for layout in (alone, spread):
        parts = case.times((layout,)).linear_parts(np.array([[8.0]]))
        shares.append(min(float(np.min(p.share)) for p in parts if p.name == "experts"))
    assert shares[0] == 1.0
    assert 0.2 < shares[1] < 0.9
