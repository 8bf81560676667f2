"""Estimates, plans and can-i-run of image models: sums, limits, refusals, brute force."""

from __future__ import annotations

import json
import math
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tokenmill as tm
from tokenmill.catalog.load import names, records
from tokenmill.errors import DoesNotFit, InputError, TokenmillError, Unsupported
from tokenmill.physics.images import SOFTWARE
from tokenmill.planner.images.answer import ImageFit, ImageOutcome, ImagePlan

MODELS = [record.slug for record in records("models") if record.family == "image"]
CARDS = ("rtx-4090", "rtx-3060-12gb", "l40s", "h100", "h200", "b200", "mi300x", "t4", "v100")


def outcome(model: str = "sdxl", on: str = "rtx-4090", **asked: Any) -> ImageOutcome:
    answer = tm.estimate(model, on=on, **asked)
    assert isinstance(answer, ImageOutcome)
    return answer


def planned(**asked: Any) -> ImagePlan:
    answer = tm.plan(**asked)
    assert isinstance(answer, ImagePlan)
    return answer


@settings(max_examples=40)
@given(
    st.sampled_from(MODELS), st.sampled_from(CARDS), st.sampled_from(sorted(SOFTWARE)),
    st.sampled_from([None, "512x768", "1024"]), st.sampled_from([None, 8]),
    st.sampled_from([1, 3, 16]), st.sampled_from([None, 0.01, 3.0]),
)  # fmt: skip
def test_every_answer_hangs_together(
    model: str, on: str, software: str, size: str | None, steps: int | None, batch: int,
    rate: float | None,
) -> None:  # fmt: skip
    try:
        found = outcome(model, on, software=software, resolution=size, steps=steps, batch=batch,
                        rate_per_s=rate, replicas=2)  # fmt: skip
    except DoesNotFit:
        assume(False)
    parts = found.text_s + found.denoise_s + found.decode_s + found.offload_s
    assert found.latency_s == pytest.approx(parts)
    assert found.seconds_per_image == pytest.approx(found.latency_s / batch)
    assert found.images_per_s == pytest.approx(2.0 / found.seconds_per_image)
    assert found.memory.used_bytes <= found.memory.capacity_bytes * (1 + 1e-9)
    assert found.memory.workspace_bytes >= 0
    for key, band in found.intervals.items():
        assert band.low <= band.value <= band.high, key
    made = found.images_per_s * found.busy
    assert found.joules_per_image == pytest.approx(found.watts / made)
    assert 0 < found.busy <= 1
    if rate is not None and rate <= found.images_per_s:
        assert made == pytest.approx(rate)
    overloaded = rate is not None and rate > found.images_per_s
    assert overloaded == any("overloaded" in note for note in found.notes)
    json.dumps(found.to_dict(), allow_nan=False)


def test_money_adds_up_and_an_image_is_a_share_of_the_hour() -> None:
    found = outcome(rate_per_s="400 images/h")
    lines = sum(round(line["amount"] * 1e9) for line in found.money["lines"])
    assert lines == round(found.money["per_hour"]["amount"] * 1e9)
    each = found.money["per_image"]["amount"]
    assert each * 400 == pytest.approx(found.money["per_hour"]["amount"], rel=1e-6)
    assert found.money["per_thousand_images"]["amount"] == pytest.approx(1000 * each)
    own = outcome(prices=("rtx-4090=$1.25/GPU-hour",))
    assert own.money["per_hour"] == {"amount": 1.25, "currency": "USD"}


