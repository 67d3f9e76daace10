"""The delivery loop: claim what is due, send many at a time, write down what came of it, go on.

One thread talks to the database and decides; the others do nothing but talk to providers. Each turn is
one transaction: the outcomes of ended calls, new claims, and the attempts that are about to begin.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from flask import Flask
from sqlalchemy import exists, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from flute_server.config import Config
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.models import Email, db
from flute_server.providers.base import LookUp
from flute_server.sending import routing
from flute_server.sending.claim import Claim, claim
from flute_server.sending.connections import Connections
from flute_server.sending.dispatch import Dispatcher
from flute_server.sending.inquire import inquiries
from flute_server.sending.outcomes import (
    Call,
    Ended,
    Inquiry,
    Told,
    record,
    record_answer,
    record_facts,
    resolve,
)
from flute_server.sending.record import Writes, on_record, still_ours
from flute_server.sending.simulate import Simulator
from flute_server.sending.task import Task
from flute_server.sending.unsubscribe import Links
from flute_server.sending.wake import awake, wake

log = logging.getLogger(__name__)

DATABASE_ERRORS = (DBAPIError, PoolTimeoutError)
# A job ends after this long, so that the jobs of other queues get their turn.
SHIFT_S = 2.0
# How often to look for newly due mail while calls are under way.
POLL_S = 0.05
# Under load a turn waits this long for more calls to end, which makes turns fewer and fuller.
GATHER_S = 0.01
DATABASE_PAUSE_S = 0.5
# How long a worker that must stop waits for a database that is away; the next one finds the calls as lost.
LAST_WORDS_S = 10.0
# The answer where the lease was over before the call began: others may have the mail, or have taken it back.
UNCALLED = Reply(ErrorKind.UNCALLED, text="the worker was held up for longer than its lease on the mail")

Result = Ended | Told


def since_boot() -> float:
    """Seconds on a clock that is never set and, where there is such a one, runs while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Deliverer:
    """Delivers due mail in one process. `stop` makes it end once the calls under way have ended."""

    def __init__(self, app: Flask, stop: threading.Event) -> None:
        config: Config = app.config["FLUTE"]
        self._app = app
        self._stop = stop
        self._clock = since_boot
        self._redis_url = config.redis_url
        self._slots = config.worker_sends
        # Longer than any call can last: past it, the call is taken for lost.
        self._lease = timedelta(seconds=10 + 4 * (config.connect_timeout_s + config.read_timeout_s))
        self._connections = Connections(config)
        per_account = max(1, self._slots * 3 // 4)
        self._dispatcher = Dispatcher(self._connections, self._lease, per_account, Links.of(config))
        self._pool = ThreadPoolExecutor(self._slots, "send")
        self._ended: SimpleQueue[Result] = SimpleQueue()
        self._unrecorded: list[Result] = []
        self._calls = 0

    def drain(self) -> None:
        """Deliver until nothing is due, or until the shift ends. One RQ job."""
        awake(self._redis_url)
        shift_end = time.monotonic() + SHIFT_S
        while not self._stop.is_set():
            idle = self._step(accepting=True)
            if idle:
                return
            # Calls under way pass to the next job, which takes their outcomes.
            if time.monotonic() > shift_end and wake(self._redis_url):
                return

    def finish(self) -> None:
        """Write down what the calls under way come to, begin no more, and drop the connections."""
        self._stop.set()
        deadline = time.monotonic() + self._lease.total_seconds()
        while not self._step(accepting=False) and time.monotonic() < deadline:
            if not self._calls:  # only the database keeps us
                deadline = min(deadline, time.monotonic() + LAST_WORDS_S)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._connections.close()

    def _step(self, *, accepting: bool) -> bool:
        """One turn over what has ended and what is due; True when nothing is left to do."""
        retrying = bool(self._unrecorded)
        ended = self._unrecorded + self._collect(block=bool(self._calls) and not retrying)
        self._unrecorded, claimed = self._try_turn(ended, accepting=accepting)
        if self._unrecorded or claimed is None:
            time.sleep(DATABASE_PAUSE_S)
            return False
        return not claimed and not self._calls and self._ended.empty()

    def _collect(self, *, block: bool) -> list[Result]:
        """The calls that have ended by now; waits for one if `block`, but not longer than the poll."""
        found: list[Result] = []
        try:
            if block:
                found.append(self._ended.get(timeout=POLL_S))
                if self._calls > self._slots // 2:
                    time.sleep(GATHER_S)
            while True:
                found.append(self._ended.get_nowait())
        except Empty:
            for result in found:
                self._put_down(result)
            return found

    def _put_down(self, result: Result) -> None:
        self._calls -= 1
        _task(result).calls -= 1
        if isinstance(result, Ended) and not result.call.task.test:
            self._dispatcher.under_way[result.call.route.account_id] -= 1

    def _try_turn(self, ended: list[Result], *, accepting: bool) -> tuple[list[Result], int | None]:
        """One turn: what is still to be recorded, and how many emails were claimed.

        When the database fails, nothing of the turn has happened: `ended` comes back, and None.
        """
        # Before the database tells the time that leases count from.
        lease_end = self._clock() + self._lease.total_seconds()
        try:
            with self._app.app_context():
                claimed, calls = self._turn(ended, accepting=accepting)
        except DATABASE_ERRORS as error:
            log.warning("the database failed in mid-turn, trying again: %s", str(error).splitlines()[0])
            for result in ended:
                _task(result).abandoned = True
            return ended, None
        for call in calls:
            self._begin(call, lease_end)
        return [], claimed

    def _turn(self, ended: list[Result], *, accepting: bool) -> tuple[int, list[Call | Inquiry]]:
        now = db.session.scalar(select(func.now()))
        assert isinstance(now, datetime)  # noqa: S101  tells mypy what PostgreSQL answers
        writes = Writes(now)
        going_on = self._record(ended, writes)
        room = self._slots - self._calls
        claims = claim(room, now, self._lease) if accepting and room > 0 else []
        if len(claims) == room > 0:
            # There is more than this worker can take at once; another may help.
            wake(self._redis_url)
        calls = self._plan(going_on, claims, writes)
        writes.flush()
        db.session.commit()
        return len(claims), calls

    def _record(self, ended: list[Result], writes: Writes) -> list[Task]:
        """Write the outcomes; the tasks that are still ours and may go on."""
        ours = still_ours({(_task(result).email_id, _task(result).lease) for result in ended})
        known = on_record([_attempt_id(result) for result in ended])
        going_on: dict[int, Task] = {}
        late = False
        # In one order for all workers, since the accounts' breakers are locked on the way.
        for result in sorted(ended, key=_account_id):
            task = _task(result)
            if task.email_id not in ours:
                log.warning("email %s: the lease was lost; the answer is kept as evidence", task.email_id)
                if isinstance(result, Ended):
                    record_facts(result, known, writes)
                    late = True
                continue
            if isinstance(result, Ended):
                record(result, known, writes)
            else:
                record_answer(result, known, writes)
            going_on[id(task)] = task
        lapsed = [task for task in going_on.values() if _lapsed(ours[task.email_id], writes.now)]
        for task in lapsed:
            writes.look_again(task.email_id, writes.now + self._lease, task.round)
        if lapsed or late:
            # Before this very turn claims such mail again, and as it was.
            writes.flush()
        return list(going_on.values())

    def _plan(self, going_on: Iterable[Task], claims: list[Claim], writes: Writes) -> list[Call | Inquiry]:
        tasks = [*going_on, *(item.task for item in claims)]
        if not tasks:
            return []
        routings = routing.load(tasks)
        calls: list[Call | Inquiry] = []
        for item in claims:
            task, its_routing = item.task, routings[item.task.environment_id]
            held = resolve(item, its_routing.policy, writes)
            calls += inquiries(task, held, its_routing, self._connections, writes)
        for task in tasks:
            if task.abandoned or self._stop.is_set():
                # Back at once to whoever is there to take it, unless calls of it are still under way.
                due = writes.now + self._lease if task.calls else writes.now
                rest = task.pending or task.abandoned
                writes.look_again(task.email_id, due if rest else None, task.round)
                continue
            calls += self._dispatcher.dispatch(task, routings[task.environment_id], writes)
        return calls

    def _begin(self, call: Call | Inquiry, lease_end: float) -> None:
        self._calls += 1
        if isinstance(call, Inquiry):
            self._pool.submit(self._inquire, call)
            return
        call.task.calls += 1
        if not call.task.test:
            self._dispatcher.under_way[call.route.account_id] += 1
        self._pool.submit(self._send, call, lease_end)

    def _send(self, call: Call, lease_end: float) -> None:
        begin = time.monotonic()
        try:
            result = self._hand_over(call, lease_end)
        except Exception:
            # A bug of ours: whether the mail left is not known, and the mail must not be lost with it.
            log.exception("attempt %s failed unforeseen", call.attempt_id)
            text = "an unforeseen error in Flute; the log has it"
            result = SendResult(Reply(ErrorKind.AMBIGUOUS, text=text))
        self._ended.put(Ended(call, result, time.monotonic() - begin))

    def _hand_over(self, call: Call, lease_end: float) -> SendResult:
        # This process may have been stopped since the attempt was written down. A played call harms nobody.
        if self._clock() >= lease_end and not isinstance(call.provider, Simulator):
            log.warning("email %s: held up for longer than the lease; not sent", call.task.email_id)
            return SendResult(UNCALLED)
        return call.provider.send(call.handoff)

    def _inquire(self, inquiry: Inquiry) -> None:
        try:
            answer = inquiry.provider.look_up(inquiry.trace)
        except Exception:
            log.exception("asking about attempt %s failed unforeseen", inquiry.held.attempt_id)
            answer = LookUp(None, "an unforeseen error in Flute; the log has it")
        self._ended.put(Told(inquiry, answer))


def _lapsed(leased_until: datetime | None, now: datetime) -> bool:
    return leased_until is not None and leased_until <= now


def _task(result: Result) -> Task:
    return result.call.task if isinstance(result, Ended) else result.inquiry.task


def _account_id(result: Result) -> uuid.UUID:
    return result.call.route.account_id if isinstance(result, Ended) else result.inquiry.held.account_id


def _attempt_id(result: Result) -> uuid.UUID:
    return result.call.attempt_id if isinstance(result, Ended) else result.inquiry.held.attempt_id


def sweep(app: Flask) -> None:
    """Wake a worker if mail is due: whatever a dead worker or a flushed Redis left is found here."""
    config: Config = app.config["FLUTE"]
    with app.app_context():
        if db.session.scalar(select(exists().where(Email.due_time <= func.now()))):
            wake(config.redis_url)
