"""Seconds per image: limits, directions and the ways memory, hosts and links bind."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.catalog.load import accelerator, calibration, model, records
from tokenmill.errors import DoesNotFit, InputError, NoCalibration, UnknownName
from tokenmill.physics.image_kernels import Device, arithmetic, device
from tokenmill.physics.image_power import image_energy
from tokenmill.physics.images import SOFTWARE, ImageTime, Run, image_time
from tokenmill.physics.power import PowerConstants
from tokenmill.work.media import ImageModel, image_model, image_work

CARDS = ("rtx-4090", "rtx-3060-12gb", "a100-sxm-80gb", "h100-sxm", "b200-sxm", "t4", "l4")
MODELS = ("sd-1.5", "sdxl-1.0", "sd-3.5-medium", "flux.1-schnell")
CONSTANTS = {key: item.value for key, item in calibration("images").figures.items()}


@lru_cache
def picture(slug: str, **asked: int) -> ImageModel:
    return image_model(slug, model(slug).config, **asked)


@lru_cache
def card(slug: str) -> Device:
    return device(accelerator(slug))


def roomy(slug: str, **changes: Any) -> Device:
    """A card with memory to spare, so that nothing is fetched from the host."""
    return replace(card(slug), memory_bytes=1e15, **changes)


def timed(slug: str, chip: Device, **how: Any) -> ImageTime:
    return image_time(picture(slug), chip, Run(**how), CONSTANTS)


@pytest.mark.parametrize("slug", MODELS)
@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("software", ["eager", "compile", "tensorrt"])
def test_no_image_is_faster_than_the_roofline(name: str, slug: str, software: str) -> None:
    chip, batch = roomy(name), 16
    found = timed(slug, chip, batch=batch, software=software)
    work = image_work(picture(slug), batch=batch, fused=True)
    flop = sum(part.flop for part in work.values())
    peak = max(chip.peaks.get(key, 0.0) for key in ("fp16", "fp16_fp16acc", "tf32"))
    weights = work["denoise"].weight_bytes
    assert found.seconds > flop / peak
    assert found.seconds > weights / chip.memory_bytes_per_s
    assert found.busy_s <= found.seconds


@given(
    st.sampled_from(MODELS), st.sampled_from(CARDS), st.sampled_from(sorted(SOFTWARE)),
    st.sampled_from(["memory_bytes_per_s", "limit_w", "host_bytes_per_s", "memory_bytes"]),
    st.floats(1.01, 4.0), st.sampled_from([1, 4]),
)  # fmt: skip
def test_more_is_never_slower(
    slug: str, name: str, software: str, what: str, times: float, batch: int
) -> None:
    chip = card(name)
    better = replace(chip, **{what: getattr(chip, what) * times})
    run = {"software": software, "batch": batch}
    try:
        before = timed(slug, chip, **run).seconds
    except DoesNotFit:
        return
    assert timed(slug, better, **run).seconds <= before * (1 + 1e-12)


@given(st.sampled_from(MODELS), st.sampled_from(CARDS), st.floats(1.01, 4.0))
def test_more_flops_at_more_power_are_never_slower(slug: str, name: str, times: float) -> None:
    chip = roomy(name)
    peaks = {key: value * times for key, value in chip.peaks.items()}
    better = replace(chip, peaks=peaks, limit_w=chip.limit_w * times)
    assert timed(slug, better).seconds <= timed(slug, chip).seconds


def test_geforce_doubles_its_rate_where_an_engine_accumulates_in_fp16() -> None:
    chip = roomy("rtx-4090")
    plain = replace(chip, peaks={k: v for k, v in chip.peaks.items() if k != "fp16_fp16acc"})
    fast = timed("sdxl-1.0", chip, software="tensorrt").seconds
    assert fast < 0.8 * timed("sdxl-1.0", plain, software="tensorrt").seconds
    # PyTorch accumulates in FP32, and bf16 has no such mode
    assert timed("sdxl-1.0", chip).seconds == timed("sdxl-1.0", plain).seconds
    wide = {"software": "tensorrt", "dtype": "bf16"}
    assert timed("sdxl-1.0", chip, **wide).seconds == timed("sdxl-1.0", plain, **wide).seconds


def test_one_small_image_on_a_fast_gpu_waits_for_the_host() -> None:
    chip = card("h100-sxm")
    alone = timed("sd-1.5", chip)
    assert alone.limit == "host"
    assert alone.busy_s < 0.6 * alone.seconds
    many = timed("sd-1.5", chip, batch=16)
    assert many.limit == "gpu"
    assert many.seconds_per_image < 0.5 * alone.seconds_per_image
    # a faster GPU does not help, a compiler or a faster host does
    faster = replace(chip, memory_bytes_per_s=chip.memory_bytes_per_s * 2)
    assert timed("sd-1.5", faster).seconds > 0.9 * alone.seconds
    assert timed("sd-1.5", chip, software="compile").seconds < 0.7 * alone.seconds
    assert timed("sd-1.5", replace(chip, desktop=True)).seconds < 0.8 * alone.seconds


def test_guidance_doubles_the_denoising_of_a_busy_gpu() -> None:
    twice = image_time(picture("sdxl-1.0"), roomy("a100-sxm-80gb"), Run(batch=8), CONSTANTS)
    model_once = picture("sdxl-1.0", guidance_passes=1)
    once = image_time(model_once, roomy("a100-sxm-80gb"), Run(batch=8), CONSTANTS)
    assert twice.denoise_s == pytest.approx(2 * once.denoise_s, rel=0.05)
    assert twice.decode_s == once.decode_s


def test_steps_and_parts_add_up() -> None:
    short = image_time(picture("sd-1.5", steps=10), card("rtx-4090"), Run(), CONSTANTS)
    long = image_time(picture("sd-1.5", steps=40), card("rtx-4090"), Run(), CONSTANTS)
    assert long.denoise_s == pytest.approx(4 * short.denoise_s)
    assert long.seconds == long.text_s + long.denoise_s + long.decode_s + long.offload_s
    loop = timed("sd-1.5", card("rtx-4090"), loop_only=True)
    assert loop.seconds == loop.denoise_s


def test_flops_of_a_run_are_those_of_the_work() -> None:
    found = timed("flux.1-schnell", roomy("h100-sxm"), batch=2, dtype="bf16")
    work = image_work(picture("flux.1-schnell"), batch=2)
    assert sum(found.flop.values()) == pytest.approx(sum(part.flop for part in work.values()))


@pytest.mark.parametrize(
    ("name", "dtype", "way"),
    [("h100-sxm", "bf16", "resident"), ("rtx-5090", "bf16", "by network"),
     ("rtx-4090", "fp8_wo", "resident"), ("rtx-4070", "bf16", "by layer")],
)  # fmt: skip
def test_weights_stay_where_they_fit(name: str, dtype: str, way: str) -> None:
    found = timed("flux.1-dev", card(name), dtype=dtype)
    assert found.memory.way == way
    assert (found.offload_s > 0) == (way != "resident")
    assert found.memory.needs_bytes <= found.memory.has_bytes
    whole = timed("flux.1-dev", roomy(name), dtype=dtype)
    assert found.seconds >= whole.seconds


def test_what_does_not_fit_says_so_in_numbers() -> None:
    small = replace(card("rtx-4090"), memory_bytes=2e9)
    with pytest.raises(DoesNotFit) as refused:
        timed("flux.1-dev", small, dtype="bf16")
    assert refused.value.needs_bytes > refused.value.has_bytes == 2e9
    with pytest.raises(DoesNotFit):
        image_time(
            picture("flux.1-dev"), card("rtx-4090"), Run(dtype="bf16"), CONSTANTS, offload=False
        )


@pytest.mark.parametrize("name", ["h100-sxm", "l20"])
def test_gpus_that_share_an_image_gain_less_than_their_number(name: str) -> None:
    alone = timed("flux.1-dev", roomy(name), dtype="bf16", batch=4, software="xdit")
    before = alone.seconds
    for gpus in (2, 4, 8):
        run = {"dtype": "bf16", "batch": 4, "software": "xdit"}
        split = timed("flux.1-dev", roomy(name), ulysses=gpus, **run)
        assert alone.seconds / gpus < split.seconds
        assert split.link_bytes > 0
        if name == "h100-sxm":
            assert split.seconds < before
            before = split.seconds
    nvlink = timed("flux.1-dev", roomy("h100-sxm"), ulysses=8, batch=4)
    pcie = timed("flux.1-dev", roomy("h100-sxm", link="pcie", link_bytes_per_s=32e9), ulysses=8,
                 batch=4)  # fmt: skip
    assert nvlink.seconds < pcie.seconds


def test_unfused_attention_and_plain_fp32_cost_time() -> None:
    chip = roomy("a100-sxm-80gb")
    fused = timed("sd-1.5", chip, batch=16).seconds
    assert timed("sd-1.5", chip, batch=16, fused_attention=False).seconds > 1.2 * fused
    assert timed("sd-1.5", chip, batch=16, dtype="fp32").seconds > 1.5 * fused


def test_attention_of_xformers_is_slower() -> None:
    chip = roomy("a100-sxm-80gb")
    assert (
        timed("sd-1.5", chip, batch=16, xformers=True).seconds
        > timed("sd-1.5", chip, batch=16).seconds
    )


def test_waiting_is_not_computing() -> None:
    alone = timed("flux.1-dev", roomy("h100-sxm"), dtype="bf16", software="xdit")
    shared = timed("flux.1-dev", roomy("h100-sxm"), dtype="bf16", software="xdit", ulysses=8)
    assert alone.active_s < alone.busy_s
    assert shared.active_s / shared.busy_s < 0.8 * alone.active_s / alone.busy_s


def test_four_bits_pay_where_the_tensor_cores_have_them() -> None:
    run = {"software": "compile", "batch": 4}
    eight = timed("flux.1-dev", roomy("b200-sxm"), dtype="fp8", **run).seconds
    assert timed("flux.1-dev", roomy("b200-sxm"), dtype="fp4", **run).seconds < eight
    plain = timed("flux.1-dev", roomy("h100-sxm"), dtype="fp4", **run).seconds
    assert plain > timed("flux.1-dev", roomy("h100-sxm"), dtype="fp8", **run).seconds


def test_fp32_without_tf32_runs_on_the_plain_units() -> None:
    chip = roomy("t4")
    found = timed("sd-1.5", chip, batch=4, dtype="fp32")
    assert set(found.flop) == {"fp32"}
    assert found.denoise_s > sum(found.flop.values()) * 0.9 / chip.peaks["fp32"]


def test_eight_bits_pay_where_the_tensor_cores_have_them() -> None:
    run = {"software": "compile", "batch": 4}
    wide = timed("flux.1-dev", roomy("h100-sxm"), dtype="bf16", **run).seconds
    assert timed("flux.1-dev", roomy("h100-sxm"), dtype="fp8", **run).seconds < 0.85 * wide
    # an A100 has no FP8: weights are stored small and multiplied in 16 bits
    wide = timed("flux.1-dev", roomy("a100-sxm-80gb"), dtype="bf16", **run).seconds
    narrow = timed("flux.1-dev", roomy("a100-sxm-80gb"), dtype="fp8", **run).seconds
    assert narrow == pytest.approx(wide, rel=0.05)


def test_a_power_cap_slows_by_less_than_its_share() -> None:
    full = device(accelerator("h100-sxm"))
    capped = device(accelerator("h100-sxm"), power_cap_w=350.0)
    ratio = timed("sdxl-1.0", capped, batch=8).seconds / timed("sdxl-1.0", full, batch=8).seconds
    assert 1.05 < ratio < 1.5
    above = device(accelerator("h100-sxm"), power_cap_w=9e9)
    assert above.limit_w == full.limit_w


@given(st.sampled_from(MODELS), st.sampled_from(CARDS), st.sampled_from([1, 8]))
def test_power_stays_between_idle_and_limit(slug: str, name: str, batch: int) -> None:
    chip = card(name)
    each = tuple((name, 1e-12) for name in ("fp32", "tf32", "fp16", "bf16"))
    power = PowerConstants(
        limit_w=chip.limit_w, idle_w=0.15 * chip.limit_w, active_w=0.3 * chip.limit_w,
        flop_j=each, memory_j=6e-11, cache_j=1e-10, link_j=3e-11, bend=4.0, voltage_floor=0.86,
        knee=0.84, leakage=0.004,
    )  # fmt: skip
    found = timed(slug, chip, batch=batch)
    energy = image_energy(found, power, CONSTANTS)
    assert power.idle_w <= energy.gpu_w <= power.limit_w
    assert energy.joules_per_image == pytest.approx(energy.gpu_w * found.seconds_per_image)


def test_every_card_with_a_peak_has_constants() -> None:
    unknown = []
    for record in records("accelerators"):
        try:
            timed("sd-1.5", replace(card(record.slug), memory_bytes=1e12))
        except NoCalibration:
            unknown.append(record.slug)
    assert unknown == []


@pytest.mark.parametrize(
    ("how", "problem"),
    [({"software": "magic"}, UnknownName), ({"dtype": "fp3"}, UnknownName),
     ({"batch": 0}, InputError), ({"ulysses": 0}, InputError), ({"ring": -1}, InputError)],
)  # fmt: skip
def test_runs_that_cannot_be_are_refused(how: dict[str, Any], problem: type[Exception]) -> None:
    with pytest.raises(problem):
        timed("sd-1.5", card("rtx-4090"), **how)


def test_a_family_without_constants_is_refused_by_name() -> None:
    strange = replace(card("rtx-4090"), family="abacus")
    with pytest.raises(NoCalibration, match="abacus"):
        arithmetic(strange, "eager", "fp16", CONSTANTS)