def test_what_is_asked_for_is_what_is_made() -> None:
    found = outcome(resolution="1024x768", steps=30, batch=4, software="compile", weights="fp8")
    assert (found.width, found.height, found.steps, found.batch) == (1024, 768, 30, 4)
    assert (found.software, found.weights) == ("compile", "fp8")
    assert outcome(steps=60).denoise_s == pytest.approx(2 * outcome(steps=30).denoise_s)
    assert outcome("flux.1-dev").weights == "fp8_wo"  # whole in 24 GB only with 8-bit weights
    assert outcome("flux.1-dev", "h100").weights == "bf16"
    shared = outcome("flux.1-dev", "h100", share=4)
    assert (shared.gpus, shared.share) == (4, 4)
    alone = outcome("flux.1-dev", "h100")
    assert alone.latency_s / 4 < shared.latency_s < 0.7 * alone.latency_s


@pytest.mark.parametrize(
    ("model", "asked", "says"),
    [
        ("sdxl", {"resolution": "large"}, "1024x768"),
        ("sdxl", {"resolution": "0x512"}, "width"),
        ("sdxl", {"steps": 0}, "steps"),
        ("sdxl", {"batch": 0}, "batch"),
        ("sdxl", {"software": "magic"}, "software"),
        ("sdxl", {"weights": "fp3"}, "fp3"),
        ("sdxl", {"replicas": 0}, "replicas"),
        ("sdxl", {"rate_per_s": -1.0}, "above 0"),
        ("sdxl", {"share": 2}, "UNet"),
        ("flux.1-dev", {"share": 64}, "share"),
        ("sdxl", {"tp": 2}, "tp is for language models"),
        ("sdxl", {"prompt_tokens": 5.0}, "prompt"),
        ("llama-3.1-8b", {"steps": 20}, "steps is for image models"),
        ("sdxl", {"batch": 64, "resolution": "4096x4096"}, "needs"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(
    model: str, asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(TokenmillError, match=says) as refused:
        tm.estimate(model, on="rtx-4090", **asked)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("minimise", ["cost", "latency", "energy"])
def test_a_plan_is_what_brute_force_finds(minimise: str) -> None:
    asked = {"models": "sdxl,flux.1-schnell", "rate_per_s": 3.0, "latency_s": 20.0}
    for card in ("l40s", "h100"):
        found = planned(hardware=card, minimise=minimise, **asked).best
        assert found is not None
        for part in found.outcomes:
            tries = []
            for batch, share in product((1, 2, 4, 8, 16, 32, 64), (1, 2, 4, 8)):
                try:
                    one = outcome(part.model, card, batch=batch, share=share)
                except (DoesNotFit, Unsupported):
                    continue
                if one.latency_s <= 20.0:
                    gpus = share * math.ceil(3.0 / one.images_per_s - 1e-9)
                    tries.append((gpus, one))
            if minimise == "cost":
                assert part.gpus == min(gpus for gpus, _ in tries)
            elif minimise == "latency":
                assert part.latency_s == pytest.approx(min(one.latency_s for _, one in tries))
            else:
                least = min(one.gpu_joules_per_image for _, one in tries)
                again = outcome(part.model, card, batch=part.batch, share=part.share)
                assert again.gpu_joules_per_image == pytest.approx(least)
            assert part.images_per_s >= 3.0 * (1 - 1e-9)
        assert found.gpus == sum(part.gpus for part in found.outcomes)
        assert found.per_hour is not None and found.per_image is not None
        assert found.per_image.amount == pytest.approx(found.per_hour.amount / 3600 / 6.0)


def test_options_are_ranked_by_what_is_asked_for() -> None:
    asked = {"models": "sdxl", "hardware": "rtx-4090,l40s,h100,rtx-3060-12gb"}
    by_image = [one.per_image.amount for one in planned(**asked).options if one.per_image]
    assert len(by_image) == 4 and by_image == sorted(by_image)
    by_hour = [x.per_hour.amount for x in planned(rate_per_s=2.0, **asked).options if x.per_hour]
    assert by_hour == sorted(by_hour)
    by_time = [one.latency_s for one in planned(minimise="latency", **asked).options]
    assert by_time == sorted(by_time)


@pytest.mark.parametrize(
    ("asked", "limit"),
    [
        ({"latency_s": 0.5}, "latency"),
        ({"rate_per_s": 50.0, "gpus": 2}, "gpus"),
        ({"rate_per_s": 50.0, "power_w": 400.0}, "power"),
        ({"rate_per_s": 50.0, "budget": "$1", "budget_per": "hour"}, "budget"),
        ({"latency_s": 0.5, "rate_per_s": 50.0, "gpus": 1}, "latency"),
    ],
)
def test_a_refusal_names_the_limit_and_a_change_that_works(
    asked: dict[str, Any], limit: str
) -> None:
    question = {"models": "sdxl", "hardware": "rtx-4090", **asked}
    answer = planned(**question)
    assert answer.best is None
    (refusal,) = answer.refused
    assert refusal.limit == limit and refusal.checked
    assert planned(**{**question, **refusal.change}).best is not None


def test_what_does_not_fit_is_offered_larger_hardware() -> None:
    answer = planned(models="sdxl", hardware="rtx-3050-laptop", resolution="2048x2048")
    (refusal,) = answer.refused
    assert refusal.limit == "memory" and refusal.checked
    assert planned(models="sdxl", resolution="2048x2048", **refusal.change).best is not None


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"models": "sdxl,llama-3.1-8b"}, "llama-3.1-8b is not an image model"),
        ({"models": "sdxl", "prompt_tokens": 100}, "prompt_tokens is for language models"),
        ({"models": "sdxl", "users": 10, "think_s": 0}, "think"),
        ({"models": "llama-3.1-8b", "resolution": "512x512"}, "resolution is for image models"),
        ({"models": "sdxl", "resolution": "big"}, "1024x768"),
        ({"models": "sdxl", "software": "magic"}, "magic"),
        ({"models": "sdxl", "latency_s": 0}, "latency_s"),
    ],
)  # fmt: skip
def test_questions_of_two_minds_are_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        tm.plan(hardware="rtx-4090", **asked)


