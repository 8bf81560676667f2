"""Answers about images: one configuration, whether it runs at all, and ranked options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tokenmill.cost.money import Money
from tokenmill.planner.answer import Refusal
from tokenmill.simulator.outcome import FigureUse, Interval, MemoryUse

__all__ = ["ImageFit", "ImageOption", "ImageOutcome", "ImagePlan", "ranked_images"]


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """How fast images are made, at how much energy and money, how sure, and what limits it.

    `latency_s` [s] is the time of a batch, all of whose images are done together, without a
    queue; `seconds_per_image` is that of one instance, over the images of its batch;
    `images_per_s` is what all instances can make, `busy` the share of it that a demand uses.
    `share` GPUs split one image between them; `way` is how weights are held (resident, or fetched
    from the host's memory by network or by layer). Watts and joules are means under the demand.
    """

    model: str
    hardware: str
    accelerator: str
    width: int
    height: int
    steps: int
    guidance_passes: int
    software: str
    weights: str
    batch: int
    share: int
    replicas: int
    gpus: int
    latency_s: float
    seconds_per_image: float
    images_per_s: float
    busy: float
    text_s: float
    denoise_s: float
    decode_s: float
    offload_s: float
    way: str
    memory: MemoryUse
    flop_per_image: float
    gpu_watts: float  # per GPU
    watts: float  # at the wall
    joules_per_image: float  # at the wall
    gpu_joules_per_image: float
    limiting: str
    figures: tuple[FigureUse, ...] = ()
    kind: str = "assumed"  # the weakest kind among the figures
    money: dict[str, Any] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, every figure in its base unit."""
        plain = asdict(self)
        plain["memory"]["used_bytes"] = self.memory.used_bytes
        plain["memory"]["free_bytes"] = self.memory.free_bytes
        return plain


@dataclass(frozen=True, slots=True)
class ImageFit:
    """Whether a model makes images on a card: how its weights are held, or what would do it."""

    model: str
    hardware: str
    accelerator: str
    weights: str
    width: int
    height: int
    steps: int
    runs: bool
    way: str
    needs_bytes: float  # of the way it runs
    whole_bytes: float  # with everything on the GPU
    has_bytes: float
    seconds_per_image: float
    batch: int  # most images at once
    reason: str = ""
    change: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ImageOption:
    """One way to make the images of a question: hardware, what runs on it, what it costs.

    `outcomes` holds one ImageOutcome per model; latency is the longest of them, images_per_s what
    all can make together; watts at the wall; money None where no price is on record.
    """

    hardware: str
    outcomes: tuple[ImageOutcome, ...]
    gpus: int
    machines: int
    latency_s: float
    images_per_s: float
    watts: float
    joules_per_image: float
    per_hour: Money | None
    per_image: Money | None
    purchase: Money | None
    basis: str
    notes: tuple[str, ...] = ()

    def score(self, goal: str, *, demanded: bool) -> tuple[float, ...]:
        """Sort key for a goal, the best first; an unknown price goes last.

        Parameters: demanded, whether a rate was asked for; without one an image is what counts.
        """
        infinite = float("inf")
        price = self.per_image if not demanded else self.per_hour
        cost = price.amount if price is not None else infinite
        keys = {
            "cost": (cost, self.gpus, self.latency_s),
            "energy": (self.joules_per_image, cost),
            "gpus": (float(self.gpus), cost),
            "latency": (self.latency_s, cost),
        }
        return keys[goal]


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """The answer to a question about images: the best option of each hardware, and the refusals."""

    question: dict[str, Any]
    models: tuple[str, ...]
    images_per_s: float  # of each model; 0 where no rate was asked for
    latency_limit_s: float
    currency: str
    options: tuple[ImageOption, ...]
    refused: tuple[Refusal, ...]
    evaluated: int

    @property
    def best(self) -> ImageOption | None:
        """The first option, or None where everything was refused."""
        return self.options[0] if self.options else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; money as amount and currency."""
        plain = asdict(self)
        plain["options"] = [_plain(option) for option in self.options]
        return plain


def _plain(option: ImageOption) -> dict[str, Any]:
    plain = asdict(option)
    plain["outcomes"] = [outcome.to_dict() for outcome in option.outcomes]
    for key in ("per_hour", "per_image", "purchase"):
        amount: Money | None = getattr(option, key)
        if amount is not None:
            plain[key] = {"amount": amount.amount, "currency": amount.currency}
    return plain


def ranked_images(
    options: Iterable[ImageOption], goal: str, *, demanded: bool
) -> tuple[ImageOption, ...]:
    """Options by a goal, the best first; equal ones by name."""
    return tuple(
        sorted(options, key=lambda one: (*one.score(goal, demanded=demanded), one.hardware))
    )
