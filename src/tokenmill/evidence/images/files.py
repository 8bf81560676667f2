"""Calibration files of image timing: constants with ranges, and intervals by distance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.catalog import load
from tokenmill.evidence.calibration import Constant, Origin, render
from tokenmill.evidence.images.constants import ACTIVE, CROWD, FIXED, FREE, STAND_INS
from tokenmill.evidence.images.fit import (
    GROUPS,
    Validation,
    cross_validate,
    errors,
    fit,
    rows,
    table,
    weights,
)
from tokenmill.evidence.images.rows import ImageRow, image_rows
from tokenmill.evidence.interval import Band, Distance, hardware_keys

__all__ = ["bands", "files", "fitted", "held", "known_elsewhere", "quantiles"]

Array = NDArray[np.float64]

_READ = "2026-11-28"
_TAIL = 0.10  # an 80 % interval
_KNOWN = ("sd-", "sdxl", "flux")  # models that most people run
_ROUNDS = 3  # of a fit that starts at the one on all rows
_FEW = 0.08  # the same, for about ten groups of which the one asked about is another
_FIT = Origin(
    "measured", "fit on published times of Stable Diffusion, SDXL, SD3, FLUX.1, PixArt, SANA, ...",
    _READ, note="ranges: the least and the most of refits without one publication, GPU or model",
)  # fmt: skip
_ASSUMED = Origin("assumed", "too few rows to fit; order of magnitude with its range", _READ)
_STAND_IN = Origin(
    "assumed", "families without image rows: efficiencies of a measured relative, and the power "
    "per FLOP of the family's flagship", _READ,
)  # fmt: skip
_CROWD = Origin("measured", "median of the submissions of a community, 27 cards", _READ)
_RESIDUALS = Origin(
    "measured", "residuals of cross-validation by publication, GPU, model and architecture", _READ,
    note="quantiles 0.1 and 0.9 (0.08 and 0.92 where whole groups were left out), rows weighed "
    "as in the fit",
)  # fmt: skip
_COUNT = Origin("derived", "rows of the fit", _READ)


def files(
    found: Sequence[ImageRow], constants: Mapping[str, float], checks: Mapping[str, Validation],
    crowd: Array,
) -> dict[str, str]:  # fmt: skip
    """Texts of the records "images" and "interval-media".

    Parameters: found, the rows; constants fitted on all of them; checks, the validations by the
    names of `GROUPS`; crowd (n,), errors on uncontrolled submissions, which were not fitted.
    """
    total = checks["publication"].errors
    off = np.abs(np.expm1(total))
    note = (
        f"{len(found)} rows; without their own publication: median error "
        f"{np.median(off):.1%}, mean {off.mean():.1%}"
    )
    return {
        "images": render(
            "Seconds per image", "images", _constants(constants, checks),
            {"fit": _FIT, "few": _ASSUMED, "relative": _STAND_IN, "crowd": _CROWD}, note=note,
        ),
        "interval-media": render(
            "Media: p10, median and p90 of measured over predicted", "interval",
            _intervals(found, checks, crowd), {"residuals": _RESIDUALS, "rows": _COUNT},
        ),
    }  # fmt: skip


def _constants(
    constants: Mapping[str, float], checks: Mapping[str, Validation]
) -> dict[str, Constant]:
    refits = [one for check in checks.values() for one in check.constants]
    written = {}
    for item in FREE:
        seen = [constants[item.key], *(one[item.key] for one in refits)]
        written[item.key] = Constant(
            constants[item.key], min(seen), max(seen), item.unit, "fit", item.note
        )
    for key, (value, low, high, unit, note) in FIXED.items():
        written[key] = Constant(value, low, high, unit, "few", note)
    seen = [constants[ACTIVE], *(one[ACTIVE] for one in refits)]
    written[ACTIVE] = Constant(
        constants[ACTIVE], min(seen), max(seen), "", "fit",
        "active power of image kernels over that of language kernels",
    )  # fmt: skip
    written[CROWD] = Constant(
        constants[CROWD], 0.5, 1.2, "", "crowd", "rate that uncontrolled settings leave"
    )
    for family in STAND_INS:
        spread = float(np.exp(family.spread))
        for name in ("matmul", "convolution", "attention"):
            key = f"{name}-{family.family}"
            value = constants[key]
            written[key] = Constant(value, value / spread, value * spread, "", "relative",
                                    f"as {family.follows}")  # fmt: skip
        power = family.full_power
        written[f"full_power-{family.family}"] = Constant(
            power, power / spread, power * spread, "J/FLOP", "relative", family.note
        )
    return written


def quantiles(error: Array, weight: Array, shares: Sequence[float]) -> tuple[float, ...]:
    """Weighted quantiles of measured over predicted, as factors.

    Parameters: error (rows,), logarithms of predicted over measured; weight (rows,); shares, of
    the weight below each quantile.
    """
    order = np.argsort(-error)
    values, share = -error[order], weight[order]
    at = (np.cumsum(share) - 0.5 * share) / share.sum()
    return tuple(float(x) for x in np.exp(np.interp(shares, at, values)))


def known_elsewhere(found: Sequence[ImageRow]) -> NDArray[np.bool_]:
    """Rows whose GPU and model another publication measured too (rows,)."""
    sources: dict[tuple[str, str], set[str]] = {}
    for row in found:
        sources.setdefault((row.gpu, row.model), set()).add(row.publication)
    return np.array([len(sources[row.gpu, row.model]) > 1 for row in found])


def bands(
    found: Sequence[ImageRow], checks: Mapping[str, Validation], of: str = "errors"
) -> dict[Distance, Band]:
    """p10, median and p90 of measured over predicted, by distance to what was measured.

    Parameters: found, the rows; checks, validations by the names of `GROUPS`; of, which of their
    errors: "errors" (seconds), "watts" or "joules".
    """
    weight = np.array(weights(found))
    off = {name: getattr(check, of) for name, check in checks.items()}
    has = np.isfinite(off["publication"])
    near = known_elsewhere(found) if of == "errors" else has
    measured = _band(off["publication"][near], weight[near], _TAIL)
    both = np.concatenate([off["gpu"][has], off["model"][has]])
    architecture = _outside(_band(both, np.tile(weight[has], 2), _FEW), measured)
    alone = _doubted(_band(off["architecture"][has], weight[has], _FEW))
    return {
        "measured": measured,
        "architecture": architecture,
        "specification": _outside(alone, architecture),
    }


def _outside(band: Band, nearer: Band) -> Band:
    """A band no narrower than that of a nearer measurement."""
    return Band(min(band.low, nearer.low), band.middle, max(band.high, nearer.high))


def _band(error: Array, weight: Array, tail: float) -> Band:
    low, middle, high = quantiles(error, weight, (tail, 0.5, 1.0 - tail))
    return Band(min(low, 1.0), middle, max(high, 1.0))


def _doubted(band: Band) -> Band:
    """A band with the doubt about the relative that an unmeasured family follows."""
    doubt = 1.28 * float(np.median([item.spread for item in STAND_INS[:5]]))  # of a p90
    low, high = np.hypot(np.log([band.low, band.high]), doubt)
    return Band(float(np.exp(-low)), band.middle, float(np.exp(high)))


def _intervals(
    found: Sequence[ImageRow], checks: Mapping[str, Validation], crowd: Array
) -> dict[str, Constant]:
    by_quantity = {
        "seconds": bands(found, checks), "power": bands(found, checks, "watts"),
        "energy": bands(found, checks, "joules"),
    }  # fmt: skip
    by_quantity["rate"] = {near: one.inverse() for near, one in by_quantity["seconds"].items()}
    written = {
        f'"{quantity}/{near}"': Constant(one.middle, one.low, one.high, "", "residuals")
        for quantity, bands_found in by_quantity.items()
        for near, one in bands_found.items()
    }
    factor = _widening(by_quantity["seconds"]["measured"], crowd)
    written['"widening/c"'] = Constant(factor, factor, factor, "", "residuals",
                                       "settings that nobody controlled")  # fmt: skip
    keys = [(row.gpu, row.model, hardware_keys(load.accelerator(row.gpu))[1]) for row in found]
    counts = Counter(f"rows/{gpu}/{model}" for gpu, model, _ in keys)
    counts.update(f"rows/{family}" for _, _, family in keys)
    for key, number in sorted(counts.items()):
        written[f'"{key}"'] = Constant(number, number, number, "", "rows")
    return written


def _widening(band: Band, crowd: Array) -> float:
    """How much wider than a band uncontrolled submissions lie, four fifths of them."""
    low, middle, high = np.log([band.low, band.middle, band.high])
    off = -crowd - middle
    reach = np.where(off > 0, off / (high - middle), off / (low - middle))
    return max(float(np.quantile(reach, 1.0 - 2.0 * _TAIL)), 1.0)


def held(groups: Sequence[str], error: Array, weight: Array) -> float:
    """Share of rows inside bands made of the other groups' errors alone [1].

    Parameters: groups (rows,), what was left out for each row; error (rows,), logarithms of
    predicted over measured; weight (rows,).
    """
    labels, inside = np.array(groups), np.zeros(len(error), bool)
    for name in set(groups):
        own = labels == name
        if own.all():
            continue
        low, high = np.log(quantiles(error[~own], weight[~own], (_FEW, 1.0 - _FEW)))
        inside[own] = (-error[own] >= low) & (-error[own] <= high)
    return float(inside.mean())


def fitted(shared: Path) -> tuple[dict[str, str], list[str]]:
    """Fits the constants of images and cross-validates them.

    Parameters: shared, the folder with `measurements`.
    Returns: texts of the records "images" and "interval-media", and lines that tell the errors by
    what was left out. Raises: InputError for rows that cannot be read.
    """
    found = rows(shared / "measurements")
    constants = fit(found)
    checks, told = {}, []
    for name, group in GROUPS.items():
        check = checks[name] = cross_validate(found, group, rounds=_ROUNDS, near=constants)
        groups, weight = [group(row) for row in found], np.array(weights(found))
        share = held(groups, check.errors, weight)
        told.append(f"without its {name}: bands of the other groups hold {share:.0%}")
        told += table(["seconds, all rows"] * len(found), check.errors)
        known = np.array([row.model.startswith(_KNOWN) for row in found])
        told += table(["seconds, SD, SDXL, SD 3, FLUX.1"] * int(known.sum()), check.errors[known])
        has = np.isfinite(check.watts)
        for label, error in (("power", check.watts), ("energy", check.joules)):
            told += table([f"{label}, all rows"] * int(has.sum()), error[has])
        told += table(groups, check.errors)
    crowd = image_rows(shared / "measurements" / "media.csv", qualities="c")
    constants[CROWD] = float(np.exp(np.median(errors(crowd, constants))))
    far = errors(crowd, constants)
    told += table(["submissions of a community, around their median"] * len(crowd), far)
    return files(found, constants, checks, far), told
