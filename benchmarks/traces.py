"""Reading traces: milliseconds and rows a second, against bare splitting or parsing of the lines.

Usage: python benchmarks/traces.py [FOLDER OF TRACES]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tokenmill.work.traces import read_trace

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "traces"


def best_s(work: Callable[[], object], times: int = 15) -> float:
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return min(spent)


def bare(path: Path) -> list[object]:
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in lines]
    return [line.split(",") for line in lines]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    files = sorted(folder.glob("*.csv")) + sorted(folder.glob("*.jsonl"))
    if not files:
        print(f"no traces in {folder}: nothing to measure")
    for path in files:
        rows = len(read_trace(path))
        whole, baseline = best_s(lambda p=path: read_trace(p)), best_s(lambda p=path: bare(p))
        print(
            f"{path.name:30} {rows:7} rows  {whole * 1e3:7.1f} ms  {rows / whole:10,.0f} rows/s"
            f"  {whole / baseline:5.2f} x bare lines ({baseline * 1e3:.1f} ms)"
        )


if __name__ == "__main__":
    main()
