"""Kernel physics: never faster than the roofline, never slower on better hardware, affine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.catalog import load
from tokenmill.errors import NoCalibration, NoPeak, UnknownName
from tokenmill.physics import attention, elementwise, experts, gemm, state_space
from tokenmill.physics.arithmetic import arithmetic
from tokenmill.physics.chip import Chip, Gemm, kernel_constants
from tokenmill.work.language import attended_pairs

_PEAKS = {
    "ampere": {"bf16": 312e12, "fp16": 312e12, "int8": 624e12},
    "ada": {"bf16": 362e12, "fp8": 733e12, "int8": 733e12},
    "hopper": {"bf16": 989e12, "fp8": 1979e12, "int8": 1979e12},
    "blackwell": {"bf16": 2250e12, "fp8": 4500e12, "fp4": 9000e12},
}
_SPEC = {
    "ampere": (108.0, 2.039e12, 1.41e9), "ada": (142.0, 0.864e12, 2.52e9),
    "hopper": (132.0, 3.35e12, 1.98e9), "blackwell": (148.0, 7.7e12, 1.965e9),
}  # fmt: skip
FAMILIES = tuple(_SPEC)
DTYPES = ("bf16", "fp8", "fp8_block", "int8", "fp4", "w4a8", "int8_wo", "int4_wo", "w4a16")
BLOCKS = (  # hidden, width, experts a token takes, experts
    (2048.0, 768.0, 8.0, 128.0), (7168.0, 2048.0, 8.0, 256.0), (4096.0, 14336.0, 2.0, 8.0),
)  # fmt: skip
ENGINES = ("any", "vllm", "sglang", "tensorrt-llm", "llama.cpp")


def figures(family: str) -> dict[str, float]:
    """Figures of a family, over those that it inherits."""
    record = load.calibration(family)
    beneath = figures(record.inherits) if record.inherits else {}
    return beneath | {key: item.value for key, item in record.figures.items()}


def chip(family: str) -> Chip:
    sms, bandwidth, clock = _SPEC[family]
    constants = kernel_constants(figures(family))
    return Chip(family, family, sms, bandwidth, 50e6, clock, _PEAKS[family], constants)


CHIPS = {family: chip(family) for family in FAMILIES}
chips = st.sampled_from(FAMILIES).map(CHIPS.__getitem__)
dtypes = st.sampled_from(DTYPES)
engines = st.sampled_from(ENGINES)
sizes = st.integers(1, 60_000).map(float)
rows = st.integers(1, 20_000).map(float)
counts = st.integers(1, 128).map(float)


def better(chip: Chip, **factors: float) -> Chip:
    """The same chip with some of its rates multiplied."""
    peaks = {key: value * factors.get("peaks", 1.0) for key, value in chip.peaks.items()}
    return replace(
        chip, peaks=peaks, memory_bytes_per_s=chip.memory_bytes_per_s * factors.get("memory", 1.0),
        sm_count=chip.sm_count * factors.get("sms", 1.0),
        boost_hz=chip.boost_hz * factors.get("clock", 1.0),
    )  # fmt: skip


def stronger(chip: Chip) -> list[Chip]:
    """More bandwidth; more FLOP/s; more of the same multiprocessors; a higher clock."""
    return [
        better(chip, memory=1.3), better(chip, peaks=1.3), better(chip, peaks=2.0, sms=2.0),
        better(chip, peaks=1.2, clock=1.2),
    ]  # fmt: skip


def expect_floor(seconds: Any, flop: Any, moved: Any, peak: float, chip: Chip) -> None:
    floor = np.maximum(np.asarray(flop) / peak, np.asarray(moved) / chip.memory_bytes_per_s)
    assert np.all(np.asarray(seconds) >= floor * (1 - 1e-12))


def expect_not_slower(better_s: Any, worse_s: Any) -> None:
    assert np.all(np.asarray(better_s) <= np.asarray(worse_s) * (1 + 1e-12))


@given(chips, dtypes, engines, rows, sizes, sizes)
def test_inv6_a_product_is_never_faster_than_its_roofline(
    chip: Chip, dtype: str, engine: str, m: float, n: float, k: float
) -> None:
    kind = arithmetic(chip, dtype)
    moved = kind.weight_bytes * n * k + m * (kind.activation_bytes * k + 2.0 * n)
    seconds = gemm.gemm_s(chip, dtype, m, n, k, engine)
    expect_floor(seconds, 2.0 * m * n * k, moved, chip.flop_per_s(kind.peak), chip)


@given(chips, dtypes, engines, rows, sizes, sizes)
def test_inv9_a_product_is_never_slower_on_a_better_chip_or_when_it_is_smaller(
    chip: Chip, dtype: str, engine: str, m: float, n: float, k: float
) -> None:
    seconds = gemm.gemm_s(chip, dtype, m, n, k, engine)
    for other in stronger(chip):
        expect_not_slower(gemm.gemm_s(other, dtype, m, n, k, engine), seconds)
    for shape in ((m + 64, n, k), (m, n + 64, k), (m, n, k + 64)):
        expect_not_slower(seconds, gemm.gemm_s(chip, dtype, *shape, engine))


@given(
    chips,
    engines,
    counts,
    st.integers(0, 200_000).map(float),
    counts,
    st.sampled_from([64, 128, 256]),
)
def test_inv6_and_inv9_of_decode_attention(
    chip: Chip, engine: str, batch: float, context: float, heads: float, width: int
) -> None:
    def seconds(chip: Chip, batch: float, context: float) -> Any:
        return attention.decode_attention_s(
            chip, batch, batch * context, heads, max(heads / 8.0, 1.0), width, engine=engine
        )

    flop = 4.0 * heads * width * batch * context
    moved = 4.0 * max(heads / 8.0, 1.0) * width * batch * context
    expect_floor(seconds(chip, batch, context), flop, moved, chip.flop_per_s("bf16"), chip)
    expect_not_slower(seconds(chip, batch, context), seconds(chip, batch, context + 100.0))
    for other in stronger(chip):
        expect_not_slower(seconds(other, batch, context), seconds(chip, batch, context))


@given(
    chips, engines, st.sampled_from(["bf16", "fp8"]), counts, st.integers(1, 8000).map(float),
    st.integers(0, 100_000).map(float), counts, st.sampled_from([0, 128, 4096]),
)  # fmt: skip
def test_inv6_and_inv9_of_prefill_attention(
    chip: Chip, engine: str, cache: str, batch: float, new: float, context: float, heads: float,
    window: int,
) -> None:  # fmt: skip
    def seconds(chip: Chip, new: float, context: float) -> Any:
        return attention.prefill_attention_s(
            chip, batch, new, context, heads, heads, 128, window, "bf16", cache, engine
        )

    keys = min(new + context, window) if window else new + context
    flop = 512.0 * heads * batch * attended_pairs(new, context, window)
    moved = (
        256.0 * heads * (1.0 if cache == "fp8" else 2.0) * batch * keys
        + 512.0 * heads * batch * new
    )
    expect_floor(seconds(chip, new, context), flop, moved, chip.flop_per_s("bf16"), chip)
    expect_not_slower(seconds(chip, new, context), seconds(chip, new, context + 1000.0))
    expect_not_slower(seconds(chip, new, context), seconds(chip, new + 128.0, context))
    for other in stronger(chip):
        expect_not_slower(seconds(other, new, context), seconds(chip, new, context))


@given(chips, counts, st.integers(0, 100_000).map(float), counts, st.sampled_from(["bf16", "fp8"]))
def test_inv6_of_latent_attention(
    chip: Chip, batch: float, context: float, heads: float, cache: str
) -> None:
    size = 1.0 if cache == "fp8" else 2.0
    decode_s = attention.mla_decode_s(chip, batch, batch * context, heads, kv_dtype=cache)
    tokens = batch * context
    expect_floor(
        decode_s,
        2.0 * heads * 1088.0 * tokens,
        576.0 * size * tokens,
        chip.flop_per_s("bf16"),
        chip,
    )
    prefill_s = attention.mla_prefill_s(chip, batch, context + 1.0, 0.0, heads, kv_dtype=cache)
    flop = 2.0 * heads * 320.0 * batch * attended_pairs(context + 1.0, 0.0)
    expect_floor(prefill_s, flop, 0.0, chip.flop_per_s("bf16"), chip)


@given(
    chips, dtypes, engines, rows, st.sampled_from(BLOCKS), st.sampled_from([1.0, 2.0, 8.0]),
    st.sampled_from([0.0, 0.8, 1.5]),
)  # fmt: skip
def test_inv6_and_inv9_of_experts(
    chip: Chip, dtype: str, engine: str, tokens: float, shape: tuple[float, ...], ep: float,
    skew: float,
) -> None:  # fmt: skip
    hidden, inter, top_k, count = shape

    def seconds(chip: Chip, tokens: float) -> Any:
        return experts.moe_s(
            chip, dtype, tokens, hidden, inter, top_k, count, 1.0, ep, skew=skew, engine=engine
        )

    kind = arithmetic(chip, dtype)
    each = 3.0 * hidden * inter
    rows = experts.busiest_rows(tokens, top_k, count, ep, skew)
    touched = np.minimum(count / ep * experts.touched_share(rows * ep / count, skew), rows)
    expect_floor(
        seconds(chip, tokens), 2.0 * rows * each, touched * each * kind.weight_bytes,
        chip.flop_per_s(kind.peak), chip,
    )  # fmt: skip
    expect_not_slower(seconds(chip, tokens), seconds(chip, tokens + 16.0))
    for other in stronger(chip):
        expect_not_slower(seconds(other, tokens), seconds(chip, tokens))


@given(
    chips, engines, counts, st.integers(1, 30_000).map(float), st.sampled_from([4.0, 32.0, 64.0])
)
def test_inv6_and_inv9_of_state_space_layers(
    chip: Chip, engine: str, batch: float, tokens: float, heads: float
) -> None:
    state = heads * 128.0 * 128.0
    decode_s = state_space.gdn_decode_s(chip, batch, heads, heads, engine=engine)
    expect_floor(decode_s, 0.0, batch * state * 8.0, 1.0, chip)
    prefill_s = state_space.gdn_prefill_s(chip, batch, tokens, heads, heads, engine=engine)
    expect_floor(
        prefill_s, 8.0 * batch * tokens * state / 128.0, batch * tokens * heads * 128.0 * 12.0,
        chip.flop_per_s("bf16"), chip,
    )  # fmt: skip
    expect_not_slower(
        prefill_s,
        state_space.gdn_prefill_s(chip, batch, tokens + 64.0, heads, heads, engine=engine),
    )
    mamba_s = state_space.mamba2_prefill_s(chip, batch, tokens, heads, 64.0, 128.0, engine=engine)
    for other in stronger(chip):
        expect_not_slower(
            state_space.mamba2_prefill_s(other, batch, tokens, heads, 64.0, 128.0, engine=engine),
            mamba_s,
        )


@given(chips, st.floats(0.0, 1e10), counts)
def test_inv6_of_streams(chip: Chip, moved: float, kernels: float) -> None:
    seconds = elementwise.stream_s(chip, moved, kernels)
    expect_floor(seconds, 0.0, moved, 1.0, chip)
    expect_not_slower(seconds, elementwise.stream_s(chip, moved, kernels + 1.0))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_decode_attention_is_affine_in_the_summed_context(family: str, engine: str) -> None:
    chip, batch = CHIPS[family], np.array([1.0, 7.0, 256.0])
    for context in (0.0, 1.0, 1000.0, 3e7):
        each = context / batch
        cost = attention.decode_attention_coefficients(
            chip, batch, 32, 8, 128, engine=engine, context=each
        )
        whole = attention.decode_attention_s(chip, batch, context, 32, 8, 128, engine=engine)
        np.testing.assert_array_equal(whole, cost.base_s + cost.s_per_token * context)
    latent = attention.mla_decode_coefficients(chip, batch, 16, engine=engine, context=1e6 / batch)
    np.testing.assert_array_equal(
        attention.mla_decode_s(chip, batch, 1e6, 16, engine=engine),
        latent.base_s + latent.s_per_token * 1e6,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_short_contexts_need_no_second_kernel_and_usual_ones_share_a_base(family: str) -> None:
    chip = CHIPS[family]

    def base_s(context: float) -> float:
        cost = attention.decode_attention_coefficients(chip, 4.0, 32, 8, 128, context=context)
        return float(cost.base_s)

    assert base_s(64.0) < base_s(1024.0)
    assert base_s(2048.0) == pytest.approx(base_s(32768.0), rel=0.02)


def test_a_window_bounds_what_decode_reads() -> None:
    chip, batch = CHIPS["hopper"], 4.0
    far = [
        float(attention.decode_attention_s(chip, batch, batch * context, 8, 8, 128, window=128))
        for context in (128.0, 1e4, 1e6)
    ]
    assert far[1] == pytest.approx(far[2], rel=1e-3)
    assert far[0] < far[2] < 1.5 * far[0]  # blocks share a sequence, though they read no more of it
    near = attention.decode_attention_s(chip, batch, batch * 64.0, 8, 8, 128, window=128)
    assert float(near) < far[0]


@pytest.mark.parametrize("window", [0, 512])
def test_prefill_attention_is_affine_in_tokens_pairs_and_keys(window: int) -> None:
    chip = CHIPS["blackwell"]
    for new, context in ((1.0, 0.0), (100.0, 5000.0), (2048.0, 100.0)):
        empty = 128.0 * np.ceil(new / 128.0) - new
        cost = attention.prefill_attention_coefficients(
            chip, 32, 8, 128, sequences=3.0, empty=empty
        )
        pairs = 3.0 * attended_pairs(new, context, window)
        if window:  # tiles of 128 reach over the end of the window
            pairs += 3.0 * 128.0 * np.clip(new + context - window, 0.0, new)
        keys = min(new + context, window) if window else new + context
        whole = attention.prefill_attention_s(chip, 3.0, new, context, 32, 8, 128, window)
        np.testing.assert_allclose(whole, cost.seconds(3.0 * new, pairs, keys), rtol=1e-14)


def test_arrays_broadcast_and_equal_their_elements() -> None:
    chip = CHIPS["hopper"]
    m, n = np.array([1.0, 64.0, 4096.0])[:, None], np.array([512.0, 8192.0])
    whole = gemm.gemm_s(chip, "fp8", m, n, 4096.0)
    assert whole.shape == (3, 2)
    single = [
        [float(gemm.gemm_s(chip, "fp8", float(a), float(b), 4096.0)) for b in n] for (a,) in m
    ]
    np.testing.assert_array_equal(whole, single)
    tokens = np.array([1.0, 100.0, 10_000.0])
    together = experts.moe_s(chip, "bf16", tokens, 2048, 768, 8, 128)
    apart = [float(experts.moe_s(chip, "bf16", float(t), 2048, 768, 8, 128)) for t in tokens]
    np.testing.assert_array_equal(together, apart)


def test_waves_of_tiles_show_in_a_product() -> None:
    """One more row than fills a wave of rigid tiles costs a wave; that is what quantisation is."""
    constants = Gemm(0.0, 0.0, 1.0, 1.0, 1e9, 1e9, 1e9, 1.0, 1.0, 0.0, 0.0)
    chip = replace(
        CHIPS["hopper"], constants=replace(CHIPS["hopper"].constants, gemm={"bf16": constants})
    )
    n, k = 128.0 * chip.sm_count / 4.0, 65536.0
    full, more = (float(gemm.gemm_s(chip, "bf16", m, n, k)) for m in (512.0, 513.0))
    assert more > 1.7 * full


def test_weights_stored_smaller_are_read_faster_where_few_rows_share_them() -> None:
    chip = CHIPS["ampere"]
    wide, small = (float(gemm.gemm_s(chip, d, 1.0, 8192.0, 28672.0)) for d in ("bf16", "int4_wo"))
    assert small < 0.5 * wide
    packed = float(gemm.gemm_s(chip, "int4_wo", 1.0, 8192.0, 28672.0, weight_bytes=0.3))
    assert packed < small


def test_experts_touched_by_even_and_skewed_routing() -> None:
    np.testing.assert_allclose(experts.touched_share(1.0, 0.0), 1.0 - np.exp(-1.0), rtol=1e-5)
    assert experts.touched_share(1.0, 1.5) < experts.touched_share(1.0, 0.0)
    np.testing.assert_allclose(experts.touched_share(1e9, 0.5), 1.0)
    assert float(experts.busiest_rows(1e6, 8.0, 256.0, 8.0, 0.0)) == pytest.approx(1e6, rel=0.01)
    assert experts.busiest_rows(1.0, 8.0, 256.0, 1.0, 2.0) == 8.0


def test_a_format_without_a_peak_is_unpacked_to_sixteen_bits() -> None:
    assert arithmetic(CHIPS["ampere"], "fp8").peak == "bf16"
    assert arithmetic(CHIPS["ampere"], "fp8").weight_bytes == 1.0
    assert arithmetic(CHIPS["hopper"], "fp8").peak == "fp8"
    assert arithmetic(CHIPS["hopper"], "nvfp4").activation_bytes == 2.0
    assert arithmetic(CHIPS["blackwell"], "nvfp4").peak == "fp4"


def test_half_precision_accumulates_in_half_only_where_asked() -> None:
    peaks = {"fp16": 165e12, "bf16": 165e12, "fp16_fp16acc": 330e12}
    slow = replace(CHIPS["ada"], peaks=peaks)
    fast = replace(slow, fp16_accumulate=True)
    assert slow.flop_per_s("fp16") == 165e12
    assert fast.flop_per_s("fp16") == 330e12
    expect_not_slower(
        gemm.gemm_s(fast, "fp16", 4096, 4096, 4096), gemm.gemm_s(slow, "fp16", 4096, 4096, 4096)
    )


def test_what_is_missing_is_refused_by_name() -> None:
    chip = CHIPS["hopper"]
    with pytest.raises(UnknownName, match="arithmetic"):
        gemm.gemm_s(chip, "fp7", 1, 1, 1)
    with pytest.raises(NoPeak, match="fp4"):
        chip.flop_per_s("fp4")
    with pytest.raises(NoCalibration, match="gemm"):
        replace(chip, constants=kernel_constants({})).pick("gemm", "bf16")
    partial = {key: value for key, value in figures("hopper").items() if "launch_clocks" not in key}
    with pytest.raises(NoCalibration, match="launch_clocks"):
        kernel_constants(partial)


def test_an_engine_may_state_only_what_it_does_otherwise() -> None:
    known = figures("hopper")
    own = {"gemm/bf16.some-engine/compute_efficiency": 0.5}
    found = kernel_constants(known | own).gemm
    assert found["bf16.some-engine"] == replace(found["bf16"], compute_efficiency=0.5)


def test_constants_are_looked_up_by_engine_then_by_kindred_precision() -> None:
    chip = CHIPS["hopper"]
    assert chip.pick("gemm", "fp8", "vllm") is chip.constants.gemm["fp8.vllm"]
    assert chip.pick("gemm", "fp8", "nobody") is chip.constants.gemm["fp8"]
    assert chip.pick("gemm", "int4_wo", "nobody") is chip.constants.gemm["bf16"]


@pytest.mark.parametrize("slug", load.names("accelerators"))
def test_every_accelerator_finds_all_its_constants(slug: str) -> None:
    constants = kernel_constants(figures(load.accelerator(slug).architecture))
    for operation in ("gemm", "decode", "prefill", "experts", "stream", "scan_prefill"):
        assert getattr(constants, operation), f"{slug} has no constants for {operation}"
