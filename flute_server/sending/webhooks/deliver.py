"""The delivery loop of webhooks: claim what is due, call many at a time, write down what came of it.

One thread talks to the database; the others do nothing but call. Endpoints cannot get in each other's way:
each has at most a few calls under way, and those that are slow have at most half of the threads together.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from flute_server.config import Config
from flute_server.domain.webhook import (
    FAILURES_TO_PROBE,
    ORDERED_TRIES,
    Answer,
    body,
    headers,
    next_try,
)
from flute_server.egress import CheckedSession
from flute_server.models import WebhookDeliveryState, db
from flute_server.sending.webhooks import claims
from flute_server.sending.webhooks.call import CALL_S, call, new_session
from flute_server.sending.webhooks.claims import Delivery, Endpoint, Result, Verdict
from flute_server.sending.webhooks.retention import forget_old
from flute_server.vault import vault

log = logging.getLogger(__name__)

DATABASE_ERRORS = (DBAPIError, PoolTimeoutError)
CALLS = 24
CALLS_PER_ENDPOINT = 4
# What takes longer than this is slow: it gets fewer calls, and all such at most half of the threads.
SLOW_S = 1.0
CALLS_PER_SLOW_ENDPOINT = 2
# How many deliveries of one endpoint are claimed at once: for one that is known to be quick, and others.
QUICK_S = 0.2
AHEAD = 64
# A claim is given back, uncalled, when a call could outlast it.
LEASE = timedelta(seconds=30)
LAST_CALL_S = LEASE.total_seconds() - CALL_S - 2
# How often to look for what is due: while there is something, and after nothing was found for a while.
LOOK_S = 0.25
IDLE_LOOK_S = 1.0
IDLE_AFTER_S = 10.0
# How long results are gathered before they are written down together.
GATHER_S = 0.03
DATABASE_PAUSE_S = 0.5
FORGET_EVERY_S = 3600.0
FORGET_MORE_S = 10.0
MAX_LANES = 64


@dataclass(slots=True)
class Lane:
    """What this process has in its hands for one endpoint.

    busy: the emails of the calls under way, and when each call began. pace_s: how long the last call took;
    one that was never called may hang, and counts as slow.
    """

    endpoint: Endpoint
    session: CheckedSession
    waiting: deque[Delivery] = field(default_factory=deque)
    busy: dict[str, float] = field(default_factory=dict)
    pace_s: float = math.inf
    failures: int = 0

    def slow(self, now: float) -> bool:
        return self.pace_s > SLOW_S or any(now - begin > SLOW_S for begin in self.busy.values())

    def most(self, now: float) -> int:
        """How many calls it may have under way."""
        if self.failures >= FAILURES_TO_PROBE:
            return 1
        return CALLS_PER_SLOW_ENDPOINT if self.slow(now) else CALLS_PER_ENDPOINT

    def room(self, now: float) -> int:
        """How many deliveries to claim; none until half of what was claimed is used up."""
        most = AHEAD if self.pace_s < QUICK_S and not self.slow(now) else self.most(now)
        held = len(self.waiting) + len(self.busy)
        return most - held if held <= most // 2 else 0

    def next(self) -> Delivery | None:
        """The first delivery whose email has no call under way."""
        for delivery in self.waiting:
            if delivery.told.email_id not in self.busy:
                self.waiting.remove(delivery)
                return delivery
        return None


class Teller:
    """Tells endpoints of events, in one process."""

    def __init__(self, app: Flask) -> None:
        config: Config = app.config["FLUTE"]
        self._app = app
        self._config = config
        self._vault = vault(config.secret_keys)
        self._lanes: dict[uuid.UUID, Lane] = {}
        self._pool = ThreadPoolExecutor(CALLS, "webhook")
        self._ended: SimpleQueue[Result] = SimpleQueue()
        self._results: list[Result] = []
        self._released: list[Delivery] = []
        self._calls = 0
        self._found = -IDLE_AFTER_S
        self._away = False

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop; then wait for the calls under way and write down what they come to."""
        next_forget = time.monotonic()
        while not stop.is_set():
            self._gather(stop)
            self._try_turn(stop, claiming=True)
            if time.monotonic() > next_forget and not self._away:
                next_forget = time.monotonic() + (FORGET_EVERY_S if self._forget() else FORGET_MORE_S)
        self._finish(stop)

    def _finish(self, stop: threading.Event) -> None:
        for lane in self._lanes.values():
            self._release(lane, lane.waiting)
        deadline = time.monotonic() + CALL_S
        while self._calls and time.monotonic() < deadline:
            self._collect(LOOK_S)
        self._try_turn(stop, claiming=False)
        self._pool.shutdown(wait=False, cancel_futures=True)
        for lane in self._lanes.values():
            lane.session.close()

    def _gather(self, stop: threading.Event) -> None:
        """Begin calls, and wait until some have ended or it is time to look again."""
        self._begin_calls()
        idle = time.monotonic() - self._found > IDLE_AFTER_S
        if not self._calls:
            stop.wait(IDLE_LOOK_S if idle else LOOK_S)
            return
        if not self._collect(LOOK_S):
            return
        end = time.monotonic() + GATHER_S
        while self._calls and (left := end - time.monotonic()) > 0:
            self._begin_calls()
            self._collect(left)

    def _collect(self, seconds: float) -> int:
        """Take in the calls that have ended, waiting for the first; how many they are."""
        count = 0
        try:
            self._put_down(self._ended.get(timeout=seconds))
            count = 1
            while True:
                self._put_down(self._ended.get_nowait())
                count += 1
        except Empty:
            return count

    def _put_down(self, result: Result) -> None:
        self._calls -= 1
        self._results.append(result)
        delivery, lane = result.delivery, self._lanes[result.delivery.endpoint_id]
        del lane.busy[delivery.told.email_id]
        lane.pace_s = result.took.total_seconds()
        lane.failures = 0 if result.answer.taken else lane.failures + 1
        if lane.failures >= FAILURES_TO_PROBE:
            self._release(lane, lane.waiting)
        elif lane.failures and delivery.tries + 1 < ORDERED_TRIES:
            # What comes after it waits with it.
            email_id = delivery.told.email_id
            self._release(lane, [item for item in lane.waiting if item.told.email_id == email_id])

    def _release(self, lane: Lane, given: Iterable[Delivery]) -> None:
        """Give back what was not called."""
        for item in list(given):
            lane.waiting.remove(item)
            self._released.append(item)

    def _begin_calls(self) -> None:
        """Give every endpoint in turn one more call, as long as there are threads."""
        now = time.monotonic()
        slow = sum(len(lane.busy) for lane in self._lanes.values() if lane.slow(now))
        lanes = [lane for lane in self._lanes.values() if lane.waiting]
        random.shuffle(lanes)
        for lane in lanes:
            self._release(lane, [item for item in lane.waiting if now - item.claimed > LAST_CALL_S])
        while lanes and self._calls < CALLS:
            for lane in list(lanes):
                held_back = lane.slow(now) and slow >= CALLS // 2
                full = len(lane.busy) >= lane.most(now) or self._calls >= CALLS
                delivery = None if held_back or full else lane.next()
                if delivery is None:
                    lanes.remove(lane)
                    continue
                slow += lane.slow(now)
                self._begin(lane, delivery)

    def _begin(self, lane: Lane, delivery: Delivery) -> None:
        lane.busy[delivery.told.email_id] = time.monotonic()
        self._calls += 1
        self._pool.submit(self._call, lane.session, lane.endpoint, delivery)

    def _call(self, session: CheckedSession, endpoint: Endpoint, delivery: Delivery) -> None:
        now = datetime.now(UTC)
        try:
            content = body(delivery.told)
            fields = headers(endpoint.secrets, delivery.told.id, now, content)
            answer, took = call(session, endpoint.url, fields, content)
        except Exception:
            # The loop waits for every call; one that never ended would hold its endpoint up for good.
            log.exception("the call of webhook delivery %s failed unforeseen", delivery.id)
            answer, took = Answer(0, "an unforeseen error in Flute; its log tells more"), timedelta(0)
        self._ended.put(Result(delivery, endpoint.url, answer, now, took, random.random()))  # noqa: S311  no secret

    def _try_turn(self, stop: threading.Event, *, claiming: bool) -> None:
        try:
            with self._app.app_context():
                if self._results or self._released or (claiming and claims.any_due()):
                    self._turn(claiming=claiming)
            self._away = False
        except DATABASE_ERRORS as error:
            if not self._away:
                log.warning("webhooks cannot reach the database: %s", str(error).splitlines()[0])
            self._away = True
            stop.wait(DATABASE_PAUSE_S)
        except Exception:
            if not self._away:
                log.exception("webhooks failed unforeseen, trying on")
            self._away = True
            stop.wait(DATABASE_PAUSE_S)

    def _turn(self, *, claiming: bool) -> None:
        """One transaction: what the calls came to, what is given back, new claims."""
        now = db.session.scalars(select(func.now())).one()
        self._record(now)
        deliveries: list[Delivery] = []
        if claiming:
            tick = time.monotonic()
            rooms = {id_: lane.room(tick) for id_, lane in self._lanes.items()}
            deliveries = claims.claim(rooms, CALLS_PER_ENDPOINT, LEASE)
        holding = {id_ for id_, lane in self._lanes.items() if lane.waiting}
        endpoints = claims.endpoints(holding | {item.endpoint_id for item in deliveries}, self._vault)
        db.session.commit()
        self._results, self._released = [], []
        self._take(endpoints, deliveries)

    def _record(self, now: datetime) -> None:
        if self._results:
            claims.keep(self._results)
        for endpoint_id in claims.judge(self._results, now) if self._results else ():
            lane = self._lanes[endpoint_id]
            self._release(lane, lane.waiting)
        verdicts = [_verdict(result, now) for result in self._results]
        verdicts += [Verdict(item, WebhookDeliveryState.PENDING, item.tries, now) for item in self._released]
        if verdicts:
            claims.write(verdicts)

    def _take(self, endpoints: Mapping[uuid.UUID, Endpoint], deliveries: Sequence[Delivery]) -> None:
        """Put what was claimed with the rest; what is for paused or deleted endpoints is given back."""
        for endpoint in endpoints.values():
            lane = self._lane(endpoint)
            lane.endpoint, lane.failures = endpoint, endpoint.failures
        for delivery in deliveries:
            self._found = time.monotonic()
            if delivery.endpoint_id in endpoints:
                self._lanes[delivery.endpoint_id].waiting.append(delivery)
            else:
                self._released.append(delivery)
        for lane in self._lanes.values():
            if lane.endpoint.id not in endpoints:
                self._release(lane, lane.waiting)

    def _lane(self, endpoint: Endpoint) -> Lane:
        lane = self._lanes.get(endpoint.id)
        if lane is None:
            self._drop_lanes()
            lane = Lane(endpoint, new_session(self._config, connections=CALLS_PER_ENDPOINT))
            self._lanes[endpoint.id] = lane
        return lane

    def _drop_lanes(self) -> None:
        """Forget endpoints that have nothing to do when there are many: each keeps connections open."""
        idle = [id_ for id_, lane in self._lanes.items() if not lane.waiting and not lane.busy]
        for id_ in idle[: max(0, len(self._lanes) - MAX_LANES)]:
            self._lanes.pop(id_).session.close()

    def _forget(self) -> bool:
        """Delete what is too old to keep; False when there is more of it."""
        try:
            return forget_old(self._app)
        except DATABASE_ERRORS as error:
            log.warning("old webhook deliveries could not be deleted: %s", str(error).splitlines()[0])
            return True


def _verdict(result: Result, now: datetime) -> Verdict:
    delivery, tries = result.delivery, result.delivery.tries + 1
    if result.answer.taken:
        return Verdict(delivery, WebhookDeliveryState.DELIVERED, tries, None)
    due = next_try(tries, result.answer, now, result.draw)
    state = WebhookDeliveryState.PENDING if due else WebhookDeliveryState.FAILED
    return Verdict(delivery, state, tries, due)
