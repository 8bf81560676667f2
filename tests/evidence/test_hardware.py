"""Names of hardware in publications."""

from __future__ import annotations

import pytest

from tokenmill.errors import UnknownName
from tokenmill.evidence.hardware import as_noted, platform_named


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
