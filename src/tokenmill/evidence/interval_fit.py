"""Bands of residuals that hold for groups nobody measured yet: conformal quantiles over groups.

The quantiles of a cell are taken at the level at which groups that are left out (a publication, a
GPU) still lie inside in 80 % of the cases: a group's bias is part of what an interval must hold.
Reference: Dunn, Wasserman, Ramdas 2023, doi:10.1080/01621459.2022.2060112.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.calibration import Constant, Origin, render
from tokenmill.evidence.interval import DISTANCES, DRAWN, Band, Distance, widened
from tokenmill.evidence.residuals import Residuals

__all__ = ["Cell", "cells", "coverage", "held_out", "interval_file", "shared_errors"]

Names = NDArray[np.str_]
Floats = NDArray[np.float64]

_TARGET = 0.8
_LEVELS = np.linspace(0.70, 0.99, 30)
_LEAST_ROWS, _LEAST_GROUPS = 12, 2  # of a cell of its own
_WIDEST = 3.0
_MOST = 0.5  # share of a cell that is asked of the rest: less than that speaks for no more
_READ = "2026-11-28"


@dataclass(frozen=True, slots=True)
class Cell:
    """The band of a quantity (under a condition) at a distance, and the rows behind it."""

    band: Band
    rows: int
    groups: int


def coverage(values: Floats, weight: Floats, groups: Names, levels: Floats) -> tuple[Floats, float]:
    """(weight of rows inside the quantiles of the other groups at each level, weight of rows that
    were asked), as shares of all weight.

    A group that is most of the rows is not asked of the few that are left.
    """
    inside, asked = np.zeros(len(levels)), 0.0
    names, code = np.unique(groups, return_inverse=True)
    code = code.reshape(-1)
    order = np.argsort(values)
    weight = weight / weight.sum()
    ordered, share, place = values[order], weight[order], code[order]
    for name in range(len(names)):
        rest, out = place != name, code == name
        if weight[out].sum() > _MOST:
            continue
        asked += float(weight[out].sum())
        low, high = _ends(ordered[rest], share[rest], levels)
        held = (values[out] >= low[:, None]) & (values[out] <= high[:, None])
        inside += held @ weight[out]
    return inside, asked


def _ends(values: Floats, weight: Floats, levels: Floats) -> tuple[Floats, Floats]:
    """The ends of central levels of a weighted sample in order."""
    at = (np.cumsum(weight) - 0.5 * weight) / weight.sum()
    tails = 0.5 * (1.0 - levels)
    return np.interp(tails, at, values), np.interp(1.0 - tails, at, values)


def quantiles(values: Floats, weight: Floats, level: float) -> tuple[float, float, float]:
    """Weighted quantiles: the lower end, the median and the upper end of a central level."""
    order = np.argsort(values)
    low, high = _ends(values[order], weight[order], np.array([level, 0.0]))
    return float(low[0]), float(low[1]), float(high[0])


def _band(rows: Residuals, groupings: Sequence[Names]) -> Band:
    """The band at the level whose left-out groups are covered as wanted, over all ways to group;
    it holds its prediction.

    Where nothing can be left out, models are.
    """
    usable = [groups for groups in groupings if len(np.unique(groups)) >= 2]
    usable = usable or [groups for groups in (rows.model,) if len(np.unique(groups)) >= 2]
    level = 0.9
    if usable:
        # held by blocks of rows and by rows: neither long sweeps nor short ones decide alone
        parts = [
            coverage(rows.log, weight, groups, _LEVELS) for groups in usable
            for weight in (rows.weight, rows.share)
        ]  # fmt: skip
        if asked := sum(part for _, part in parts):
            enough = np.sum([inside for inside, _ in parts], axis=0) >= _TARGET * asked
            level = float(_LEVELS[np.argmax(enough)]) if enough.any() else float(_LEVELS[-1])
    low, middle, high = np.exp(quantiles(rows.log, rows.weight, level))
    return Band(min(float(low), 1.0), float(middle), max(float(high), 1.0))


def cells(rows: Residuals, far: Residuals, apart: Residuals | None = None) -> dict[str, Cell]:
    """Bands by "quantity/condition/distance" and "quantity/distance".

    Parameters: rows, residuals of a family; far, those of predictions by another architecture;
    apart, those of predictions by constants that were fitted without the row's GPU, if known.
    """
    found: dict[str, Cell] = {}
    for quantity in sorted(set(rows.quantity.tolist())):
        mine = rows.where((rows.quantity == quantity) & (rows.quality != "c"))
        if not mine.log.size:
            mine = rows.where(rows.quantity == quantity)
        moved = far.where((far.quantity == quantity) & (far.quality != "c"))
        factors = {quantity: _farther(mine, moved)}
        names = {quantity: mine}
        for condition in sorted(set(mine.condition.tolist())):
            part = mine.where(mine.condition == condition)
            many = len(np.unique(part.source)) >= _LEAST_GROUPS
            if part.log.size >= _LEAST_ROWS and many:
                names[f"{quantity}/{condition}"] = part
                factors[f"{quantity}/{condition}"] = _own_factor(part, moved, factors[quantity])
        for name, part in names.items():
            other = _like(apart, quantity, name) if apart else None
            bands = _three(part, factors[name], other)
            found |= {f"{name}/{near}": cell for near, cell in bands.items()}
    return found


def _own_factor(rows: Residuals, far: Residuals, usual: float) -> float:
    """How much wider a condition's residuals are with another architecture's constants: as its own
    GPUs show where there are several, but not much less than the quantity's usual factor."""
    mine = far.where(far.condition == rows.condition[0])
    if len(np.unique(mine.gpu)) < _LEAST_GROUPS:
        return usual
    return max(_farther(rows, mine), float(np.sqrt(usual)))


