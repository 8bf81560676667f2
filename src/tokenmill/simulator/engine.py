# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""The event engine: it plays requests against pools of replicas, and knows no physics.

One loop takes the next event from `Order`, lets it happen, and enters what follows from it. A
replica's event is the end of a stretch of equal steps, so the work grows with the events, not
with the tokens. This file and its neighbours `engine_*.py` are plain Python, and that is the
definition of right; the `.pxd` files beside them hold the types for compiling them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from tokenmill.simulator.engine_flow import Flow
from tokenmill.simulator.engine_router import Dice
from tokenmill.simulator.engine_samples import Samples
from tokenmill.simulator.engine_service import Service
from tokenmill.simulator.policies import Event, Phase, Pool, Status, Stop

__all__ = ["Fleet"]

INF = float("inf")
NOBODY = -1
# where a replica stands
OFF, STARTING, UP, DRAINING, DOWN = 0, 1, 2, 3, 4
READY = 2
WAITING = Status.WAITING.value
STEP_ENDS, FAILS = Phase.STEP_ENDS.value, Phase.FAILS.value
SCALES, SAMPLES = Phase.SCALES.value, Phase.SAMPLES.value
SAW_LOSS, SAW_FAILURE = Event.LOSE.value, Event.FAIL.value
SAW_REPAIR = Event.REPAIR.value
FINISHED, STUCK = Stop.FINISHED.value, Stop.STUCK.value
EVENTS, UNTIL = Stop.EVENTS.value, Stop.UNTIL.value


