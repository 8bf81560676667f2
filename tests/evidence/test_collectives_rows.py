"""Rows of collectives: every fabric and operation predicted, measured ones within budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tokenmill.catalog import load
from tokenmill.errors import BadRecord, InputError
from tokenmill.evidence.collectives.predict import distance, predict_collective
from tokenmill.evidence.family import family_named
from tokenmill.evidence.interval_files import points_of, tables_of
from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.score import score_points


def seconds(gpu: str, gpus: int, message: float, *, op: str = "all_reduce", **cells: str) -> float:
    known = {"gpu": gpu, "n_gpus": str(gpus), "op": op, "message_bytes": str(message)}
    return predict_collective(Point("row", 1, known | cells))["latency_s"]


def bus_rate(gpu: str, gpus: int, **cells: str) -> float:
    """Bus bandwidth of a large all-reduce [B/s]."""
    return 2.0 * (gpus - 1) / gpus * 2.0**30 / seconds(gpu, gpus, 2.0**30, **cells)


def test_every_row_is_predicted_within_budget(shared: Path) -> None:
    points = list(read_points(shared / "measurements" / "collectives.csv"))
    ratios = np.array([
        predict_collective(point)["latency_s"] / point.number("latency_s") for point in points
    ])  # fmt: skip
    wrong = np.abs(ratios - 1.0)
    assert np.median(wrong) <= 0.055
    assert wrong.mean() <= 0.09
    assert {distance(point) for point in points} == {"measured"}


def test_kernel_tables_speak_for_gpus_that_nobody_published(shared: Path) -> None:
    family = family_named("collectives")
    known = points_of(family, shared / "measurements")
    points = tables_of(family, shared / "measurements", known)
    assert {point.text("gpu") for point in points} == {"b200-sxm", "gb200", "h200-sxm"}
    score = score_points(points, family)
    assert score.predicted_rows == score.rows
    assert np.median([abs(item.ratio - 1.0) for item in score.scored]) <= 0.05


@pytest.mark.parametrize("gpu", load.names("accelerators")[::9])
@pytest.mark.parametrize("op", ["allreduce", "all_gather_perf", "alltoall", "bcast", "sendrecv"])
def test_any_gpu_any_operation_any_group(gpu: str, op: str) -> None:
    for gpus, local in ((2, "2"), (8, "8"), (8, "1"), (64, "8")):
        small = seconds(gpu, gpus, 1e3, op=op, gpus_per_node=local)
        large = seconds(gpu, gpus, 1e8, op=op, gpus_per_node=local)
        assert 1e-6 < small < large < 100.0
    assert distance(Point("row", 1, {"gpu": gpu, "n_gpus": "4"})) in (
        "measured", "architecture", "spec",
    )  # fmt: skip


def test_fabrics_keep_their_order() -> None:
    rates = [
        bus_rate("rtx-4090", 4), bus_rate("a100-sxm-80gb", 8), bus_rate("h100-sxm", 8),
        bus_rate("b200-sxm", 8),
    ]  # fmt: skip
    assert rates == sorted(rates)
    rack = bus_rate("gb200", 64, gpus_per_node="4")
    assert rack > 2.0 * bus_rate("h100-sxm", 64, gpus_per_node="8")


def test_networks_are_told_apart_by_their_machines() -> None:
    there = {"gpus_per_node": "8"}
    slow = bus_rate("a100-sxm-80gb", 16, system="aws-p4de.24xlarge", **there)
    fast = bus_rate("a100-sxm-80gb", 16, note="8x400G InfiniBand", **there)
    assert slow < 0.5 * fast
    engine = seconds("h100-sxm", 8, 8192.0, library="vllm custom")
    assert engine < 0.8 * seconds("h100-sxm", 8, 8192.0, library="nccl")


def test_rows_that_ask_wrongly() -> None:
    with pytest.raises(BadRecord):
        seconds("h100-sxm", 8, -1.0)
    with pytest.raises(InputError, match="unknown collective"):
        seconds("h100-sxm", 8, 1e6, op="all_together")
