"""Images on one card: seconds, draw and memory, in the format that suits the card.

The one place where the shopper touches the image family.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.errors import DoesNotFit
from tokenmill.evidence.images.constants import RECORD, recorded
from tokenmill.evidence.interval import Band, band_of, distance
from tokenmill.physics.image_kernels import device
from tokenmill.physics.image_power import image_energy
from tokenmill.physics.images import Run, image_time
from tokenmill.placement.platform import Platform
from tokenmill.planner.shop.question import Job
from tokenmill.work.media import ImageModel, image_model

__all__ = ["EIGHT_BITS", "SOFTWARE", "Making", "making", "picture_of"]

SOFTWARE = "eager"  # PyTorch as it comes, without a compiler
EIGHT_BITS = "fp8_wo"


@dataclass(frozen=True, slots=True)
class Making:
    """One image after another on one card.

    seconds [s] an image; card_w [W]; clock_share [1] of the time that goes with the clock; way:
    "resident", "by network", "by layer", "" where it does not run; rate, the band of images a
    second.
    """

    form: str
    runs: bool
    way: str
    needs_bytes: float
    has_bytes: float
    seconds: float
    card_w: float
    clock_share: float
    kind: str
    rate: Band


def making(job: Job, where: Platform) -> Making:
    """How a card makes images: in the format asked for, else whole in memory, else the faster.

    Without a format, the model's own and 8-bit weights are tried.
    Raises: InputError for an impossible picture or format; Unsupported.
    """
    native = load.model(job.model).native_dtype or "fp16"
    forms = (job.form,) if job.form else (native, EIGHT_BITS)
    tried = [_made(job, form, where) for form in forms]
    whole = [one for one in tried if one.way == "resident"]
    runs = [one for one in tried if one.runs]
    return whole[0] if whole else min(runs or tried[-1:], key=lambda one: one.seconds)


def picture_of(job: Job) -> tuple[int, int, int]:
    """(width, height, steps) of a job's image, the model's own where none were asked for."""
    picture = _model(job).picture
    return picture.width, picture.height, picture.steps


@lru_cache(maxsize=64)
def _model(job: Job) -> ImageModel:
    record = load.model(job.model)
    return image_model(
        record.slug, record.config, width=job.width or None, height=job.height or None,
        steps=job.steps or None,
    )  # fmt: skip


def _made(job: Job, form: str, where: Platform) -> Making:
    constants, kind = recorded(), load.calibration(RECORD).weakest_kind()
    rate = band_of("media", "rate", "", distance("media", where.accelerator.slug, job.model))
    try:
        time = image_time(
            _model(job), device(where.accelerator), Run(software=SOFTWARE, dtype=form), constants
        )
    except DoesNotFit as short:
        return Making(form, False, "", short.needs_bytes, short.has_bytes, 0.0, 0.0, 0.0, kind,
                      rate)  # fmt: skip
    return Making(
        form=form, runs=True, way=time.memory.way,
        # what the whole model would take, were it all on the card
        needs_bytes=time.memory.whole_bytes, has_bytes=time.memory.has_bytes,
        seconds=time.seconds_per_image, card_w=image_energy(time, where.power, constants).gpu_w,
        clock_share=min(time.busy_s / time.seconds, 1.0), kind=kind, rate=rate,
    )  # fmt: skip
