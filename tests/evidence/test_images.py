"""Image times against published measurements: coverage, error budgets, intervals, rules."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tokenmill.catalog.load import calibration, read_record
from tokenmill.catalog.records import Calibration
from tokenmill.errors import InputError, UnknownName, Unsupported
from tokenmill.evidence.images.constants import FREE, complete
from tokenmill.evidence.images.files import files, held, known_elsewhere, quantiles
from tokenmill.evidence.images.fit import (
    GROUPS,
    Validation,
    cross_validate,
    energy_errors,
    errors,
    fit,
    rows,
    table,
)
from tokenmill.evidence.images.predict import predict_media
from tokenmill.evidence.images.rows import ImageRow, covers, predict, predict_s, read_row
from tokenmill.evidence.interval import DISTANCES, band_of, distance
from tokenmill.evidence.points import read_points

CONSTANTS = {key: item.value for key, item in calibration("images").figures.items()}
TARGETS = ("sd-", "sdxl", "flux")
# Budgets on the fitted rows; they may only shrink.
MEDIAN, MEAN, POWER, ENERGY = 0.075, 0.095, 0.09, 0.09


@pytest.fixture(scope="module")
def found(shared: Path) -> list[ImageRow]:
    return rows(shared / "measurements")


def row(**cells: str) -> dict[str, str]:
    plain = {
        "id": "x#1", "gpu": "rtx-4090", "n_gpus": "1", "model": "sdxl-1.0", "width": "1024",
        "height": "1024", "frames": "", "steps": "20", "batch": "1", "precision": "fp16",
        "software": "eager", "seconds_per_output": "2.5", "outputs_per_s": "0.4", "quality": "a",
    }  # fmt: skip
    return {**plain, **cells}


def test_every_row_is_covered(shared: Path, found: list[ImageRow]) -> None:
    with (shared / "measurements" / "media.csv").open(encoding="utf-8") as lines:
        cells = list(csv.DictReader(lines))
    wanted = [
        c["id"] for c in cells if c["model"].startswith(TARGETS) and c["quality"] in ("a", "b")
    ]
    assert len(wanted) == 385
    assert set(wanted) <= {one.id for one in found}
    assert np.isfinite(errors(found, CONSTANTS)).all()
    assert all(covers(c) for c in cells if c["id"] in set(wanted))


def test_every_image_row_gets_every_metric(shared: Path) -> None:
    points = list(read_points(shared / "measurements" / "media.csv"))
    pictures = [one for one in points if not one.text("frames") and covers(one.cells)]
    assert len(pictures) == 627
    for point in pictures:
        told = predict_media(point)
        assert all(math.isfinite(value) and value > 0 for value in told.values())
        assert told["power_w"] == pytest.approx(told["energy_j_per_output"] * told["outputs_per_s"])
    video = next(one for one in points if one.text("frames"))
    with pytest.raises(Unsupported, match="video is not predicted"):
        predict_media(video)


def test_power_and_energy_stay_within_their_budget(found: list[ImageRow]) -> None:
    watts, joules = energy_errors(found, CONSTANTS)
    for off, median, mean in ((watts, POWER, 0.12), (joules, ENERGY, 0.12)):
        wrong = np.abs(np.expm1(off[np.isfinite(off)]))
        assert wrong.size == 378
        assert np.median(wrong) <= median and wrong.mean() <= mean


def test_errors_stay_within_their_budget(found: list[ImageRow]) -> None:
    targets = [one for one in found if one.model.startswith(TARGETS) and one.quality in "ab"]
    off = np.abs(np.expm1(errors(targets, CONSTANTS)))
    assert np.median(off) <= MEDIAN
    assert off.mean() <= MEAN


def test_a_fit_without_a_gpu_still_predicts_it(found: list[ImageRow]) -> None:
    some = [one for one in found if one.gpu in ("rtx-4090", "l20")]
    checked = cross_validate(some, lambda one: one.gpu, rounds=2, near=CONSTANTS)
    assert len(checked.constants) == 2
    assert np.median(np.abs(np.expm1(checked.errors))) <= 0.25
    assert table(["all"] * len(some), checked.errors)[0].startswith("all ")


def test_the_fit_finds_constants_it_was_given(found: list[ImageRow]) -> None:
    some = [one for one in found if one.gpu == "h100-sxm" and one.run.gpus == 1][:80]
    truth = complete({item.key: item.start for item in FREE} | {"convolution-hopper": 0.38})
    made = [replace(one, seconds=predict_s(one, truth)) for one in some]
    again = fit(made, rounds=6)
    assert np.median(np.abs(np.expm1(errors(made, again)))) < 0.01
    start = {item.key: item.start for item in FREE}["convolution-hopper"]
    assert 0.38 < again["convolution-hopper"] < 0.95 * start  # the prior holds some of it back


def test_a_near_start_ends_where_a_far_one_does(found: list[ImageRow]) -> None:
    some = [one for one in found if one.gpu == "l20"]
    near = fit(some, rounds=4, near=fit(some, rounds=4))
    far = fit(some, rounds=4)
    assert np.abs(errors(some, near) - errors(some, far)).max() < 0.02


def test_bands_are_held_against_rows_they_were_not_made_of() -> None:
    groups = ["a"] * 50 + ["b"] * 50
    spread = np.tile(np.linspace(-0.2, 0.2, 50), 2)
    assert held(groups, spread, np.ones(100)) == pytest.approx(0.84, abs=0.03)
    apart = np.concatenate([spread[:50] - 1.0, spread[50:] + 1.0])
    assert held(groups, apart, np.ones(100)) == 0.0


@pytest.mark.parametrize("quantity", ["seconds", "rate", "power", "energy"])
def test_intervals_widen_with_distance(quantity: str) -> None:
    bands = [band_of("media", quantity, "", near) for near in DISTANCES]
    assert [one.spread for one in bands] == sorted(one.spread for one in bands)
    assert all(one.low <= one.middle <= one.high and one.low <= 1 <= one.high for one in bands)
    crowd = band_of("media", quantity, "", "specification", quality="c")
    assert crowd.spread >= bands[-1].spread


def test_a_fit_writes_records_that_read_back(found: list[ImageRow], tmp_path: Path) -> None:
    off = errors(found, CONSTANTS)
    check = Validation(off, *energy_errors(found, CONSTANTS), (CONSTANTS,))
    crowd = np.log(np.linspace(0.4, 1.6, 20))
    for name, text in files(found, CONSTANTS, dict.fromkeys(GROUPS, check), crowd).items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
        record = read_record(tmp_path / f"{name}.toml", Calibration)
        known = calibration(name).figures
        assert record.figures.keys() == known.keys()
        if name == "images":
            for key, figure in record.figures.items():
                assert figure.value == pytest.approx(known[key].value, rel=1e-3), key


def test_how_near_a_measurement_came() -> None:
    assert distance("media", "h100", "FLUX.1-dev") == "measured"
    assert distance("media", "h200-sxm", "sdxl-1.0") == "architecture"
    assert distance("media", "rtx-a4500", "sdxl-1.0") == "specification"
    assert distance("media", "rtx-3090", "sd-1.5") == "specification"  # submissions decide nothing
    with pytest.raises(UnknownName):
        distance("media", "h10", "sdxl")


def test_quantiles_weigh_rows() -> None:
    error = np.log(np.array([1.0, 1.1, 1.2, 1.3, 1.4]))
    low, high = quantiles(error, np.ones(5), (0.1, 0.9))
    assert 1 / 1.4 <= low < high <= 1.0
    heavy, _ = quantiles(error, np.array([1.0, 1.0, 1.0, 1.0, 100.0]), (0.4, 0.6))
    assert heavy == pytest.approx(1 / 1.4, rel=0.02)


@pytest.mark.parametrize(
    ("named", "form"),
    [("", "fp16"), ("fp8dqrow", "fp8"), ("int8wo", "int8_wo"), ("NF4", "int4_wo"),
     ("nvfp4", "fp4"), ("w8a8", "int8"), ("bfloat16", "bf16"), ("tf32", "fp32"), ("fp3", "fp3")],
)  # fmt: skip
def test_precisions_are_understood_by_many_names(named: str, form: str) -> None:
    assert read_row(row(precision=named)).run.dtype == form


def test_uncontrolled_submissions_are_slower() -> None:
    plain, crowd = read_row(row()), read_row(row(software="community"))
    assert predict_s(crowd, CONSTANTS) == pytest.approx(
        predict_s(plain, CONSTANTS) / CONSTANTS["crowd"]
    )
    assert CONSTANTS["crowd"] < 1.0


def test_a_row_that_was_measured_fitted() -> None:
    big = read_row(row(gpu="rtx-3060-12gb", model="flux.1-dev", precision="bf16", batch="8"))
    assert predict(big, CONSTANTS).memory.fits
    short = replace(big, offloaded=True, run=replace(big.run, batch=1))
    assert not predict(short, CONSTANTS).memory.fits


def test_known_elsewhere_needs_another_publication(found: list[ImageRow]) -> None:
    known = known_elsewhere(found)
    pairs = {(r.gpu, r.model) for r, k in zip(found, known, strict=True) if k}
    assert ("h100-sxm", "flux.1-dev") in pairs
    assert ("l20", "flux.1-dev") in pairs
    assert ("h100-pcie", "sd-1.5") not in pairs


def test_rows_are_read_by_stated_rules() -> None:
    mlperf = row(software="mlperf", batch="", precision="", n_gpus="8", seconds_per_output="",
                 outputs_per_s="16")  # fmt: skip
    read = read_row(mlperf)
    assert (read.seconds, read.replicas, read.run.batch, read.run.dtype) == (0.5, 8, 16, "fp16")
    split = read_row(row(model="FLUX.1-dev", software="xdit", n_gpus="8",
                         note="xDiT ulysses=4 ring=2; power"))  # fmt: skip
    assert (split.run.ulysses, split.run.ring, split.replicas) == (4, 2, 1)
    assert read_row(row(note="denoising loop only (no text encoder, no VAE)")).run.loop_only
    assert not read_row(row(note="diffusers 0.11, no xformers")).run.fused_attention
    assert read_row(row(software="fp8-dynamic-quant-compile")).run.software == "compile"
    assert read_row(row(steps="", width="")).steps == 50
    assert not covers(row(model="wan2.1-t2v-14b", frames="81"))
    assert covers(row(frames="1"))
    assert read_row(row(software="community")).crowd
    assert read_row(row(note="diffusers 0.11 + xformers, PyTorch 1.13")).run.xformers
    assert not read_row(row(note="diffusers 0.11, no xformers")).run.xformers
    assert read_row(row(note="sequential CPU offload")).offloaded
    alone = row(software="mlperf", batch="", locator="closed/x/SingleStream/y")
    assert read_row(alone).run.batch == 1
    assert read_row(row(software="mlperf", batch="", locator="closed/x/server/y")).server
    with pytest.raises(InputError, match=r"x#1.*steps"):
        read_row(row(steps="many"))
    with pytest.raises(UnknownName, match="rtx-4090"):
        read_row(row(gpu="rtx-4099"))
