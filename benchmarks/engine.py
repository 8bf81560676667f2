"""How fast the event engine is: requests a second, what a request costs in memory, and by size.

Prints absolute figures and ratios against the interpreted engine measured in the same run. CPU
time of one core, best of a few rounds. Run: make bench, or
`.venv/bin/python benchmarks/engine.py [LARGEST]` (largest run in requests, default 1000000).
"""

from __future__ import annotations

import os
import resource
import sys
import time
from ctypes import CDLL
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tokenmill.simulator.play import Run, play
from tokenmill.simulator.policies import Pool, Router, Scheduling, Status
from tokenmill.simulator.requests import Requests
from tokenmill.work.traffic import Prefixes

LEAF = 512


def table(tokens: int = 8192, sequences: int = 256) -> SimpleNamespace:
    """About a 70B model on four large GPUs: 12 ms to read the weights, 32 us a prefill token."""
    t, b = np.arange(tokens + 1.0), np.arange(sequences + 1.0)
    return SimpleNamespace(
        linear_s=np.maximum(0.012, 32e-6 * t), linear_j=6.0 + 0.03 * t,
        sequence_s=1e-3 + 1e-5 * b, sequence_j=0.5 + 1e-3 * b,
        decode_ctx_s=0.0 * b + 1.2e-7, decode_ctx_j=0.0 * b + 1e-5,
        decode_window_s=0.0 * b, decode_window_j=0.0 * b,
        prefill_chunk_s=1e-4, prefill_pair_s=1e-9, prefill_window_pair_s=0.0,
        prefill_key_s=0.0, prefill_window_key_s=0.0,
        prefill_chunk_j=0.01, prefill_pair_j=1e-7, prefill_window_pair_j=0.0,
        prefill_key_j=0.0, prefill_window_key_j=0.0,
        window_tokens=0, idle_w=100.0,
    )  # fmt: skip


def chat(count: int, rate_per_s: float) -> Requests:
    """Poisson arrivals; log-normal lengths, on average 1,050 tokens in and 200 out."""
    rng = np.random.default_rng(1)
    return Requests(
        np.cumsum(rng.exponential(1.0 / rate_per_s, count)),
        np.clip(rng.lognormal(6.5, 1.0, count), 1, 8000).astype(int),
        np.clip(rng.lognormal(5.0, 0.8, count), 1, 2000).astype(int),
    )


def sessions(count: int, rate_per_s: float) -> Requests:
    """Conversations of eight turns: one of 16 system prompts of two blocks, a block more a turn."""
    rng = np.random.default_rng(2)
    turns, people = 8, count // 8
    arrival_s = np.add.outer(rng.uniform(0, count / rate_per_s, people), 20.0 * np.arange(turns))
    system = np.add.outer(2 * rng.integers(0, 16, people), np.arange(2))
    own = 32 + np.add.outer(turns * np.arange(people), np.arange(turns))
    names = np.hstack([system, own])
    rows = np.concatenate([names[:, : turn + 3] for turn in range(turns)], axis=1)
    blocks = np.tile(np.arange(3, turns + 3), people)
    order = np.argsort(arrival_s.ravel())
    offsets = np.concatenate([[0], np.cumsum(blocks)])
    return Requests(
        arrival_s.ravel()[order],
        blocks[order] * LEAF + 1,
        np.clip(rng.lognormal(4.5, 0.6, people * turns), 1, 1000).astype(int),
        prefixes=Prefixes(offsets, rows.ravel(), LEAF).take(order),
    )


def best_s(requests: Requests, pool: Pool, rounds: int, interpreted: bool = False) -> float:
    """CPU time of the quickest of a few runs [s]."""
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        played = play(requests, [pool], Run(seed=1), interpreted=interpreted)
        times.append(time.process_time() - begun)
        assert played.count(Status.DONE) == len(requests)
    return min(times)


def compare(name: str, requests: Requests, pool: Pool, aim: float) -> None:
    """One line: requests a second compiled, against interpreted."""
    few = requests if len(requests) <= 5000 else head(requests, 5000)
    slow = len(few) / best_s(few, pool, 1, interpreted=True)
    fast = len(requests) / best_s(requests, pool, 3)
    print(f"{name:52} {fast / 1e6:6.2f} M/s  x{fast / slow:4.0f} of interpreted  (aim {aim} M/s)")


def head(requests: Requests, count: int) -> Requests:
    prefixes = requests.prefixes
    return Requests(
        requests.arrival_s[:count], requests.prompt_tokens[:count],
        requests.output_tokens[:count],
        prefixes=None if prefixes is None else prefixes.take(np.arange(count)),
    )  # fmt: skip


def main() -> None:
    largest = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    limits = Scheduling(token_budget=8192, max_sequences=256, kv_blocks=30_000)
    one = Pool("one", table(), limits)
    cached = replace(limits, prefix_cache=True)
    fleet = Pool("fleet", table(), cached, replicas=64, router=Router.LEAST_OUTSTANDING)
    print("requests played a second of CPU time, one core")
    compare("chat, chunked prefill, KV blocks, half loaded", chat(500_000, 6.0), one, 3)
    compare("the same, busy", chat(500_000, 14.0), one, 3)
    compare("64 replicas, prefix cache, least outstanding", sessions(400_000, 500.0), fleet, 1)
    requests, pool = chat(2_000_000, 48.0), replace(one, replicas=8)
    for cores in range(1, (os.cpu_count() or 1) + 1):
        begun = time.perf_counter()
        play(requests, [pool], Run(seed=1, cores=cores))
        took_s = time.perf_counter() - begun
        rate = len(requests) / took_s / 1e6
        print(f"{'8 replicas that do not interact':36} {cores:2} core(s), wall {rate:6.2f} M/s")
    print("\nby size: chat, half loaded")
    size = 10_000
    while size <= largest:
        requests = chat(size, 6.0)
        seconds = best_s(requests, one, 1 if size > 10**6 else 3)
        line = f"{size:10,} requests  {1e9 * seconds / size:6.0f} ns a request"
        if size >= 10**6:
            held = requests.arrival_s.nbytes + requests.prompt_tokens.nbytes
            held += requests.output_tokens.nbytes
            line += f"  {(held + grown_bytes(requests, one)) / size:5.0f} B a request"
        print(line)
        size *= 10


def grown_bytes(requests: Requests, pool: Pool) -> float:
    """How much the memory of a process grows at most while it plays [B]; of a child, a new one."""
    CDLL(None).malloc_trim(0)  # so that nothing freed before is used again
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        play(requests, [pool], Run(seed=1))
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        os.write(writes, str(most - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return float(os.read(reads, 64))


if __name__ == "__main__":
    main()
