"""A whole run, step by step: the same rules as the engine's fleet, in the plainest way."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from simulator.step_replica import StepReplica
from tokenmill.simulator.play import Run
from tokenmill.simulator.policies import Event, Phase, Pool, Router, Status
from tokenmill.simulator.requests import Requests

HOMELESS = -1


def splitmix64(state: int) -> int:
    z = state * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


class Dice:
    """L'Ecuyer's two generators combined, from the seeds the engine takes."""

    def __init__(self, seed: int, stream: int) -> None:
        first = 2 * (seed * 2**32 + stream)
        self.one = splitmix64(first) % 2147483562 + 1
        self.two = splitmix64(first + 1) % 2147483398 + 1

    def roll(self) -> float:
        self.one = self.one * 40014 % 2147483563
        self.two = self.two * 40692 % 2147483399
        return ((self.one - self.two - 1) % 2147483562 + 1) / 2147483563


class StepService:
    def __init__(self, number: int, pool: Pool, first: int, seed: int) -> None:
        self.number, self.pool, self.first = number, pool, first
        self.size = pool.most_replicas
        self.dice = Dice(seed, number)
        self.turn = 0
        self.loads = [0] * self.size
        self.serves = [False] * self.size
        self.homeless: list[int] = []
        self.home: dict[int, int] = {}
        self.calm_since = 0.0
        self.gaps: list[float] = []
        self.sampled_j = 0.0

    def total(self) -> int:
        return sum(self.loads) + len(self.homeless)


class StepPlayer:
    def __init__(self, requests: Requests, pools: Sequence[Pool], run: Run) -> None:
        n = len(requests)
        self.n, self.requests, self.run, self.pools = n, requests, run, list(pools)
        self.arrival = requests.arrival_s.tolist()
        self.prompt, self.output = requests.prompt_tokens.tolist(), requests.output_tokens.tolist()
        self.priority = None if requests.priority is None else requests.priority.tolist()
        self.leaf = requests.prefixes.block_tokens if requests.prefixes else 0
        self.schedule, self.first = [math.nan] * n, [math.nan] * n
        self.done, self.energy = [math.nan] * n, [0.0] * n
        self.last_s = [math.nan] * n
        self.status: list[int] = [Status.UNSENT] * n
        self.preemptions, self.generated, self.replica = [0] * n, [0] * n, [-1] * n
        self.journal: list[tuple[float, int, int, int]] = []
        self.tenant_load = [0] * len(run.tenant_limits)
        self.events: list[tuple[float, int, int, int, Any]] = []
        self.entered = 0
        self.inside = self.coming = 0
        self.services: list[StepService] = []
        self.replicas: list[StepReplica] = []
        self.owner: list[StepService] = []
        for number, pool in enumerate(pools):
            service = StepService(number, pool, len(self.replicas), run.seed)
            self.services.append(service)
            for place in range(pool.most_replicas):
                slow = pool.slowness[place] if place < len(pool.slowness) else 1.0
                self.replicas.append(StepReplica(self, len(self.replicas), pool, slow))
                self.owner.append(service)
        count = len(self.replicas)
        self.state = ["off"] * count
        self.epoch, self.link_free_s = [0] * count, [0.0] * count
        self.starting = [False] * count
        self.dice = [Dice(run.seed, len(pools) + replica) for replica in range(count)]
        self.now = 0.0

    # what the replicas ask

    def blocks_of(self, request: int) -> list[int]:
        prefixes = self.requests.prefixes
        assert prefixes is not None
        start, stop = prefixes.offsets[request], prefixes.offsets[request + 1]
        ids: list[int] = prefixes.hashes[start:stop].tolist()
        return ids

    def most_tokens(self, request: int, pool: Pool) -> int:
        output = max(self.output[request], 1)
        return int(self.prompt[request] + output - 1 + pool.scheduling.draft_tokens)

    def note(self, event: Event, now: float, request: int, replica: int) -> None:
        self.journal.append((now, int(event), request, replica))

    def gap(self, pool: Pool, gap_s: float) -> None:
        next(s for s in self.services if s.pool is pool).gaps.append(gap_s)

    # the loop

    def push(self, time: float, phase: Phase, source: int, what: Any = None) -> None:
        self.entered += 1
        heapq.heappush(self.events, (time, int(phase), source, self.entered, what))

    def play(self) -> StepPlayer:
        requests, run = self.requests, self.run
        after = [-1] * self.n if requests.after is None else requests.after.tolist()
        own = [i for i in range(self.n) if after[i] < 0]
        self.children = {
            parent: [i for i in range(self.n) if after[i] == parent] for parent in set(after) - {-1}
        }
        self.spare = own[run.concurrency :] if run.concurrency else []
        self.calendar = own[: run.concurrency] if run.concurrency else own
        self.calendar.sort(key=lambda request: self.arrival[request])
        for place, request in enumerate(self.calendar):
            self.push(self.arrival[request], Phase.ARRIVES, place, request)
        self.to_call = len(self.calendar)
        for service in self.services:
            for place in range(service.pool.replicas):
                self.switch_on(service.first + place, 0.0)
            if service.pool.autoscaling:
                self.push(service.pool.autoscaling.interval_s, Phase.SCALES, service.number)
            for place in range(service.size if service.pool.failures else 0):
                self.draw_failure(service.first + place, 0.0, service.pool.failures.mtbf_s)
        while self.events and (self.inside or self.coming or self.to_call):
            time, phase, source, _, what = heapq.heappop(self.events)
            if time > run.until_s:
                break
            if phase == Phase.STEP_ENDS:
                step, replica = what, self.replicas[source]
                if replica.step is not step:
                    continue  # the replica failed during the step
            self.now = time
            self.happen(Phase(phase), source, what, time)
        return self

    def happen(self, phase: Phase, source: int, what: Any, now: float) -> None:
        if phase == Phase.STEP_ENDS:
            self.step_ends(source, now)
        elif phase == Phase.HAPPENS:
            what(now)
        elif phase == Phase.ARRIVES:
            self.to_call -= 1
            self.arrive(what, now)
        elif phase == Phase.FAILS:
            self.fail_or_mend(source, now)
        elif phase == Phase.SCALES:
            self.scale(self.services[source], now)
        elif phase == Phase.STEP_STARTS:
            self.starting[source] = False
            replica = self.replicas[source]
            if replica.step is None and self.state[source] != "down":
                replica.begin(now)
                if replica.step:
                    self.push(replica.step.end, Phase.STEP_ENDS, source, replica.step)
        elif phase == Phase.TIMES_OUT:
            self.time_out(what, now)

    def start_soon(self, index: int, now: float) -> None:
        if not self.starting[index] and self.replicas[index].step is None:
            self.starting[index] = True
            self.push(now, Phase.STEP_STARTS, index)

    def step_ends(self, index: int, now: float) -> None:
        replica, service = self.replicas[index], self.owner[index]
        left = replica.finish()
        self.start_soon(index, now)
        for request, how in left:
            if how == "sent":
                self.hand_off(replica, service, request, now)
            else:
                self.settle(request, now, True)
            service.loads[index - service.first] -= 1
        self.stop_if_drained(index, now)

    def stop_if_drained(self, index: int, now: float) -> None:
        service = self.owner[index]
        if self.state[index] == "draining" and service.loads[index - service.first] == 0:
            self.switch_off(index, now)

    # requests

    def arrive(self, request: int, now: float) -> None:
        self.arrival[request] = now
        self.note(Event.ARRIVE, now, request, HOMELESS)
        self.inside += 1
        pool = 0 if self.requests.pool is None else int(self.requests.pool[request])
        service = self.services[pool]
        if self.tenant_load:
            self.tenant_load[self.requests.tenant[request]] += 1
        if not self.welcome(service, request):
            self.drop(request, now, Status.REJECTED)
            return
        place = self.choose(service, request)
        limit = service.pool.queue_limit
        if place != HOMELESS and 0 < limit <= len(self.replicas[service.first + place].queue()):
            self.drop(request, now, Status.REJECTED)
            return
        self.status[request] = Status.WAITING
        if service.pool.timeout_s < math.inf:
            self.push(now + service.pool.timeout_s, Phase.TIMES_OUT, pool, request)
        self.place(service, request, place, now)

    def welcome(self, service: StepService, request: int) -> bool:
        if self.tenant_load:
            tenant = self.requests.tenant[request]
            if self.tenant_load[tenant] > self.run.tenant_limits[tenant]:
                return False
        while True:
            wanted = service.pool.scheduling
            most = self.most_tokens(request, service.pool)
            if math.ceil(most / wanted.block_tokens) > wanted.kv_blocks:
                return False
            if service.pool.handoff is None:
                return True
            service = self.service(service.pool.handoff.pool)

    def service(self, name: str) -> StepService:
        return next(service for service in self.services if service.pool.name == name)

    def choose(self, service: StepService, request: int) -> int:
        places = [place for place in range(service.size) if service.serves[place]]
        if not places:
            return HOMELESS
        rule = service.pool.router
        if rule is Router.ROUND_ROBIN:
            chosen = min(places, key=lambda place: (place - service.turn) % service.size)
            service.turn = (chosen + 1) % service.size
            return chosen
        if rule is Router.RANDOM:
            return places[int(service.dice.roll() * len(places))]
        chosen = min(places, key=lambda place: (service.loads[place], place))
        if rule is Router.PREFIX_AWARE and self.leaf:
            chosen = self.by_prefix(service, request, chosen)
        return chosen

    def by_prefix(self, service: StepService, request: int, least: int) -> int:
        chosen, names, pool = least, self.blocks_of(request), service.pool
        known = [name for name in names]
        for depth, name in enumerate(names):
            if name not in service.home:
                known = names[:depth]
                break
        if known and len(known) * self.leaf >= pool.affinity * self.prompt[request]:
            there = service.home[known[-1]]
            most = pool.balance_ratio * service.loads[least] + pool.balance_slack
            if service.serves[there] and service.loads[there] <= most:
                chosen = there
        service.home.update(dict.fromkeys(names, chosen))
        return chosen

    def place(self, service: StepService, request: int, place: int, now: float) -> None:
        if place == HOMELESS:
            self.replica[request] = HOMELESS
            service.homeless.append(request)
            if self.priority:
                most = service.pool.scheduling.priorities - 1
                service.homeless.sort(key=lambda r: min(self.priority[r], most))
            return
        index = service.first + place
        self.replica[request] = index
        service.loads[place] += 1
        self.replicas[index].line(request).append(request)
        self.start_soon(index, now)

    def house(self, service: StepService, now: float) -> None:
        while service.homeless and any(service.serves):
            request = service.homeless.pop(0)
            self.place(service, request, self.choose(service, request), now)

    def drop(self, request: int, now: float, status: Status) -> None:
        self.status[request] = status
        self.done[request] = now
        event = Event.REJECT if status == Status.REJECTED else Event.TIME_OUT
        self.note(event, now, request, HOMELESS)
        self.settle(request, now, False)

    def settle(self, request: int, now: float, served: bool) -> None:
        self.inside -= 1
        if self.tenant_load:
            self.tenant_load[self.requests.tenant[request]] -= 1
        delay = self.requests.delay_s
        following = self.children.get(request, []) if served or self.run.persistent else []
        if self.spare:
            following = [*following, self.spare.pop(0)]
        for child in following:
            self.coming += 1
            wait = 0.0 if delay is None else float(delay[child])
            self.later(now + wait, lambda t, child=child: self.come(child, t))

    def come(self, request: int, now: float) -> None:
        self.coming -= 1
        self.arrive(request, now)

    def later(self, time: float, what: Any) -> None:
        self.push(time, Phase.HAPPENS, 0, what)

    def hand_off(self, replica: Any, service: StepService, request: int, now: float) -> None:
        handoff = service.pool.handoff
        tokens = self.prompt[request] + self.generated[request] - 1
        start = max(now, self.link_free_s[replica.index])
        self.link_free_s[replica.index] = start + tokens * handoff.token_s
        arrival = self.link_free_s[replica.index] + handoff.latency_s
        epoch = self.epoch[replica.index]
        self.later(arrival, lambda t: self.receive(request, replica.index, epoch, t))
        self.note(Event.HAND_OFF, now, request, replica.index)

    def receive(self, request: int, index: int, epoch: int, now: float) -> None:
        service, replica = self.owner[index], self.replicas[index]
        if self.epoch[index] != epoch:
            self.status[request] = Status.WAITING
            self.note(Event.LOSE, now, request, index)
        else:
            _, names = replica.sent.pop(request)
            replica.unuse(names)
            if replica.queue():
                self.start_soon(index, now)
            service = self.service(service.pool.handoff.pool)
        self.place(service, request, self.choose(service, request), now)

    def time_out(self, request: int, now: float) -> None:
        if self.status[request] != Status.WAITING or not math.isnan(self.schedule[request]):
            return
        index = self.replica[request]
        self.drop(request, now, Status.TIMED_OUT)
        if index == HOMELESS:
            next(s for s in self.services if request in s.homeless).homeless.remove(request)
            return
        service = self.owner[index]
        self.replicas[index].line(request).remove(request)
        service.loads[index - service.first] -= 1
        if self.replicas[index].queue():
            self.start_soon(index, now)
        self.stop_if_drained(index, now)

    # replicas come and go

    def switch_on(self, index: int, now: float) -> None:
        service = self.owner[index]
        if self.state[index] != "starting":
            self.replicas[index].power(True, now)
        self.state[index] = "up"
        service.serves[index - service.first] = True
        self.note(Event.START, now, HOMELESS, index)
        self.house(service, now)

    def switch_off(self, index: int, now: float) -> None:
        self.state[index] = "off"
        self.replicas[index].power(False, now)
        self.note(Event.STOP, now, HOMELESS, index)

    def scale(self, service: StepService, now: float) -> None:
        rule = service.pool.autoscaling
        self.push(now + rule.interval_s, Phase.SCALES, service.number)
        needed = math.ceil(service.total() / rule.target)
        wanted = max(rule.minimum, min(needed, rule.maximum))
        mine = range(service.first, service.first + service.size)
        active = [i for i in mine if self.state[i] in ("up", "starting")]
        missing = wanted - len(active)
        if missing >= 0:
            service.calm_since = now
        back = [i for i in mine if self.state[i] == "draining"][: max(missing, 0)]
        for index in back:
            self.state[index] = "up"
            service.serves[index - service.first] = True
        fresh = [i for i in mine if self.state[i] == "off"][: max(missing - len(back), 0)]
        for index in fresh:
            self.state[index] = "starting"
            self.epoch[index] += 1
            self.replicas[index].power(True, now)
            epoch = self.epoch[index]
            self.later(now + rule.startup_s, lambda t, i=index, e=epoch: self.ready(i, e, t))
        if missing < 0 and now - service.calm_since >= rule.cooldown_s:
            for index in sorted(active, reverse=True)[:-missing]:
                self.retire(service, index, now)
        self.house(service, now)

    def ready(self, index: int, epoch: int, now: float) -> None:
        if self.state[index] == "starting" and self.epoch[index] == epoch:
            self.switch_on(index, now)

    def retire(self, service: StepService, index: int, now: float) -> None:
        service.serves[index - service.first] = False
        if self.state[index] == "starting" or service.loads[index - service.first] == 0:
            self.switch_off(index, now)
        else:
            self.state[index] = "draining"

    def draw_failure(self, index: int, now: float, mean_s: float) -> None:
        self.push(now - mean_s * math.log(self.dice[index].roll()), Phase.FAILS, index)

    def fail_or_mend(self, index: int, now: float) -> None:
        service = self.owner[index]
        rule = service.pool.failures
        if self.state[index] == "down":
            self.draw_failure(index, now, rule.mtbf_s)
            self.note(Event.REPAIR, now, HOMELESS, index)
            self.switch_on(index, now)
        elif self.state[index] == "off":
            self.draw_failure(index, now, rule.mtbf_s)
        else:
            self.draw_failure(index, now, rule.mttr_s)
            self.fail(service, index, now)

    def fail(self, service: StepService, index: int, now: float) -> None:
        self.note(Event.FAIL, now, HOMELESS, index)
        self.state[index] = "down"
        self.epoch[index] += 1
        self.link_free_s[index] = now
        service.serves[index - service.first] = False
        for request in self.replicas[index].fail(now):
            self.note(Event.LOSE, now, request, index)
            self.status[request] = Status.WAITING
            service.loads[index - service.first] -= 1
            self.place(service, request, self.choose(service, request), now)

    def result(self, end_s: float) -> SimpleNamespace:
        """The end of the run, in the names of `Played`."""
        energy_j = [replica.joules(end_s) for replica in self.replicas]
        for replica in self.replicas:
            replica.break_off(end_s)
        return SimpleNamespace(
            arrival_s=self.arrival, schedule_s=self.schedule, first_token_s=self.first,
            done_s=self.done, energy_j=self.energy, status=self.status,
            preemptions=self.preemptions, generated_tokens=self.generated, replica=self.replica,
            journal=self.journal, replica_j=energy_j,
            work_j=[replica.work_j for replica in self.replicas],
            busy_s=[replica.busy_s for replica in self.replicas],
            steps=[replica.steps for replica in self.replicas],
            prefill=[replica.prefill_tokens for replica in self.replicas],
            cached=[replica.cached_tokens for replica in self.replicas],
            gaps=[service.gaps for service in self.services],
        )  # fmt: skip
