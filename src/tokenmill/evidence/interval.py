"""Intervals: how far predictions have been from measurements, as p10 to p90 around a prediction.

A band is looked up by what is predicted (time per token, rate, power ...), under which condition
(the kind of load), and how near the measurements came: this GPU with this model, this GPU's
architecture, or neither. `tokenmill fit intervals` writes the bands.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

from tokenmill.catalog import load
from tokenmill.catalog.figure import Figure
from tokenmill.catalog.records import Accelerator
from tokenmill.errors import UnknownName
from tokenmill.physics import power

__all__ = [
    "DISTANCES", "DRAWN", "P90", "Band", "Distance", "band_of", "beats", "distance",
    "hardware_keys", "quantity_of", "shared_error",
]  # fmt: skip

Distance = Literal["measured", "architecture", "specification"]
DISTANCES: tuple[Distance, ...] = ("measured", "architecture", "specification")

DRAWN = ("power", "energy")  # quantities that rows of a family need not have measured
_UNFITTED = "interval-unfitted"
_NORMAL = NormalDist()
P90 = _NORMAL.inv_cdf(0.9)  # standard deviations from the median to p90
# words in a metric's name -> the quantity whose residuals it shares
_QUANTITIES = (
    "ttft", "tpot", "itl", "e2e", "prefill", "decode", "power", "energy", "seconds", "latency",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Band:
    """p10, median and p90 of measured over predicted."""

    low: float
    middle: float
    high: float

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm, as if it were normal."""
        return math.log(self.high / self.low) / (2.0 * P90)

    def inverse(self) -> Band:
        """The band of one over the quantity, such as seconds of a rate."""
        return Band(1.0 / self.high, 1.0 / self.middle, 1.0 / self.low)

    def below(self, predicted: float, limit: float) -> float:
        """Probability that a measurement is at or below a limit, both in the quantity's unit."""
        if not math.isfinite(limit):
            return 1.0
        off = math.log(limit / predicted) - math.log(self.middle)
        side = math.log((self.high if off > 0 else self.low) / self.middle)
        return _NORMAL.cdf(P90 * abs(off / side) * math.copysign(1.0, off)) if side else 0.5


def quantity_of(metric: str) -> str:
    """The quantity whose residuals a metric shares; tails of a distribution are their own."""
    name = next((name for name in _QUANTITIES if name in metric), "rate")
    return f"{name}-tail" if "_p9" in metric else name


def hardware_keys(accelerator: Accelerator) -> tuple[str, str]:
    """(slug, architecture) of an accelerator; a second process of one architecture is its own."""
    family = power.family(accelerator.architecture, accelerator.process)
    return accelerator.slug, family.removeprefix("power-")


def distance(family: str, gpu: str, model: str, quantity: str = "") -> Distance:
    """How near the measurements of a family came: this GPU with this model, its architecture (or
    the one that it refreshes), or neither.

    Parameters: family; gpu and model, names or aliases; model may be blank; quantity that is
    foreseen: speed is measured on more architectures than watts are.
    Raises: UnknownName.
    """
    return _distance(family, gpu, model, quantity, os.environ.get("TOKENMILL_CATALOG", ""))


@lru_cache(maxsize=4096)
def _distance(family: str, gpu: str, model: str, quantity: str, _folders: str) -> Distance:
    figures = _figures(family)
    try:
        accelerator = load.accelerator(gpu)
    except UnknownName:
        accelerator = load.accelerator(load.system(gpu).accelerator)
    slug, architecture = hardware_keys(accelerator)
    drawn = [key for key in figures if quantity in DRAWN and key.startswith(f"rows/{quantity}/")]
    if drawn and f"rows/{quantity}/{architecture}" not in drawn:
        return "specification"
    with suppress(UnknownName):  # models that only measurements know keep their name
        model = load.resolve("models", model) if model else ""
    if f"rows/{slug}/{model}" in figures:
        return "measured"
    kin = (architecture, _refreshed(architecture))
    return "architecture" if any(f"rows/{one}" in figures for one in kin) else "specification"


def _refreshed(architecture: str) -> str:
    """The architecture that one is a refresh of: it bears its name, and has its constants."""
    known = load.files("calibration")
    parent = load.calibration(architecture).inherits if architecture in known else ""
    return parent if architecture.startswith(f"{parent}-") else architecture


def _figures(family: str) -> Mapping[str, Figure]:
    name = f"interval-{family}"
    known = load.files("calibration")
    return load.calibration(name if name in known else _UNFITTED).figures


def band_of(family: str, quantity: str, condition: str, near: Distance, quality: str = "") -> Band:
    """The band of a quantity under a condition at a distance.

    Parameters: family of measurements; quantity, as `quantity_of` says; condition, such as the
    kind of load, of parts joined by "+" of which the last ones are left out where no cell has
    them; near; quality of the measurement that is foreseen ("c": weak).
    """
    folders = os.environ.get("TOKENMILL_CATALOG", "")
    return _band_of(family, quantity, condition, near, quality == "c", folders)


@lru_cache(maxsize=4096)
def _band_of(
    family: str, quantity: str, condition: str, near: Distance, weak: bool, _folders: str
) -> Band:
    figures = _figures(family)
    parts = condition.split("+")
    conditions = ["+".join(parts[:count]) for count in range(len(parts), 0, -1)]
    names = [f"{quantity}/{part}" for part in conditions if part]
    for name in (*names, quantity, quantity.removesuffix("-tail")):
        cell = figures.get(f"{name}/{near}")
        if cell is not None:
            break
    else:
        cell = load.calibration(_UNFITTED).figures[f"any/{near}"]
    found = Band(cell.low, cell.value, cell.high)
    if weak and "widening/c" in figures:
        found = widened(found, figures["widening/c"].value)
    return found


def widened(band: Band, factor: float) -> Band:
    """A band whose logarithms reach further from its middle by a factor."""
    middle = band.middle
    return Band(
        middle * (band.low / middle) ** factor, middle, middle * (band.high / middle) ** factor
    )


def shared_error(family: str, *, same_gpu: bool) -> float:
    """Correlation of the errors of two predictions for the same model, engine and load.

    What the twin gets wrong about a model or an engine, it gets wrong on every GPU; two layouts
    of the same GPU share more. From residuals of publications that measured both.
    """
    key = "shared/same-gpu" if same_gpu else "shared/other-gpu"
    figures = _figures(family)
    return figures[key].value if key in figures else 0.0


def beats(one: float, other: float, spreads: tuple[float, float], shared: float) -> float:
    """Probability that the first of two costs (or times) is the lower one.

    Parameters: one, other, in the same unit; spreads of their logarithms; shared, the
    correlation of their errors.
    """
    a, b = spreads
    spread = math.sqrt(max(a * a + b * b - 2.0 * shared * a * b, 1e-12))
    return _NORMAL.cdf(math.log(other / one) / spread)
