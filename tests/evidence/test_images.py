"""Image times against published measurements: coverage, error budgets, intervals, rules."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tokenmill.catalog.load import calibration
from tokenmill.errors import InputError, UnknownName
from tokenmill.evidence.image_constants import FREE, complete
from tokenmill.evidence.image_files import known_elsewhere, quantiles
from tokenmill.evidence.image_fit import cross_validate, errors, fit, rows, table
from tokenmill.evidence.image_interval import distance, image_band
from tokenmill.evidence.image_rows import ImageRow, covers, predict_s, read_row

CONSTANTS = {key: item.value for key, item in calibration("images").figures.items()}
TARGETS = ("sd-", "sdxl", "flux")
# Budgets on the fitted rows; they may only shrink.
MEDIAN, MEAN = 0.075, 0.095


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


def test_errors_stay_within_their_budget(found: list[ImageRow]) -> None:
    targets = [one for one in found if one.model.startswith(TARGETS) and one.quality in "ab"]
    off = np.abs(np.expm1(errors(targets, CONSTANTS)))
    assert np.median(off) <= MEDIAN
    assert off.mean() <= MEAN


def test_a_fit_without_a_gpu_still_predicts_it(found: list[ImageRow]) -> None:
    some = [one for one in found if one.gpu in ("rtx-4090", "l20", "h100-pcie", "a100-pcie-40gb")]
    checked = cross_validate(some, lambda one: one.gpu, rounds=4)
    assert len(checked.constants) == 4
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


def test_intervals_widen_with_distance() -> None:
    bands = [
        image_band(gpu, model)
        for gpu, model in (("h100-sxm", "flux.1-dev"), ("h200-sxm", "sdxl"), ("t4", "sd-1.5"))
    ]
    widths = [math.log(high / low) for low, high in bands]
    assert widths == sorted(widths)
    assert all(low < 1 < high for low, high in bands)
    assert distance("h100", "FLUX.1-dev") == "measured"
    assert distance("h200-sxm", "sdxl-1.0") == "architecture"
    assert distance("rtx-a4500", "sdxl-1.0") == "specification"
    with pytest.raises(UnknownName):
        image_band("h10", "sdxl")


def test_quantiles_weigh_rows() -> None:
    error = np.log(np.array([1.0, 1.1, 1.2, 1.3, 1.4]))
    low, high = quantiles(error, np.ones(5), 0.1)
    assert 1 / 1.4 <= low < high <= 1.0
    heavy, _ = quantiles(error, np.array([1.0, 1.0, 1.0, 1.0, 100.0]), 0.4)
    assert heavy == pytest.approx(1 / 1.4, rel=0.02)


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
    with pytest.raises(InputError, match=r"x#1.*steps"):
        read_row(row(steps="many"))
    with pytest.raises(UnknownName, match="rtx-4090"):
        read_row(row(gpu="rtx-4099"))
