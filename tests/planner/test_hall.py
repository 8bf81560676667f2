"""Halls: energy adds up, weather and cooling keep their order, limits cost speed, swings smooth."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import tokenmill as tm
from tokenmill.errors import Infeasible, InputError, UnknownName
from tokenmill.interface.cli.app import app
from tokenmill.planner.hall import COOLING, HallAnswer


def hall(
    on: str = "dgx-h100", *, at: str = "tokyo", machines: int = 16, **asked: object
) -> HallAnswer:
    return tm.hall(on, at=at, machines=machines, **asked)


def test_the_meter_is_the_sum_of_its_parts_over_the_year() -> None:
    one = hall()
    others = one.meter_w - one.it_w - one.cooling_w - one.losses_w
    assert 0.0 < others < 0.05 * one.it_w, "lighting, controls and offices"
    assert one.pue == pytest.approx(one.meter_w / one.it_w)
    assert min(m.pue for m in one.months) <= one.pue <= max(m.pue for m in one.months)
    assert one.meter_kwh == pytest.approx(one.meter_w * 8766.0 / 1e3)
    assert one.it_w == pytest.approx(16 * one.machine_w)
    assert one.machine_w < one.most_w


def test_heat_costs_and_water_cools() -> None:
    assert hall(at="lulea").pue < hall(at="tokyo").pue < hall(at="singapore").pue
    chilled, wet = hall(cooling="air-chiller"), hall(cooling="evaporative")
    assert wet.pue < chilled.pue
    assert wet.water_m3 > 0.0 == chilled.water_m3
    empty = hall(spare=0.95)
    assert empty.pue > hall().pue, "part load"
    for cooling in COOLING:
        assert 1.0 < hall(cooling=cooling, rack=2e5).pue < 2.0


def test_racks_carry_what_they_are_fed_for() -> None:
    air = hall("dgx-h100", machines=32)
    assert air.racks.rack_w <= 40e3
    assert air.racks.machines_per_rack * air.racks.racks >= 32
    with pytest.raises(Infeasible, match="a rack carries"):
        hall("gb200-nvl72", cooling="air-chiller")
    wet = hall("gb200-nvl72", cooling="warm-water")
    assert wet.racks.machines_per_rack == 1
    assert hall("dgx-h100", rack="15 kW").racks.machines_per_rack == 1


def test_limits_cost_less_speed_than_power() -> None:
    free = hall()
    assert free.cap is None
    deep, light = (hall(cap=share * free.machine_w).cap for share in (0.7, 0.9))
    assert deep and light
    assert deep.machine_w == pytest.approx(0.7 * free.machine_w)
    assert 0.7 < deep.speed < light.speed < 1.0
    loose = hall(cap=2.0 * free.most_w).cap
    assert loose and loose.speed == 1.0
    with pytest.raises(Infeasible, match="idles at"):
        hall(cap="500 W")


def test_a_hot_hour_throttles_what_cooling_cannot_carry() -> None:
    hot, cold = hall(at="phoenix"), hall(at="lulea")
    assert hot.hottest_c > cold.hottest_c
    assert hot.hot_limit_w < hot.it_w
    assert hot.hot_speed < 1.0 == cold.hot_speed


def test_training_in_step_swings_and_storage_smooths() -> None:
    one = hall(storage="50 MJ", step="2 s", exchange=0.2)
    assert one.swing.peak_w == pytest.approx(one.it_w)
    assert one.swing.frequency_hz == pytest.approx(0.5, rel=0.05)
    assert one.smooth
    raw, kept = (s.peak_w - s.least_w for s in (one.swing, one.smooth))
    assert kept < 0.1 * raw
    assert hall(exchange=0.0).swing.amplitude_w == pytest.approx(0.0, abs=1.0)


def test_what_is_asked_wrongly_is_told_in_one_line() -> None:
    with pytest.raises(UnknownName, match="tokyo"):
        hall(at="tokio")
    for wrong in ({"cooling": "ice"}, {"machines": 0}, {"busy": 1.5}, {"cap": "-1 W"}):
        with pytest.raises(InputError) as told:
            hall(**wrong)  # type: ignore[arg-type]
        assert "\n" not in str(told.value)


def test_the_verb_says_what_the_call_says() -> None:
    words = ["hall", "--on", "dgx-h100", "--at", "osaka", "--machines", "4", "--cap", "6 kW"]
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["pue"] == hall(at="osaka", machines=4, cap="6 kW").pue
    page = CliRunner().invoke(app, words).stdout
    assert f"{told['pue']:.3f}" in page and "% of the speed" in page
