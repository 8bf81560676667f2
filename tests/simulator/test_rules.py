"""Small cases worked out by hand, one rule each.

A step lasts 1 s, plus 0.125 s for each prefill token where `per_token` asks for that.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tokenmill.simulator.play import Run, play
from tokenmill.simulator.played import Played
from tokenmill.simulator.policies import (
    Autoscaling,
    Batching,
    Bound,
    Event,
    Handoff,
    Pool,
    Preemption,
    Router,
    Scheduling,
    Status,
    tokens_per_step,
)
from tokenmill.simulator.requests import Requests
from tokenmill.work.traffic import Prefixes


def table(per_token: float = 0.0, **changes: Any) -> SimpleNamespace:
    tokens, seats = np.arange(513.0), np.zeros(65)
    fields = dict(
        linear_s=tokens * per_token, linear_j=100.0 * tokens * per_token + tokens,
        sequence_s=seats + 1.0, sequence_j=seats + 100.0,
        decode_ctx_s=seats, decode_ctx_j=seats, decode_window_s=seats, decode_window_j=seats,
        prefill_chunk_s=0.0, prefill_pair_s=0.0, prefill_window_pair_s=0.0,
        prefill_key_s=0.0, prefill_window_key_s=0.0,
        prefill_chunk_j=0.0, prefill_pair_j=0.0, prefill_window_pair_j=0.0,
        prefill_key_j=0.0, prefill_window_key_j=0.0,
        window_tokens=0, idle_w=100.0,
    )  # fmt: skip
    return SimpleNamespace(**(fields | changes))


def pool(name: str = "pool", **changes: Any) -> Pool:
    """Continuous batching of 4 seats, 16 tokens a step, plenty of memory, unless told else."""
    limits: dict[str, Any] = {"token_budget": 16, "max_sequences": 4, "kv_blocks": 100}
    given = {key: changes.pop(key) for key in list(changes) if key in Scheduling.__slots__}
    return Pool(name, changes.pop("table", table()), Scheduling(**(limits | given)), **changes)


def ask(arrival_s: Any, prompt: Any, output: Any, **more: Any) -> Requests:
    return Requests(np.array(arrival_s, float), np.array(prompt), np.array(output), **more)


def events(played: Played, event: Event) -> list[tuple[float, int]]:
    rows = played.journal.event == event
    return list(
        zip(played.journal.time_s[rows], played.journal.request[rows].tolist(), strict=True)
    )


def test_running_sequences_come_before_chunks_of_the_next_prompt() -> None:
    # step 1: 10 tokens of A, 6 of B; step 2: A decodes, B gets the other 15 tokens of the budget
    played = play(ask([0, 0], [10, 30], [4, 1]), [pool()])
    assert played.first_token_s.tolist() == [1.0, 3.0]
    assert played.done_s.tolist() == [4.0, 3.0]


def test_whole_prompts_wait_for_a_step_that_takes_them() -> None:
    # A leaves 6 tokens, too few for B; then A and C (2 tokens) fill only 3: B fits in the next
    played = play(ask([0, 0], [10, 15], [4, 1]), [pool(batching=Batching.INFLIGHT)])
    assert played.schedule_s.tolist() == [0.0, 1.0]
    assert played.replicas.bound_s[0, Bound.TOKENS] == 1.0


def test_prefill_first_lets_decoding_wait() -> None:
    # B comes in A's second step; its two chunks go alone, A decodes again only after them
    together = play(ask([0, 1.5], [4, 24], [4, 2]), [pool()])
    alone = play(ask([0, 1.5], [4, 24], [4, 2]), [pool(batching=Batching.PREFILL_FIRST)])
    assert together.done_s.tolist() == [4.0, 5.0]
    assert alone.first_token_s.tolist() == [1.0, 4.0]
    assert alone.done_s.tolist() == [6.0, 5.0]


def test_a_static_batch_closes_until_all_are_done() -> None:
    played = play(ask([0, 0, 1.5], [4, 4, 4], [6, 2, 1]), [pool(batching=Batching.STATIC)])
    assert played.done_s.tolist() == [6.0, 2.0, 7.0]
    assert played.replicas.bound_s[0, Bound.CLOSED] > 0


def test_no_more_sequences_than_seats() -> None:
    played = play(ask([0] * 3, [1] * 3, [3] * 3), [pool(max_sequences=2)])
    assert played.schedule_s.tolist() == [0.0, 0.0, 3.0]
    assert played.replicas.bound_s[0, Bound.SEQUENCES] == 3.0


def memory_for(blocks: int, **more: Any) -> Pool:
    return pool(kv_blocks=blocks, block_tokens=4, **more)


def test_the_last_to_come_gives_way_and_computes_again() -> None:
    # 4 + 4 tokens fill 2 of 3 blocks; the first decode needs 2 more, so B must go, in step 2
    played = play(ask([0, 0], [4, 4], [6, 6]), [memory_for(3)], Run(journal_rows=100))
    assert events(played, Event.PREEMPT) == [(1.0, 1)]
    assert played.preemptions.tolist() == [0, 1]
    # B's 5 tokens need 2 blocks, A holds 2 of 3 until it is done at 6
    assert played.done_s.tolist() == [6.0, 11.0]
    assert played.replicas.prefill_tokens.tolist() == [4 + 4 + 5]


def test_a_swapped_sequence_brings_its_memory_back() -> None:
    swapping = memory_for(3, preemption=Preemption.SWAP, swap_token_s=0.0625)
    played = play(ask([0, 0], [4, 4], [6, 6]), [swapping])
    # 4 tokens out in step 2, and in again in the step after A: a quarter of a second each
    assert played.done_s.tolist() == [6.25, 11.5]
    assert played.replicas.prefill_tokens.tolist() == [8]


def test_urgent_requests_go_first_and_others_give_way() -> None:
    urgency = np.array([1, 1, 0])
    played = play(
        ask([0, 0.5, 0.5], [1] * 3, [2] * 3, priority=urgency),
        [pool(max_sequences=1, priorities=2)],
    )
    assert played.schedule_s.tolist() == [0.0, 4.0, 2.0]


def test_a_request_beyond_all_memory_is_rejected() -> None:
    played = play(ask([0, 1], [4, 9], [5, 5]), [memory_for(3)])
    assert played.status.tolist() == [Status.DONE, Status.REJECTED]
    assert played.done_s.tolist() == [5.0, 1.0]


def test_a_prompt_without_output_is_done_when_it_is_read() -> None:
    played = play(ask([0], [20], [0]), [pool()])
    assert played.done_s.tolist() == played.first_token_s.tolist() == [2.0]
    assert played.generated_tokens.tolist() == [0]


def test_shared_prefixes_are_computed_once() -> None:
    prefixes = Prefixes(np.array([0, 3, 6]), np.array([7, 8, 9, 7, 8, 5]), 4)
    caching = pool(prefix_cache=True, block_tokens=4, table=table(0.125))
    played = play(ask([0, 10], [12, 12], [1, 1], prefixes=prefixes), [caching])
    # the second prompt finds 8 tokens of 12
    assert played.replicas.cached_tokens.tolist() == [8]
    np.testing.assert_allclose(played.first_token_s, [1 + 12 / 8, 10 + 1 + 4 / 8])


def test_a_whole_prompt_in_the_cache_still_computes_its_last_block() -> None:
    prefixes = Prefixes(np.array([0, 2, 4]), np.array([7, 8, 7, 8]), 4)
    caching = pool(prefix_cache=True, block_tokens=4)
    played = play(ask([0, 10], [8, 8], [1, 1], prefixes=prefixes), [caching])
    assert played.replicas.prefill_tokens.tolist() == [12]


def test_the_oldest_unused_prefix_is_forgotten_first() -> None:
    # room for two prompts of two blocks; the third pushes out the first, from its end
    names = [1, 2, 3, 4, 5, 6, 1, 2]
    prefixes = Prefixes(np.array([0, 2, 4, 6, 8]), np.array(names), 4)
    caching = memory_for(5, prefix_cache=True)
    played = play(ask([0, 10, 20, 30], [9] * 4, [1] * 4, prefixes=prefixes), [caching])
    assert played.replicas.evicted_prefixes.tolist() == [4]
    assert played.replicas.cached_tokens.tolist() == [0]


def test_prefill_and_decode_in_pools_of_their_own() -> None:
    first = pool("prefill", handoff=Handoff("decode", "NVLink", latency_s=0.5, token_s=0.25))
    played = play(ask([0, 0], [4, 6], [3, 2]), [first, pool("decode")])
    assert played.first_token_s.tolist() == [1.0, 1.0]
    # one after another over the link: 4 tokens until 2.0, 6 until 3.5, each + 0.5
    assert played.done_s.tolist() == [2.5 + 2, 4.5 + 1]
    assert played.replica.tolist() == [1, 1]


def test_routers() -> None:
    requests = ask([0] * 4, [1] * 4, [9, 1, 1, 1])
    turns = play(requests, [pool(replicas=2)])
    assert turns.replica.tolist() == [0, 1, 0, 1]
    calm = play(
        ask([0, 0.5, 1.5, 1.5], [1] * 4, [9, 1, 1, 1]),
        [pool(replicas=2, router=Router.LEAST_OUTSTANDING)],
    )
    assert calm.replica.tolist() == [0, 1, 1, 0]


def test_prefixes_draw_requests_to_where_they_are() -> None:
    prefixes = Prefixes(np.array([0, 2, 4, 6]), np.array([1, 2, 3, 4, 1, 2]), 4)
    known = pool(replicas=2, router=Router.PREFIX_AWARE, prefix_cache=True, block_tokens=4)
    played = play(ask([0, 0, 50], [9] * 3, [20, 1, 1], prefixes=prefixes), [known])
    assert played.replica.tolist() == [0, 1, 0]
    assert played.replicas.cached_tokens.tolist() == [8, 0]


def test_limits_at_the_door() -> None:
    short = pool(max_sequences=1, queue_limit=1, timeout_s=2.5)
    played = play(ask([0, 0.5, 0.5], [1] * 3, [9] * 3), [short])
    assert played.status.tolist() == [Status.DONE, Status.TIMED_OUT, Status.REJECTED]
    assert played.done_s.tolist() == [9.0, 3.0, 0.5]


def test_tenants_have_their_share() -> None:
    requests = ask([0, 0, 0, 0], [1] * 4, [2] * 4, tenant=np.array([0, 0, 1, 1]))
    played = play(requests, [pool()], Run(tenant_limits=(1, 2)))
    assert played.count(Status.REJECTED) == 1
    assert played.status[1] == Status.REJECTED


def test_chains_and_think_time() -> None:
    after, delay_s = np.array([-1, 0, 1]), np.array([0, 0.5, 1.0])
    requests = ask([2, 0, 0], [1] * 3, [2] * 3, after=after, delay_s=delay_s)
    played = play(requests, [pool()])
    assert played.arrival_s.tolist() == [2.0, 4.5, 7.5]


def test_a_broken_chain() -> None:
    after = np.array([-1, 0])
    requests = ask([0, 0], [900, 1], [1, 1], after=after)
    assert play(requests, [memory_for(3)]).status.tolist() == [Status.REJECTED, Status.DONE]
    stopped = play(requests, [memory_for(3)], Run(persistent=False))
    assert stopped.status.tolist() == [Status.REJECTED, Status.UNSENT]


def test_fixed_concurrency() -> None:
    played = play(ask([0] * 6, [1] * 6, [2] * 6), [pool()], Run(concurrency=2))
    assert played.arrival_s.tolist() == [0, 0, 2, 2, 4, 4]


def test_slow_replicas_and_throttled_clocks() -> None:
    slow = play(ask([0], [1], [4]), [pool(slowness=(2.0,))])
    assert slow.done_s.tolist() == [8.0]
    # a decode step needs 1 s and 100 + 1 J: at most 100.5 W above 100 W of idle power
    limited = play(ask([0], [1], [4]), [pool(power_limit_w=100.5)])
    assert limited.done_s.tolist() == [8.0]
    assert limited.energy_total_j == pytest.approx(8 * 100.5)


def test_a_replica_starts_when_the_load_asks_for_it() -> None:
    scaling = Autoscaling(1, 2, target=2.0, interval_s=2.0, startup_s=3.0, cooldown_s=9.0)
    busy = pool(max_sequences=1, router=Router.LEAST_OUTSTANDING, autoscaling=scaling)
    played = play(ask([0, 0, 0, 7.5], [1] * 4, [4] * 4), [busy], Run(journal_rows=100))
    assert [time for time, _ in events(played, Event.START)] == [0.0, 5.0]
    assert played.replica.tolist() == [0, 0, 0, 1]
    assert played.done_s.tolist() == [4.0, 8.0, 12.0, 11.5]


def test_a_replica_stops_when_the_load_has_long_been_small() -> None:
    scaling = Autoscaling(1, 2, target=2.0, interval_s=2.0, cooldown_s=4.0)
    calm = pool(replicas=2, autoscaling=scaling)
    played = play(ask([0, 0], [1] * 2, [20, 9]), [calm], Run(journal_rows=100))
    # too many from the start; at 4 s that has lasted, but the second one works until 9 s
    assert [time for time, _ in events(played, Event.STOP)] == [9.0]
    assert played.energy_total_j == pytest.approx(20 * 100 + 9 * 100 + 20 + 9)


def test_speculation_counts_expected_tokens() -> None:
    assert tokens_per_step(0, 0.0) == 1.0
    assert tokens_per_step(1, 0.5) == 1.5
    # 1.5 tokens a step: 1, 2, 4, 5, 7 tokens after the first five decode steps, less the first
    speculating = pool(token_budget=64, draft_tokens=1, acceptance=0.5)
    played = play(ask([0] * 3, [1] * 3, [2, 4, 8]), [speculating])
    assert played.done_s.tolist() == [2.0, 3.0, 6.0]


def test_several_models_on_one_fleet() -> None:
    requests = ask([0, 0], [1, 1], [3, 3], pool=np.array([1, 0]))
    fast = table(sequence_s=np.full(65, 0.5))
    played = play(requests, [pool("one"), pool("two", table=fast)])
    assert played.done_s.tolist() == [1.5, 3.0]
    assert played.series.power_w.shape[1] == 2


def test_a_window_bounds_what_a_token_costs() -> None:
    windowed = table(decode_window_s=np.full(65, 0.25), window_tokens=4)
    played = play(ask([0], [2], [5]), [pool(table=windowed)])
    # contexts 3, 4, 5, 6 of which at most 4 count
    assert played.done_s.tolist() == [1 + 4 + 0.25 * (3 + 4 + 4 + 4)]
    assert play(ask([0], [2], [5]), [pool(table=replace_window(windowed, 0))]).done_s[0] == 5.0


def replace_window(steps: SimpleNamespace, tokens: int) -> SimpleNamespace:
    return SimpleNamespace(**(vars(steps) | {"window_tokens": tokens}))


def test_transferred_kv_waits_for_the_link_of_its_replica_only() -> None:
    first = pool("prefill", replicas=2, handoff=Handoff("decode", token_s=1.0))
    played = play(ask([0, 0], [4, 4], [2, 2]), [first, pool("decode")])
    assert played.done_s.tolist() == [6.0, 6.0]
