"""The shape of the house: docstrings, sizes, names, floors and what no file may contain."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tokenmill

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "tokenmill"
MODULES = sorted(SOURCE.rglob("*.py"))
MAX_LINES = 450

# The whole public interface. A name enters or leaves tokenmill only by a change here.
PUBLIC_NAMES = [
    "Fit", "Option", "Outcome", "Plan", "Question", "Refusal", "Score", "Simulated",
    "accelerator", "buy", "calibrate", "can_run", "cost_of", "errors", "estimate", "fleet",
    "growth", "hall", "model", "plan", "score", "simulate", "system", "units",
]  # fmt: skip

FLOORS = {
    "catalog", "work", "physics", "placement", "simulator", "cost", "evidence", "planner",
    "interface",
}  # fmt: skip
VAGUE_NAMES = {"base", "common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}

# Put together from pieces, so that this file does not hold what it looks for.
_FOLDERS = "|".join(["wo" + "rk", "ro" + "ot", "ho" + r"me/\w+", "op" + "t", "Use" + r"rs/\w+"])
_HOSTS = "|".join(
    ["py" + r"pi\.org", "pythonhos" + r"ted\.org", "npm" + r"js\.(?:org|com)", "deb" + r"ian\.org"]
)
FORBIDDEN = {
    "a path of one machine": re.compile(rf"(?<![\w.\-/{{}}*])/(?:{_FOLDERS})/"),
    "a package registry": re.compile(rf"(?:{_HOSTS})|--(?:extra-)?index-" + "url"),
    "a sign of who typed it": re.compile("(?i)co-author" + "ed-by|generat" + "ed with"),
}


def project_files() -> list[Path]:
    """The files git knows or would add; where there is no git, those outside dot folders."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name for name in listed.decode().split("\0") if name]
        return [path for path in paths if path.is_file()]
    skip = {".venv", "build", "dist"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not skip & set(p.parts)]


def public_without_docstring(node: ast.AST, where: str) -> Iterator[str]:
    """Every public class, function and method under `node` that has no docstring."""
    for child in getattr(node, "body", []):
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if child.name.startswith("_"):
            continue
        overload = any("overload" in ast.unparse(mark) for mark in child.decorator_list)
        setter = any(ast.unparse(mark).endswith(".setter") for mark in child.decorator_list)
        if not (ast.get_docstring(child) or overload or setter):
            yield f"{where}:{child.lineno} {child.name}"
        # a protocol tells its members in its own docstring
        protocol = isinstance(child, ast.ClassDef) and "Protocol" in map(ast.unparse, child.bases)
        if isinstance(child, ast.ClassDef) and not protocol:
            yield from public_without_docstring(child, where)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_public_thing_has_a_docstring() -> None:
    missing = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not (ast.get_docstring(tree) or "").strip(" .").replace("TODO", ""):
            missing.append(f"{relative(path)}:1 module")
        missing.extend(public_without_docstring(tree, relative(path)))
    assert not missing, "no docstring:\n" + "\n".join(missing)


def test_files_stay_small() -> None:
    files = MODULES + sorted((ROOT / "tests").rglob("*.py"))
    sizes = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    large = {name: lines for name, lines in sizes.items() if lines > MAX_LINES}
    assert not large, f"over {MAX_LINES} lines, find the second subject and give it a file: {large}"


def test_names_say_something() -> None:
    names = {part for path in MODULES for part in path.relative_to(SOURCE).with_suffix("").parts}
    assert not names & VAGUE_NAMES


def test_floors_are_the_folders() -> None:
    assert {path.parent.name for path in SOURCE.glob("*/__init__.py")} == FLOORS


def test_import_floors_hold() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    found = []
    for path in project_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a binary file
        found += [
            f"{relative(path)}:{number}"
            for number, line in enumerate(lines, 1)
            if FORBIDDEN[what].search(line)
        ]
    assert not found, f"{what}:\n" + "\n".join(found)


def test_the_forbidden_patterns_work() -> None:
    bad = ["see /wo" + "rk/x", '"/ro' + 'ot/.cache/y"', "https://py" + "pi.org/simple"]
    good = ["src/tokenmill/work/ops.py", "../shared/traces", "{a}/wo" + "rk/{b}", "tests/work/*"]
    assert all(any(rule.search(text) for rule in FORBIDDEN.values()) for text in bad)
    assert not any(rule.search(text) for rule in FORBIDDEN.values() for text in good)


def test_public_names_are_the_ones_listed() -> None:
    assert sorted(getattr(tokenmill, "__all__", [])) == sorted(PUBLIC_NAMES)
    absent = [name for name in PUBLIC_NAMES if not hasattr(tokenmill, name)]
    assert not absent
