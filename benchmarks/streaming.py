"""A trace larger than what may be held: memory and rows a second, read through and simulated.

Writes a file of that size, streams it, and simulates it under a memory budget; the memory of each
process must follow the requests kept, not the file. Ratios are against a file a tenth as long.
Run: make bench, or `.venv/bin/python benchmarks/streaming.py [GIGABYTES]` (default 0.5).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THROUGH = """
import sys
from pathlib import Path
from tokenmill.work.traces import stream_trace
print(sum(len(piece) for piece in stream_trace(Path(sys.argv[1]))))
"""
MAIN = "from tokenmill.interface.cli import main; main()"
SERVE = ("simulate", "llama-3.1-8b", "--on", "h100", "--replicas", "4", "--budget-memory", "100 MB")
ROWS = 500_000  # that are written at once


def write(path: Path, size_bytes: float) -> None:
    """A trace of 25 requests a second and about that size."""
    written = first = 0
    with path.open("w", encoding="ascii", newline="\n") as file:
        written += file.write("arrived_at,num_prefill_tokens,num_decode_tokens\n")
        while written < size_bytes:
            rows = (
                f"{(first + i) * 0.04:.2f},{100 + (first + i) * 7919 % 3900},"
                f"{1 + (first + i) * 104729 % 400}\n"
                for i in range(ROWS)
            )
            written += file.write("".join(rows))
            first += ROWS


def measured(*words: str) -> tuple[str, float, float]:
    """Standard output, CPU seconds and most memory [B] of a process."""
    process = subprocess.Popen(
        [sys.executable, "-c", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    said = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(words)}")
    return said, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024.0


def main() -> None:
    """Print every figure."""
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    with tempfile.TemporaryDirectory() as folder:
        peaks: dict[str, list[float]] = {"through": [], "simulated": []}
        for size_bytes in (1e8 * gigabytes, 1e9 * gigabytes):
            path = Path(folder) / "large.csv"
            begun = time.perf_counter()
            write(path, size_bytes)
            told = f"{path.stat().st_size / 1e9:.2f} GB"
            print(f"{told}, written in {time.perf_counter() - begun:.0f} s")
            said, cpu_s, peak = measured(THROUGH, str(path))
            rows = int(said)
            peaks["through"].append(peak)
            print(
                f"  read through  {rows:12,} rows {rows / cpu_s:12,.0f} rows/s {peak / 1e6:6.0f} MB"
            )
            said, cpu_s, peak = measured(MAIN, *SERVE, "--trace", str(path))
            peaks["simulated"].append(peak)
            kept = next(line for line in said.splitlines() if "requests over" in line)
            print(f"  simulated     {kept.strip()}; {cpu_s:.1f} s {peak / 1e6:6.0f} MB")
        for name, (short, long) in peaks.items():
            print(f"{name}: {long / short:.2f} x the memory for 10 x the file")


if __name__ == "__main__":
    main()
