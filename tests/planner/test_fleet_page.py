"""The verb `fleet`: the page keeps to its terminal, adds up as printed, agrees with --json."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from tokenmill.errors import TokenmillError
from tokenmill.interface.cli import fleet as verb
from tokenmill.interface.cli import view

pytest.importorskip("highspy", reason="the fleet extra is not installed")

FILE = """
name = "one service"
currency = "JPY"
start = "2027"
years = 2
periods_per_year = 2
[workloads.chat]
rate = "10 req/s"
growth = "40 %"
on.machine = { requests_per_s = 2.5, watts_busy = "8 kW" }
[sites.tokyo]
power = "POWER"
pue = 1.3
tariff = "¥29"
space = "¥15,000"
[systems.machine]
price = "¥31,234,567"
price_growth = "-13 %"
resale = "33 %"
watts_idle = "2 kW"
gpus = 8
"""


@pytest.fixture(name="scenario")
def _scenario(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(FILE.replace("POWER", "90 kW"), encoding="utf-8")
    return path


def run(*words: str | Path) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    verb.register(app)
    return CliRunner().invoke(app, ["fleet", *map(str, words)], catch_exceptions=False)


def page(monkeypatch: pytest.MonkeyPatch, path: Path, width: int) -> str:
    out = io.StringIO()
    monkeypatch.setattr(
        view, "console", lambda: Console(file=out, width=width, highlight=False, color_system=None)
    )
    run(path)
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("power", ["90 kW", "30 kW"])
def test_the_page_keeps_to_its_terminal(
    monkeypatch: pytest.MonkeyPatch, scenario: Path, width: int, power: str
) -> None:
    scenario.write_text(FILE.replace("POWER", power), encoding="utf-8")
    told = page(monkeypatch, scenario, width)
    assert max(len(line.rstrip()) for line in told.splitlines()) <= width
    assert "…" not in told and "None" not in told and "{" not in told and "nan" not in told


def test_columns_add_up_as_printed(monkeypatch: pytest.MonkeyPatch, scenario: Path) -> None:
    told = page(monkeypatch, scenario, 100)
    money, years = told.split("Money\n")[1].split("What limits")[0].split("By year\n")

    def column(text: str, at: int) -> list[int]:
        rows = [re.findall(r"-?¥[\d,]+", line) for line in text.splitlines()]
        return [int(row[at].replace("¥", "").replace(",", "")) for row in rows if len(row) > at]

    for figures in (column(money, 0), column(money, 1), column(years, 0)):
        assert len(figures) >= 3 and sum(figures[:-1]) == figures[-1]
    assert column(money, 0)[-1] == column(years, 0)[-1]


def test_json_is_the_same_answer(monkeypatch: pytest.MonkeyPatch, scenario: Path) -> None:
    plain: dict[str, Any] = json.loads(run(scenario, "--json").stdout)
    total = plain["plan"]["present"]["total"]
    assert f"¥{total:,.0f} in money of the start" in page(monkeypatch, scenario, 100)
    assert plain["periods"] == ["2027-01", "2027-07", "2028-01", "2028-07"]
    lines = page(monkeypatch, scenario, 100).splitlines()
    for move in plain["plan"]["bought"]:
        row = next(line for line in lines if line.startswith(move["ordered"]))
        assert f"{move['machines']} ({move['gpus']:,} GPUs)" in row
        assert f"¥{move['money']['amount']:,.0f}" in row


def test_no_plan_is_told_in_words_and_exits_with_2(scenario: Path) -> None:
    scenario.write_text(FILE.replace("POWER", "30 kW"), encoding="utf-8")
    told = run(scenario)
    assert told.exit_code == 2
    assert "the power of tokyo" in told.stdout and "instead of 30 kW" in told.stdout
    plain = json.loads(run(scenario, "--json").stdout)
    assert plain["plan"] is None
    enough = {one["limit"]: one["words"] for one in plain["conflict"]["remedies"]}
    assert enough["power"] in " ".join(told.stdout.split())


def test_options_win_over_the_file(scenario: Path) -> None:
    with pytest.raises(TokenmillError, match=r"fleet\.toml: gap"):
        run(scenario, "--gap", "-1 %")
    assert run(scenario, "--gap", "20 %", "--time-limit", "5 s").exit_code == 0


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TokenmillError, match=r"absent\.toml: cannot be read") as told:
        run(tmp_path / "absent.toml")
    assert "\n" not in str(told.value)
