"""Habits of engines with kernels of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tokenmill.physics.chip import Chip
from tokenmill.physics.gemm import gemm_s
from tokenmill.placement import own_kernels
from tokenmill.placement.engines import engine
from tokenmill.placement.layout import Layout
from tokenmill.placement.platform import platform
from tokenmill.simulator.cases import Case, language_model
from tokenmill.work.precision import cache_format, weight_format

BARE = replace(engine("vllm"), tensor_share=1.0, stream_share=1.0)
OLD = engine("llama.cpp", date="2024-05-01")


def chip(name: str = "rtx-3090") -> Chip:
    return platform(name).chip


def test_engines_without_habits_cost_nothing_more() -> None:
    assert own_kernels.activations_s(BARE, chip(), 512.0, 1e7) == 0.0
    assert own_kernels.unpacking_s(BARE, chip(), 512.0, 1e9, 0.5) == 0.0
    assert own_kernels.scores_s(BARE, chip(), 32.0) == (0.0, 0.0)
    assert own_kernels.cached_token_s(BARE, chip(), 1e-9, 32.0, 8.0, 128.0, 2.0) == 1e-9
    assert own_kernels.experts_extra_s(BARE, chip(), 512.0, 4096.0, 128.0, 1e6) == 0.0
    assert own_kernels.paced_s(BARE, chip(), 1.0, 1.0, "bf16", 1.0) == 1.0


def test_no_pace_beats_the_roofline() -> None:
    fast = replace(OLD, stream_share=100.0, tensor_share=100.0)
    moved = 1e9
    told = own_kernels.paced_s(fast, chip(), np.array([1e-3]), 1e6, "bf16", moved)
    assert told[0] >= moved / chip().memory_bytes_per_s


def test_small_weights_are_unpacked_for_many_rows_only() -> None:
    rows = np.array([1.0, 512.0])
    few, many = own_kernels.unpacking_s(OLD, chip(), rows, 1e9, 0.5625)
    assert few == 0.0
    assert many == pytest.approx(2.5625e9 / chip().memory_bytes_per_s)
    assert own_kernels.unpacking_s(OLD, chip(), 512.0, 1e9, 2.0) == 0.0


def test_a_large_cache_keeps_activations() -> None:
    """The 4090 has twelve times the L2 of the 3090 at nearly the same bandwidth."""
    small = own_kernels.activations_s(OLD, chip("rtx-3090"), 512.0, 3e7)
    large = own_kernels.activations_s(OLD, chip("rtx-4090"), 512.0, 3e7)
    assert large < 0.8 * small


def test_experts_one_by_one_cost_the_host() -> None:
    extra = own_kernels.experts_extra_s(OLD, chip(), 512.0, 4096.0, 128.0, 1e6)
    assert extra == pytest.approx(OLD.host_expert_s * 128.0)
    assert own_kernels.experts_extra_s(OLD, chip(), 1.0, 8.0, 8.0, 1e6) == 0.0


def test_tiles_wider_than_an_experts_rows_are_padded() -> None:
    new = engine("llama.cpp")
    few = own_kernels.experts_extra_s(new, chip(), 512.0, 4096.0, 128.0, 1e6)
    many = own_kernels.experts_extra_s(new, chip(), 8192.0, 65536.0, 128.0, 1e6)
    assert 0.0 < many < few  # 32 rows in a tile of 128, against four tiles and a half


def cached_s(version: str, group: float, beams: float = 1.0, value_bytes: float = 2.0) -> float:
    """Seconds per cached token of eight heads' caches on an H100, at 1 ns where queries share."""
    old = replace(engine("tensorrt-llm", version), beams=beams)
    h100 = chip("h100-sxm")
    shape = 8.0 * group, 8.0, 128.0, value_bytes
    return float(own_kernels.cached_token_s(old, h100, 1e-9, *shape))


@pytest.mark.parametrize(
    ("version", "shared"),
    [
        ("0.5.0", ()),
        ("0.7.1", ()),
        ("0.9.0", (8,)),
        ("0.12.0", (8, 16)),
        ("0.17", (4, 6, 8, 16)),
        ("0.20", (4, 6, 8, 16)),
        ("1.2", (4, 5, 6, 8, 16)),
    ],
)
def test_groups_share_the_cache_from_the_versions_on_that_have_a_kernel(
    version: str, shared: tuple[int, ...]
) -> None:
    for group in (4, 5, 6, 8, 16):
        assert (cached_s(version, group, value_bytes=1.0) == 1e-9) == (group in shared)


