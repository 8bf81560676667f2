"""Platforms: every piece of hardware on record can be asked for, under the names people use."""

from __future__ import annotations

import math

import pytest

from tokenmill.catalog import load
from tokenmill.errors import InputError, UnknownName
from tokenmill.placement.platform import (
    bare_chip,
    by_die,
    hardware_names,
    limited,
    platform,
    sustained,
)


@pytest.mark.parametrize("name", hardware_names())
def test_everything_on_record_stands_on_a_platform(name: str) -> None:
    found = platform(name)
    assert found.name == name
    assert found.chip.memory_bytes > 0
    assert found.chip.memory_bytes_per_s > 0
    assert found.chip.flop_per_s("bf16") > 0
    assert 1 <= found.domain_gpus <= found.most_gpus
    assert 1 <= found.machine_gpus <= found.most_gpus
    assert 0 <= found.power.idle_w < found.power.limit_w
    assert math.isfinite(found.fabric.link_bytes_per_s)
    assert found.fabric.link_bytes_per_s > 0


def test_a_card_gets_the_machine_it_is_sold_in() -> None:
    usual = {
        "h100": ("hgx-h100", 8), "gb200-nvl72": ("gb200-nvl72", 72), "l40s": ("server-8x-pcie", 8),
        "rtx-4090": ("workstation-4x", 4), "rtx-4090-laptop": ("workstation-1x", 1),
        "dgx-h100": ("dgx-h100", 8),
    }  # fmt: skip
    for name, (machine, gpus) in usual.items():
        assert (platform(name).system.slug, platform(name).machine_gpus) == (machine, gpus)


def test_one_name_one_platform() -> None:
    assert platform("h100").name == platform("NVIDIA H100 SXM").name == "h100-sxm"
    assert platform("h100") == platform("h100-sxm")


@pytest.mark.parametrize(("wrong", "meant"), [("h10", "h100"), ("rtx4091", "rtx-4090")])
def test_unknown_hardware_gets_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(UnknownName) as refusal:
        platform(wrong)
    found = {load.resolve("accelerators", name) for name in refusal.value.suggestions}
    assert load.resolve("accelerators", meant) in found


def test_an_empty_machine_is_refused() -> None:
    with pytest.raises(InputError, match="name the card instead"):
        platform("workstation-4x")


def test_a_small_power_limit_holds_clocks_back() -> None:
    """The PCIe card has the die of the SXM module and half of its power."""
    for name, least, most in (
        ("h100-sxm", 1.0, 1.0), ("h100-pcie", 0.65, 0.9), ("l4", 0.6, 0.9),
        ("t4", 0.4, 0.8), ("v100-sxm-16gb", 1.0, 1.0),
    ):  # fmt: skip
        where = platform(name)
        share = where.chip.peaks["fp16"] / where.accelerator.peaks["fp16"].value
        assert least <= share <= most, name


def test_arithmetic_follows_the_power_limit_and_memory_does_not() -> None:
    usual = platform("h200-sxm")
    low, high = limited(usual, 350.0), limited(usual, 1000.0)
    assert limited(usual, 700.0) is usual
    assert low.chip.peaks["fp8"] < usual.chip.peaks["fp8"] < high.chip.peaks["fp8"]
    assert 0.5 < low.chip.peaks["fp8"] / usual.chip.peaks["fp8"] < 0.8
    assert low.chip.memory_bytes_per_s == usual.chip.memory_bytes_per_s
    assert low.name != usual.name
    assert low.power.limit_w == 350.0


def test_a_cooler_card_gains_only_where_it_stands_in_for_a_limited_one() -> None:
    """The A100 has three quarters of the L40S's peak for its watts."""
    bare = bare_chip(load.accelerator("a100-sxm-80gb"))
    assert sustained(bare, "ada").peaks == bare.peaks
    assert sustained(bare, "ada", gains=True).peaks["bf16"] > 1.1 * bare.peaks["bf16"]
    assert platform("rtx-4090").chip.peaks["bf16"] == platform("rtx-4090").accelerator.peaks[
        "bf16"
    ].value  # fmt: skip


def test_check_bits_among_the_data_cost_bandwidth() -> None:
    for name, corrected in (("l40s", True), ("a10", True), ("rtx-4090", False), ("a100", False)):
        where = platform(name)
        stated = where.accelerator.value("memory_bandwidth")
        assert (where.chip.memory_bytes_per_s < 0.96 * stated) == corrected, name


def test_software_sees_the_dies_of_cdna2_as_gpus() -> None:
    card = platform("mi250")
    die = by_die(card)
    assert die.chip.memory_bytes * 2 == card.chip.memory_bytes
    assert die.chip.flop_per_s("bf16") * 2 == card.chip.flop_per_s("bf16")
    assert die.power.routed_w * 2 == card.power.routed_w > 0.0
    assert (die.machine_gpus, die.domain_gpus) == (2 * card.machine_gpus, 2 * card.domain_gpus)
    for name in ("mi210", "b200-sxm", "h100-sxm"):
        assert by_die(platform(name)) is platform(name)
