"""The ledger and saved files: readable after a kill, shared by processes, whole or not there."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from simulator.services import ONE, case, chat
from tokenmill.errors import BadRecord, InputError
from tokenmill.evidence import ledger
from tokenmill.evidence.saved import digest, save, whole
from tokenmill.simulator.run import simulate

# a process that adds runs for ever, each with an answer of some size
WRITER = """
from tokenmill.evidence.ledger import record
n = 0
while n < {most}:
    n += 1
    record("simulate", "run of {name}", version="0", took_s=0.1, question={{"n": n}},
           answer={{"values": list(range(n % 500))}})
    print(n, flush=True)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENMILL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def add(**changes: Any) -> int:
    row: dict[str, Any] = {
        "version": "1", "took_s": 0.5, "question": {"model": "m"}, "answer": {"ttft_s": 1.0}
    }  # fmt: skip
    return ledger.record("simulate", "title ¥", **{**row, **changes})


def writer(name: str, most: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER.format(name=name, most=most)],
        stdout=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip


def test_what_is_recorded_is_read_again() -> None:
    assert ledger.runs() == []
    first = add(answer={"ttft_s": float("nan"), "limit": float("inf"), "n": [1, 2.5]})
    second = add()
    assert [row.id for row in ledger.runs()] == [second, first]
    assert [row.id for row in ledger.runs(limit=1)] == [second]
    row = ledger.look_up(first)
    assert row.answer == {"ttft_s": None, "limit": None, "n": [1, 2.5]}
    assert (row.verb, row.title, row.took_s) == ("simulate", "title ¥", 0.5)


def test_a_difference_is_told_key_by_key() -> None:
    one = ledger.look_up(add(answer={"a": 1.0, "b": {"c": [1, 2]}, "gone": True}))
    other = ledger.look_up(add(answer={"a": 2.0, "b": {"c": [1, 3]}}))
    changes = {change.key: change for change in ledger.diff(one, other)}
    assert set(changes) == {"answer.a", "answer.b.c.1", "answer.gone"}
    assert changes["answer.a"].ratio == 2.0
    assert changes["answer.gone"].after is None and changes["answer.gone"].ratio != 1
    assert ledger.diff(one, one) == []


def test_unknown_numbers_are_one_line() -> None:
    add()
    for number in (0, -1, 7, 1 << 80):
        with pytest.raises(InputError, match="list them with"):
            ledger.look_up(number)
    with pytest.raises(InputError, match="at least 1"):
        ledger.runs(0)


def test_the_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOKENMILL_HOME")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert ledger.state_folder() == tmp_path / "tokenmill"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert ledger.state_folder() == tmp_path / "local" / "tokenmill"


@pytest.mark.parametrize("content", [b"not a database, but of some length\n" * 99, b"\0" * 5000])
def test_a_file_that_is_no_ledger_is_refused(home: Path, content: bytes) -> None:
    home.mkdir()
    ledger.ledger_path().write_bytes(content)
    for use in (ledger.runs, add):
        with pytest.raises(BadRecord) as refusal:
            use()
        assert "ledger" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_ledger_of_another_form_is_left_alone() -> None:
    add()
    with sqlite3.connect(ledger.ledger_path()) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    for use in (ledger.runs, add):
        with pytest.raises(BadRecord, match="form 9"):
            use()


def test_two_processes_at_once_lose_nothing() -> None:
    both = [writer(name, 30) for name in ("one", "two")]
    for process in both:
        assert process.communicate(timeout=120)[0].split()[-1] == "30"
        assert process.returncode == 0
    rows = ledger.runs(100)
    assert len({row.id for row in rows}) == 60
    for name in ("one", "two"):
        mine = [row.question["n"] for row in reversed(rows) if row.title == f"run of {name}"]
        assert mine == list(range(1, 31))


FIRST = """
import os, sys
from tokenmill.evidence import ledger
for home in sys.stdin:
    os.environ["TOKENMILL_HOME"] = home.strip()
    ledger.record("plan", "first", version="1", took_s=0.0, question={}, answer={})
    print("done", flush=True)
"""


def test_the_first_runs_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    """SQLite does not wait for others by itself where a new file learns to write ahead."""
    several = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for attempt in range(40):
        home = tmp_path / str(attempt)
        for process in several:
            assert process.stdin is not None
            process.stdin.write(f"{home}\n")
            process.stdin.flush()
        for process in several:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n", attempt
        connection = sqlite3.connect(home / ledger.ledger_path().name)
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (4,)
        connection.close()
    for process in several:
        process.communicate()


def test_kill_9_leaves_a_readable_ledger() -> None:
    for attempt in range(3):
        process = writer(f"victim {attempt}", 100_000)
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        time.sleep(0.003 * attempt)
        process.send_signal(signal.SIGKILL)
        told = 5 + len(process.stdout.read().split())
        process.wait(timeout=30)
        process.stdout.close()
        rows = [row for row in ledger.runs(10_000) if row.title == f"run of victim {attempt}"]
        # every run that was announced is there, whole; at most one more was under way
        assert told <= len(rows) <= told + 1
        assert all(len(row.answer["values"]) == row.question["n"] % 500 for row in rows)
    connection = sqlite3.connect(ledger.ledger_path())
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    add()


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"

    def fails(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole(target, fails)
    assert list(target.parent.iterdir()) == []
    whole(target, lambda path: path.write_text("all"))
    assert target.read_text() == "all" and len(list(target.parent.iterdir())) == 1
    with pytest.raises(KeyboardInterrupt):
        whole(target, fails)
    assert target.read_text() == "all"
    blocked = tmp_path / "deep" / "file.txt" / "inside.txt"
    with pytest.raises(InputError, match="cannot be written"):
        whole(blocked, lambda path: path.write_text("x"))


def test_saved_requests_are_those_of_the_run_and_the_same_bytes_again(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    result = simulate(case(), ONE, chat(50), queue_limit=1)
    question = {"model": "llama-3.1-8b", "seed": 0}
    table, summary = save(result, question, tmp_path / "here")
    first = table.read_bytes(), summary.read_bytes()
    again = save(simulate(case(), ONE, chat(50), queue_limit=1), question, tmp_path / "here")
    assert again == (table, summary)
    assert first == (table.read_bytes(), summary.read_bytes())
    assert digest(question) in table.name and len(list((tmp_path / "here").iterdir())) == 2
    rows = parquet.read_table(table).to_pydict()
    done = result.per_request.played.done
    assert [status == "done" for status in rows["status"]] == done.tolist()
    assert [value is not None for value in rows["e2e_s"]] == done.tolist()
    assert rows["prompt_tokens"] == chat(50).prompt_tokens.tolist()
    kept = json.loads(summary.read_text())
    assert kept["question"] == question
    assert kept["answer"]["counts"]["done"] == int(done.sum())
    assert len(kept["answer"]["timeline"]["time_s"]) == len(result.timeline.time_s)