def test_users_ask_now_and_then() -> None:
    answer = planned(models="sdxl", hardware="rtx-4090", users=60, think_s="60 s")
    assert answer.images_per_s == pytest.approx(1.0)
    assert answer.best is not None and answer.best.images_per_s >= 1.0


@pytest.mark.parametrize(
    ("model", "on", "way"),
    [("sdxl", "rtx-4090", "resident"), ("flux.1-dev", "rtx-4070", "by network"),
     ("sd-1.5", "rtx-3060-12gb", "resident"), ("flux.1-dev", "h100", "resident")],
)  # fmt: skip
def test_can_run_says_how_weights_are_held(model: str, on: str, way: str) -> None:
    fit = tm.can_run(model, on=on)
    assert isinstance(fit, ImageFit)
    assert fit.runs and fit.way == way and fit.batch >= 1
    again = outcome(model, on, weights=fit.weights, batch=fit.batch)
    assert again.way == way
    with pytest.raises(DoesNotFit):  # a thousand times as many do not fit in any way
        outcome(model, on, weights=fit.weights, batch=fit.batch * 1000)


def test_can_run_offers_a_card_where_nothing_helps() -> None:
    fit = tm.can_run("sdxl", on="rtx-3050-laptop", resolution="2048x2048")
    assert isinstance(fit, ImageFit)
    assert not fit.runs and fit.needs_bytes > fit.has_bytes
    card, form = fit.change.removeprefix("one ").split(" in ")
    assert outcome(on=card, weights=form, resolution="2048x2048").latency_s > 0
    with pytest.raises(InputError, match="context"):
        tm.can_run("sdxl", on="rtx-4090", context_tokens=4096)


def test_every_accelerator_answers_or_says_why() -> None:
    for card in names("accelerators"):
        try:
            assert outcome("sd-1.5", card).images_per_s > 0
        except (Unsupported, DoesNotFit) as problem:
            assert str(problem)
