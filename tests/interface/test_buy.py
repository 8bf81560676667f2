"""The verb `buy`: the page keeps to its terminal, adds up as printed, and agrees with --json."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tokenmill.interface.cli import main, view
from tokenmill.interface.cli.app import app

TRIO = ["buy", "rtx-4090,rtx-a4500,rtx-4070", "--region", "JP"]
# Between them: caps, budgets, used cards, missing prices, several cards, notes, other money.
QUESTIONS = {
    "trio": TRIO,
    "several cards": [*TRIO, "--cards", "2", "--by", "power"],
    "limits": ["buy", "--region", "JP", "--budget", "¥150000", "--quiet", "180 W", "--power",
               "320 W", "--slots", "2", "--for", "sdxl:30,llama-3.1-8b,gaming,video", "--top", "4"],
    "new only": [*TRIO, "--condition", "new", "--budget", "¥300000"],
    "capped": ["buy", "rtx-4090,titan-xp,rtx-5090-laptop", "--cap", "250 W", "--resale", "0.3"],
    "no price": ["buy", "rtx-a1000,rtx-4090-48gb", "--for", "chat", "--currency", "EUR"],
    "nothing": ["buy", "rtx-a2000", "--for", "llama-3.3-70b"],
    "all": ["buy", "--region", "US", "--for", "qwen3-14b@q8_0:16k", "--top", "30"],
}  # fmt: skip


def run(arguments: list[str]) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.exception
    return result.stdout


def printed(monkeypatch: pytest.MonkeyPatch, arguments: list[str], width: int) -> str:
    page = io.StringIO()
    monkeypatch.setattr(
        view, "console", lambda: Console(file=page, width=width, highlight=False, color_system=None)
    )
    run(arguments)
    return page.getvalue()


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("width", [45, 60, 80, 100, 140])
def test_the_page_keeps_to_its_terminal(
    monkeypatch: pytest.MonkeyPatch, name: str, width: int
) -> None:
    page = printed(monkeypatch, QUESTIONS[name], width)
    assert max(len(line.rstrip()) for line in page.splitlines()) <= width
    assert "{" not in page and "None" not in page and "nan" not in page
    assert "…" not in page  # nothing is cut short


def amounts(line: str) -> list[int]:
    return [int(text.replace(",", "")) for text in re.findall(r"¥([\d,]+)", line)]


def section(page: str, title: str) -> list[str]:
    lines = page.splitlines()
    start = next(at for at, line in enumerate(lines) if line.strip() == title)
    rest = lines[start + 1 :]
    return rest[: next((at for at, line in enumerate(rest) if not line.strip()), len(rest))]


def test_what_is_printed_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    page = printed(monkeypatch, TRIO, 140)
    rows = [line for line in section(page, "¥ a year") if line.startswith("rtx-")]
    assert len(rows) == 3
    for row in rows:
        card, working, idle, total, low, high = amounts(row)
        assert card + working + idle == total
        assert low <= total <= high
        name = row.split()[0]
        ranking = next(x for x in page.splitlines() if re.match(rf"\d +{name} ", x))
        assert amounts(ranking)[-1] == total


def test_the_page_and_the_json_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    page = printed(monkeypatch, TRIO, 140)
    answer: dict[str, Any] = json.loads(run([*TRIO, "--json"]))
    assert answer["currency"] == "JPY" and answer["tariff"]["date"] in page
    for offer in answer["offers"]:
        lines = offer["yearly"]["lines"]
        assert sum(line["amount"] for line in lines) == pytest.approx(
            offer["yearly"]["total"]["amount"], abs=1e-6
        )
        watts = next(x for x in section(page, "Watts") if x.startswith(offer["card"]))
        assert f"{offer['busy_w']['value']:.0f} W" in watts
        assert f"{offer['limit_w']:.0f} W" in watts
        for use in offer["uses"]:
            scale = 60.0 if use["job"]["kind"] == "image" else 1.0
            if use["runs"]:
                assert f"{use['per_s']['value'] * scale:.3g}" in page
        assert offer["price"]["entry"]["date"] in page
        assert offer["price"]["entry"]["source"]["title"] in page


def test_the_page_says_what_a_buyer_must_know(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [TRIO[0], f"{TRIO[1]},rtx-2070", *TRIO[2:]]
    page = " ".join(printed(monkeypatch, cards, 80).split())
    for words in (
        "24 GB", "20 GB", "12 GB", "¥35.87 a kWh", "450 W", "850 W", "which is no draw",
        "* older than a year", "list price at launch", "does not fit", "would fit", "q3_k_m",
        "assumed", "without tax",
    ):  # fmt: skip
        assert words in page, words


def test_an_unknown_price_is_said_with_how_to_state_it(monkeypatch: pytest.MonkeyPatch) -> None:
    page = printed(monkeypatch, ["buy", "rtx-a1000", "--region", "JP", "--for", "chat"], 80)
    assert "unknown" in page and '--price "rtx-a1000=¥' in page and "¥0" not in page


@pytest.mark.parametrize(
    "arguments",
    [
        ["rtx-9999"], ["rtx-4090", "--hours", "0"], ["rtx-4090", "--budget", "¥-3"],
        ["rtx-4090", "--region", "FR"], ["rtx-4090", "--for", "video"],
        ["rtx-4090", "--price", "rtx-4090=-5"], ["rtx-4090", "--currency", "GBP"],
    ],
)  # fmt: skip
def test_a_wrong_question_is_one_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tokenmill", "buy", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    assert stop.value.code == 2 and told.out == ""
    assert told.err.startswith("tokenmill: ") and told.err.count("\n") == 1
