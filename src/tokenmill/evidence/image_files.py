"""Calibration files of image timing: constants with ranges, and intervals by distance.

    python -m tokenmill.evidence.image_files MEASUREMENTS [CALIBRATION]

prints the errors of cross-validation, and writes images.toml and interval-images.toml into a
folder where one is given.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.calibration import Constant, Origin, render
from tokenmill.evidence.image_constants import FIXED, FREE, STAND_INS
from tokenmill.evidence.image_fit import (
    GROUPS,
    Validation,
    cross_validate,
    fit,
    rows,
    table,
    weights,
)
from tokenmill.evidence.image_rows import ImageRow

__all__ = ["bands", "files", "known_elsewhere", "quantiles"]

Array = NDArray[np.float64]

_READ = "2026-11-23"
_TAIL = 0.10  # an 80 % interval
_FEW = 0.08  # the same, for about ten groups of which the one asked about is another
_FIT = Origin(
    "measured", "fit on published times of Stable Diffusion, SDXL, SD3, FLUX.1, Kolors, PixArt",
    _READ, note="ranges: the least and the most of refits without one publication, GPU or model",
)  # fmt: skip
_ASSUMED = Origin("assumed", "too few rows to fit; order of magnitude with its range", _READ)
_STAND_IN = Origin(
    "assumed", "families without image rows: efficiencies of a measured relative, and the power "
    "per FLOP of the family's flagship", _READ,
)  # fmt: skip
_RESIDUALS = Origin(
    "measured", "residuals of cross-validation by publication, GPU, model and architecture", _READ,
    note="quantiles 0.1 and 0.9 (0.08 and 0.92 where whole groups were left out), rows weighed "
    "as in the fit",
)  # fmt: skip
_COUNT = Origin("derived", "rows of the fit", _READ)


def files(
    found: Sequence[ImageRow], constants: Mapping[str, float], checks: Mapping[str, Validation]
) -> dict[str, str]:
    """Text of images.toml and interval-images.toml.

    Parameters: found, the rows; constants fitted on all of them; checks, the validations by the
    names of `GROUPS`.
    """
    total = checks["publication"].errors
    off = np.abs(np.expm1(total))
    note = (
        f"{len(found)} rows; without their own publication: median error "
        f"{np.median(off):.1%}, mean {off.mean():.1%}"
    )
    return {
        "images.toml": render(
            "Seconds per image", "images", _constants(constants, checks),
            {"fit": _FIT, "few": _ASSUMED, "relative": _STAND_IN}, note=note,
        ),
        "interval-images.toml": render(
            "Image times: p10 and p90 of measured over predicted", "interval",
            _intervals(found, checks), {"residuals": _RESIDUALS, "rows": _COUNT},
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


def quantiles(error: Array, weight: Array, tail: float) -> tuple[float, float]:
    """Weighted quantiles `tail` and 1 - `tail` of measured over predicted, as factors.

    Parameters: error (rows,), logarithms of predicted over measured; weight (rows,).
    """
    order = np.argsort(-error)
    values, share = -error[order], weight[order]
    at = (np.cumsum(share) - 0.5 * share) / share.sum()
    low, high = np.exp(np.interp([tail, 1.0 - tail], at, values))
    return float(low), float(high)


def known_elsewhere(found: Sequence[ImageRow]) -> NDArray[np.bool_]:
    """Rows whose GPU and model another publication measured too (rows,)."""
    sources: dict[tuple[str, str], set[str]] = {}
    for row in found:
        sources.setdefault((row.gpu, row.model), set()).add(row.publication)
    return np.array([len(sources[row.gpu, row.model]) > 1 for row in found])


def bands(
    found: Sequence[ImageRow], checks: Mapping[str, Validation]
) -> dict[str, tuple[float, float]]:
    """p10 and p90 of measured over predicted seconds, by distance to what was measured."""
    weight = np.array(weights(found))
    known = known_elsewhere(found)
    near = quantiles(checks["publication"].errors[known], weight[known], _TAIL)
    both = np.concatenate([checks["gpu"].errors, checks["model"].errors])
    middle = quantiles(both, np.tile(weight, 2), _FEW)
    far = quantiles(checks["architecture"].errors, weight, _FEW)
    # an unmeasured family adds the doubt about its relative: 1.28 spreads are a p90
    doubt = 1.28 * float(np.median([item.spread for item in STAND_INS[:5]]))
    return {
        "measured": near,
        "architecture": middle,
        "specification": (
            float(np.exp(-np.hypot(np.log(far[0]), doubt))),
            float(np.exp(np.hypot(np.log(far[1]), doubt))),
        ),
    }


def _intervals(
    found: Sequence[ImageRow], checks: Mapping[str, Validation]
) -> dict[str, Constant]:  # fmt: skip
    written = {}
    found_bands = bands(found, checks)
    for name, (low, high) in {"": found_bands["architecture"], **found_bands}.items():
        middle = f"/{name}" if name else ""  # without a distance: the middle one
        for metric, least, most in (("seconds", low, high), ("rate", 1 / high, 1 / low)):
            for end, value in (("low", least), ("high", most)):
                key = f'"{metric}{middle}/{end}"'
                written[key] = Constant(value, value, value, "", "residuals")
    pairs = Counter((row.gpu, row.model) for row in found)
    families = Counter(GROUPS["architecture"](row) for row in found)
    counts = {f"rows/{gpu}/{model}": number for (gpu, model), number in pairs.items()}
    counts |= {f"rows/{family}": number for family, number in families.items()}
    for key, number in sorted(counts.items()):
        written[f'"{key}"'] = Constant(number, number, number, "", "rows")
    return written


def main(arguments: Sequence[str]) -> None:
    """Fits, validates, prints, and writes where asked to."""
    found = rows(Path(arguments[0]))
    constants = fit(found)
    checks = {}
    for name, group in GROUPS.items():
        checks[name] = cross_validate(found, group)
        print(f"without its {name}:")
        print(*table(["all rows"] * len(found), checks[name].errors), sep="\n")
        print(*table(map(group, found), checks[name].errors), sep="\n")
    for name, text in files(found, constants, checks).items():
        if len(arguments) > 1:
            (Path(arguments[1]) / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