def _like(apart: Residuals, quantity: str, name: str) -> Residuals | None:
    """The firm residuals of a cell, if there are any."""
    mine = (apart.quantity == quantity) & (apart.quality != "c")
    if name != quantity:
        mine &= apart.condition == name.removeprefix(f"{quantity}/")
    return apart.where(mine) if mine.any() else None


def _three(rows: Residuals, factor: float, apart: Residuals | None) -> dict[Distance, Cell]:
    """The bands of a cell at each distance; farther ones are never narrower.

    What is left out together: a publication, or its rows of a GPU, where those were measured; a
    GPU or a model, whoever measured it, for the architecture.
    """
    by_source = _band(rows, (rows.source, rows.publication))
    by_gpu = _band(apart, (apart.gpu,)) if apart else _band(rows, (rows.gpu, rows.model))
    wide = Band(min(by_source.low, by_gpu.low), by_gpu.middle, max(by_source.high, by_gpu.high))
    bands = dict(zip(DISTANCES, (by_source, wide, widened(wide, factor)), strict=True))
    count = len(np.unique(rows.source))
    return {near: Cell(band, rows.log.size, count) for near, band in bands.items()}


def _farther(rows: Residuals, far: Residuals) -> float:
    """How much wider residuals are where an architecture follows a relative's constants."""
    both = set(zip(rows.id.tolist(), rows.metric.tolist(), strict=True))
    kept = [key in both for key in zip(far.id.tolist(), far.metric.tolist(), strict=True)]
    far = far.where(np.array(kept, dtype=bool))
    known = set(zip(far.id.tolist(), far.metric.tolist(), strict=True))
    same = [key in known for key in zip(rows.id.tolist(), rows.metric.tolist(), strict=True)]
    near = rows.where(np.array(same, dtype=bool))
    if near.log.size < _LEAST_ROWS:
        return 1.5
    spread = [_band(x, (x.gpu,)).spread for x in (far, near)]
    return float(np.clip(spread[0] / max(spread[1], 1e-6), 1.0, _WIDEST))


def held_out(
    rows: Residuals, far: Residuals, apart: Residuals | None = None
) -> dict[str, dict[str, float]]:
    """Share of rows inside bands made without their group, by kind of group and quantity.

    Parameters: as of `cells`. Without the publication the bands of the distance "measured" are
    asked, without the GPU or the model those of "architecture".
    """
    asked: tuple[tuple[str, Distance], ...] = (
        ("publication", "measured"), ("gpu", "architecture"), ("model", "architecture"),
    )  # fmt: skip
    return {kind: _held(rows, far, apart, kind, near) for kind, near in asked}


def _held(
    rows: Residuals, far: Residuals, apart: Residuals | None, kind: str, near: Distance
) -> dict[str, float]:
    """Share of rows inside, by quantity; those without their GPU as they were foreseen then."""
    groups = getattr(rows, kind)
    asked = apart if apart and kind == "gpu" else rows
    inside = np.full(asked.log.size, np.nan)
    for name in np.unique(groups):
        others = apart.where(getattr(apart, kind) != name) if apart else None
        rest = rows.where(groups != name)
        found = cells(rest, far.where(far.gpu != name), others)
        weak = _weak(rest, found)
        for at in np.flatnonzero(getattr(asked, kind) == name):
            parts = str(asked.condition[at]).split("+")
            keys = [
                asked.quantity[at] + "/" + "+".join(parts[:n]) for n in range(len(parts), 0, -1)
            ]
            names = [f"{key}/{near}" for key in (*keys, asked.quantity[at])]
            cell = next((found[key] for key in names if key in found), None)
            if cell is not None:
                band = widened(cell.band, weak) if asked.quality[at] == "c" else cell.band
                inside[at] = band.low <= np.exp(asked.log[at]) <= band.high
    known = np.isfinite(inside)
    return {
        str(quantity): float(inside[known & (asked.quantity == quantity)].mean())
        for quantity in np.unique(asked.quantity[known])
    }


