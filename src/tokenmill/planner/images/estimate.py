"""Images on one kind of hardware in closed form: seconds, watts, money; and whether it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from tokenmill.catalog import load
from tokenmill.catalog.figure import KINDS, Figure
from tokenmill.catalog.records import Model
from tokenmill.cost.hourly import per_unit
from tokenmill.errors import DoesNotFit, InputError, NoPrice, TokenmillError, Unsupported
from tokenmill.evidence.certainty import around
from tokenmill.evidence.images.constants import RECORD, recorded
from tokenmill.evidence.interval import band_of, distance
from tokenmill.physics.image_kernels import Device, device
from tokenmill.physics.image_power import ImageEnergy, image_energy
from tokenmill.physics.images import ImageTime, Run, image_time
from tokenmill.placement.energy import machine_watts
from tokenmill.placement.platform import Platform, platform
from tokenmill.planner.images.answer import ImageFit, ImageOutcome
from tokenmill.planner.pricing import Bill, PriceBook, price_book
from tokenmill.simulator.outcome import FigureUse, Interval, MemoryUse
from tokenmill.units import parse
from tokenmill.work.media import ImageModel, image_model

__all__ = [
    "ImageCase", "can_make", "estimate_images", "image_case", "image_outcome", "is_image_model",
    "priced_images", "usual_forms",
]  # fmt: skip

_SIZE = re.compile(r"(\d{1,6})(?:\s*[x×*]\s*(\d{1,6}))?")
_FORMS = ("fp8_wo", "int4_wo")  # stored smaller where the model's own format does not fit
_LARGER = ("rtx-3060-12gb", "rtx-4090", "rtx-5090", "rtx-pro-6000-workstation", "h200-sxm")
_WORDS = {
    "host": "the host, which issues kernels one by one",
    "gpu": "the GPU (arithmetic and memory)",
    "offload": "weights fetched from the host's memory",
}
_MOST_BATCH = 4096
_FAMILY = "media"  # of measurements


@dataclass(frozen=True, slots=True)
class ImageCase:
    """One model at one size on one kind of hardware, made in one way."""

    record: Model
    model: ImageModel
    where: Platform
    run: Run

    @property
    def chip(self) -> Device:
        """The GPU as image kernels see it."""
        return device(self.where.accelerator)

    def time(self, *, offload: bool = True) -> ImageTime:
        """Time of a batch. Raises: DoesNotFit, Unsupported, UnknownName."""
        return image_time(self.model, self.chip, self.run, recorded(), offload=offload)

    def energy(self, time: ImageTime) -> ImageEnergy:
        """Power and energy of the GPUs that share a batch."""
        return image_energy(time, self.where.power, recorded())

    def but(self, **changes: Any) -> ImageCase:
        """The same with another batch, dtype, software or split."""
        return replace(self, run=replace(self.run, **changes))


def is_image_model(name: str) -> bool:
    """Whether a name stands for a text-to-image model. Raises: UnknownName."""
    return load.model(name).family == "image"


def image_case(
    model: str, on: str, *, weights: str | None = None, resolution: str | None = None,
    steps: int | None = None, batch: int | None = None, software: str | None = None,
    share: int | None = None,
) -> ImageCase:  # fmt: skip
    """A checked case; what is not given is the model's own, one image at a time, PyTorch eager.

    Without weights, the format the model ships in, or 8 bits where only those fit.
    Raises: InputError, UnknownName, Unsupported.
    """
    record, where = load.model(model), platform(on)
    if record.family != "image":
        raise InputError(f"{record.slug} is a model of the {record.family} family, not of images")
    width, height = _size(resolution)
    built = _built(record.slug, width, height, steps)
    split = 1 if share is None else share
    if not 1 <= split <= where.machine_gpus:
        raise InputError(f"share: {where.name} has 1 to {where.machine_gpus} GPUs in one machine, "
                         f"not {split}")  # fmt: skip
    if split > 1 and built.family.startswith("UNet"):
        raise Unsupported(f"{record.slug} is a UNet, whose images are not split between GPUs; "
                          "make them side by side with --replicas")  # fmt: skip
    run = Run(batch=1 if batch is None else batch, software=software or "eager", ulysses=split,
              dtype=weights or usual_forms(record)[0])  # fmt: skip
    case = ImageCase(record, built, where, run)
    return case if weights else _suited(case)


def _size(text: str | None) -> tuple[int | None, int | None]:
    """(width, height) of "1024x768" or "1024". Raises: InputError."""
    if text is None or not str(text).strip():
        return None, None
    found = _SIZE.fullmatch(str(text).strip().lower())
    if not found:
        raise InputError(f'resolution: "{str(text)[:40]}" is no size; write 1024x768')
    return int(found[1]), int(found[2] or found[1])


@lru_cache(maxsize=256)
def _built(slug: str, width: int | None, height: int | None, steps: int | None) -> ImageModel:
    return image_model(slug, load.model(slug).config, width=width, height=height, steps=steps)


def usual_forms(record: Model) -> tuple[str, ...]:
    """Formats to try: the one a model ships in, then smaller weights."""
    return (record.native_dtype or "fp16", *_FORMS)


def _suited(case: ImageCase) -> ImageCase:
    """The format that stays whole in memory, the most faithful first, else the fastest way."""
    tried: list[tuple[float, ImageCase]] = []
    for form in usual_forms(case.record)[:2]:
        one = case.but(dtype=form)
        try:
            time = one.time()
        except DoesNotFit:
            continue
        if time.memory.fits:
            return one
        tried.append((time.seconds, one))
    return min(tried, key=lambda pair: pair[0])[1] if tried else case


def estimate_images(
    model: str, *, on: str, weights: str | None = None, resolution: str | None = None,
    steps: int | None = None, batch: int | None = None, software: str | None = None,
    share: int | None = None, replicas: int = 1, rate_per_s: float | str | None = None,
    currency: str = "USD", region: str = "", prices: tuple[str, ...] = (),
) -> ImageOutcome:  # fmt: skip
    """One way of making images in closed form.

    Parameters: model and on, names or aliases; weights, a number format (fp16, bf16, fp8, int8,
    fp8_wo, int4_wo ...); resolution, "1024x768"; steps; batch, images at once; software (eager,
    compile, tensorrt ...); share, GPUs that split one image; replicas of that; rate_per_s, a
    demand ("500 images/h") over all replicas.
    Raises: InputError, DoesNotFit, Unsupported.
    """
    case = image_case(model, on, weights=weights, resolution=resolution, steps=steps, batch=batch,
                      software=software, share=share)  # fmt: skip
    if isinstance(replicas, bool) or replicas != int(replicas) or not 1 <= replicas <= 1_000_000:
        raise InputError(f"replicas must be a whole number from 1 to a million, not {replicas}")
    rate = 0.0
    if rate_per_s is not None:
        rate = parse(rate_per_s, "1/s")
        if not rate > 0:
            raise InputError(f"a rate must be above 0, not {rate_per_s}")
    answer = image_outcome(case, int(replicas), rate)
    book = price_book(currency, region=region, own=prices)
    return priced_images(answer, case.where, book, "rent")


def image_outcome(case: ImageCase, replicas: int = 1, rate_per_s: float = 0.0) -> ImageOutcome:
    """The outcome of `replicas` groups of GPUs under a demand [images/s]; 0 = always busy.

    Raises: DoesNotFit, Unsupported.
    """
    time, where, picture = case.time(), case.where, case.model.picture
    energy = case.energy(time)
    each = 1.0 / time.seconds_per_image
    most = each * replicas
    busy = min(rate_per_s / most, 1.0) if rate_per_s else 1.0
    gpus = time.gpus * replicas
    draw = energy.gpu_w * busy + where.power.idle_w * (1.0 - busy)
    watts = machine_watts(where.node, where.machine_gpus, gpus, draw)
    notes = []
    if rate_per_s > most:
        notes.append(f"overloaded: {rate_per_s:.4g} images/s are asked for, {most:.4g} can be made")
    if not time.memory.fits:
        notes.append(f"{time.memory.whole_bytes / 1e9:.1f} GB would stay on the GPU, "
                     f"{time.memory.has_bytes / 1e9:.1f} GB are there: weights are fetched "
                     f"{time.memory.way}")  # fmt: skip
    figures = _figures(case)
    held = time.memory
    return ImageOutcome(
        model=case.record.slug, hardware=where.name, accelerator=where.accelerator.slug,
        width=picture.width, height=picture.height, steps=picture.steps,
        guidance_passes=picture.guidance_passes, software=case.run.software,
        weights=case.run.dtype, batch=case.run.batch, share=time.gpus, replicas=replicas,
        gpus=gpus, latency_s=time.seconds, seconds_per_image=time.seconds_per_image,
        images_per_s=most, busy=busy, text_s=time.text_s, denoise_s=time.denoise_s,
        decode_s=time.decode_s, offload_s=time.offload_s, way=held.way,
        memory=MemoryUse(
            weights_bytes=held.weights_bytes, cache_bytes=0.0,
            workspace_bytes=held.needs_bytes - held.weights_bytes - held.context_bytes,
            reserve_bytes=held.context_bytes, capacity_bytes=held.has_bytes,
        ),
        flop_per_image=sum(time.flop.values()) * time.gpus / case.run.batch,
        gpu_watts=draw, watts=watts, joules_per_image=watts / (most * busy),
        gpu_joules_per_image=draw * gpus / (most * busy), limiting=_WORDS[time.limit],
        figures=figures, kind=max((use.kind for use in figures), key=KINDS.index),
        intervals=_intervals(case, time, most, draw), notes=tuple(notes),
    )  # fmt: skip


def _intervals(case: ImageCase, time: ImageTime, most: float, draw: float) -> dict[str, Interval]:
    power = case.where.power
    near = distance(_FAMILY, case.where.accelerator.slug, case.record.slug)

    def within(quantity: str, value: float) -> Interval:
        return around(value, band_of(_FAMILY, quantity, "", near))

    drawn = within("power", draw)
    return {
        "seconds_per_image": within("seconds", time.seconds_per_image),
        "latency_s": within("seconds", time.seconds),
        "images_per_s": within("rate", most),
        "gpu_watts": Interval(
            max(drawn.low, min(power.idle_w, draw)), draw, min(drawn.high, power.limit_w)
        ),
        "gpu_joules_per_image": within("energy", case.energy(time).joules_per_image),
    }


def _figures(case: ImageCase) -> tuple[FigureUse, ...]:
    """The catalogue figures and constants that a prediction rests on."""
    card, chip = case.where.accelerator, case.chip
    picked: list[tuple[str, str, Figure]] = [
        (card.slug, key, card.figures[key])
        for key in ("memory", "memory_bandwidth", "tdp", "pcie_bandwidth") if key in card.figures
    ]  # fmt: skip
    formats = {"fp16", "fp16_fp16acc"} | {case.run.dtype.removesuffix("_wo")}
    picked += [(card.slug, key, card.peaks[key]) for key in sorted(formats & set(card.peaks))]
    picked += [(case.record.slug, key, item) for key, item in case.record.published.items()]
    constants = load.calibration(RECORD).figures
    keys = [f"{kind}-{chip.family}" for kind in ("matmul", "convolution", "attention")]
    picked += [(RECORD, key, constants[key]) for key in (*keys, "host_launch")]
    return tuple(
        FigureUse(slug, key, x.value, x.low, x.high, x.dimension, x.kind, x.source)
        for slug, key, x in picked
    )


def priced_images(
    item: ImageOutcome, where: Platform, book: PriceBook, acquire: str
) -> ImageOutcome:
    """An outcome with its money: per hour line by line, per image, per thousand, purchase."""
    try:
        bill = book.bill(where, item.gpus, item.watts, acquire)
    except NoPrice:
        return replace(item, notes=(*item.notes, f"no price on record for {item.accelerator}"))
    return replace(item, money=_money(bill, item))


def _money(bill: Bill, item: ImageOutcome) -> dict[str, Any]:
    image = per_unit(bill.per_hour, item.images_per_s, utilisation=item.busy).total

    def plain(amount: Any) -> Mapping[str, Any] | None:
        return amount and {"amount": amount.amount, "currency": amount.currency}

    return {
        "per_hour": plain(bill.per_hour.total),
        "lines": [
            {"label": line.label, "amount": line.money.amount, "basis": line.basis}
            for line in bill.per_hour.lines
        ],
        "per_image": plain(image),
        "per_thousand_images": plain(image * 1000),
        "purchase": plain(bill.purchase),
        "basis": bill.basis,
        "currency": bill.per_hour.currency,
    }


def can_make(
    model: str, *, on: str, weights: str | None = None, resolution: str | None = None,
    steps: int | None = None, software: str | None = None,
) -> ImageFit:  # fmt: skip
    """Whether a model makes images on one GPU, and with how many of them at once.

    Raises: InputError, Unsupported.
    """
    case = image_case(
        model, on, weights=weights, resolution=resolution, steps=steps, software=software
    )
    for form in (weights,) if weights else (case.run.dtype, *_FORMS):
        tried = case.but(dtype=form)
        try:
            time = tried.time()
        except DoesNotFit as short:
            case, problem = tried, short
            continue
        return _fit(tried, time)
    return _refused(case, problem, fixed=bool(weights))


def _fit(case: ImageCase, time: ImageTime) -> ImageFit:
    picture = case.model.picture
    return ImageFit(
        model=case.record.slug, hardware=case.where.name,
        accelerator=case.where.accelerator.slug, weights=case.run.dtype, width=picture.width,
        height=picture.height, steps=picture.steps, runs=True, way=time.memory.way,
        needs_bytes=time.memory.needs_bytes, whole_bytes=time.memory.whole_bytes,
        has_bytes=time.memory.has_bytes, seconds_per_image=time.seconds_per_image,
        batch=_most_at_once(case, time.memory.way),
    )  # fmt: skip


def _most_at_once(case: ImageCase, way: str) -> int:
    """The largest batch that is held in the same way, by powers of two and bisection."""

    def holds(batch: int) -> bool:
        try:
            return case.but(batch=batch).time().memory.way == way
        except DoesNotFit:
            return False

    low, high = 1, 2
    while high < _MOST_BATCH and holds(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _refused(case: ImageCase, short: DoesNotFit, *, fixed: bool) -> ImageFit:
    picture, change = case.model.picture, ""
    trials = [(case.where.name, form) for form in _FORMS] if fixed else []
    trials += [(name, case.run.dtype) for name in _LARGER]
    for name, form in trials:
        other = replace(case, where=platform(name)).but(dtype=form)
        try:
            other.time()
        except TokenmillError:
            continue
        change = f"one {name} in {form}"
        break
    return ImageFit(
        model=case.record.slug, hardware=case.where.name,
        accelerator=case.where.accelerator.slug, weights=case.run.dtype, width=picture.width,
        height=picture.height, steps=picture.steps, runs=False, way="",
        needs_bytes=short.needs_bytes, whole_bytes=short.needs_bytes, has_bytes=short.has_bytes,
        seconds_per_image=float("inf"), batch=0, change=change,
        reason=f"{case.record.slug} in {case.run.dtype} needs {short.needs_bytes / 1e9:.1f} GB "
               f"even with weights in the host's memory, {short.has_bytes / 1e9:.1f} GB are there",
    )  # fmt: skip
