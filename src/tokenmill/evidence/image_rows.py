"""Rows of measured images as runs that the twin can predict.

What a row leaves open is settled by stated rules: MLPerf rows name no batch, so they are taken
at `_OFFLINE_BATCH`, where the time per image no longer changes; a blank precision is FP16;
MaxQ rows run at a power cap that the source does not give.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from tokenmill.catalog import load
from tokenmill.errors import InputError
from tokenmill.physics.image_kernels import Device, device
from tokenmill.physics.images import ImageTime, Run, image_time
from tokenmill.work.media import ImageModel, image_model

__all__ = ["FAMILIES", "ImageRow", "image_rows", "latency_rows", "predict", "read_row"]

# The families of this model; other rows of the file are video.
FAMILIES = (
    "sd-1.5", "sd-2.1", "sdxl-1.0", "sdxl-turbo", "ssd-1b", "sd-3-medium", "sd-3.5-medium",
    "sd-3.5-large", "flux.1-dev", "flux.1-schnell",
)  # fmt: skip
_OFFLINE_BATCH = 16
_LATENCY = re.compile(r"text-to-image/.*bs(\d+)\+steps(\d+)")
_SPLIT = (re.compile(r"ulysses[=-](\d+)", re.I), re.compile(r"ring[=-](\d+)", re.I))
_DTYPES = {
    "": "fp16", "fp8dq": "fp8", "fp8dqrow": "fp8", "int8dq": "int8", "fp8wo": "fp8_wo",
    "int8wo": "int8_wo", "int4wo": "int4_wo", "float16": "fp16", "bfloat16": "bf16",
    "float32": "fp32",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One measured configuration; seconds [s] per image of the GPUs that share it.

    replicas [count] make images side by side; server, a load with a latency limit (MLPerf);
    max_q, a power cap the source does not state; joules [J] per image, GPUs only, or NaN.
    """

    id: str
    publication: str
    gpu: str
    model: str
    width: int
    height: int
    steps: int
    run: Run
    seconds: float
    replicas: int = 1
    server: bool = False
    max_q: bool = False
    quality: str = "a"
    joules: float = float("nan")

    @property
    def family(self) -> str:
        """What residuals are grouped by: publication, GPU, model and software."""
        return "/".join((self.publication, self.gpu, self.model, self.run.software))


def read_row(row: Mapping[str, str]) -> ImageRow:
    """A row of a media file in the columns of its README.

    Raises: InputError where a needed cell is missing or no number.
    """
    try:
        gpus = int(row["n_gpus"] or 1)
        note = row.get("note", "")
        batch = int(row["batch"]) if row["batch"] else _OFFLINE_BATCH
        seconds = _seconds(row, gpus)
        sizes = [int(row[key]) for key in ("width", "height", "steps")]
        joules = float(row.get("energy_j_per_output") or "nan")
    except (KeyError, ValueError) as problem:
        raise InputError(f"media row {row.get('id', '?')}: {problem}; see its README") from None
    run = _run(row["software"].strip().lower(), row["precision"].strip().lower(), note, gpus)
    together = run.gpus
    return ImageRow(
        row.get("id", ""), row.get("publication", ""), row["gpu"], row["model"], *sizes,
        replace(run, batch=batch), seconds, replicas=max(gpus // together, 1),
        server="/Server" in row.get("locator", "") or "; Server;" in note,
        max_q="MaxQ" in note, quality=row.get("quality", ""), joules=joules,
    )  # fmt: skip


def _seconds(row: Mapping[str, str], gpus: int) -> float:
    """Seconds per image of one group of GPUs; rates are of replicas on each GPU."""
    if row["seconds_per_output"]:
        return float(row["seconds_per_output"])
    if row["outputs_per_s"]:
        return gpus / float(row["outputs_per_s"])
    return float("nan")


def _run(software: str, precision: str, note: str, gpus: int) -> Run:
    """Software, number format and split of a row."""
    parts = [int(found[1]) if (found := rule.search(note)) else 1 for rule in _SPLIT]
    cached = "approximate" in note or "cache" in software
    if software.endswith("+cp") and parts == [1, 1]:  # context parallel without a stated split
        parts[0] = gpus
    known = {"xdit", "xdit-compile", "onediff", "tensorrt", "stable-fast", "mlperf", "eager"}
    if software in known:
        kind = software
    elif "compile" in software or (cached and precision.startswith("fp8")):
        kind = "compile"
    elif "tensorrt" in software or "trt" in software:
        kind = "tensorrt"
    else:
        kind = "eager"
    return Run(
        software=kind, dtype=_DTYPES.get(precision, precision), ulysses=parts[0], ring=parts[1],
        fused_attention="no xformers" not in note and "very old" not in note,
        fused_qkv="fuse_qkv=True" in note, loop_only="loop only" in note, cached=cached,
    )  # fmt: skip


def image_rows(path: Path, *, qualities: str = "ab") -> list[ImageRow]:
    """The image rows of a media file. Raises: InputError."""
    with path.open(encoding="utf-8", newline="") as lines:
        wanted = (r for r in csv.DictReader(lines) if r["model"] in FAMILIES and not r["frames"])
        return [read_row(row) for row in wanted if row["quality"] in tuple(qualities)]


def latency_rows(path: Path) -> Iterator[ImageRow]:
    """Image rows of a power file whose notes carry the batch latency (diffusers, eager, FP16).

    They do not state the resolution: it is the model's own, with classifier-free guidance as
    the pipelines default to.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            found = _LATENCY.search(row["locator"])
            latency = re.search(r"batch latency ([\d.]+) ms", row["note"])
            if not found or not latency or row["model"] not in FAMILIES:
                continue
            facts, batch = load.model(row["model"]).config, int(found[1])
            yield ImageRow(
                row["id"], row["publication"], row["gpu"], row["model"], facts["width"],
                facts["height"], int(found[2]), Run(batch=batch), float(latency[1]) / 1e3 / batch,
                quality=row["quality"], joules=float(row["energy_j"] or "nan"),
            )  # fmt: skip


@lru_cache(maxsize=1024)
def _built(name: str, width: int, height: int, steps: int) -> ImageModel:
    record = load.model(name)
    guidance = 2 if record.slug == "sdxl-turbo" else None  # benchmarks keep the pipeline default
    return image_model(
        record.slug, record.config, width=width, height=height, steps=steps,
        guidance_passes=guidance,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _device(name: str, cap_share: float) -> Device:
    record = load.accelerator(name)
    return device(record, power_cap_w=cap_share * record.value("tdp"))


def predict(row: ImageRow, constants: Mapping[str, float]) -> ImageTime:
    """What the twin says of a row; its seconds per image answer `row.seconds`.

    Raises: TokenmillError where the twin does not cover the row.
    """
    chip = _device(row.gpu, constants["max_q"] if row.max_q else 1.0)
    model = _built(row.model, row.width, row.height, row.steps)
    return image_time(model, chip, row.run, constants)
