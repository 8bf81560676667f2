"""Kernel constants, fitted on kernel tables.

A constant belongs to an architecture family, a precision and, where that matters, an engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.gauss_newton import minimise
from tokenmill.evidence.kernels import attention, products, scans
from tokenmill.evidence.kernels.rows import Sample
from tokenmill.evidence.kernels.table import Table
from tokenmill.physics.chip import Chip, KernelConstants

__all__ = [
    "BENCHMARK", "MEAN", "TABLES", "Constants", "Score", "by_family", "family_constants",
    "fit_group", "fit_kernels", "look_up", "mean_constants", "predict", "score",
]  # fmt: skip

Array = NDArray[np.float64]

TABLES: dict[str, Table] = {
    table.name: table for table in (*products.TABLES, *attention.TABLES, *scans.TABLES)
}
MEAN = "kernels-mean"  # the family that all others inherit from
BENCHMARK = ("l2_bytes_per_clock", "l2_share")  # what a table's nuisance is called
_WORTH = 0.01  # an engine earns constants of its own by this much mean error
_FIT_ROWS = 2000  # per accelerator, precision and engine


@dataclass(frozen=True)
class Score:
    """Errors [1] of a set of rows: median, mean and 90th percentile of |predicted/measured - 1|."""

    rows: int
    median: float
    mean: float
    p90: float
    bias: float


@dataclass(frozen=True)
class Constants:
    """Constants of one operation for a family and a key "precision[.engine]".

    values, low and high by constant; nuisance describes the benchmark, not the accelerator;
    source, what they rest on: the tables, kindred kernels in them, or the mean of families.
    """

    values: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]
    nuisance: tuple[float, ...]
    rows: int
    source: str = "tables"


def score(predicted: Array, measured: Array) -> Score:
    """The errors of predictions [s] against measurements [s]."""
    ratio = predicted / measured
    error = np.abs(ratio - 1.0)
    return Score(
        error.size, float(np.median(error)), float(np.mean(error)),
        float(np.percentile(error, 90)), float(np.median(ratio) - 1.0),
    )  # fmt: skip


def predict(
    table: Table, chip: Chip, sample: Sample, values: Mapping[str, float],
    nuisance: Sequence[float] = (),
) -> Array:  # fmt: skip
    """Seconds [s] of the rows of a sample under given constants.

    Parameters: nuisance (L2 rate [B per clock and multiprocessor], share of L2 that a benchmark
    keeps warm) describes the benchmark: repeated kernels find small operands in L2.
    """
    constants = KernelConstants(**{table.operation: {sample.precision: table.constants(**values)}})
    chip = replace(chip, constants=constants)
    if table.footprint is not None:
        rate, share = nuisance
        l2_bytes_per_s = rate * chip.sm_count * chip.boost_hz
        ratio = max(1.0, l2_bytes_per_s / chip.memory_bytes_per_s)
        bytes_in_use = table.footprint(sample)
        warm = 1.0 / (1.0 + (bytes_in_use / (chip.l2_bytes * share)) ** table.sharpness)
        speed = 1.0 / (1.0 - warm + warm / ratio)
        # a rate per row: the physics broadcasts it like any other array
        chip = replace(chip, memory_bytes_per_s=cast(float, chip.memory_bytes_per_s * speed))
    return table.predict(chip, sample)


def fit_group(
    table: Table, chips: Mapping[str, Chip], samples: Sequence[Sample], most: int = _FIT_ROWS,
) -> tuple[dict[str, float], tuple[float, ...]]:  # fmt: skip
    """Constants that serve all samples together.

    Returns: (constant by name, nuisance).
    """
    samples = [sample.thin(most) for sample in samples]
    names = [item.name for item in fields(table.constants)]
    bounds = [table.bounds[name] for name in names] + list(table.nuisance)
    low, first, high = (np.array(column, float) for column in zip(*bounds, strict=True))
    measured = np.concatenate([sample.seconds for sample in samples])
    trust = np.concatenate([table.trust(sample) for sample in samples])

    def seconds(point: Array) -> Array:
        values = dict(zip(names, point, strict=False))
        rest = tuple(point[len(names) :])
        parts = [predict(table, chips[s.gpu], s, values, rest) for s in samples]
        return np.concatenate(parts)

    best = minimise(seconds, measured, trust, first, low, high)
    values = {name: float(v) for name, v in zip(names, best.point, strict=False)}
    return values, tuple(float(v) for v in best.point[len(names) :])


def _score_group(
    table: Table, chips: Mapping[str, Chip], samples: Sequence[Sample],
    constants: tuple[dict[str, float], tuple[float, ...]], most: int,
) -> float:  # fmt: skip
    """Mean error [1] over samples, each counted alike."""
    errors = []
    for sample in samples:
        rows = sample.thin(most)
        error = np.abs(predict(table, chips[rows.gpu], rows, *constants) / rows.seconds - 1.0)
        errors.append(np.average(error, weights=table.trust(rows)))
    return float(np.mean(errors))


def _ranges(
    values: Mapping[str, float], parts: Sequence[Mapping[str, float]]
) -> tuple[dict[str, float], dict[str, float]]:
    """The lowest and highest of each constant over fits on one accelerator and engine each."""
    low = {name: min([value, *(part[name] for part in parts)]) for name, value in values.items()}
    high = {name: max([value, *(part[name] for part in parts)]) for name, value in values.items()}
    return low, high


def family_constants(
    table: Table, chips: Mapping[str, Chip], samples: Sequence[Sample], most: int = _FIT_ROWS
) -> dict[str, Constants]:
    """Constants of one family by key, engines only where they earn it.

    Parameters: samples of one family; most rows of each.
    """
    found: dict[str, Constants] = {}
    for precision in dict.fromkeys(table.key(sample) for sample in samples):
        mine = [sample for sample in samples if table.key(sample) == precision]
        shared = fit_group(table, chips, mine, most)
        apart = [fit_group(table, chips, [sample], most)[0] for sample in mine]
        rows = sum(sample.seconds.size for sample in mine)
        found[precision] = Constants(shared[0], *_ranges(shared[0], apart), shared[1], rows)
        engines = dict.fromkeys(sample.engine for sample in mine)
        for engine in engines if len(engines) > 1 else ():
            theirs = [sample for sample in mine if sample.engine == engine]
            own = fit_group(table, chips, theirs, most)
            before = _score_group(table, chips, theirs, shared, most)
            if before - _score_group(table, chips, theirs, own, most) > _WORTH:
                parts = [part for part, s in zip(apart, mine, strict=True) if s.engine == engine]
                rows = sum(sample.seconds.size for sample in theirs)
                low, high = _ranges(own[0], parts)
                found[f"{precision}.{engine}"] = Constants(own[0], low, high, own[1], rows)
    return found


def look_up(found: Mapping[str, Constants], key: str, engine: str) -> Constants | None:
    """The constants of a key, those of the engine first."""
    return found.get(f"{key}.{engine}", found.get(key))


def by_family(chips: Mapping[str, Chip], samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples by the architecture of their accelerator."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(chips[sample.gpu].architecture, []).append(sample)
    return groups


def mean_constants(parts: Sequence[Constants]) -> Constants | None:
    """The geometric mean of the constants of several families: what is known of none."""
    if not parts:
        return None
    values = {
        name: float(np.exp(np.mean([np.log(part.values[name]) for part in parts])))
        for name in parts[0].values
    }
    low = {name: min(part.low[name] for part in parts) for name in values}
    high = {name: max(part.high[name] for part in parts) for name in values}
    logs = np.mean([np.log(part.nuisance) for part in parts], axis=0)
    rows = sum(part.rows for part in parts)
    return Constants(values, low, high, tuple(np.atleast_1d(np.exp(logs))), rows)


def _mean_family(
    families: Mapping[str, Mapping[str, Mapping[str, Constants]]],
) -> dict[str, dict[str, Constants]]:
    """What families lack is taken from the mean of those that have it, whatever the engine."""
    mean: dict[str, dict[str, Constants]] = {}
    for operation in dict.fromkeys(op for operations in families.values() for op in operations):
        tables = [ops[operation] for ops in families.values() if operation in ops]
        for key in dict.fromkeys(key for table in tables for key in table if "." not in key):
            found = mean_constants([table[key] for table in tables if key in table])
            if found is not None:
                mean.setdefault(operation, {})[key] = replace(found, source="mean")
    return mean


def _stream(product: Constants, conv: Constants) -> Constants:
    """Norms and activations are in no table: they launch like a product and stream like a short
    convolution, the one kernel timed that computes next to nothing."""
    sources = {"launch_clocks": product, "memory_efficiency": conv, "sm_bytes_per_clock": conv}
    return Constants(
        {name: part.values[name] for name, part in sources.items()},
        {name: part.low[name] for name, part in sources.items()},
        {name: part.high[name] for name, part in sources.items()},
        (), conv.rows, "kin",
    )  # fmt: skip


def fit_kernels(
    folder: Path, chips: Mapping[str, Chip], tables: Sequence[str] = tuple(TABLES),
    most: int = _FIT_ROWS,
) -> dict[str, dict[str, dict[str, Constants]]]:  # fmt: skip
    """Fit the constants of every family on kernel tables.

    Parameters: folder of the parquet files; chips by the accelerator slug that the tables use
    (their constants are ignored); names of tables; most rows per accelerator, precision and
    engine.
    Returns: constants by family, operation and key.
    Raises: Unsupported without pyarrow, InputError where a file is missing.
    """
    families: dict[str, dict[str, dict[str, Constants]]] = {}
    for name in tables:
        table = TABLES[name]
        samples = [sample for sample in table.read(folder) if sample.gpu in chips]
        fitted = {
            family: family_constants(table, chips, mine, most)
            for family, mine in by_family(chips, samples).items()
        }
        for family, constants in fitted.items():
            families.setdefault(family, {}).setdefault(table.operation, {}).update(constants)
    for operations in families.values():
        if "gemm" in operations and "conv_prefill" in operations:
            kin = operations["gemm"]["bf16"], operations["conv_prefill"]["gdn"]
            operations["stream"] = {"any": _stream(*kin)}
    families[MEAN] = _mean_family(families)
    return families
