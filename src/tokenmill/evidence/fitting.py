"""Fits: measurements in, calibration files out, one subject after another.

Each subject writes the records that it owns and no others. Later subjects stand on earlier ones
(engines on kernels, intervals on everything), so each runs in a process of its own that reads what
was written before it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tokenmill.catalog import load
from tokenmill.errors import InputError, UnknownName
from tokenmill.evidence.saved import whole

__all__ = ["SUBJECTS", "fit", "folder_for"]

READ = "2026-11-28"
_FOLDER = "calibration"
Texts = Mapping[str, str]
Answer = tuple[Texts, Sequence[str]]  # text by slug of the record, lines for a person
_MEASUREMENTS, _SILICON = "measurements", "silicon"
_MOST_ROWS = 240  # of a line of engines: a fit of more says the same and takes longer


def _kernels(shared: Path) -> Answer:
    from tempfile import TemporaryDirectory

    from tokenmill.evidence.kernels import fit, kernel_chips, review

    with TemporaryDirectory() as folder:
        found = fit(shared, Path(folder), read=READ)
        texts = {path.stem: path.read_text(encoding="utf-8") for path in found.written}
    scores = review(shared / _SILICON, kernel_chips(), found.families)
    return texts, [
        f"{table} on {gpu}: {score.rows} rows, median error {score.median:.1%}, "
        f"mean {score.mean:.1%}"
        for (table, gpu), score in scores.items()
    ]


def _collectives(shared: Path) -> Answer:
    from tokenmill.evidence.collectives.files import files
    from tokenmill.evidence.collectives.rows import read_rows

    return files(read_rows(shared / _MEASUREMENTS, shared / _SILICON)), []


def _power(shared: Path) -> Answer:
    from tokenmill.evidence.power.files import files

    return files(shared / _MEASUREMENTS), []


def _images(shared: Path) -> Answer:
    from tokenmill.evidence.images.files import fitted

    return fitted(shared)


def _serving(shared: Path) -> Answer:
    from tokenmill.evidence.points import read_points
    from tokenmill.evidence.serving.files import updated
    from tokenmill.evidence.serving.fit import fitted, lines_of, rows_of, thinned
    from tokenmill.evidence.serving.setups import setup_of

    files = ("serving.csv", "serving_aic_sample.csv")
    found = rows_of(point for name in files for point in read_points(shared / _MEASUREMENTS / name))
    texts, told = {}, []
    for line, rows in sorted(lines_of(found).items()):
        few = thinned(rows, _MOST_ROWS)
        constants = fitted(few, setup_of(few[0].point).case.engine)
        path = load.files(_FOLDER)[line]
        texts[line] = updated(path.read_text(encoding="utf-8"), constants, READ)
        told.append(
            f"{line}: {constants.rows} metrics, median error {constants.median_error:.1%} without "
            "their publication or GPU"
        )
    return texts, told


def _intervals(shared: Path) -> Answer:
    from tokenmill.evidence.interval_files import files

    return files(shared / _MEASUREMENTS)


SUBJECTS: Mapping[str, Callable[[Path], Answer]] = {
    "kernels": _kernels, "collectives": _collectives, "power": _power, "images": _images,
    "serving": _serving, "intervals": _intervals,
}  # fmt: skip


def folder_for(out: Path | None) -> Path:
    """The catalogue folder that fits write to: the one given, or the first of TOKENMILL_CATALOG.

    Raises: InputError where neither is there.
    """
    own = load.data_folders()[0] if os.environ.get("TOKENMILL_CATALOG") else None
    if (chosen := out or own) is None:
        raise InputError("where to? give --out FOLDER, or set TOKENMILL_CATALOG to your own")
    return chosen


def fit(names: Sequence[str], shared: Path, out: Path) -> Iterator[str]:
    """Fit subjects in the order of `SUBJECTS`, and write their records to `out`/calibration.

    Parameters: names of subjects, or "all"; shared, a folder with measurements and silicon; out,
    a catalogue folder.
    Returns: lines that tell what was fitted and written, as it happens.
    Raises: UnknownName for a subject, InputError for a folder without measurements.
    """
    wanted = list(SUBJECTS) if "all" in names or not names else list(names)
    for name in wanted:
        if name not in SUBJECTS:
            raise UnknownName("subject of a fit", name, [*SUBJECTS, "all"])
    if not (shared / _MEASUREMENTS).is_dir():
        raise InputError(f"{shared}: has no folder measurements; give --shared DIR")
    for name in sorted(wanted, key=list(SUBJECTS).index):
        yield f"fit {name}"
        yield from _apart(name, shared, out)


def _apart(name: str, shared: Path, out: Path) -> list[str]:
    """One subject in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run, name, shared, out).result()


def _run(name: str, shared: Path, out: Path) -> list[str]:
    folders = [str(out), os.environ.get("TOKENMILL_CATALOG", "")]
    os.environ["TOKENMILL_CATALOG"] = os.pathsep.join(filter(None, folders))
    texts, told = SUBJECTS[name](shared)
    for slug, text in texts.items():
        written(out / _FOLDER / f"{slug}.toml", text)
    return [f"  {line}" for line in told] + [
        f"  wrote {out / _FOLDER / slug}.toml" for slug in texts
    ]


def written(path: Path, text: str) -> None:
    """Write a text file, whole or not at all. Raises: InputError."""
    whole(path, lambda scratch: scratch.write_text(text, encoding="utf-8"))
