"""How well kernel constants predict kernel tables, in the fit and with an accelerator left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.kernels.families import (
    MEAN,
    TABLES,
    Constants,
    Score,
    by_family,
    family_constants,
    look_up,
    mean_constants,
    predict,
    score,
)
from tokenmill.evidence.kernels.regimes import regimes
from tokenmill.evidence.kernels.rows import Sample
from tokenmill.evidence.kernels.table import Table
from tokenmill.physics.chip import Chip

__all__ = ["KernelRow", "review", "validate"]

Array = NDArray[np.float64]
Families = Mapping[str, Mapping[str, Mapping[str, Constants]]]
_FEW = 10  # rows of a regime that can be its table's worst


@dataclass(frozen=True)
class KernelRow:
    """One kernel table on one accelerator: errors [1] in the fit and with it left out.

    usual: as fitted, on rows that language-model serving meets; worst, the regime with the
    largest median error, and its median error and bias.
    """

    table: str
    gpu: str
    rows: int
    fitted: Score
    usual: Score
    left_out: Score
    worst: str
    worst_median: float
    worst_bias: float


def _predicted(
    table: Table, chips: Mapping[str, Chip], sample: Sample, known: Mapping[str, Constants]
) -> Array | None:
    found = look_up(known, table.key(sample), sample.engine)
    if found is None:
        return None
    return predict(table, chips[sample.gpu], sample, found.values, found.nuisance)


def review(
    folder: Path, chips: Mapping[str, Chip], families: Families,
    tables: Sequence[str] = tuple(TABLES), most: int = 4000,
) -> dict[tuple[str, str], Score]:  # fmt: skip
    """How given constants predict the kernel tables, by (table, accelerator).

    Parameters: folder of the parquet files; chips by slug; families, constants by family,
    operation and key; tables; most rows per precision and engine.
    Raises: Unsupported without pyarrow, InputError where a file is missing.
    """
    pairs: dict[tuple[str, str], list[tuple[Array, Array]]] = {}
    for name in tables:
        table = TABLES[name]
        for sample in table.read(folder):
            known = families[chips[sample.gpu].architecture].get(table.operation, {})
            rows = sample.thin(most, seed=3)
            seconds = _predicted(table, chips, rows, known)
            if seconds is not None:
                pairs.setdefault((name, sample.gpu), []).append((seconds, rows.seconds))
    return {
        key: score(*(np.concatenate(column) for column in zip(*found, strict=True)))
        for key, found in pairs.items()
    }


def _afar(
    table: Table, chips: Mapping[str, Chip], mine: Sequence[Sample], gpu: str,
    others: Sequence[Mapping[str, Constants]], most: int,
) -> dict[str, Constants]:  # fmt: skip
    """Constants for an accelerator that never saw it, by key.

    They come from the rest of its family, or from the mean of all other families.
    """
    theirs = [sample for sample in mine if sample.gpu != gpu]
    rest = family_constants(table, chips, theirs, most) if theirs else {}
    for sample in mine:
        key = table.key(sample)
        if sample.gpu == gpu and look_up(rest, key, sample.engine) is None:
            known = [look_up(other, key, sample.engine) for other in others]
            mean = mean_constants([constants for constants in known if constants])
            if mean is not None:
                rest[f"{key}.{sample.engine}"] = mean
    return rest


def _row(
    table: Table, chips: Mapping[str, Chip], samples: Sequence[Sample],
    near: Mapping[str, Constants], far: Mapping[str, Constants], rows: int,
) -> KernelRow | None:  # fmt: skip
    both = [(s, _predicted(table, chips, s, near), _predicted(table, chips, s, far))
            for s in samples]  # fmt: skip
    found = [(s, a / s.seconds, b / s.seconds) for s, a, b in both
             if a is not None and b is not None]  # fmt: skip
    if not found:
        return None
    fitted, left_out = (np.concatenate([part[i] for part in found]) for i in (1, 2))
    usual = np.concatenate([table.trust(s) for s, *_ in found]) >= 1.0
    parts: dict[str, list[Array]] = {}
    for sample, ratio, _ in found:
        for name, mine in regimes(table.name, sample).items():
            parts.setdefault(name, []).append(ratio[mine])
    each = {name: np.concatenate(part) for name, part in parts.items()}
    medians = {name: float(np.median(np.abs(ratio - 1.0))) for name, ratio in each.items()
               if ratio.size >= _FEW}  # fmt: skip
    worst = max(medians, key=medians.__getitem__) if medians else ""
    one = np.ones_like
    return KernelRow(
        table.name, samples[0].gpu, rows, score(fitted, one(fitted)),
        score(fitted[usual], one(fitted[usual])) if usual.any() else score(fitted, one(fitted)),
        score(left_out, one(left_out)), worst, medians.get(worst, float("nan")),
        float(np.median(each[worst])) - 1.0 if worst else float("nan"),
    )  # fmt: skip


def validate(
    folder: Path, chips: Mapping[str, Chip], families: Families | None = None,
    tables: Sequence[str] = tuple(TABLES), most: int = 1000, scored: int = 2000,
) -> Iterator[KernelRow]:  # fmt: skip
    """Errors of every kernel table on every accelerator, fitted and with it left out of the fit.

    Parameters: folder of the parquet files; chips by slug; families, constants in use, None to
    fit them first; names of tables; most rows per accelerator, precision and engine in a fit,
    and in a score. A few minutes of one core.
    Raises: Unsupported without pyarrow, InputError where a file is missing.
    """
    for name in tables:
        table = TABLES[name]
        samples = [sample for sample in table.read(folder) if sample.gpu in chips]
        groups = by_family(chips, samples)
        if families is None:
            fitted = {f: family_constants(table, chips, mine, most) for f, mine in groups.items()}
        else:
            known = {f: of for f, of in families.items() if f != MEAN and f in groups}
            fitted = {f: dict(of.get(table.operation, {})) for f, of in known.items()}
        for family, mine in groups.items():
            others = [constants for f, constants in fitted.items() if f != family]
            for gpu in dict.fromkeys(sample.gpu for sample in mine):
                far = _afar(table, chips, mine, gpu, others, most)
                here = [sample for sample in mine if sample.gpu == gpu]
                rows = sum(sample.seconds.size for sample in here)
                thin = [sample.thin(scored, seed=2) for sample in here]
                row = _row(table, chips, thin, fitted[family], far, rows)
                if row is not None:
                    yield row
