"""Rows of measured images as runs that the twin can predict.

What a row leaves open is settled by stated rules. MLPerf rows name no batch: they are taken at
16 images, where the time per image no longer changes. A blank precision is FP16, a blank size
or number of steps the model's own. MaxQ rows run at a power cap that the source does not give.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from tokenmill.catalog import load
from tokenmill.errors import InputError, TokenmillError
from tokenmill.evidence.images.constants import CROWD
from tokenmill.physics.image_kernels import Device, device
from tokenmill.physics.images import SOFTWARE, ImageTime, Run, image_time
from tokenmill.work.media import ImageModel, image_model

__all__ = [
    "STILL",
    "ImageRow",
    "covers",
    "image_rows",
    "kept",
    "latency_rows",
    "predict",
    "predict_s",
    "read_row",
]

STILL = ("", "0", "1")  # frames of what is no video
_OFFLINE_BATCH = 16
_LATENCY = re.compile(r"text-to-image/.*bs(\d+)\+steps(\d+)")
_ULYSSES = re.compile(r"ulysses[=-](\d+)", re.IGNORECASE)
_RING = re.compile(r"ring[=-](\d+)", re.IGNORECASE)
# what a precision may be called -> the format it means; the first that is found in it
_DTYPES = {
    r"bf16|bfloat16": "bf16", r"^$|fp16|float16|half": "fp16", r"fp32|float32|tf32": "fp32",
    r"fp8_?wo": "fp8_wo", r"int8_?wo|q8|w8a16": "int8_wo",
    r"int4_?wo|nf4|q4|gguf|w4a16|awq": "int4_wo", r"fp8|e4m3": "fp8", r"int8|w8a8": "int8",
    r"fp4": "fp4", r"int4|w4a4": "int4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One measured configuration; seconds [s] per image of the GPUs that share it.

    replicas [count] make images side by side; server, a load with a latency limit (MLPerf);
    max_q, a power cap the source does not state; crowd, a submission that nobody controlled;
    offloaded, run with weights in the host's memory (else it fitted, whatever we count);
    joules [J] per image, GPUs only, or NaN.
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
    crowd: bool = False
    offloaded: bool = False
    quality: str = "a"
    joules: float = math.nan

    @property
    def family(self) -> str:
        """What rows are weighed by: publication, GPU, model and software."""
        return "/".join((self.publication, self.gpu, self.model, self.run.software))


def covers(row: Mapping[str, str]) -> bool:
    """Whether a row of a media file is an image of a model on record (not video or speech)."""
    return row.get("frames", "").strip() in STILL and _is_image_model(row.get("model", ""))


@lru_cache(maxsize=1024)
def _is_image_model(name: str) -> bool:
    try:
        return load.model(name).family == "image"
    except TokenmillError:
        return False


def read_row(row: Mapping[str, str]) -> ImageRow:
    """A row of a media file in the columns of its README.

    Raises: UnknownName for its GPU or model; InputError where a cell is no number.
    """
    model = load.model(row["model"])
    facts = model.config
    gpus = _count(row, "n_gpus", 1)
    note, locator = row.get("note", ""), row.get("locator", "")
    return ImageRow(
        id=row.get("id", ""),
        publication=row.get("publication", ""),
        gpu=load.accelerator(row["gpu"]).slug,
        model=model.slug,
        width=_count(row, "width", facts["width"]),
        height=_count(row, "height", facts["height"]),
        steps=_count(row, "steps", facts["steps"]),
        run=(run := _run(row, f"{note}; {locator}", gpus)),
        seconds=_seconds(row, gpus),
        replicas=max(gpus // run.gpus, 1),
        server="/server" in locator.lower() or "; server;" in note.lower(),
        max_q="MaxQ" in note,
        crowd=row.get("software", "").strip().lower() == "community",
        offloaded="offload" in f"{note} {row.get('software', '')}".lower(),
        quality=row.get("quality", ""),
        joules=_number(row, "energy_j_per_output"),
    )


def _number(row: Mapping[str, str], key: str) -> float:
    text = row.get(key, "").strip()
    try:
        return float(text) if text else math.nan
    except ValueError:
        where = row.get("id") or "without an id"
        raise InputError(f'media row {where}: {key} "{text[:40]}" is not a number') from None


def _count(row: Mapping[str, str], key: str, default: int) -> int:
    value = _number(row, key)
    return default if math.isnan(value) else max(int(value), 1)


def _seconds(row: Mapping[str, str], gpus: int) -> float:
    """Seconds per image of one group of GPUs; a rate alone is of replicas on each GPU."""
    seconds = _number(row, "seconds_per_output")
    return gpus / _number(row, "outputs_per_s") if math.isnan(seconds) else seconds


def _run(row: Mapping[str, str], note: str, gpus: int) -> Run:
    """Batch, software, number format and split of a row; note, with its locator."""
    software = row.get("software", "").strip().lower()
    precision = row.get("precision", "").strip().lower()
    ulysses, ring = (int(m[1]) if (m := rule.search(note)) else 1 for rule in (_ULYSSES, _RING))
    shared = software.startswith("xdit") or software.endswith("+cp")  # context parallel
    if shared and ulysses * ring == 1:  # the split is not stated
        ulysses = gpus
    cached = "approximate" in note or "cache" in software
    offline = software == "mlperf" and "singlestream" not in note.lower()
    return Run(
        batch=_count(row, "batch", _OFFLINE_BATCH if offline else 1),
        software=_software(software, cached and precision.startswith("fp8")),
        dtype=_dtype(precision),
        ulysses=ulysses,
        ring=ring,
        fused_attention=(fused := "no xformers" not in note and "very old" not in note),
        xformers=fused and "xformers" in note.lower(),
        fused_qkv="fuse_qkv=True" in note,
        loop_only="loop only" in note,
        cached=cached,
    )


def _dtype(precision: str) -> str:
    """The number format that a precision names; itself where none is known."""
    found = (form for rule, form in _DTYPES.items() if re.search(rule, precision))
    return next(found, precision)


def _software(name: str, compiled: bool) -> str:
    """The kind of software behind a label; what none of the kinds names is eager."""
    if name in SOFTWARE:
        return name
    if "trt" in name or "tensorrt" in name:
        return "tensorrt"
    return "compile" if compiled or "compile" in name else "eager"


def image_rows(path: Path, *, qualities: str = "ab") -> list[ImageRow]:
    """The image rows of a media file. Raises: InputError."""
    with path.open(encoding="utf-8", newline="") as lines:
        wanted = [row for row in csv.DictReader(lines) if covers(row)]
    return [read_row(row) for row in wanted if row["quality"] in tuple(qualities)]


def latency_rows(path: Path) -> Iterator[ImageRow]:
    """Image rows of a power file whose notes carry the batch latency (diffusers, eager, FP16).

    They do not state the resolution: it is taken to be the model's own, with the
    classifier-free guidance that the pipelines default to.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            found = _LATENCY.search(row["locator"])
            latency = re.search(r"batch latency ([\d.]+) ms", row["note"])
            if not found or not latency or not _is_image_model(row["model"]):
                continue
            facts, batch = load.model(row["model"]).config, int(found[1])
            yield ImageRow(
                row["id"], row["publication"], row["gpu"], row["model"], facts["width"],
                facts["height"], int(found[2]), Run(batch=batch), float(latency[1]) / 1e3 / batch,
                quality=row["quality"], joules=_number(row, "energy_j"),
            )  # fmt: skip


