# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: infer_types=True, annotation_typing=False, initializedcheck=False
"""The way of requests through pools of replicas: arrival, routing, hand-off, time-out, end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tokenmill.simulator.engine_book import Book
from tokenmill.simulator.engine_order import Later, Order, floats, ints
from tokenmill.simulator.engine_replica import Replica
from tokenmill.simulator.engine_service import Service
from tokenmill.simulator.engine_table import Table
from tokenmill.simulator.policies import Event, Phase, Pool, Status

__all__ = ["Flow"]

INF = float("inf")
NOBODY = -1
# where a replica stands
OFF, STARTING, UP, DRAINING, DOWN = 0, 1, 2, 3, 4
# what can happen later
COMES, SENT, READY = 0, 1, 2
WAITING, CARRIED = Status.WAITING.value, Status.CARRIED.value
REJECTED, TIMED_OUT = Status.REJECTED.value, Status.TIMED_OUT.value
STEP_ENDS, HAPPENS, ARRIVES = Phase.STEP_ENDS.value, Phase.HAPPENS.value, Phase.ARRIVES.value
STEP_STARTS, TIMES_OUT = Phase.STEP_STARTS.value, Phase.TIMES_OUT.value
SAW_ARRIVAL, SAW_REJECT = Event.ARRIVE.value, Event.REJECT.value
SAW_TIME_OUT, SAW_HAND_OFF = Event.TIME_OUT.value, Event.HAND_OFF.value
SAW_LOSS, SAW_START, SAW_STOP = Event.LOSE.value, Event.START.value, Event.STOP.value


class Flow:
    """Pools of replicas and the requests in them.

    Parameters: columns of the book; pools; plan, a mapping of: service (int32[n] or [0]), tenant
    (int32[n] or [0]), tenant_limits (int32[tenants]), calendar (int32, requests with a time of
    their own, in order), child and sibling (int32[n] or [0], requests that follow others), delay_s
    (float64[n] or [0]), spare (int32, requests sent when another one ends), persistent (bool,
    a request that fails is followed too), seed, journal_rows.
    """

    def __init__(
        self, columns: Mapping[str, Any], pools: Sequence[Pool], plan: Mapping[str, Any]
    ) -> None:
        self.book = Book(columns, plan["journal_rows"])
        self.service_of = ints(plan["service"])
        self.tenant = ints(plan["tenant"])
        self.tenant_limit = ints(plan["tenant_limits"])
        self.tenant_load = ints(np.zeros(len(plan["tenant_limits"]), np.int32))
        self.calendar = ints(plan["calendar"])
        self.child, self.sibling = ints(plan["child"]), ints(plan["sibling"])
        self.delay = floats(plan["delay_s"])
        self.spare = ints(plan["spare"])
        self.persistent = plan["persistent"]
        self.routed = len(plan["service"]) > 0
        self.limited = len(plan["tenant_limits"]) > 0
        self.chained = len(plan["child"]) > 0
        self.next_call = self.next_spare = 0
        self.calls, self.spares = len(plan["calendar"]), len(plan["spare"])
        self.inside = self.coming = self.events = 0
        self.now = 0.0
        self.later = Later()
        self._build(pools, plan["seed"])

    def _build(self, pools: Sequence[Pool], seed: int) -> None:
        index = {pool.name: number for number, pool in enumerate(pools)}
        self.replicas: list[Replica] = []
        self.services: list[Service] = []
        owners: list[int] = []
        for number, pool in enumerate(pools):
            service = Service(number, pool, len(owners), self.book, index, seed)
            self.services.append(service)
            table = Table(pool)
            slowness = list(pool.slowness) + [1.0] * pool.most_replicas
            for place in range(pool.most_replicas):
                self.replicas.append(
                    Replica(len(owners), self.book, pool, table, slowness[place], service.gaps)
                )
                owners.append(number)
        self.pools, self.count = len(pools), len(owners)
        self.owner = ints(np.array(owners, np.int32))
        self.state = ints(np.full(self.count, OFF, np.int8))
        self.epoch = ints(np.zeros(self.count, np.int32))
        self.link_free_s = floats(np.zeros(self.count))
        impatient = any(pool.timeout_s < INF for pool in pools)
        # the sources of events: every replica, then these
        self.at_calendar = self.count
        self.at_later = self.count + 1
        self.at_timeouts = self.count + 2
        self.at_others = self.at_timeouts + self.pools
        fragile = any(pool.failures for pool in pools)
        self.order = Order(self.at_others + 1 + self.pools + (self.count if fragile else 0))
        self.watch = ints(np.full(self.book.count if impatient else 0, NOBODY, np.int32))

    def _step(self, index: int, now: float) -> None:
        """A step of a replica ends, or the next one starts."""
        replica = self.replicas[index]
        if self.order.phase[index] == STEP_ENDS:
            replica.finish()
            if replica.left > 0:
                self._let_go(replica, now)
            if not self.order.is_alone(index):
                # all else that happens at this time comes before the next step
                self.order.put(index, now, STEP_STARTS)
                return
        replica.begin(now)
        self.order.put(index, replica.stretch.end, STEP_ENDS)

    def _let_go(self, replica: Replica, now: float) -> None:
        """Those who are done at a replica leave it."""
        index = replica.index
        service = self.services[self.owner[index]]
        for place in range(replica.left):
            request = replica.left_request[place]
            if self.book.status[request] == CARRIED:
                self._hand_off(replica, service, request, now)
            else:
                self._settle(request, now, True)
            service.router.add(index - service.first, -1)
        if self.state[index] == DRAINING and service.router.load[index - service.first] == 0:
            self._switch_off(index, now)

    # requests

    def _call_next(self) -> None:
        time = INF
        if self.next_call < self.calls:
            time = self.book.arrival[self.calendar[self.next_call]]
        self.order.put(self.at_calendar, time, ARRIVES)

    def _arrive(self, request: int, now: float) -> None:
        """A request comes to the door."""
        self.book.arrival[request] = now
        self._note(SAW_ARRIVAL, now, request, NOBODY)
        self.inside += 1
        service = self.services[self.service_of[request] if self.routed else 0]
        if self.limited:
            self.tenant_load[self.tenant[request]] += 1
        if not self._welcome(service, request):
            self._drop(request, now, REJECTED)
            return
        place = service.router.choose(request)
        if place != NOBODY and service.queue_limit > 0:
            replica = self.replicas[service.first + place]
            if replica.queue.count >= service.queue_limit:
                self._drop(request, now, REJECTED)
                return
        self.book.status[request] = WAITING
        if service.timeout_s < INF:
            self._watch_over(service, request)
        self._place(service, request, place, now)

    def _welcome(self, service: Service, request: int) -> bool:
        """Whether a request could ever be served, and its tenant has not too many here."""
        if self.limited:
            tenant = self.tenant[request]
            if self.tenant_load[tenant] > self.tenant_limit[tenant]:
                return False
        while True:
            replica = self.replicas[service.first]
            if not replica.can_hold(request):
                return False
            if service.next == NOBODY:
                return True
            service = self.services[service.next]

    def _place(self, service: Service, request: int, place: int, now: float) -> None:
        """Queue a request at a replica of a pool, or at none as long as none serves."""
        if place == NOBODY:
            self.book.replica[request] = NOBODY
            service.homeless.add(request)
            service.router.total += 1
            return
        index = service.first + place
        replica = self.replicas[index]
        self.book.replica[request] = index
        service.router.add(place, 1)
        shorter = replica.arrive(request, now)
        self._follow_up(replica, shorter, now)

    def _follow_up(self, replica: Replica, shorter: bool, now: float) -> None:
        """Something changed at a replica: an idle one looks at its queue, a stretch may end."""
        if not replica.busy:
            self.order.put(replica.index, now, STEP_STARTS)
        elif shorter:
            self.order.put(replica.index, replica.stretch.end, STEP_ENDS)

    def _house(self, service: Service, now: float) -> None:
        """Place those who found no replica that serves."""
        queue = service.homeless
        while queue.count > 0 and service.router.serving > 0:
            request = queue.pop()
            service.router.total -= 1
            self._place(service, request, service.router.choose(request), now)

    def _drop(self, request: int, now: float, status: int) -> None:
        """A request leaves without what it came for."""
        self.book.status[request] = status
        self.book.done[request] = now
        self._note(SAW_REJECT if status == REJECTED else SAW_TIME_OUT, now, request, NOBODY)
        self._settle(request, now, False)

    def _settle(self, request: int, now: float, served: bool) -> None:
        """A request has left: those who follow it come."""
        self.inside -= 1
        if self.limited:
            self.tenant_load[self.tenant[request]] -= 1
        if self.chained and (served or self.persistent):
            child = self.child[request]
            while child != NOBODY:
                self._come(child, now + self.delay[child])
                child = self.sibling[child]
        if self.next_spare < self.spares:
            child = self.spare[self.next_spare]
            self.next_spare += 1
            self._come(child, now + (self.delay[child] if len(self.delay) > 0 else 0.0))

    def _come(self, request: int, time: float) -> None:
        self.coming += 1
        self._enter(time, COMES, request, 0)

    def _enter(self, time: float, kind: int, what: int, where: int) -> None:
        self.later.add(time, kind, what, where)
        self.order.put(self.at_later, self.later.next_time(), HAPPENS)

    def _happen(self, now: float) -> None:
        """What was entered for this time."""
        kind, what, where = self.later.kind[0], self.later.what[0], self.later.where[0]
        self.later.drop_first()
        self.order.put(self.at_later, self.later.next_time(), HAPPENS)
        if kind == COMES:
            self.coming -= 1
            self._arrive(what, now)
        elif kind == SENT:
            self._receive(what, where, now)
        elif self.state[what] == STARTING and self.epoch[what] == where:
            self._switch_on(what, now)

    def _hand_off(self, replica: Replica, service: Service, request: int, now: float) -> None:
        """Send the KV of a request to the next pool, after those that wait for the link."""
        tokens = self.book.prompt[request] + self.book.generated[request] - 1
        start = max(now, self.link_free_s[replica.index])
        self.link_free_s[replica.index] = start + tokens * service.token_s
        arrival = self.link_free_s[replica.index] + service.latency_s
        # the epoch tells whether the replica has failed meanwhile
        where = self.epoch[replica.index] * self.count + replica.index
        self._enter(arrival, SENT, request, where)
        self._note(SAW_HAND_OFF, now, request, replica.index)

    def _receive(self, request: int, where: int, now: float) -> None:
        """The KV of a request has come, or is lost with the replica that sent it."""
        index = where % self.count
        service = self.services[self.owner[index]]
        replica = self.replicas[index]
        if self.epoch[index] * self.count + index != where:
            self.book.status[request] = WAITING
            self._note(SAW_LOSS, now, request, index)
        else:
            replica.forward(request)
            if replica.queue.count > 0:
                shorter = replica.reconsider(replica.queue.peek(), now)
                self._follow_up(replica, shorter, now)
            service = self.services[service.next]
        self._place(service, request, service.router.choose(request), now)

    # time-outs

    def _watch_over(self, service: Service, request: int) -> None:
        """Note that a request must be scheduled in time; they come in order of deadline."""
        if service.watch_first == NOBODY:
            service.watch_first = request
            deadline = self.book.arrival[request] + service.timeout_s
            self.order.put(self.at_timeouts + service.index, deadline, TIMES_OUT)
        else:
            self.watch[service.watch_last] = request
        service.watch_last = request

    def _time_out(self, service: Service, now: float) -> None:
        """The first who is watched may have waited too long; then watch the next who waits."""
        request = service.watch_first
        if self._waits(request) and self.book.arrival[request] + service.timeout_s <= now:
            self._give_up(service, request, now)
        while request != NOBODY and not self._waits(request):
            request = self.watch[request]
        service.watch_first = request
        deadline = INF if request == NOBODY else self.book.arrival[request] + service.timeout_s
        self.order.put(self.at_timeouts + service.index, deadline, TIMES_OUT)

    def _waits(self, request: int) -> bool:
        """Whether a request has never been scheduled and still wants to be."""
        return self.book.status[request] == WAITING and not self.book.schedule[request] >= 0.0

    def _give_up(self, service: Service, request: int, now: float) -> None:
        index = self.book.replica[request]
        self._drop(request, now, TIMED_OUT)
        if index == NOBODY:
            service.homeless.count -= 1
            service.router.total -= 1
            return
        replica = self.replicas[index]
        replica.queue.count -= 1
        service.router.add(index - service.first, -1)
        if replica.queue.count > 0:
            # the next in line may be one that fits
            shorter = replica.reconsider(replica.queue.peek(), now)
            self._follow_up(replica, shorter, now)
        if self.state[index] == DRAINING and service.router.load[index - service.first] == 0:
            self._switch_off(index, now)

    def _switch_on(self, index: int, now: float) -> None:
        """A replica serves from now on."""
        replica = self.replicas[index]
        service = self.services[self.owner[index]]
        if self.state[index] != STARTING:
            replica.power(True, now)
        self.state[index] = UP
        service.router.serve(index - service.first, True)
        self._note(SAW_START, now, NOBODY, index)
        self._house(service, now)

    def _switch_off(self, index: int, now: float) -> None:
        self.state[index] = OFF
        replica = self.replicas[index]
        replica.power(False, now)
        self._note(SAW_STOP, now, NOBODY, index)

    def _note(self, event: int, now: float, request: int, index: int) -> None:
        if self.book.journal_rows > 0:
            self.book.note(event, now, request, index)
