"""Every verb: --json is valid JSON without NaN, and the terminal shows the same digits.

`fleet` is held to it in tests/planner/test_fleet_page.py, simulate and runs in test_simulate.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tokenmill.cost.money import Money
from tokenmill.interface.cli.app import app
from tokenmill.units import format_si

ROOT = Path(__file__).resolve().parents[2]


def _money(cell: dict[str, Any]) -> str:
    return Money.of(cell["amount"], cell["currency"]).text()


def _plan(told: dict[str, Any]) -> list[str]:
    return [
        words
        for one in told["options"]
        for words in (
            one["hardware"], f"{one['gpus']:,}", format_si(one["ttft_s"], "s"),
            format_si(one["tpot_s"], "s"), format_si(one["watts"], "W"), _money(one["per_hour"]),
            f"{one['joules_per_output_token']:.3g}", _money(one["per_million_output_tokens"]),
        )
    ]  # fmt: skip


def _estimate(told: dict[str, Any]) -> list[str]:
    return [
        format_si(told["ttft_s"]["mean"], "s"), format_si(told["tpot_s"]["p95"], "s"),
        format_si(told["gpu_watts"], "W"), format_si(told["watts"], "W"),
        _money(told["money"]["per_hour"]), _money(told["money"]["per_million_output_tokens"]),
    ]  # fmt: skip


def _fit(told: dict[str, Any]) -> list[str]:
    return [f"{told['requests']:.0f} requests", f"{told['tokens_per_s']:.0f} tokens a second"]


def _cost(told: dict[str, Any]) -> list[str]:
    ways = [_money(one["per_hour"]["total"]) for one in told["ways"]]
    units = [_money(each["total"]) for one in told["ways"] for each in one["per_unit"].values()]
    return ways + units + [f"{told['pue']:.3g}", format_si(told["busy_w"], "W")]


def _buy(told: dict[str, Any]) -> list[str]:
    uses = [use for one in told["offers"] for use in one["uses"] if use["runs"]]
    rates = [use["per_s"]["value"] * (60.0 if use["job"]["kind"] == "image" else 1.0)
             for use in uses]  # fmt: skip
    prices = [_money(one["purchase"]) for one in told["offers"]]
    return [f"{rate:.3g}" for rate in rates] + prices


def _growth(told: dict[str, Any]) -> list[str]:
    lines = [
        {"amount": line["amount"], "currency": path["money"]["currency"]}
        for path in told["paths"] for line in path["money"]["lines"]
    ]  # fmt: skip
    return [_money(line) for line in lines] + [
        format_si(path["totals"]["energy_j"]["value"] / 3600.0, "Wh") for path in told["paths"]
    ]


def _checked(told: dict[str, Any]) -> list[str]:
    return [f"{told['checked']} records"]


def _counted(told: dict[str, Any]) -> list[str]:
    return [f"{count:5} {kind}" for kind, count in told.items()]


def _priced(told: list[dict[str, Any]]) -> list[str]:
    return [
        f"{one['amount']:,.10g} {one['currency']} per {one['per']}" for one in told
    ] + [f"{one['date']}{'*' * one['stale']} " for one in told]  # fmt: skip


CHAT = ["llama-3.1-8b", "--on", "h100"]
VERBS: dict[str, tuple[list[str], Any]] = {
    "plan": (["plan", "llama-3.1-8b", "--on", "h100,l40s"], _plan),
    "demo": (["demo"], _plan),
    "estimate": (["estimate", *CHAT, "--concurrency", "16"], _estimate),
    "can-i-run": (["can-i-run", "llama-3.1-8b", "--on", "rtx-4090"], _fit),
    "cost": (["cost", *CHAT], _cost),
    "buy": (["buy", "rtx-4090", "rtx-4070", "--for", "sdxl,llama-3.1-8b"], _buy),
    "growth": (["growth", "docs/examples/growth.toml"], _growth),
    "check": (["check"], _checked),
    "show": (["show"], _counted),
    "show prices": (["show", "prices", "rtx-4090"], _priced),
}


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def run(arguments: list[str]) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("name", VERBS)
def test_the_terminal_shows_the_digits_of_json(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, shown = VERBS[name]
    monkeypatch.chdir(ROOT)
    told = json.loads(run([*arguments, "--json"]), parse_constant=_refuse)
    page = run(arguments)
    words = shown(told)
    assert words
    assert [one for one in words if one not in page] == []


@pytest.mark.parametrize(
    "arguments",
    [["show", "h100"], ["show", "sites", "tokyo"], ["show", "tariffs", "kepco-seasonal-2018"],
     ["show", "models"], ["show", "sites"], ["runs"],
     ["simulate", *CHAT, "--prompt", "100", "--output", "20", "--users", "4"]],
    ids=" ".join,
)  # fmt: skip
def test_json_is_valid_everywhere(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENMILL_HOME", str(tmp_path))
    assert json.loads(run([*arguments, "--json"]), parse_constant=_refuse) is not None


@pytest.mark.parametrize(
    "arguments",
    [["cost", "--on", "h100"], ["buy", "--nonsense"], ["fleet"], ["growth", "nowhere.toml"],
     ["cost", *CHAT, "--use", "many"], ["buy", "rtx-4090", "--region", "Atlantis"], ["buyy"],
     ["show", "tariffs", "free"], ["show", "prices", "unobtainium"]],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_line_is_answered_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenmill.interface.cli import main

    monkeypatch.setattr("sys.argv", ["tokenmill", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert end.value.code == 2 and not said.out
    assert said.err.startswith("tokenmill: ") and len(said.err.splitlines()) == 1