def test_queries_one_by_one_cost_their_number_and_narrow_values_are_unpacked_for_each() -> None:
    assert cached_s("0.9.0", 32) == pytest.approx(2.0 * cached_s("0.9.0", 16))
    assert cached_s("0.9.0", 32, value_bytes=1.0) == pytest.approx(2.0 * cached_s("0.9.0", 32))


def test_beams_cost_more_before_they_had_a_kernel() -> None:
    without, after = (cached_s(v, 1, beams=16.0, value_bytes=1.0) for v in ("0.9.0", "0.12.0"))
    assert without > after > 1e-9


def test_activations_of_blocks_are_scaled_where_8_bits_are_multiplied() -> None:
    sync = engine("vllm", "0.11")
    assert own_kernels.block_scales_s(sync, chip("h100-sxm"), "fp8_block") == sync.block_s > 0.0
    assert own_kernels.block_scales_s(sync, chip("h100-sxm"), "fp8") == 0.0
    assert own_kernels.block_scales_s(sync, chip("a100-sxm-80gb"), "fp8_block") == 0.0
    assert own_kernels.block_scales_s(engine("vllm", "0.19"), chip("h100-sxm"), "fp8_block") == 0.0


def test_vllm_and_sglang_run_8_bit_experts_on_the_kernels_of_blocks() -> None:
    where = chip("h100-sxm")
    for runs_on in (engine("vllm", "0.11"), engine("vllm", "0.19"), engine("sglang")):
        assert own_kernels.expert_kernels(runs_on, where, "fp8") == "fp8_block"
        assert own_kernels.expert_kernels(runs_on, where, "bf16") == "bf16"
        assert own_kernels.expert_kernels(runs_on, chip("a100-sxm-80gb"), "fp8") == "fp8"
    assert own_kernels.expert_kernels(engine("tensorrt-llm"), where, "fp8") == "fp8"


def test_experts_of_old_lines_leave_the_groups_of_warps_of_new_chips_idle() -> None:
    old, new = engine("tensorrt-llm", "0.9.0"), engine("tensorrt-llm", "0.10.0")
    for name, share in (("h100-sxm", 0.63), ("a100-sxm-80gb", 1.0), ("l40s", 1.0)):
        peaks = own_kernels.expert_chip(old, chip(name)).peaks
        assert peaks["bf16"] == pytest.approx(share * chip(name).peaks["bf16"])
        assert own_kernels.expert_chip(new, chip(name)) is chip(name)


def test_sums_of_tensor_ranks_run_in_the_library_until_engines_have_kernels_for_them() -> None:
    model, arch = language_model("llama-2-70b")
    seconds = {}
    for version in ("0.5.0", "0.7.1"):
        case = Case(
            platform("h100-sxm"), model, arch, weight_format("fp8"), cache_format("fp8"),
            engine("tensorrt-llm", version),
        )  # fmt: skip
        times = case.times((Layout(4),))
        seconds[version] = float(np.ravel(times.linear_s(np.array([[64.0]])))[0])
    assert seconds["0.5.0"] > 1.05 * seconds["0.7.1"]


def test_static_scales_save_the_pass_that_quantises() -> None:
    h100 = chip("h100-sxm")
    apart, fused = (
        gemm_s(h100, "fp8", 8192.0, 4096.0, 4096.0, "tensorrt-llm", quantised=one)
        for one in (False, True)
    )
    assert apart - fused > 8192.0 * 4096.0 * 3.0 / h100.memory_bytes_per_s
    assert gemm_s(h100, "bf16", 64.0, 64.0, 64.0, quantised=True) == gemm_s(
        h100, "bf16", 64.0, 64.0, 64.0
    )


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("0.5.0", "0.5"), ("0.7.1", "0.7"), ("0.9.0", "0.9"), ("0.12.0", "0.12"), ("0.17", "cpp"),
        ("0.20", "0.20"), ("1.0", "2025"),
    ],
)  # fmt: skip
def test_versions_of_tensorrt_llm_belong_to_lines(version: str, line: str) -> None:
    found = engine("tensorrt-llm", version)
    assert found.record.slug == f"engine-tensorrt-llm-{line}"
    assert found.name == "tensorrt-llm"
    assert found.windows == (line == "2025")
