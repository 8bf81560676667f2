"""The facility: PUE between sane bounds, never lower when warmer; racks, limits, swings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.catalog.load import names
from tokenmill.catalog.sites import site
from tokenmill.errors import Infeasible, InputError
from tokenmill.physics.cooling import cooling, plant, wet_bulb_c
from tokenmill.physics.facility import (
    Hall,
    facility_power,
    monthly_power,
    power_train,
    racks,
    thermal_limit_w,
    weather_limit_w,
    yearly_power,
)
from tokenmill.physics.swings import floor_power, limit_ramp, step_power, store, swings

PLANTS = ("air-chiller", "air-economiser", "evaporative", "warm-water")
loads = st.floats(0.05, 1.0)
weather = st.floats(-30.0, 48.0)
relative = st.floats(0.05, 1.0)
plants = st.sampled_from(PLANTS)
MW = 1e6


def hall(name: str, case: str = "typical") -> Hall:
    return Hall(MW, plant(name, case), power_train(case))  # type: ignore[arg-type]


@given(plants, loads, weather, relative)
def test_pue_is_above_one_and_sane(name: str, load: float, outdoor: float, rh: float) -> None:
    made = facility_power(load * MW, outdoor, rh, hall(name))
    assert 1.0 < float(made.pue) < (2.5 if load < 0.2 else 1.6)
    parts = made.it_w + made.cooling_w + made.losses_w + made.other_w
    assert float(made.total_w) == float(parts)


@given(plants, loads, st.lists(weather, min_size=2, max_size=20), st.floats(0.05, 0.95))
def test_warmer_is_never_cheaper(name: str, load: float, outdoors: list[float], rh: float) -> None:
    made = facility_power(load * MW, np.sort(outdoors), rh, hall(name))
    assert np.all(np.diff(made.total_w) >= -1e-6)


@given(plants, weather, relative, loads, loads)
def test_more_load_draws_more_power(
    name: str, outdoor: float, rh: float, one: float, other: float
) -> None:
    less, more = sorted((one, other))
    made = facility_power(np.array([less, more]) * MW, outdoor, rh, hall(name))
    assert made.total_w[1] >= made.total_w[0]


@given(plants, weather, relative)
def test_low_load_has_the_worse_pue(name: str, outdoor: float, rh: float) -> None:
    made = facility_power(np.array([0.1, 0.5]) * MW, outdoor, rh, hall(name))
    assert made.pue[0] > made.pue[1]


@pytest.mark.parametrize("name", names("sites"))
def test_published_fleets_lie_within_the_models_range(name: str) -> None:
    """Google reports 1.10, Equinix 1.42, respondents of Uptime 1.55 to 1.58 on average."""
    best = yearly_power(0.7 * MW, site(name), hall("air-economiser", "best"))
    worst = yearly_power(0.4 * MW, site(name), hall("air-chiller", "worst"))
    assert float(best.pue) < 1.10 < 1.42 < float(worst.pue) < 1.8


@pytest.mark.parametrize("name", names("sites"))
def test_the_year_lies_between_its_months_and_cases(name: str) -> None:
    here = site(name)
    for cooler in PLANTS:
        month, year = (make(0.7 * MW, here, hall(cooler)) for make in (monthly_power, yearly_power))
        assert month.pue.shape == (12,)
        assert month.pue.min() - 1e-12 <= float(year.pue) <= month.pue.max() + 1e-12
        best, worst = (
            yearly_power(0.7 * MW, here, hall(cooler, case)) for case in ("best", "worst")
        )
        assert float(best.pue) < float(year.pue) < float(worst.pue)


def test_cold_places_need_no_chiller_and_hot_ones_do() -> None:
    free = cooling(0.7 * MW, MW, np.array([-9.0, 15.3, 35.3]), 0.5, plant("air-economiser"))
    assert free.free_share[0] == free.free_share[1] == 1.0 and free.free_share[2] == 0.0
    order = [
        float(yearly_power(0.7 * MW, site(name), hall("air-economiser")).pue)
        for name in ("lulea", "tokyo", "phoenix")
    ]
    assert order == sorted(order)


def test_water_is_used_only_by_towers() -> None:
    here = site("singapore")
    assert float(yearly_power(0.7 * MW, here, hall("air-chiller")).water_l_per_kwh) == 0.0
    assert 1.0 < float(yearly_power(0.7 * MW, here, hall("evaporative")).water_l_per_kwh) < 4.0


@pytest.mark.parametrize(
    ("dry", "humidity", "wet"), [(20.0, 0.5, 13.7), (30.0, 0.6, 23.8), (35.0, 0.2, 18.9)]
)
def test_wet_bulb_agrees_with_the_paper_and_charts(dry: float, humidity: float, wet: float) -> None:
    assert float(wet_bulb_c(dry, humidity)) == pytest.approx(wet, abs=0.7)
    assert float(wet_bulb_c(dry, 1.0)) == pytest.approx(dry, abs=0.7)


@pytest.mark.parametrize("bad", [0.0, -1.0, 1.1 * MW, math.nan])
def test_an_it_power_out_of_range_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="IT power"):
        facility_power(bad, 20.0, 0.5, hall("air-chiller"))


@pytest.mark.parametrize(("outdoor", "rh"), [(math.nan, 0.5), (20.0, 1.5), (20.0, math.nan)])
def test_bad_weather_is_refused(outdoor: float, rh: float) -> None:
    with pytest.raises(InputError, match="weather"):
        facility_power(0.5 * MW, outdoor, rh, hall("air-chiller"))


def test_a_hall_is_built_for_some_power() -> None:
    with pytest.raises(InputError):
        Hall(0.0, plant("air-chiller"), power_train())


@given(
    st.integers(1, 5000), st.floats(100.0, 1.3e5), st.floats(5e3, 2e5), st.integers(1, 20),
    st.floats(2e4, 4e6), st.integers(1, 30),
)  # fmt: skip
def test_racks_hold_every_machine_within_their_limits(
    machines: int, machine_w: float, rack_w: float, slots: int, row_w: float, per_row: int
) -> None:
    try:
        made = racks(
            machines, machine_w, rack_limit_w=rack_w, slots_per_rack=slots, row_limit_w=row_w,
            racks_per_row=per_row,
        )  # fmt: skip
    except Infeasible as problem:
        assert problem.change and (machine_w > rack_w or machine_w > row_w or machine_w * 2 > row_w
                                   or machine_w * slots > row_w)  # fmt: skip
        return
    assert made.racks * made.machines_per_rack >= machines
    assert (made.racks - 1) * made.machines_per_rack < machines
    assert made.rack_w <= rack_w and made.row_w <= row_w * (1 + 1e-12)
    assert made.machines_per_rack <= slots and math.ceil(made.racks / made.rows) <= per_row


def test_a_machine_too_hot_for_air_says_what_would_carry_it() -> None:
    with pytest.raises(Infeasible, match="120 kW") as problem:
        racks(1, 120e3, rack_limit_w=40e3, slots_per_rack=1, row_limit_w=1e6, racks_per_row=10)
    assert racks(
        1, 120e3, rack_limit_w=120e3, slots_per_rack=1, row_limit_w=1e6, racks_per_row=10
    ).racks == 1  # fmt: skip
    assert "\n" not in str(problem.value)
    with pytest.raises(InputError):
        racks(0, 1e3, rack_limit_w=1e4, slots_per_rack=1, row_limit_w=1e6, racks_per_row=10)


def test_a_chip_throttles_when_its_medium_is_too_warm() -> None:
    limit = thermal_limit_w([35.0, 45.0, 90.0], 700.0, rated_medium_c=35.0, limit_c=85.0)
    assert limit[0] == pytest.approx(700.0)
    assert limit[1] == pytest.approx(560.0)
    assert limit[2] == 0.0
    with pytest.raises(InputError):
        thermal_limit_w(30.0, 700.0, rated_medium_c=85.0, limit_c=85.0)


def test_a_heat_wave_limits_the_hall() -> None:
    limit = weather_limit_w(hall("air-chiller"), [20.0, 38.0, 40.0, 200.0])
    assert limit[0] == limit[1] == pytest.approx(MW)
    assert 0.9 * MW < limit[2] < MW and limit[3] == 0.0


series = st.lists(st.floats(0.0, 1e8), min_size=2, max_size=60).map(np.array)


@given(
    st.floats(0.2, 20.0), st.floats(0.0, 1.0), st.floats(1e5, 1e8), st.floats(0.0, 1e5),
    st.sampled_from([0.01, 0.05, 0.1]),
)  # fmt: skip
def test_a_synchronous_job_keeps_its_energy_at_any_resolution(
    step: float, share: float, high: float, low: float, dt: float
) -> None:
    power = step_power(step, share, high, low, duration_s=40 * step, dt_s=40 * step / 4000 * dt)
    mean = low + (high - low) * share
    assert power.mean() == pytest.approx(mean, rel=1e-6)
    assert power.min() >= low - 1e-6 and power.max() <= high + 1e-6


def test_the_step_is_the_strongest_frequency() -> None:
    power = step_power(2.0, 0.7, 30e6, 10e6, duration_s=200.0, dt_s=0.1)
    seen = swings(power, 0.1)
    assert seen.frequency_hz == pytest.approx(0.5)
    assert seen.peak_w == pytest.approx(30e6) and seen.least_w == pytest.approx(10e6)
    assert seen.ramp_up_w_per_s == pytest.approx(20e6 / 0.1)
    assert swings(np.full(10, 5.0), 1.0).frequency_hz == 0.0


@given(series, st.floats(0.0, 1e8))
def test_a_floor_only_adds(power: np.ndarray, floor: float) -> None:
    made = floor_power(power, floor)
    assert np.all(made >= power) and np.all(made >= floor)
    assert swings(made, 1.0).peak_w - swings(made, 1.0).least_w <= np.ptp(power) + 1e-9


@given(series, st.floats(0.01, 10.0), st.floats(1.0, 1e8))
def test_a_ramp_falls_slowly_and_never_starves_the_load(
    power: np.ndarray, dt: float, ramp: float
) -> None:
    made = limit_ramp(power, dt, ramp)
    assert np.all(made >= power)
    assert np.all(
        np.diff(made) >= -ramp * dt - 1e-6 * max(float(made.max()), ramp * dt * made.size)
    )
    slow = power.copy()  # one step after another, the plain way
    for index in range(1, slow.size):
        slow[index] = max(power[index], slow[index - 1] - ramp * dt)
    np.testing.assert_allclose(made, slow, rtol=1e-6, atol=1e-6 * ramp * dt * made.size)


@given(
    series, st.floats(0.05, 5.0), st.floats(0.0, 1e9), st.floats(0.0, 1e8), st.floats(0.1, 100.0)
)
def test_storage_keeps_energy_and_its_limits(
    power: np.ndarray, dt: float, capacity: float, limit: float, smooth: float
) -> None:
    made = store(power, dt, capacity_j=capacity, power_limit_w=limit, smooth_s=smooth)
    scale = max(float(power.sum()) * dt, capacity, 1.0)
    balance = (made.grid_w - power).sum() * dt - (made.charge_j[-1] - capacity / 2)
    assert abs(balance) <= 1e-9 * scale
    assert np.all(made.charge_j >= -1e-6 * scale) and np.all(
        made.charge_j <= capacity + 1e-6 * scale
    )
    assert np.all(np.abs(made.grid_w - power) <= limit + 1e-6 * max(limit, float(power.max()), 1.0))
    assert np.all(made.grid_w >= -1e-6 * scale)


def test_storage_takes_the_swing_off_the_grid() -> None:
    power = step_power(2.0, 0.5, 30e6, 10e6, duration_s=200.0, dt_s=0.1)
    big = store(power, 0.1, capacity_j=100e6, power_limit_w=10e6, smooth_s=60.0)
    assert np.ptp(big.grid_w[1000:]) < 0.1 * np.ptp(power)
    none = store(power, 0.1, capacity_j=0.0, power_limit_w=10e6, smooth_s=60.0)
    np.testing.assert_array_equal(none.grid_w, power)


@pytest.mark.parametrize("bad", [[1.0], [1.0, math.nan], [1.0, -1.0], [[1.0, 2.0]]])
def test_a_bad_series_is_refused(bad: list[float]) -> None:
    with pytest.raises(InputError):
        swings(bad, 1.0)
    with pytest.raises(InputError):
        floor_power([1.0, 2.0], -1.0)
    with pytest.raises(InputError):
        limit_ramp([1.0, 2.0], 1.0, 0.0)
    with pytest.raises(InputError):
        store([1.0, 2.0], 1.0, capacity_j=-1.0, power_limit_w=1.0, smooth_s=1.0)
    with pytest.raises(InputError):
        step_power(1.0, 2.0, 1.0, 1.0, duration_s=1.0, dt_s=0.1)
    with pytest.raises(InputError):
        step_power(0.0, 0.5, 1.0, 1.0, duration_s=1.0, dt_s=0.1)
