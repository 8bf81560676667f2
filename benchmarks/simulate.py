"""Whole processes of `tokenmill simulate`: seconds, requests a second, bytes a request.

Prints wall and CPU seconds of each trace in ../shared/traces, and ratios against two baselines of
the same run: `python -c pass`, and importing numpy alone. Then synthetic traffic of growing length,
whose cost for a request should not grow. Run: make bench, or
`.venv/bin/python benchmarks/simulate.py [FOLDER OF TRACES]`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "traces"
ROUNDS = 7
MAIN = "from tokenmill.interface.cli import main; main()"
SERVE = ("simulate", "llama-3.1-8b", "--on", "h100", "--replicas", "4")


def process_s(*words: str, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """Median (wall, CPU) seconds and most memory [B] of a whole process."""
    walls, cpus, peaks = [], [], []
    for _ in range(rounds):
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        walls.append(time.perf_counter() - start)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"exit code {process.returncode}: {' '.join(words)}")
        cpus.append(used.ru_utime + used.ru_stime)
        peaks.append(used.ru_maxrss * 1024.0)
    return statistics.median(walls), statistics.median(cpus), statistics.median(peaks)


def main() -> None:
    """Print every figure."""
    bare_s = process_s("-c", "pass")[0]
    numpy_s, _, numpy_bytes = process_s("-c", "import numpy")
    print(f"python -c pass {bare_s * 1e3:.0f} ms, with numpy {numpy_s * 1e3:.0f} ms")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    files = sorted(folder.glob("*.csv")) + sorted(folder.glob("*.jsonl"))
    if not files:
        print(f"no traces in {folder}: nothing to replay")
    for path in files:
        for router in ("round-robin", "prefix-aware"):
            wall_s, cpu_s, _ = process_s(
                "-c", MAIN, *SERVE, "--trace", str(path), "--router", router
            )  # fmt: skip
            print(
                f"{path.name:28} {router:12} {wall_s * 1e3:6.0f} ms wall {cpu_s * 1e3:6.0f} ms CPU"
                f"  {wall_s / bare_s:5.1f} x python, {wall_s / numpy_s:4.1f} x numpy"
            )
    least_s = process_s("-c", MAIN, *SERVE, "--head", "100")[1]
    for requests in (10_000, 100_000, 1_000_000, 4_000_000):
        wall_s, cpu_s, peak_bytes = process_s(
            "-c", MAIN, *SERVE, "--prompt", "1000", "--output", "200", "--output-cv", "1",
            "--rate", "24 req/s", "--requests", str(requests), rounds=3,
        )  # fmt: skip
        print(
            f"{requests:9,} synthetic requests {wall_s:7.2f} s wall {cpu_s:7.2f} s CPU"
            f"  {requests / (cpu_s - least_s):10,.0f} requests/s beyond the start"
            f"  {(peak_bytes - numpy_bytes) / requests:7.0f} B a request"
        )


if __name__ == "__main__":
    main()
