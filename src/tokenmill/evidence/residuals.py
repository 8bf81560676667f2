"""Residuals: measured over predicted of every row, as columns, and as if a GPU were unmeasured."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.catalog import load
from tokenmill.errors import TokenmillError
from tokenmill.evidence.family import Family
from tokenmill.evidence.interval import hardware_keys, quantity_of
from tokenmill.evidence.points import Point
from tokenmill.evidence.score import Scored, score_points
from tokenmill.placement.platform import platform

__all__ = ["Residuals", "as_relatives", "residuals_of"]

Names = NDArray[np.str_]
Floats = NDArray[np.float64]

# architecture -> the one whose constants an unmeasured GPU of it would have followed
_RELATIVES: Mapping[str, str] = {
    "hopper": "ampere", "ampere": "hopper", "ada": "ampere", "blackwell": "hopper",
    "blackwell-geforce": "ampere", "cdna3": "ampere", "turing": "ada", "volta": "hopper",
}  # fmt: skip
_ALIKE = "as-relative-"


@dataclass(frozen=True)
class Residuals:
    """Rows and metrics of measurements with a prediction, as columns of equal length; log is the
    logarithm of measured over predicted."""

    id: Names
    metric: Names
    quantity: Names
    condition: Names
    publication: Names
    gpu: Names
    architecture: Names
    model: Names
    engine: Names
    quality: Names
    log: Floats
    share: Floats  # how much each row counts, of `Point`

    def where(self, mask: NDArray[np.bool_]) -> Residuals:
        """The rows of a mask."""
        part = Residuals(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))
        for name in ("weight", "source"):  # as among all rows
            part.__dict__[name] = getattr(self, name)[mask]
        return part

    @cached_property
    def weight(self) -> Floats:
        """Weight of each row: one over the root of the rows of its publication, GPU and model, so
        that a long sweep does not drown a short one; times its share."""
        block = np.char.add(np.char.add(self.publication, self.gpu), self.model)
        _, at, counts = np.unique(block, return_inverse=True, return_counts=True)
        weight: Floats = self.share / np.sqrt(counts[at.reshape(-1)].astype(np.float64))
        return weight

    @cached_property
    def source(self) -> Names:
        """Publication and GPU of each row."""
        found: Names = np.char.add(np.char.add(self.publication, "/"), self.gpu)
        return found


def residuals_of(scored: Sequence[Scored]) -> Residuals:
    """The residuals of what was predicted; names of GPUs and models as the catalogue has them."""
    known = [one for one in scored if np.isfinite(one.ratio) and one.ratio > 0]
    rows = []
    for one in known:
        slug, architecture = hardware_keys(platform(_plain(one.gpu)).accelerator)
        rows.append((
            one.id, one.metric, quantity_of(one.metric), one.condition, one.publication, slug,
            architecture, _model(one.model), one.engine.lower(), one.quality,
        ))  # fmt: skip
    table = np.array(rows, dtype=str).reshape(-1, 10)
    log = -np.log(np.array([one.ratio for one in known], dtype=np.float64))
    columns = dict(zip(Residuals.__dataclass_fields__, table.T, strict=False))
    share = np.array([one.share for one in known], dtype=np.float64)
    return Residuals(**columns, log=log, share=share)


def _plain(gpu: str) -> str:
    return load.canonical(gpu).removeprefix(_ALIKE)


def _model(name: str) -> str:
    try:
        return load.resolve("models", name) if name else ""
    except TokenmillError:
        return name


def as_relatives(points: Sequence[Point], family: Family) -> Residuals:
    """Residuals of rows whose GPU is predicted by the constants of another architecture.

    It is what an architecture's first prediction looks like: spec sheet, and a relative.
    """
    gpus = sorted({point.text("gpu") for point in points})
    with _disguised(gpus) as known:
        moved = [
            replace(point, cells={**point.cells, "gpu": _ALIKE + known[point.text("gpu")]})
            for point in points if point.text("gpu") in known
        ]  # fmt: skip
        return residuals_of(score_points(moved, family).scored)


@contextmanager
def _disguised(gpus: Sequence[str]) -> Iterator[dict[str, str]]:
    """Copies of accelerators and their machines, of the architecture that each is related to."""
    before = os.environ.get("TOKENMILL_CATALOG")
    with tempfile.TemporaryDirectory() as folder:
        known = {}
        for name in gpus:
            try:
                accelerator = load.accelerator(name)
                machine = platform(name).system
            except TokenmillError:
                continue
            if accelerator.architecture in _RELATIVES:
                known[name] = accelerator.slug
                _copy(Path(folder), accelerator.slug, accelerator.architecture, machine.slug)
        os.environ["TOKENMILL_CATALOG"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield known
        finally:
            if before is None:
                del os.environ["TOKENMILL_CATALOG"]
            else:
                os.environ["TOKENMILL_CATALOG"] = before


def _copy(folder: Path, slug: str, architecture: str, machine: str) -> None:
    relative = _RELATIVES[architecture]
    for kind, name in (("accelerators", slug), ("systems", machine)):
        text = load.files(kind)[name].read_text(encoding="utf-8")
        text = re.sub(r"(?m)^aliases\s*=\s*\[[^\]]*\]\n", "", text)
        text = text.replace(f'architecture = "{architecture}"', f'architecture = "{relative}"')
        text = text.replace(f'accelerator = "{slug}"', f'accelerator = "{_ALIKE}{slug}"')
        if kind == "systems" and f'"{_ALIKE}{slug}"' not in text:
            continue  # a server for any card serves the copy too
        path = folder / kind / f"{_ALIKE}{name}-{slug}.toml"
        if kind == "accelerators":
            path = folder / kind / f"{_ALIKE}{slug}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
