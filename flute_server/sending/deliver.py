"""The delivery loop: claim what is due, send many at a time, write down what came of it, go on.

One thread talks to the database and decides; the others do nothing but talk to providers. Each turn is
one transaction: the outcomes of ended calls, new claims, and the attempts that are about to begin.
"""

from __future__ import annotations

import logging
import threading
import time
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
from flute_server.sending import routing
from flute_server.sending.claim import Claim, claim
from flute_server.sending.connections import Connections
from flute_server.sending.dispatch import Dispatcher
from flute_server.sending.outcomes import Call, Ended, record, resolve
from flute_server.sending.record import Writes, still_ours
from flute_server.sending.task import Task
from flute_server.sending.wake import awake, wake

log = logging.getLogger(__name__)

DATABASE_ERRORS = (DBAPIError, PoolTimeoutError)
# A job ends after this long, so that RQ sees that its worker is alive.
SHIFT_S = 30.0
# How often to look for newly due mail while calls are under way.
POLL_S = 0.05
# Under load a turn waits this long for more calls to end, which makes turns fewer and fuller.
GATHER_S = 0.004
DATABASE_PAUSE_S = 0.5


class Deliverer:
    """Delivers due mail in one process. `stop` makes it end once the calls under way have ended."""

    def __init__(self, app: Flask, stop: threading.Event) -> None:
        config: Config = app.config["FLUTE"]
        self._app = app
        self._stop = stop
        self._redis_url = config.redis_url
        self._slots = config.worker_sends
        # Longer than any call can last: past it, the call is taken for lost.
        self._lease = timedelta(seconds=60 + 2 * (config.connect_timeout_s + config.read_timeout_s))
        self._connections = Connections(config)
        per_account = max(1, self._slots * 3 // 4)
        self._dispatcher = Dispatcher(self._connections, self._lease, per_account)
        self._pool = ThreadPoolExecutor(self._slots, "send")
        self._ended: SimpleQueue[Ended] = SimpleQueue()
        self._unrecorded: list[Ended] = []
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
            pass
        self._pool.shutdown(cancel_futures=True)
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

    def _collect(self, *, block: bool) -> list[Ended]:
        """The calls that have ended by now; waits for one if `block`, but not longer than the poll."""
        found: list[Ended] = []
        try:
            if block:
                found.append(self._ended.get(timeout=POLL_S))
                if self._calls > self._slots // 2:
                    time.sleep(GATHER_S)
            while True:
                found.append(self._ended.get_nowait())
        except Empty:
            self._calls -= len(found)
            for ended in found:
                ended.call.task.calls -= 1
                self._dispatcher.under_way[ended.call.route.account_id] -= 1
            return found

    def _try_turn(self, ended: list[Ended], *, accepting: bool) -> tuple[list[Ended], int | None]:
        """One turn: what is still to be recorded, and how many emails were claimed.

        When the database fails, nothing of the turn has happened: `ended` comes back, and None.
        """
        try:
            with self._app.app_context():
                claimed, calls = self._turn(ended, accepting=accepting)
        except DATABASE_ERRORS as error:
            log.warning("the database failed in mid-turn, trying again: %s", str(error).splitlines()[0])
            for item in ended:
                item.call.task.abandoned = True
            return ended, None
        for call in calls:
            self._begin(call)
        return [], claimed

    def _turn(self, ended: list[Ended], *, accepting: bool) -> tuple[int, list[Call]]:
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

    def _record(self, ended: list[Ended], writes: Writes) -> list[Task]:
        """Write the outcomes; the tasks that are still ours and may go on."""
        ours = still_ours({(item.call.task.email_id, item.call.task.lease) for item in ended})
        going_on: dict[int, Task] = {}
        for item in sorted(ended, key=lambda item: item.call.route.account_id):
            task = item.call.task
            if task.email_id not in ours:
                log.warning("email %s: the lease was lost; its outcome is not written", task.email_id)
                continue
            record(item, writes)
            going_on[id(task)] = task
        return list(going_on.values())

    def _plan(self, going_on: Iterable[Task], claims: list[Claim], writes: Writes) -> list[Call]:
        tasks = [*going_on, *(item.task for item in claims)]
        if not tasks:
            return []
        routings = routing.load({task.environment_id for task in tasks})
        for item in claims:
            resolve(item, routings[item.task.environment_id].policy, writes)
        calls: list[Call] = []
        for task in tasks:
            if task.abandoned or self._stop.is_set():
                # Back at once to whoever is there to take it, unless calls of it are still under way.
                due = writes.now + self._lease if task.calls else writes.now
                writes.look_again(task.email_id, due if task.pending else None, task.round)
                continue
            calls += self._dispatcher.dispatch(task, routings[task.environment_id], writes)
        return calls

    def _begin(self, call: Call) -> None:
        call.task.calls += 1
        self._calls += 1
        self._dispatcher.under_way[call.route.account_id] += 1
        self._pool.submit(self._send, call)

    def _send(self, call: Call) -> None:
        try:
            result = call.provider.send(call.handoff)
        except Exception:
            # A bug of ours: whether the mail left is not known, and the mail must not be lost with it.
            log.exception("attempt %s failed unforeseen", call.attempt_id)
            text = "an unforeseen error in Flute; the log has it"
            result = SendResult(Reply(ErrorKind.AMBIGUOUS, text=text))
        self._ended.put(Ended(call, result))


def sweep(app: Flask) -> None:
    """Wake a worker if mail is due: whatever a dead worker or a flushed Redis left is found here."""
    config: Config = app.config["FLUTE"]
    with app.app_context():
        if db.session.scalar(select(exists().where(Email.due_time <= func.now()))):
            wake(config.redis_url)
