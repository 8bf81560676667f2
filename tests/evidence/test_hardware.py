"""Names of hardware in publications."""

from __future__ import annotations

import pytest

from tokenmill.errors import UnknownName
from tokenmill.evidence.hardware import platform_named


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
