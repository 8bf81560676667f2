"""One question, whatever it is about: language models, or models that make images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from tokenmill.errors import InputError
from tokenmill.planner import single
from tokenmill.planner.answer import Plan
from tokenmill.planner.images.answer import ImageFit, ImageOutcome, ImagePlan
from tokenmill.planner.images.estimate import can_make, estimate_images, is_image_model
from tokenmill.planner.images.plan import plan_images
from tokenmill.planner.plan import plan
from tokenmill.planner.question import IMAGE_KEYS, Question
from tokenmill.planner.question import question as build
from tokenmill.planner.single import Fit
from tokenmill.simulator.outcome import Outcome

__all__ = ["ask", "can_run", "estimate", "planned"]


def estimate(model: str, *, on: str, **asked: Any) -> Outcome | ImageOutcome:
    """One configuration in closed form: how fast, how much energy and money, and what limits it.

    Parameters: model and on, names or aliases; asked, the keywords of `single.estimate` for a
    language model (tp, prompt_tokens, rate_per_s ...), of `estimate_images` for one that makes
    images (resolution, steps, batch, software, share ...).
    Raises: InputError, also for a keyword of the other kind; DoesNotFit, Unsupported.
    """
    if is_image_model(model):
        return estimate_images(
            model, on=on, **_fitting(estimate_images, single.estimate, asked, model, "language")
        )
    return single.estimate(
        model, on=on, **_fitting(single.estimate, estimate_images, asked, model, "image")
    )


def can_run(model: str, *, on: str, **asked: Any) -> Fit | ImageFit:
    """Whether a model runs on some GPUs, or makes images on one.

    Parameters: model and on, names or aliases; asked, the keywords of `single.can_run` or of
    `can_make`. Raises: InputError, Unsupported.
    """
    if is_image_model(model):
        return can_make(
            model, on=on, **_fitting(can_make, single.can_run, asked, model, "language")
        )
    return single.can_run(model, on=on, **_fitting(single.can_run, can_make, asked, model, "image"))


def _fitting(
    own: Callable[..., Any], other: Callable[..., Any], asked: Mapping[str, Any], model: str,
    kind: str,
) -> dict[str, Any]:  # fmt: skip
    """The keywords that are a function's own; those of the other one only where they say nothing.

    Raises: InputError.
    """
    mine, theirs = signature(own).parameters, signature(other).parameters
    for key, value in asked.items():
        if key not in mine and (key not in theirs or value not in (None, theirs[key].default)):
            takes = ", ".join(name for name in mine if name not in ("model", "on"))
            told = f"is for {kind} models" if key in theirs else "is no keyword"
            raise InputError(f"{key} {told}; {model} takes {takes}")
    return {key: value for key, value in asked.items() if key in mine}


def ask(question: Question | None = None, **given: Any) -> Plan | ImagePlan:
    """Plan from a Question, or from its fields as keywords: ask(models="llama-3.3-70b", ...).

    Returns: a Plan, or an ImagePlan where the models make images. Raises: InputError.
    """
    if question is None:
        question = build(**given)
    elif given:
        raise InputError("give a Question or its fields, not both")
    return planned(question)


def planned(
    question: Question, *, progress: Callable[[str], None] | None = None
) -> Plan | ImagePlan:
    """The ranked answer to a question; progress is told the name of each hardware.

    Raises: InputError, also where models of both kinds are asked for at once.
    """
    if any(is_image_model(name) for name in question.models):
        return plan_images(question, progress=progress)
    stray = [key for key in IMAGE_KEYS if getattr(question, key)]
    if stray:
        raise InputError(f"{stray[0]} is for image models, such as: tokenmill plan sdxl")
    return plan(question, progress=progress)
