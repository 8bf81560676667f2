"""Images on the command line: the digits of the API, one-line refusals, plain words."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import tokenmill as tm

PROGRAM = (sys.executable, "-c", "from tokenmill.interface.cli import main; main()")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((*PROGRAM, *words), capture_output=True, text=True, check=False)


def test_estimate_shows_the_digits_of_the_api() -> None:
    words = ["estimate", "sdxl", "--on", "rtx-4090", "--steps", "30", "--batch", "4"]
    words += ["--software", "compile", "--resolution", "1024x1024"]
    printed = json.loads(run(*words, "--json").stdout)
    wanted = tm.estimate("sdxl", on="rtx-4090", steps=30, batch=4, software="compile").to_dict()
    for key in ("seconds_per_image", "images_per_s", "gpu_watts", "joules_per_image", "intervals"):
        assert printed[key] == wanted[key]
    told = run(*words).stdout
    assert "time per image" in told and "per thousand" in told and "80 %" in told


def test_plan_ranks_and_refuses() -> None:
    words = ["plan", "flux.1-dev", "--on", "h100,rtx-4070", "--rate", "300 images/h"]
    told = run(*words, "--latency", "30s").stdout
    assert "h100-sxm" in told and "Not possible" in told and "(checked)" in told
    printed = json.loads(run(*words, "--json").stdout)
    assert printed["images_per_s"] == pytest.approx(300 / 3600)
    assert printed["options"][0]["per_image"]["currency"] == "USD"


def test_can_i_run_answers_in_words() -> None:
    assert run("can-i-run", "sdxl", "--on", "rtx-4090").stdout.startswith("Yes.")
    no = run("can-i-run", "sdxl", "--on", "rtx-3050-laptop", "--resolution", "2048")
    assert no.returncode == 0 and no.stdout.startswith("No.") and "would run with" in no.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("estimate", "sdxl", "--on", "rtx-4090", "--tp", "2"),
        ("estimate", "sdxl", "--on", "rtx-4090", "--resolution", "huge"),
        ("plan", "sdxl", "--on", "rtx-4090", "--simulate"),
        ("plan", "sdxl", "--on", "rtx-4090", "--software", "magic"),
        ("can-i-run", "sdxl", "--on", "rtx-4090", "--context", "4096"),
    ],
)
def test_a_refusal_is_one_line_and_exit_2(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 2 and not done.stdout
    lines = [line for line in done.stderr.splitlines() if "interpreted" not in line]
    assert len(lines) == 1 and lines[0].startswith("tokenmill: ")
