"""Rows of measured power that are no language model: which job, how it ran, on what machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.catalog.figure import Figure
from tokenmill.errors import TokenmillError
from tokenmill.evidence.points import Point
from tokenmill.physics.jobs import Job

__all__ = [
    "BATCH", "OTHER", "RECORD", "JobRow", "constant", "is_language", "job_of", "job_row",
    "samples_of", "share_of",
]  # fmt: skip

RECORD = "jobs"
OTHER = "other"  # what stands for a job that is not on record
BATCH = 64.0  # of tests that state none: the host no longer shows
# Spellings of a network that publications use, and pipelines that run another one's network.
_SAME = {
    "resnet50": "resnet-50", "bert-99": "bert-large", "bert-99.9": "bert-large",
    "ssd": "retinanet", "unet3d": "3d-unet", "openjourney-v4": "sd-1.5",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobRow:
    """A row as a job.

    job, its key on record; way, a key of `physics.jobs.FORMATS`; batch [samples of a GPU];
    mode: "offline", "server", "singlestream" or "train"; max_q, settings for efficiency;
    dataset that an epoch goes through, blank where none is stated.
    """

    job: str
    way: str
    mode: str
    gpu: str
    gpus: int
    batch: float
    max_q: bool
    dataset: str


def job_row(point: Point) -> JobRow:
    """The job that a row of a power file describes. Raises: BadRecord for bad cells."""
    note, workload = point.text("note"), point.text("workload").lower()
    name = point.text("model").lower()
    name = _SAME.get(name, name)
    found = re.search(r"dataset ([\w-]+)", note)
    dataset = found[1] if found else ""
    way = "train" if "train" in workload else "half" if "diffusion" in workload else "infer"
    mode = next((m for m in ("singlestream", "server", "offline") if m in workload), "offline")
    if way == "train":
        mode = "train"
        if name.startswith("bert") and dataset:
            name = f"{name}+{dataset}"  # a sample is as long as the texts of its data set
    return JobRow(
        name, way, mode, point.text("gpu"), point.count("n_gpus", 1),
        max(point.number("batch", 1.0), 1e-9), "maxq" in note.lower(), dataset,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _figures() -> Mapping[str, Figure]:
    if RECORD not in load.names("calibration"):
        return {}
    return load.calibration(RECORD).figures


def job_of(row: JobRow) -> Job | None:
    """The job of a row as it is on record; None where nobody measured its rate."""
    figures, key = _figures(), f"{row.job}/{row.way}"
    if f"{key}/flop" not in figures:
        return None

    def value(part: str) -> float:
        return figures[f"{key}/{part}"].value if f"{key}/{part}" in figures else 0.0

    swing = figures["swing"].value if row.way == "train" and "swing" in figures else 0.0
    return Job(
        value("flop"), value("byte"), load_of(row), value("host"), value("host_sample"),
        value("waiting"), swing,
    )  # fmt: skip


def load_of(row: JobRow) -> float:
    """Share of a card's range that a row's kernels draw: the job's, or that of others like it."""
    figures, key = _figures(), f"{row.job}/{row.way}/load"
    return figures[key if key in figures else f"{OTHER}/{row.way}/load"].value


@lru_cache(maxsize=512)
def is_language(name: str) -> bool:
    """Whether a model is a language model on record."""
    try:
        return load.model(name).family not in ("", "image")
    except TokenmillError:
        return False


def share_of(row: JobRow) -> float:
    """Rate of a row's mode over that of the offline mode: server and single stream."""
    figures = _figures()
    if row.mode not in ("server", "singlestream"):
        return 1.0
    for name in (row.job, OTHER):
        if f"{name}/infer/{row.mode}" in figures:
            return figures[f"{name}/infer/{row.mode}"].value
    return 1.0


def samples_of(dataset: str) -> float | None:
    """Samples of an epoch of a data set [count]; None where it is not on record."""
    figure = _figures().get(f"{dataset}/samples")
    return figure.value if figure else None


def constant(key: str) -> float:
    """A constant that all jobs share."""
    return _figures()[key].value