class Fleet(Flow):
    """A flow of requests, the time, and replicas that fail, are mended, start and stop.

    Parameters: columns, pools and plan of the flow; the plan also has sample_s [s] and
    sample_rows [count].
    """

    def __init__(
        self, columns: Mapping[str, Any], pools: Sequence[Pool], plan: Mapping[str, Any]
    ) -> None:
        super().__init__(columns, pools, plan)
        self.samples = Samples(len(pools), plan["sample_s"], plan["sample_rows"])
        self.dice = [Dice(plan["seed"], len(pools) + replica) for replica in range(self.count)]
        self.at_samples = self.at_others
        self.at_scaling = self.at_samples + 1
        self.at_failures = self.at_scaling + self.pools
        self._prepare()

    def _prepare(self) -> None:
        """Enter the first event of every source."""
        self._call_next()
        self.order.put(self.at_samples, self.samples.next_s, SAMPLES)
        for service in self.services:
            self.order.put(self.at_scaling + service.index, service.interval_s, SCALES)
            for replica in range(service.first, service.first + service.count):
                if replica < service.first + service.starting:
                    self._switch_on(replica, 0.0)
                if service.mtbf_s < INF:
                    self._draw_failure(replica, 0.0, service.mtbf_s)

    # the loop

    def run(self, until_s: float, events: int) -> int:
        """Let things happen until a time [s] or for a number of events; returns why it stopped."""
        limit = self.events + events
        while self.inside > 0 or self.coming > 0 or self.next_call < self.calls:
            source = self.order.first()
            now = self.order.time[source]
            if now == INF:
                return STUCK
            if now > until_s:
                return UNTIL
            if self.events >= limit:
                return EVENTS
            self.events += 1
            self.now = now
            if source < self.count:
                self._step(source, now)
            elif source == self.at_calendar:
                self.next_call += 1
                self._arrive(self.calendar[self.next_call - 1], now)
                self._call_next()
            elif source == self.at_later:
                self._happen(now)
            elif source == self.at_samples:
                self._sample(now)
                self.order.put(source, self.samples.next_s, SAMPLES)
                if self._hopeless():
                    return STUCK
            elif source < self.at_samples:
                self._time_out(self.services[source - self.at_timeouts], now)
            elif source < self.at_failures:
                self._scale(self.services[source - self.at_scaling], now)
            else:
                self._fail_or_mend(source - self.at_failures, now)
        return FINISHED

    def _hopeless(self) -> bool:
        """Whether nothing but the passing of time can happen any more."""
        if self.later.size > 0 or self.next_call < self.calls:
            return False
        for index in range(self.count):
            if self.order.time[index] < INF or self.state[index] == DOWN:
                return False
        for service in self.services:
            if service.scales or self.order.time[self.at_timeouts + service.index] < INF:
                return False
        return True

    # replicas come and go

    def _scale(self, service: Service, now: float) -> None:
        """Compare the replicas of a pool with what its load asks for."""
        self.order.put(self.at_scaling + service.index, now + service.interval_s, SCALES)
        wanted = service.wanted()
        active = 0
        for index in range(service.first, service.first + service.count):
            if self.state[index] == UP or self.state[index] == STARTING:
                active += 1
        if wanted >= active:
            service.calm_since = now
        for index in range(service.first, service.first + service.count):
            if active < wanted and self.state[index] == DRAINING:
                self.state[index] = UP
                service.router.serve(index - service.first, True)
                active += 1
        for index in range(service.first, service.first + service.count):
            if active < wanted and self.state[index] == OFF:
                self._start(service, index, now)
                active += 1
        if wanted < active and now - service.calm_since >= service.cooldown_s:
            index = service.first + service.count - 1
            while active > wanted:
                if self.state[index] == UP or self.state[index] == STARTING:
                    self._retire(service, index, now)
                    active -= 1
                index -= 1
        self._house(service, now)

    def _start(self, service: Service, index: int, now: float) -> None:
        self.state[index] = STARTING
        self.epoch[index] += 1
        replica = self.replicas[index]
        replica.power(True, now)
        self._enter(now + service.startup_s, READY, index, self.epoch[index])

    def _retire(self, service: Service, index: int, now: float) -> None:
        service.router.serve(index - service.first, False)
        if self.state[index] == STARTING or service.router.load[index - service.first] == 0:
            self._switch_off(index, now)
        else:
            self.state[index] = DRAINING

    def _draw_failure(self, index: int, now: float, mean_s: float) -> None:
        """The next failure or repair of a replica comes at an exponential time."""
        dice: Dice = self.dice[index]
        self.order.put(self.at_failures + index, now - mean_s * log(dice.roll()), FAILS)

    def _fail_or_mend(self, index: int, now: float) -> None:
        service = self.services[self.owner[index]]
        if self.state[index] == DOWN:
            self._draw_failure(index, now, service.mtbf_s)
            self._note(SAW_REPAIR, now, NOBODY, index)
            self._switch_on(index, now)
        elif self.state[index] == OFF:
            self._draw_failure(index, now, service.mtbf_s)
        else:
            self._draw_failure(index, now, service.mttr_s)
            self._fail(service, index, now)

    def _fail(self, service: Service, index: int, now: float) -> None:
        """A replica goes down; its requests go on elsewhere and compute their KV again."""
        replica = self.replicas[index]
        place = index - service.first
        self._note(SAW_FAILURE, now, NOBODY, index)
        self.state[index] = DOWN
        self.epoch[index] += 1
        self.link_free_s[index] = now
        service.router.serve(place, False)
        self.order.put(index, INF, STEP_ENDS)
        replica.fail(now)
        for lost in range(replica.left):
            self._move(service, replica.left_request[lost], index, now)
        while replica.queue.count > 0:
            self._move(service, replica.queue.pop(), index, now)

    def _move(self, service: Service, request: int, index: int, now: float) -> None:
        self._note(SAW_LOSS, now, request, index)
        self.book.status[request] = WAITING
        service.router.add(index - service.first, -1)
        self._place(service, request, service.router.choose(request), now)

    # samples

    def _sample(self, now: float) -> None:
        """Write down the state of all pools."""
        for service in self.services:
            batch = queue = blocks = 0
            joules = 0.0
            for index in range(service.first, service.first + service.count):
                replica = self.replicas[index]
                batch += replica.batch.count
                queue += replica.queue.count
                blocks += replica.blocks_used(now)
                joules += replica.joules(now)
            self.samples.add(
                service.index, batch, queue + service.homeless.count, blocks,
                service.router.serving, joules - service.sampled_j,
            )  # fmt: skip
            service.sampled_j = joules
        self.samples.close_row(now)

    def close(self, until_s: float) -> None:
        """End the run at a time that is not before its last event [s]."""
        while self.samples.next_s <= until_s:
            self._sample(self.samples.next_s)
        self.now = until_s
        self._sample(until_s)
        for replica in self.replicas:
            replica.close(until_s)
