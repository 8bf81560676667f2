"""Measured GPU power of language models as activity: rates of kernels, FLOPs and bytes.

Activity is that of the twin itself, which plays each row on chips that draw nothing but one unit
of one activity: what it calls watts is then the activity. Speeds are those measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import TokenmillError
from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.power.language import as_run, is_talk, serving_row, talk_of
from tokenmill.evidence.power.shared import FIGURES
from tokenmill.evidence.serving.setups import Setup, setup_of
from tokenmill.physics import power
from tokenmill.physics.power import PowerConstants
from tokenmill.placement.platform import platform

__all__ = ["ACTIVITIES", "Activity", "read_activity", "twin_watts"]

Array = NDArray[np.float64]
ACTIVITIES = (
    "busy", "link_busy", "routed", "flop16", "memory_bytes", "cache_bytes", "link_bytes",
    "routed_flop16",
)  # fmt: skip
_RESTING = 0.05  # share of the time that kernels run while a card waits for its host


@dataclass(frozen=True, slots=True)
class _Play:
    """How the twin plays a row: as a serving row, under a setup, on so many GPUs [count].

    amounts of `ACTIVITIES` are those at its own speed, which need not be the measured one.
    """

    row: Point
    setup: Setup
    gpus: int
    amounts: Array


_Record = tuple[tuple[str, ...], tuple[float, ...], _Play | None]
_RIGHT = 0.35  # rows whose speed the twin has within this (as a logarithm) tell of its watts


def _unit_chips() -> dict[str, PowerConstants]:
    formats = tuple(
        (key.removeprefix("format_"), value)
        for key, value in FIGURES.items()
        if key.startswith("format_")
    )
    none = PowerConstants(
        limit_w=1e30, idle_w=0.0, active_w=0.0, flop_j=tuple((key, 0.0) for key, _ in formats),
        memory_j=0.0, cache_j=0.0, link_j=0.0, bend=4.0, voltage_floor=0.9, knee=0.9,
        leakage=0.0, link_share=0.0, routed_flop=0.0,
    )  # fmt: skip
    return {
        "busy": replace(none, active_w=1.0),
        "link_busy": replace(none, active_w=1.0, link_share=1.0),
        "routed": replace(none, routed_w=1.0),
        "flop16": replace(none, flop_j=formats),
        "routed_flop16": replace(none, flop_j=formats, routed_flop=1.0),
        "memory_bytes": replace(none, memory_j=1.0),
        "cache_bytes": replace(none, cache_j=1.0),
        "link_bytes": replace(none, link_j=1.0),
    }


@dataclass(frozen=True)
class Activity:
    """Rows of measured power: per GPU and second.

    family of power constants; limit_w [W] and memory of the card; of `ACTIVITIES` (8, rows):
    shares of the time that kernels run, that they move messages, that grouped products run;
    16-bit-equivalent FLOP/s of dense work; B/s of memory, of cache and of links; FLOP/s of
    grouped products; measured_w [W] per GPU; plays, of rows that the twin plays; bent [1], what it
    draws over what the constants make of the mean activity: it bends every step by itself.
    """

    publication: NDArray[np.str_]
    gpu: NDArray[np.str_]
    model: NDArray[np.str_]
    family: NDArray[np.str_]
    memory: NDArray[np.str_]
    limit_w: Array
    amounts: Array
    measured_w: Array
    plays: NDArray[np.object_]
    bent: Array

    def where(self, mask: NDArray[np.bool_]) -> Activity:
        """The rows of a mask."""
        parts = {name: getattr(self, name)[..., mask] for name in self.__dataclass_fields__}
        return Activity(**parts)


def read_activity(measurements: Path, step: int = 1) -> Activity:
    """Measured GPU power of language models whose speed the twin has about right.

    Parameters: measurements, folder with serving.csv and power.csv; step, to take one row in so
    many.
    """
    records = [
        record
        for number, (point, row, rate, watts) in enumerate(_measured(measurements))
        if number % step == 0 and (record := _record(point, row, rate, watts)) is not None
    ]
    records += list(_resting(measurements))
    names, numbers, played = zip(*records, strict=True)
    publication, gpu, model, family, memory = (
        np.array(column) for column in zip(*names, strict=True)
    )
    limit_w, watts, *amounts = np.array(numbers).T
    plays = np.empty(len(played), dtype=object)
    plays[:] = played
    return Activity(
        publication, gpu, model, family, memory, limit_w, np.array(amounts), watts, plays,
        np.ones(watts.size),
    )  # fmt: skip


def twin_watts(play: _Play, chip: PowerConstants) -> float:
    """What the twin says that each GPU of a row draws under constants [W]."""
    # step tables are kept by the name of a platform: other constants, another name
    return talk_of(play.row, _with(play.setup, f"{hash(chip):x}", chip)).watts / play.gpus


def _measured(measurements: Path) -> Iterator[tuple[Point, Point, float, float]]:
    """(row, the same as a serving row, output tokens/s, watts of all its GPUs)."""
    for point in read_points(measurements / "serving.csv"):
        if point.text("gpu_power_w") and point.text("output_tokens_per_s"):
            yield point, point, point.number("output_tokens_per_s"), point.number("gpu_power_w")
    for point in read_points(measurements / "power.csv"):
        if not is_talk(point) or point.text("scope") != "gpu":
            continue
        rate, row = point.number("throughput"), serving_row(point)
        answer = 1.0 if point.text("energy_per") == "output token" else row.number("osl_mean")
        yield point, row, rate, point.number("energy_j") * rate / answer


def _record(point: Point, row: Point, rate: float, watts: float) -> _Record | None:
    try:
        setup = setup_of(point) if row is point else as_run(point)
        seen = {name: talk_of(row, _with(setup, name, chip)) for name, chip in _CHIPS.items()}
    except TokenmillError:
        return None
    gpus = point.count("n_gpus", 1)
    told = seen["busy"].tokens_per_s
    if not abs(np.log(told / rate)) < _RIGHT:
        return None
    played = np.array([seen[name].watts for name in ACTIVITIES]) / gpus
    played[1] -= played[0]
    played[7] -= played[3]
    amounts = played * rate / told
    amounts[:2] /= max(amounts[:2].sum(), 1.0)
    play = _Play(row, setup, gpus, played)
    return _named(point, point.text("model"), watts / gpus, amounts, play)


def _resting(measurements: Path) -> Iterator[_Record]:
    """Cards whose host keeps them waiting: training below a third of the limit, uncapped."""
    for point in read_points(measurements / "power.csv"):
        if "training" not in point.text("workload") or point.text("scope") != "gpu":
            continue
        limit_w, watts = platform(point.text("gpu")).power.limit_w, point.number("power_w")
        if point.number("power_cap_w", limit_w) >= 0.99 * limit_w and watts < limit_w / 3.0:
            amounts = np.zeros(len(ACTIVITIES))
            amounts[0] = _RESTING
            yield _named(point, "training", watts, amounts)


def _named(
    point: Point, model: str, watts: float, amounts: Array, play: _Play | None = None
) -> _Record:
    where = platform(point.text("gpu"))
    family = power.family(where.chip.architecture, where.accelerator.process)
    names = (point.text("publication"), where.accelerator.slug, model, family,
             where.accelerator.memory_type)  # fmt: skip
    return names, (where.power.limit_w, watts, *amounts), play


def _with(setup: Setup, name: str, chip: PowerConstants) -> Setup:
    where = setup.case.platform
    where = replace(where, name=f"{where.name}/{name}", power=chip)
    return replace(setup, case=replace(setup.case, platform=where))


_CHIPS = _unit_chips()
