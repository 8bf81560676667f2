"""Scoring: any documented file by its header, odd files by one clear line, odd rows by a reason."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.errors import BadRecord
from tokenmill.evidence.family import FAMILIES, family_of
from tokenmill.evidence.points import read_table
from tokenmill.evidence.score import Score, score_file, write_json

HEADER = "id,gpu,model,engine,load,n_gpus,tp,isl_mean,osl_mean,concurrency,tpot_mean_s"
ROW = "one#1,h100-sxm,llama-3.1-8b,vllm,concurrency,1,1,1000,200,8,0.008"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def scored(tmp_path: Path, *rows: str, header: str = HEADER) -> Score:
    return score_file(written(tmp_path, "\n".join((header, *rows)) + "\n"))


def refusal(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(BadRecord) as refused:
        score_file(written(tmp_path, text))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def only(score: Score) -> tuple[float | None, str]:
    (item,) = score.scored
    return item.predicted, item.reason


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_known_by_its_documented_header(shared: Path, family: object) -> None:
    name = getattr(family, "name", "")
    assert family_of(read_table(shared / "measurements" / f"{name}.csv")) is family


def test_a_row_is_predicted_between_its_bounds(tmp_path: Path) -> None:
    (item,) = scored(tmp_path, ROW).scored
    assert item.predicted and item.low and item.high and not item.reason
    assert item.low < item.predicted < item.high and item.measured == 0.008


@pytest.mark.parametrize("change", ["gpu", "model", "case", "bom", "crlf", "quotes", "extra"])
def test_spellings_change_nothing(tmp_path: Path, change: str) -> None:
    plain = f"{HEADER}\n{ROW}\n"
    spelt = {
        "gpu": plain.replace("h100-sxm", "H100 SXM"),
        "model": plain.replace("llama-3.1-8b", "meta-llama/Llama-3.1-8B"),
        "case": plain.replace(HEADER, HEADER.upper()),
        "bom": "\ufeff" + plain,
        "crlf": plain.replace("\n", "\r\n"),
        "quotes": plain.replace(",vllm,", ',"vllm",'),
        "extra": f"colour,{HEADER}\nblue,{ROW}\n",
    }[change]
    want = score_file(written(tmp_path, plain)).scored[0].predicted
    assert score_file(written(tmp_path, spelt)).scored[0].predicted == want


def test_files_that_are_no_measurements_are_refused_in_one_line(tmp_path: Path) -> None:
    assert "empty" in refusal(tmp_path, "")
    assert "UTF-8" in refusal(tmp_path, b"\xff\xfe\x00gpu")
    assert "commas" in refusal(tmp_path, "gpu;model;tpot_mean_s\n")
    assert "twice" in refusal(tmp_path, "gpu,gpu,model,tpot_mean_s\n")
    assert "nothing that was measured" in refusal(tmp_path, "gpu,model\nh100-sxm,x\n")
    assert "not a CSV table" in refusal(tmp_path, f"{HEADER}\n{'x' * 200_000}\n")
    assert "did you mean tpot_mean_s?" in refusal(tmp_path, "gpu,model,tpot_meen_s\n")
    assert "did you mean model?" in refusal(tmp_path, "gpu,modell,tpot_mean_s\n")


def test_a_column_that_looks_misspelt_is_told(tmp_path: Path) -> None:
    told = scored(tmp_path, ROW, header=HEADER.replace("concurrency", "concurency")).notes
    assert any("did you mean concurrency?" in note for note in told)
    assert not scored(tmp_path, ROW).notes


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("fast", "not a finite number"), ("-0.01", "negative"), ("inf", "not a finite number"),
        ("0", "is 0"), ("0.008,9", "more than the header"),
    ],
)  # fmt: skip
def test_a_wrong_cell_is_a_reason_of_its_row(tmp_path: Path, cell: str, reason: str) -> None:
    score = scored(tmp_path, ROW.replace("0.008", cell), ROW)
    bad, good = score.scored
    assert bad.predicted is None and reason in bad.reason
    assert good.predicted is not None and score.coverage == 0.5


@pytest.mark.parametrize("cell", ["", "nan", "NaN", "n/a", "-"])
def test_unknown_cells_are_blanks(tmp_path: Path, cell: str) -> None:
    assert not scored(tmp_path, ROW.replace("0.008", cell)).scored
    predicted, _ = only(scored(tmp_path, ROW.replace(",1,1,1000", f",1,{cell},1000")))
    assert predicted == only(scored(tmp_path, ROW))[0]


@pytest.mark.parametrize(
    ("old", "new"), [("1000,200", "-1,200"), ("1000,200", "1e300,200"), ("h100-sxm", "h10")]
)
def test_an_impossible_row_does_not_take_the_file_with_it(
    tmp_path: Path, old: str, new: str
) -> None:
    score = scored(tmp_path, ROW.replace(old, new), ROW)
    assert score.scored[0].reason and score.scored[1].predicted


def test_ids_that_stand_twice_are_told_and_scored(tmp_path: Path) -> None:
    score = scored(tmp_path, ROW, ROW)
    assert len(score.scored) == 2 and "1 ids" in score.notes[0]


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(f"{HEADER}\n{ROW}\n".encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert score_file(Path("-")).coverage == 1.0


def test_json_holds_one_object_for_each_row_and_metric(tmp_path: Path) -> None:
    score = scored(tmp_path, ROW, ROW.replace("h100-sxm", "h10"))
    write_json(score, tmp_path / "out.json")
    rows = json.loads((tmp_path / "out.json").read_text())
    keys = ["id", "metric", "measured", "predicted", "low", "high", "reason"]
    assert [list(row) for row in rows] == [keys, keys]
    assert rows[1]["predicted"] is None and "did you mean" in rows[1]["reason"]


CELLS = st.one_of(
    st.sampled_from(
        ["", "0", "-1", "nan", "inf", "1e308", "1e-308", "0.5", "7", "1e7", "true", "x"]
    ),
    st.text(st.characters(exclude_characters='",\n\r\0', exclude_categories=["Cs"]), max_size=8),
)


@settings(max_examples=60)
@given(st.lists(CELLS, min_size=11, max_size=11), st.integers(1, 10))
def test_no_cell_takes_the_file_with_it(cells: list[str], kept: int) -> None:
    """Any cells: the row has a prediction or a reason, and the next row is scored all the same."""
    usual = ROW.split(",")
    row = [*usual[:kept], *cells[kept:]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_text("\n".join((HEADER, ",".join(row), ROW)) + "\n", encoding="utf-8")
        score = score_file(path)
    assert score.scored[-1].predicted is not None
    assert all((item.predicted is None) == bool(item.reason) for item in score.scored)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line_or_read(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(content)
        try:
            score_file(path)
        except BadRecord as refused:
            assert "\n" not in str(refused)


def test_stages_are_rows_of_their_own_metric(tmp_path: Path) -> None:
    header = "id,gpu,n_gpus,stage,model,metric,value,unit"
    score = scored(tmp_path, "s#1,l4,1,asr,whisper-large-v3,samples_per_s,3,1/s", header=header)
    assert [item.metric for item in score.scored] == ["value"]


@pytest.mark.parametrize("name", ["serving_aic_sample", "collectives", "media"])
def test_no_shared_row_leads_out_of_what_can_be_computed(shared: Path, name: str) -> None:
    reasons = score_file(shared / "measurements" / f"{name}.csv").reasons()
    assert not [reason for reason in reasons if "lead out" in reason or "cells more" in reason]
