"""Names of hardware in publications."""

from __future__ import annotations

import pytest

from tokenmill.errors import UnknownName
from tokenmill.evidence.hardware import as_noted, platform_named, power_limit_w
from tokenmill.evidence.points import Point
from tokenmill.evidence.serving.setups import setup_of


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("rtx-4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4080 16GB", "rtx-4080"),
        ("apple-m2-ultra-76c-192gb", "apple-m2-ultra"),
        ("M1 Max 32-Core GPU 64GB", "apple-m1-max"),
        ("rtx-3080-10gb", "rtx-3080"),
        ("intel-arc-b580-12gb", "arc-b580"),
        ("ryzen-ai-max+-395", "radeon-8060s"),
    ],
)
def test_makers_and_sizes_do_not_hide_the_card(told: str, meant: str) -> None:
    assert platform_named(told).name == meant


def test_what_nothing_on_record_resembles_is_refused() -> None:
    for name in ("abacus", "gpu", "pentium-90"):
        with pytest.raises(UnknownName):
            platform_named(name)


@pytest.mark.parametrize(
    ("note", "meant"),
    [
        ("GH200-GraceHopper-Superchip_GH200-144GB_aarch64x1_TRT; Offline", "gh200-141gb"),
        ("NVIDIA GH200 144GB HBM3e", "gh200-141gb"),
        ("GH200-GraceHopper-Superchip_GH200-96GB_aarch64x1_TRT", "gh200"),
        ("a machine with 144GB", "gh200"),
    ],
)
def test_a_note_tells_the_size_of_memory(note: str, meant: str) -> None:
    assert as_noted("gh200", note) == meant


@pytest.mark.parametrize(
    ("note", "watts"),
    [
        ("H200-SXM-141GB-CTSx8_TRT; available; H200 TGP 1000W", 1000.0),
        ("NVIDIA A100-SXM4-80GB (TDP: 500W)", 500.0),
        ("DGX-H100; available", 700.0),
    ],
)
def test_a_note_tells_the_power_limit(note: str, watts: float) -> None:
    assert power_limit_w(note, 700.0) == watts


def test_a_limit_in_a_note_is_that_of_a_card_not_of_a_die() -> None:
    cells = {"gpu": "mi250", "model": "llama-3.1-8b"}
    noted, silent = (
        setup_of(Point("row", 1, cells | {"note": note})).case.platform
        for note in ("TDP: 500W", "")
    )
    assert noted.chip.peaks == silent.chip.peaks
    assert noted.power.limit_w == silent.power.limit_w == 250.0


def test_a_capped_system_draws_less_than_its_limit() -> None:
    assert 0.4 * 700.0 < power_limit_w("power-capped system; H200 TGP 700W", 700.0) < 0.9 * 700.0
