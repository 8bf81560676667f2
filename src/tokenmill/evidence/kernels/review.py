"""How well kernel constants predict kernel tables, in the fit and with an accelerator left out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
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
from tokenmill.placement.platform import sustained

__all__ = ["KernelRow", "review", "validate"]

Array = NDArray[np.float64]
Families = Mapping[str, Mapping[str, Mapping[str, Constants]]]
_FEW = 10  # rows of a regime that can be its table's worst
# The family whose matrix units are fed alike: warp by warp, not by groups of warps.
_ALIKE = {"ampere": "ada", "ada": "ampere"}
_WRITTEN = ("mla_decode", "mla_prefill")  # kernels that exist for one way of feeding them only


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
    table: Table, chip: Chip, sample: Sample, known: Mapping[str, Constants]
) -> Array | None:
    found = look_up(known, table.key(sample), sample.engine)
    if found is None:
        return None
    return predict(table, chip, sample, found.values, found.nuisance)


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
            seconds = _predicted(table, chips[rows.gpu], rows, known)
            if seconds is not None:
                pairs.setdefault((name, sample.gpu), []).append((seconds, rows.seconds))
    return {
        key: score(*(np.concatenate(column) for column in zip(*found, strict=True)))
        for key, found in pairs.items()
    }


def _donors(table: Table, family: str, others: Collection[str]) -> list[str]:
    """The families that stand in for one that nobody measured, of those that have constants.

    The one that is fed alike and, but for latent attention, the generation between; else all.
    """
    alike = _ALIKE.get(family, "")
    if alike not in others:
        return list(others)
    between = ["hopper"] if table.operation not in _WRITTEN and "hopper" in others else []
    return [alike, *between]


def _measured(
    table: Table, found: Mapping[str, Constants], samples: Sequence[Sample]
) -> dict[str, Constants]:  # fmt: skip
    """The constants that rest on samples, without those that a family inherits."""
    keys = {table.key(sample) for sample in samples}
    keys |= {f"{table.key(sample)}.{sample.engine}" for sample in samples}
    return {key: constants for key, constants in found.items() if key in keys}


def _afar(
    table: Table, chips: Mapping[str, Chip], mine: Sequence[Sample], gpu: str,
    others: Mapping[str, Mapping[str, Constants]], most: int,
) -> dict[str, Constants]:  # fmt: skip
    """Constants for an accelerator that never saw it, by key.

    They come from the rest of its family, or from the mean of families near to it that have them.
    """
    theirs = [sample for sample in mine if sample.gpu != gpu]
    rest = family_constants(table, chips, theirs, most) if theirs else {}
    for sample in mine:
        key = table.key(sample)
        if sample.gpu == gpu and look_up(rest, key, sample.engine) is None:
            known = {name: look_up(other, key, sample.engine) for name, other in others.items()}
            having = {name: constants for name, constants in known.items() if constants}
            donors = _donors(table, chips[gpu].architecture, having)
            mean = mean_constants([having[name] for name in donors])
            if mean is not None:
                rest[f"{key}.{sample.engine}"] = mean
    return rest


def _row(
    table: Table, chips: Mapping[str, Chip], samples: Sequence[Sample],
    near: Mapping[str, Constants], far: Mapping[str, Constants], rows: int, donor: str,
) -> KernelRow | None:  # fmt: skip
    chip = chips[samples[0].gpu]
    limited = sustained(chip, donor, gains=True) if donor else chip
    both = [(s, _predicted(table, chip, s, near), _predicted(table, limited, s, far))
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
            others = {f: _measured(table, c, groups[f]) for f, c in fitted.items() if f != family}
            donor = alike if (alike := _ALIKE.get(family, "")) in others else ""
            for gpu in dict.fromkeys(sample.gpu for sample in mine):
                far = _afar(table, chips, mine, gpu, others, most)
                here = [sample for sample in mine if sample.gpu == gpu]
                rows = sum(sample.seconds.size for sample in here)
                thin = [sample.thin(scored, seed=2) for sample in here]
                row = _row(table, chips, thin, fitted[family], far, rows, donor)
                if row is not None:
                    yield row
