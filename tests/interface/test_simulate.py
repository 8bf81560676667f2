"""The verbs simulate and runs: one clear line for bad input, whole files, the same truth."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tokenmill.errors import TokenmillError
from tokenmill.interface.cli.app import app

GOOD = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:15:{second:02}.0000000,{400 + second},{20 + second}\n" for second in range(60)
)
ON = ("llama-3.1-8b", "--on", "h100")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENMILL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*words: str | Path) -> str:
    """The one line of a refused command."""
    with pytest.raises(TokenmillError) as told:
        run(*words)
    line = str(told.value)
    assert line and "\n" not in line
    return line


def trace(folder: Path, text: str = GOOD, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def answer(*words: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("simulate", *words, "--json"))
    return found


def shell(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from tokenmill.interface.cli import main; main()",
         *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip


def test_the_answer_on_a_terminal_and_as_json_are_one(tmp_path: Path) -> None:
    path = trace(tmp_path)
    words = run("simulate", *ON, "--trace", path, "--slo-ttft", "1 s")
    told = answer(*ON, "--trace", path, "--slo-ttft", "1 s")
    (service,) = told["services"]
    assert told["counts"]["done"] == told["counts"]["requests"] == 60
    assert "60 in = 60 done + 0 rejected + 0 timed out + 0 running" in words
    for name in ("TTFT", "TPOT", "ITL", "E2E", "p99.9", "goodput", "at the wall", "limited by"):
        assert name in words
    assert service["outcome"]["money"]["per_hour"]["amount"] > 0
    assert service["within_slo"] == 1.0


def test_every_spelling_of_a_trace(tmp_path: Path) -> None:
    plain = answer(*ON, "--trace", trace(tmp_path))
    crlf = answer(*ON, "--trace", trace(tmp_path, GOOD.replace("\n", "\r\n"), "crlf.csv"))
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(GOOD.encode()))
    rows = GOOD.splitlines()
    shuffled = "\n".join([rows[0], *rows[:0:-1]])
    unsorted = answer(*ON, "--trace", trace(tmp_path, shuffled, "unsorted.csv"))
    for other in (crlf, answer(*ON, "--trace", packed), unsorted):
        assert other["services"] == plain["services"]
    assert "out of order" in unsorted["notes"][0]


def test_rows_that_mean_nothing_are_counted_and_told(tmp_path: Path) -> None:
    bad = GOOD + "2023-11-16 18:17:00.0,NaN,5\n2023-11-16 18:17:01.0,-4,5\nrubbish\n"
    bad += "2023-11-16 18:17:02.0,7,0\n" + GOOD.splitlines()[-1] + "\n"
    told = answer(*ON, "--trace", trace(tmp_path, bad))
    assert told["counts"]["requests"] == 61
    notes = " ".join(told["notes"])
    assert "3 rows rejected" in notes and "line 62" in notes and "1 rows without output" in notes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"a,b,c\n1,2,3\n", "no known trace"),
        (GOOD.encode().split(b"\n")[0], "no usable row"),
        (gzip.compress(GOOD.encode())[:-200], "t.bin:"),
        (b"\xff\xfe\x00\x01" * 40, "no known trace"),
        (GOOD.replace("18:15", "25:61").encode(), "is not a date"),
    ],
)
def test_files_that_are_no_traces(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(content)
    line = refusal("simulate", *ON, "--trace", path)
    assert words in line and "t.bin" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--trace", "nowhere.csv"), "cannot be read"),
        (("--trace", "."), "cannot be read"),
        (("--rate", "-1"), "rate_per_s"),
        (("--rate", "nan"), "rate_per_s"),
        (("--rate", "3 W"), "power"),
        (("--users", "0"), "users"),
        (("--users", "5", "--concurrency", "5"), "not both"),
        (("--users", "5", "--rate", "2 req/s"), "their own rate"),
        (("--prompt", "10", "--profile", "default"), "lengths"),
        (("--profile", "unheard-of"), "unheard-of"),
        (("--router", "wheel"), "round-robin"),
        (("--batching", "wheel"), "batching"),
        (("--tp", "0"), "at least 1"),
        (("--tp", "3"), "not legal"),
        (("--replicas", "0"), "replicas"),
        (("--engine", "steam"), "engine"),
        (("--weights", "int3000"), "int3000"),
        (("--head", "0"), "head"),
        (("--stretch", "0"), "stretch"),
        (("--requests", "5", "--duration", "5 s"), "not both"),
        (("--budget-events", "0"), "budget"),
        (("--power-cap", "1 W"), "not above"),
        (("--seed", "-1"), "seed"),
        (("--slo-ttft", "-1 s"), "slo: ttft_s"),
        (("--kv", "1"), ""),
        (("--plot", "file.txt"), ".svg"),
        (("--prompt", "8", "--output", "8", "--budget-memory", "2 kB"), "memory budget"),
    ],
)
def test_options_that_cannot_be(options: tuple[str, ...], words: str) -> None:
    if options[0] == "--kv":
        assert CliRunner().invoke(app, ["simulate", *ON, *options]).exit_code == 2
        return
    assert words in refusal("simulate", *ON, *options)


def test_what_is_missing_is_said() -> None:
    assert "name a model" in refusal("simulate")
    assert "name a model" in refusal("simulate", "llama-3.1-8b")
    assert "scenario" in refusal("simulate", "llama-3.1-8b,qwen3-8b", "--on", "h100")
    assert "did you mean" in refusal("simulate", "llama-3.1-8bb", "--on", "h100")
    assert "needs" in refusal("simulate", "llama-3.3-70b", "--on", "rtx-4090", "--head", "5")


SCENARIO = """
seed = 3
until_s = "10 min"
power_cap_w = "20 kW"