def _weak(rows: Residuals, found: Mapping[str, Cell]) -> float:
    """How much wider weak measurements ("c") lie than the rest, over all quantities."""
    weak = rows.where(rows.quality == "c")
    off = []
    for quantity, value in zip(weak.quantity.tolist(), weak.log.tolist(), strict=True):
        cell = found.get(f"{quantity}/measured")
        if cell:
            middle, high = np.log(cell.band.middle), np.log(cell.band.high)
            off.append(abs(value - middle) / max(high - middle, 1e-6))
    return float(np.clip(np.quantile(off, _TARGET), 1.0, _WIDEST)) if len(off) > 20 else 1.0


def shared_errors(rows: Residuals) -> dict[str, float]:
    """Correlation of errors of two predictions for one model, engine and client.

    "same-gpu": intraclass, of the rows of one GPU; "other-gpu": of the means of different GPUs.
    """
    rows = rows.where(np.isin(rows.quantity, ["tpot", "rate", "decode"]) & (rows.quality != "c"))
    if rows.log.size < _LEAST_ROWS:
        return {}
    spread = float(np.var(rows.log))
    client = np.char.add(np.char.add(rows.publication, rows.engine), rows.model)
    between, pairs = _pairs(rows.log - rows.log.mean(), client, rows.gpu)
    within, same = _pairs(rows.log - rows.log.mean(), np.char.add(client, rows.gpu), rows.id)
    found = {}
    if pairs:
        found["other-gpu"] = float(np.clip(between / pairs / spread, 0.0, 0.95))
    if same:
        found["same-gpu"] = float(np.clip(within / same / spread, found.get("other-gpu", 0), 0.95))
    return found


def _pairs(values: Floats, group: Names, member: Names) -> tuple[float, float]:
    """(sum of products, count) of the means of the members of a group, each pair once."""
    products = count = 0.0
    for name in np.unique(group):
        mine = group == name
        means = [values[mine & (member == one)].mean() for one in np.unique(member[mine])]
        if len(means) > 1:
            total, squares = float(np.sum(means)), float(np.sum(np.square(means)))
            pairs = 0.5 * len(means) * (len(means) - 1)
            share = len(means) / pairs  # a group counts as its members, not as their pairs
            products += 0.5 * (total**2 - squares) * share
            count += pairs * share
    return products, count


def interval_file(
    name: str, rows: Residuals, far: Residuals, apart: Residuals | None = None
) -> str:
    """The text of interval-NAME.toml; parameters as of `cells`."""
    found = cells(rows, far, apart)
    constants = {}
    for key, cell in found.items():
        band = cell.band
        note = f"{cell.rows} rows, {cell.groups} groups"
        constants[f'"{key}"'] = Constant(band.middle, band.low, band.high, "", "residuals", note)
    weak = _weak(rows, found)
    constants['"widening/c"'] = Constant(weak, weak, weak, "", "residuals")
    for key, value in shared_errors(rows).items():
        constants[f'"shared/{key}"'] = Constant(value, value, value, "", "residuals")
    constants |= _seen(rows)
    return render(
        f"{name.capitalize()}: p10, median and p90 of measured over predicted", "interval",
        constants, {"residuals": _RESIDUALS, "rows": _COUNT},
    )  # fmt: skip


_RESIDUALS = Origin(
    "measured", "residuals of published measurements, groups left out", _READ,
    note="quantiles at the level that holds 80 % of groups left out: publications of a GPU "
    "(measured), GPUs (architecture; engines that serve are fitted anew without them); "
    "specification: wider by as much as predictions are worse with another architecture's "
    "constants",
)  # fmt: skip
_COUNT = Origin("derived", "rows that were measured", _READ)


def _seen(rows: Residuals) -> dict[str, Constant]:
    """Rows by GPU and model, and by architecture, those of power and energy apart: what counts as
    measured."""
    counts: dict[str, int] = {}
    first = np.unique(rows.id, return_index=True)[1]
    for at in first.tolist():
        gpu, model = rows.gpu[at], rows.model[at]
        for key in (f"rows/{gpu}/{model}", f"rows/{rows.architecture[at]}"):
            counts[key] = counts.get(key, 0) + 1
    for quantity in DRAWN:
        for architecture in rows.architecture[rows.quantity == quantity].tolist():
            key = f"rows/{quantity}/{architecture}"
            counts[key] = counts.get(key, 0) + 1
    return {
        f'"{key}"': Constant(number, number, number, "", "rows")
        for key, number in sorted(counts.items())
    }
