"""How fast questions are answered: the search, one estimate, and whole processes.

Prints absolute figures and ratios against baselines measured in the same run: the search against
one-at-a-time estimates, whole processes against `python -c pass`. Run: make bench, or
`.venv/bin/python benchmarks/plan.py`.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from tokenmill.planner.demand import demand_of
from tokenmill.planner.question import DEMO
from tokenmill.planner.search import cases_of, platforms
from tokenmill.planner.single import estimate
from tokenmill.simulator.cases import evaluate

_ROUNDS = 7


def median_s(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """Median CPU time of some work on one core [s]: what a busy neighbour cannot change much."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def process_s(*words: str) -> tuple[float, float]:
    """Median (wall, CPU) seconds of a whole process."""
    walls, cpus = [], []
    for _ in range(_ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(walls), statistics.median(cpus)


def search_rate() -> float:
    """Configurations (layout x batch x format) evaluated a second on one core, whole demo."""
    demand = demand_of(DEMO)
    cases = [case for where in platforms(DEMO) for case in cases_of(DEMO, where, DEMO.models[0])]
    count = sum(evaluate(case, demand, DEMO.percentile).fits.size for case in cases)
    seconds = median_s(lambda: [evaluate(case, demand, DEMO.percentile) for case in cases])
    return count / seconds


def main() -> None:
    """Print every figure."""

    def warm() -> object:
        return [estimate("llama-3.1-8b", on="h100-sxm", concurrency=16.0) for _ in range(100)]

    users = iter(range(1, 10**6))

    def fresh() -> object:
        return [
            estimate("llama-3.1-8b", on="h100-sxm", concurrency=float(next(users)))
            for _ in range(100)
        ]

    warm()
    new_s, one_s = median_s(fresh) / 100, median_s(warm) / 100
    rate = search_rate()
    print(f"search: {rate:,.0f} configurations a second, "
          f"{rate * new_s:.0f} x one-at-a-time estimates")  # fmt: skip
    print(f"one warm estimate: {one_s * 1e3:.2f} ms; with a load not asked before: "
          f"{new_s * 1e3:.2f} ms")  # fmt: skip
    program = [sys.executable, "-c", "from tokenmill.interface.cli import main; main()"]
    base_wall, base_cpu = process_s(sys.executable, "-c", "pass")
    for words in (["--help"], ["demo"]):
        wall, cpu = process_s(*program, *words)
        name = " ".join(words)
        print(
            f"tokenmill {name}: {wall:.2f} s wall, {cpu:.2f} CPU-s "
            f"({wall / base_wall:.0f} x and {cpu / base_cpu:.0f} x an empty process)"
        )


if __name__ == "__main__":
    main()
