"""The verb `growth`: the page keeps to its terminal, adds up as printed, agrees with --json."""

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
from tokenmill.interface.cli import growth as verb
from tokenmill.interface.cli import view

FILE = """
name = "one service"
currency = "JPY"
start = "2027"
years = 3
samples = 40
rates = ["USD=¥150"]
[demand]
tokens_per_s = "40 ktokens/s"
growth = { value = "20 %", low = "5 %", high = "40 %" }
elasticity = { value = 1.0, low = 0.6, high = 1.4 }
[first]
accelerator = "h100-sxm"
price = "$30,000"
tokens_per_s = 800
watts_busy = "900 W"
watts_idle = "250 W"
[site]
tariff = "¥29"
pue = 1.3
power = "POWER"
[progress]
vendor = "NVIDIA"
"""


@pytest.fixture(name="scenario")
def _scenario(tmp_path: Path) -> Path:
    path = tmp_path / "growth.toml"
    path.write_text(FILE.replace("POWER", "1 MW"), encoding="utf-8")
    return path


def run(*words: str | Path) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    verb.register(app)
    return CliRunner().invoke(app, ["growth", *map(str, words)], catch_exceptions=False)


def page(monkeypatch: pytest.MonkeyPatch, path: Path, width: int) -> str:
    out = io.StringIO()
    monkeypatch.setattr(
        view, "console", lambda: Console(file=out, width=width, highlight=False, color_system=None)
    )
    run(path)
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("power", ["1 MW", "90 kW"])
def test_the_page_keeps_to_its_terminal(
    monkeypatch: pytest.MonkeyPatch, scenario: Path, width: int, power: str
) -> None:
    scenario.write_text(FILE.replace("POWER", power), encoding="utf-8")
    told = page(monkeypatch, scenario, width)
    assert max(len(line.rstrip()) for line in told.splitlines()) <= width
    assert "…" not in told and "None" not in told and "{" not in told and "nan" not in told
    assert ("unserved" in told) == (power == "90 kW")


def test_money_adds_up_as_printed(monkeypatch: pytest.MonkeyPatch, scenario: Path) -> None:
    told = page(monkeypatch, scenario, 400)
    lines = [line for line in told.splitlines() if "; total ¥" in line]
    assert len(lines) == 4
    for line in lines:
        *parts, total = (int(x.replace(",", "").replace("¥", ""))
                         for x in re.findall(r"-?¥[\d,]+", line))  # fmt: skip
        assert sum(parts) == total


def test_json_is_the_same_answer(monkeypatch: pytest.MonkeyPatch, scenario: Path) -> None:
    plain: dict[str, Any] = json.loads(run(scenario, "--json").stdout)
    told = " ".join(page(monkeypatch, scenario, 400).split())
    for path in plain["paths"]:
        assert f"{path['money']['total']:,.0f}" in told
        if path["rebound"]:
            assert path["rebound"]["words"] in told
    assert all(curve["words"] in told for curve in plain["curves"])


def test_options_win_over_the_file(scenario: Path) -> None:
    plain = json.loads(run(scenario, "--json", "--seed", "7", "--samples", "25").stdout)
    assert (plain["seed"], plain["samples"]) == (7, 25)
    with pytest.raises(TokenmillError, match=r"growth\.toml: samples"):
        run(scenario, "--samples", "0")


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_plot_is_drawn_the_same_twice(scenario: Path, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    drawn = []
    for name in ("one", "two"):
        target = tmp_path / f"{name}.{kind}"
        assert run(scenario, "--plot", target).exit_code == 0
        drawn.append(target.read_bytes())
    assert drawn[0] == drawn[1] and len(drawn[0]) > 5000
    if kind == "svg":
        assert b"power at the meter" in drawn[0] and b"cautious" in drawn[0]


def test_a_plot_of_another_kind_is_refused_before_the_work(scenario: Path) -> None:
    with pytest.raises(TokenmillError, match=r"\.svg"):
        run(scenario, "--plot", "plot.txt")
