"""What the documentation says is so: the reference is fresh, the examples run."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tokenmill.evidence.family import family_named
from tokenmill.interface.cli.app import app
from tokenmill.interface.cli.reference import reference

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLES = sorted(DOCS.glob("examples/*.toml"))
COMMAND = re.compile(r"^#\s+tokenmill (.+)$", re.MULTILINE)
LINE = re.compile(r"^    tokenmill (.+?)(?:\s+#.*)?$", re.MULTILINE)
SAID = [found[1] for found in LINE.finditer((DOCS / "money.md").read_text(encoding="utf-8"))]
SOLVER = importlib.util.find_spec("highspy") is not None


def test_the_reference_of_the_command_line_is_fresh() -> None:
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "docs/cli.md is old; run: make docs"


def test_the_columns_of_every_predicted_family_are_told() -> None:
    told = (DOCS / "score.md").read_text(encoding="utf-8")
    for name in ("serving", "collectives", "power", "media"):
        family = family_named(name)
        for column in (*family.needs, *family.metrics, *family.inputs):
            assert f"`{column}`" in told, f"{name}: {column}"


def test_the_reference_names_every_verb() -> None:
    for verb in ("plan", "buy", "fleet", "growth", "simulate", "runs diff", "new model"):
        assert f"## `tokenmill {verb}`" in reference()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_by_the_command_it_names(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = COMMAND.search(path.read_text(encoding="utf-8"))
    assert command and path.name in command[1]
    if command[1].startswith("fleet") and not SOLVER:
        pytest.skip("the fleet extra is not installed")
    monkeypatch.chdir(DOCS.parent)
    done = CliRunner().invoke(app, shlex.split(command[1]))
    assert done.exit_code == 0, done.exception or done.output
    assert len(done.stdout.splitlines()) > 10


@pytest.mark.parametrize("command", [one for one in SAID if "examples" not in one])
def test_a_command_of_the_money_page_answers(command: str) -> None:
    done = CliRunner().invoke(app, shlex.split(command))
    assert done.exit_code == 0, done.exception or done.output
    assert done.stdout.strip()
