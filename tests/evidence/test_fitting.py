"""Fits write records that the catalogue reads back, to where they were told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenmill.catalog import load
from tokenmill.catalog.records import Calibration
from tokenmill.errors import InputError, UnknownName
from tokenmill.evidence.family import family_named
from tokenmill.evidence.fitting import fit, folder_for
from tokenmill.evidence.points import Point

HEADER = "id,publication,quality,gpu,n_gpus,gpus_per_node,op,message_bytes,latency_s"


def measurements(folder: Path, off: float) -> Path:
    """Collectives whose measured times lie off the predicted ones by a factor."""
    predict = family_named("collectives").predict
    rows = [HEADER]
    for gpu in ("a100-sxm-80gb", "h100-sxm", "b200-sxm"):
        for power in range(10, 30):
            cells = {"gpu": gpu, "n_gpus": "8", "op": "all_reduce", "message_bytes": str(2**power)}
            seconds = predict(Point("x", 1, cells))["latency_s"] * off ** (-1) ** power
            rows.append(f"{gpu}#{power},p,a,{gpu},8,8,all_reduce,{2**power},{seconds}")
    (folder / "measurements").mkdir(parents=True)
    (folder / "measurements" / "collectives.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_intervals_are_written_as_the_residuals_lie(tmp_path: Path) -> None:
    told = list(fit(["intervals"], measurements(tmp_path / "shared", 1.2), tmp_path / "own"))
    assert any("60 residuals of 60 rows" in line for line in told)
    (path,) = (tmp_path / "own").rglob("*.toml")
    record = load.read_record(path, Calibration)
    cell = record.figures["latency/measured"]
    assert cell.low == pytest.approx(1 / 1.2, rel=0.01) and cell.high == pytest.approx(
        1.2, rel=0.01
    )
    assert record.figures["rows/h100-sxm/"].value == 20


def test_subjects_and_folders_are_checked_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownName, match="did you mean serving"):
        list(fit(["servings"], tmp_path, tmp_path))
    with pytest.raises(InputError, match="measurements"):
        list(fit(["power"], tmp_path, tmp_path))
    monkeypatch.delenv("TOKENMILL_CATALOG", raising=False)
    with pytest.raises(InputError, match="--out"):
        folder_for(None)
    monkeypatch.setenv("TOKENMILL_CATALOG", str(tmp_path))
    assert folder_for(None) == tmp_path and folder_for(tmp_path / "x") == tmp_path / "x"
