"""The command line as a person meets it: answers, one-line refusals, the digits of the API."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tokenmill as tm

PROGRAM = (sys.executable, "-c", "from tokenmill.interface.cli import main; main()")
REFUSED = {
    "unknown hardware": ["plan", "llama-3.1-8b", "--on", "h10"],
    "unknown model": ["estimate", "lama-3-8", "--on", "h100"],
    "wrong unit": ["plan", "llama-3.1-8b", "--on", "h100", "--ttft", "3 bananas"],
    "wrong dimension": ["plan", "llama-3.1-8b", "--on", "h100", "--power", "5 GB"],
    "negative": ["plan", "llama-3.1-8b", "--on", "h100", "--rate", "-5"],
    "not a number": ["plan", "llama-3.1-8b", "--on", "h100", "--prompt", "nan"],
    "huge": ["plan", "llama-3.1-8b", "--on", "h100", "--prompt", "1e30"],
    "no such trace": ["plan", "llama-3.1-8b", "--on", "h100", "--trace", "nowhere.csv"],
    "illegal layout": ["estimate", "llama-3.1-8b", "--on", "h100", "--tp", "3"],
    "does not fit": ["estimate", "llama-3.1-405b", "--on", "h100"],
    "no such scores": ["score", "nowhere.csv"],
    "no such record": ["show", "h1000"],
}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((*PROGRAM, *words), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_one_line_and_exit_2(name: str) -> None:
    done = run(*REFUSED[name])
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "interpreted" not in line]
    assert len(lines) == 1 and lines[0].startswith("tokenmill: ")
    assert "Traceback" not in done.stderr and not done.stdout


def test_estimate_shows_the_digits_of_the_api() -> None:
    words = ["estimate", "llama-3.1-8b", "--on", "h100", "--concurrency", "16", "--json"]
    printed = json.loads(run(*words).stdout)
    outcome = tm.estimate("llama-3.1-8b", on="h100", concurrency=16.0).to_dict()
    for key in ("output_tokens_per_s", "gpu_watts", "watts", "joules_per_output_token", "batch"):
        assert printed[key] == outcome[key]
    assert printed["ttft_s"] == outcome["ttft_s"] and printed["tpot_s"] == outcome["tpot_s"]


def test_the_demo_prints_a_plan_without_escape_codes() -> None:
    done = run("demo")
    assert done.returncode == 0 and "\x1b" not in done.stdout
    for name in ("gb200-nvl72", "h100-sxm", "rtx-a4500", "rtx-4090"):
        assert name in done.stdout


def test_can_i_run_draws_a_bar_and_names_a_change() -> None:
    done = run("can-i-run", "llama-3.3-70b", "--on", "rtx-4090")
    assert done.returncode == 0
    assert (
        done.stdout.startswith("No.") and "It would run with" in done.stdout and "█" in done.stdout
    )


def test_the_catalogue_checks_out() -> None:
    assert "records checked" in run("check").stdout


def test_a_bad_config_leaves_nothing_behind(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "llama", "hidden_size": -1}')
    done = run(
        "new", "model", "--from-hf", str(config), "--slug", "mine", "--folder", str(tmp_path)
    )
    assert done.returncode == 2 and "hidden_size" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) in (
        ["config.json"],
        ["config.json", "models"],
    )


def test_score_writes_the_documented_rows(shared: Path, tmp_path: Path) -> None:
    sample = (shared / "measurements" / "serving_aic_sample.csv").read_text().splitlines()
    part, out = tmp_path / "part.csv", tmp_path / "out.json"
    part.write_text("\n".join([sample[0], *sample[1::9]]) + "\n")
    assert run("score", str(part), "--json", str(out)).returncode == 0
    rows = json.loads(out.read_text())
    keys = {"id", "metric", "measured", "predicted", "low", "high", "reason"}
    assert rows and all(keys <= set(row) for row in rows)
    assert all(row["predicted"] is not None and not row["reason"] for row in rows)
    errors = sorted(
        abs(row["predicted"] / row["measured"] - 1)
        for row in rows
        if row["metric"] == "tpot_mean_s"
    )
    assert errors[len(errors) // 2] <= 0.20