@lru_cache(maxsize=1024)
def _built(name: str, width: int, height: int, steps: int) -> ImageModel:
    record = load.model(name)
    guidance = 2 if record.slug == "sdxl-turbo" else None  # benchmarks keep the pipeline default
    return image_model(
        record.slug, record.config, width=width, height=height, steps=steps,
        guidance_passes=guidance,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _device(name: str, cap_share: float, short: bool) -> Device:
    record = load.accelerator(name)
    found = device(record, power_cap_w=cap_share * record.value("tdp"))
    return found if short else replace(found, memory_bytes=math.inf)


def predict(row: ImageRow, constants: Mapping[str, float]) -> ImageTime:
    """What the twin says of the GPUs behind a row, without the limits of a server.

    Raises: TokenmillError where the twin does not cover the row.
    """
    chip = _device(row.gpu, constants["max_q"] if row.max_q else 1.0, row.offloaded)
    model = _built(row.model, row.width, row.height, row.steps)
    return image_time(model, chip, row.run, constants)


def predict_s(row: ImageRow, constants: Mapping[str, float]) -> float:
    """Seconds per image [s] to hold against `row.seconds`, what is lost included.

    Raises: as `predict`.
    """
    return predict(row, constants).seconds_per_image / kept(row, constants)


def kept(row: ImageRow, constants: Mapping[str, float]) -> float:
    """Share of the rate that is left by a latency limit, or by settings nobody controlled [1]."""
    if row.crowd:
        return constants[CROWD]
    return constants["server"] if row.server else 1.0