[traffic]
rate_per_s = "2 req/s"
requests = 60
prompt_tokens = 400
output_tokens = 40
output_cv = 0.5

[[service]]
name = "llm"
model = "llama-3.1-8b"
on = "h100"
replicas = 2
router = "least-outstanding"
failures = { mtbf_s = "10 min", mttr_s = "20 s" }

[[service]]
name = "judge"
model = "llama-3.1-8b"
on = "l40s"
weights = "fp8"
autoscaling = { minimum = 1, maximum = 3, target = 4.0, startup_s = "5 s" }

[[chain]]
service = "llm"
turns = 2
added_tokens = 30

[[chain]]
delay_s = "100 ms"

[[chain]]
service = "judge"
prompt_tokens = 600
output_tokens = 2

[[tenant]]
name = "gold"
share = 0.3

[[tenant]]
name = "rest"
share = 0.7
priority = 1
limit = 200

[slo]
ttft_s = "500 ms"

[budget]
wall_s = "5 min"
memory_bytes = "1 GB"
"""


def test_a_scenario_of_services_chains_and_tenants(tmp_path: Path) -> None:
    path = trace(tmp_path, SCENARIO, "s.toml")
    told = answer("--scenario", path)
    assert told["counts"]["requests"] == told["counts"]["done"] == 180
    assert [service["name"] for service in told["services"]] == ["llm", "judge"]
    assert [service["counts"]["done"] for service in told["services"]] == [120, 60]
    assert told["chain_s"]["mean"] > told["services"][0]["outcome"]["e2e_s"]["mean"]
    assert "whole chain" in run("simulate", "--scenario", path)
    assert "say it in the file" in refusal("simulate", "--scenario", path, "--tp", "2")
    shorter = answer("--scenario", path, "--requests", "10", "--seed", "4")
    assert shorter["counts"]["requests"] == 30 and shorter["seed"] == 4


def test_services_with_traffic_of_their_own(tmp_path: Path) -> None:
    trace(tmp_path)
    text = """
    [[service]]
    model = "llama-3.1-8b"
    on = "h100"
    traffic = { trace = "t.csv" }
    [[service]]
    name = "second"
    model = "llama-3.1-8b"
    on = "h100"
    prefill = { replicas = 1, link_bytes_per_s = "400 Gbit/s" }
    speculation = { draft_tokens = 3, acceptance = 0.7 }
    traffic = { requests = 30, rate_per_s = 2.0 }
    """
    told = answer("--scenario", trace(tmp_path, text, "s.toml"))
    assert [service["counts"]["done"] for service in told["services"]] == [60, 30]
    assert "→" in told["services"][1]["outcome"]["layout"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("replicas = 2", "replicas = 2\nwheels = 4"),
            "service.0.wheels: unknown key; known: model, on, name",
        ),
        (("[slo]", "[slow]"), "slow: unknown key; known: service, name, traffic"),
        (('ttft_s = "500 ms"', 'ttft_s = "500 kg"'), "slo"),
        (('ttft_s = "500 ms"', "ttft_s = nan"), "slo"),
        (('model = "llama-3.1-8b"\non = "h100"', 'on = "h100"'), "model: is missing"),
        (('service = "judge"', 'service = "nobody"'), "nobody"),
        (("replicas = 2", 'replicas = "two"'), "service.0.replicas"),
        (("share = 0.3", "share = 0"), "tenant.0.share"),
        (("mtbf_s = ", "mtfb_s = "), "failures.mtfb_s: unknown key; known: mtbf_s, mttr_s"),
        (("seed = 3", "seed = "), "TOML"),
    ],
)
def test_scenarios_that_cannot_be(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = trace(tmp_path, SCENARIO.replace(*change, 1), "s.toml")
    line = refusal("simulate", "--scenario", path)
    assert words in line and "s.toml" in line


def test_runs_are_saved_listed_shown_and_compared(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    assert "No run is in the ledger" in run("runs")
    path = trace(tmp_path)
    for replicas in ("1", "2"):
        said = run("simulate", *ON, "--trace", path, "--replicas", replicas, "--save",
                   tmp_path / "out")  # fmt: skip
        assert f"tokenmill runs show {replicas}" in said
    assert len(list((tmp_path / "out").glob("requests-*.parquet"))) == 2
    listed = run("runs")
    assert "2 x h100-sxm" in listed and "1 x h100-sxm" in listed
    kept = json.loads(run("runs", "show", "2", "--json"))
    assert kept["question"]["service"][0]["replicas"] == 2
    told = answer(*ON, "--trace", path, "--replicas", "2")
    assert (
        kept["answer"]["services"][0]["outcome"]["ttft_s"]
        == (told["services"][0]["outcome"]["ttft_s"])
    )
    assert "counts.done" in run("runs", "show", "1")
    changes = {item["key"]: item for item in json.loads(run("runs", "diff", "1", "2", "--json"))}
    assert changes["answer.services.0.outcome.gpus"]["ratio"] == 2.0
    assert "question.service.0.replicas" in run("runs", "diff", "1", "2")
    assert "say the same" in run("runs", "diff", "1", "1")
    assert "tokenmill runs" in refusal("runs", "show", "9")


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_plots_are_drawn_the_same_twice(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    path = trace(tmp_path)
    first, second = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    for target in (first, second):
        run("simulate", *ON, "--trace", path, "--slo-tpot", "20 ms", "--plot", target)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 5000
    if kind == "svg":
        text = first.read_text()
        assert all(word in text for word in ("TTFT", "TPOT SLO", "power at the wall", "waiting"))


def test_extras_that_are_missing_are_told_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenmill.evidence import saved
    from tokenmill.interface.cli import plots

    monkeypatch.setattr(saved, "find_spec", lambda name: None)
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    monkeypatch.setattr("tokenmill.planner.trial.trial", None)  # may not be reached
    assert "tokenmill[parquet]" in refusal("simulate", *ON, "--save", tmp_path)
    assert "tokenmill[plots]" in refusal("simulate", *ON, "--plot", tmp_path / "p.svg")


def test_budgets_end_a_run_and_say_so(tmp_path: Path) -> None:
    told = answer(*ON, "--head", "2000", "--budget-events", "100")
    counts = told["counts"]
    assert not told["finished"] and "budget of events" in told["notes"][-1]
    assert counts["requests"] + counts["unsent"] == 2000
    cut = answer(*ON, "--trace", trace(tmp_path), "--budget-memory", "6 kB")
    assert cut["counts"]["requests"] < 60 and "memory budget" in cut["notes"][-1]


def test_refusals_of_the_command_are_one_line_and_exit_2(tmp_path: Path) -> None:
    process = shell("simulate", *ON, "--trace", tmp_path / "none.csv")
    told, problem = process.communicate(timeout=60)
    assert process.returncode == 2 and told == ""
    assert problem.count("\n") == 1 and problem.startswith("tokenmill: ")


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing_half_written(
    tmp_path: Path, kill: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("TOKENMILL_INTERPRETED", "1")  # slow enough to be in the middle of it
    run("simulate", *ON, "--trace", trace(tmp_path), "--save", tmp_path / "out")
    before = sorted((tmp_path / "out").iterdir())
    process = shell(
        "simulate", *ON, "--prompt", "500", "--output", "200", "--rate", "500 req/s",
        "--requests", "1000000", "--save", tmp_path / "out",
    )  # fmt: skip
    time.sleep(2.0)
    assert process.poll() is None
    process.send_signal(kill)
    process.communicate(timeout=60)
    assert process.returncode == (130 if kill == signal.SIGINT else -signal.SIGKILL)
    assert sorted((tmp_path / "out").iterdir()) == before
    assert len(json.loads(run("runs", "--json"))) == 1


def test_the_example_scenario_runs(root: Path) -> None:
    told = answer("--scenario", root / "docs" / "examples" / "agent.toml")
    counts = told["counts"]
    assert counts["requests"] == counts["done"] + counts["timed_out"] + counts["rejected"]
    assert counts["done"] > 0 and told["chain_s"]["p50"] > 0
