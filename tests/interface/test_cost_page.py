"""The verb `cost`: the page keeps to its terminal, adds up as printed, agrees with --json."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tokenmill.interface.cli import view
from tokenmill.interface.cli.app import app

CHAT = ["cost", "llama-3.3-70b", "--on", "h100", "--gpus", "2", "--use", "0.6"]
QUESTIONS = {
    "chat": CHAT,
    "images at home": ["cost", "sdxl", "--on", "rtx-4090", "--region", "JP", "--hours", "20-2",
                       "--use", "0.2", "--tariff", "tepco-smart-life-2025"],
    "a robot": ["cost", "--on", "rtx-4090", "--makes", "robot-hour=8", "--currency", "EUR"],
    "a model": ["cost", "--on", "dgx-h100", "--gpus", "8", "--gpu-hours", "6000", "--site",
                "tokyo", "--network", "0.1", "--software", "$4,500"],
}  # fmt: skip


def printed(monkeypatch: pytest.MonkeyPatch, arguments: list[str], width: int) -> str:
    page = io.StringIO()
    monkeypatch.setattr(view, "console", lambda: Console(file=page, width=width, highlight=False))
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return page.getvalue()


def answered(arguments: list[str]) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize("width", [45, 80, 120])
@pytest.mark.parametrize("name", QUESTIONS)
def test_no_line_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, name: str, width: int
) -> None:
    page = printed(monkeypatch, QUESTIONS[name], width)
    assert max(len(line.rstrip()) for line in page.splitlines()) <= width
    assert not re.search(r"\b(nan|inf)\b", page)


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_lines_printed_add_up_and_are_those_of_json(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    page, told = printed(monkeypatch, QUESTIONS[name], 120), answered(QUESTIONS[name])
    bought = next(one for one in told["ways"] if one["name"] == "buy")
    shown = [re.search(rf"^{re.escape(line['label'])} +(-?[\d,]+\.\d{{6}})", page, re.M)
             for line in bought["per_hour"]["lines"]]  # fmt: skip
    micro = [round(float(one[1].replace(",", "")) * 1e6) for one in shown if one]
    for line, seen in zip(bought["per_hour"]["lines"], micro, strict=True):
        assert abs(line["amount"] * 1e6 - seen) <= 0.5 + 1e-3
    total = re.search(r"^total +([\d,]+\.\d{6})", page, re.M)
    assert total and round(float(total[1].replace(",", "")) * 1e6) == sum(micro)
    for one in told["origins"]:
        assert one["entry"]["date"] in page
        assert " ".join(one["entry"]["source"]["title"].split()[:3]) in page
    for crossing in told["crossings"]:
        assert f"{crossing['utilisation']:.1%}" in page


def test_the_page_flags_old_prices_and_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = " ".join(printed(monkeypatch, QUESTIONS["images at home"], 80).split())
    for words in ("* older than a year", "rent-reserved", "Carbon at Tokyo", "at 13:00"):
        assert words in page


def test_robots_models_and_images_have_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, unit in (("a robot", "per robot-hour"), ("a model", "per trained model"),
                       ("images at home", "per image")):  # fmt: skip
        assert unit in printed(monkeypatch, QUESTIONS[name], 100)
