"""EventService.StreamEvents: events as they come, for as long as the caller listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from flask import Flask
from flute.v1 import event_service_pb2 as pb
from flute.v1.annotations_pb2 import ACCESS_READ, ROLE_VIEWER
from flute.v1.email_pb2 import Event

from flute_server.config import Config
from flute_server.errors import Unavailable
from flute_server.rpc import convert
from flute_server.rpc.places import MOST, Places
from flute_server.rpc.principal import assume, check_access, identify, require_sender
from flute_server.sending import feed
from flute_server.sending.position import Position

# Streams hold a thread each for as long as they last: these, and some to refuse those beyond.
POOL = ThreadPoolExecutor(MOST + 8, "stream")
POLL_S = 0.3
PAGE = 500
# How many streams may read from the database at once, so that connections are left for other calls.
MAX_READERS = 2


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of one server; `stop` ends them.

    heartbeat_s: a message comes at least this often. recheck_s: how often it is asked again who calls.
    """

    config: Config
    app: Flask
    stop: threading.Event
    heartbeat_s: float = 15.0
    recheck_s: float = 30.0
    _places: Places = field(default_factory=Places)
    _readers: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_READERS))

    def follow(
        self, request: pb.StreamEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamEventsResponse]:
        """Tell events until the caller goes. The first message tells at once where the stream begins.

        Raises FluteError, also in mid-stream when the caller may not read this any more or the server stops.
        """
        types = feed.checked_types(request.types)
        with self._look():
            sender = require_sender(request.environment_id)
            token = request.resume_token
            position = Position.decode(token, "resume_token") if token else feed.latest()
        with self._places.one(sender.environment_id, sender.account_id):
            next_beat = next_check = time.monotonic()
            while context.is_active():
                with self._look():
                    if time.monotonic() >= next_check:
                        self._check_caller(request, context)
                        next_check = time.monotonic() + self.recheck_s
                    page = feed.read(sender.environment_id, position, types, PAGE)
                position = page.end
                yield from map(_message, page.events)
                if page.events:
                    next_beat = time.monotonic() + self.heartbeat_s
                elif time.monotonic() >= next_beat:
                    yield pb.StreamEventsResponse(resume_token=position.encode())
                    next_beat = time.monotonic() + self.heartbeat_s
                if not page.more and self.stop.wait(POLL_S):
                    text = "the server stops; go on elsewhere or in a moment, with the last resume_token"
                    raise Unavailable("STOPPING", text)

    @contextmanager
    def _look(self) -> Iterator[None]:
        with self._readers, self.app.app_context():
            yield

    def _check_caller(self, request: pb.StreamEventsRequest, context: grpc.ServicerContext) -> None:
        """Raises FluteError unless the caller, as they are now, may read this environment still.

        A person may be in another account by now, where they have a role too.
        """
        given = dict(context.invocation_metadata() or ()).get("authorization")
        caller = identify(str(given), self.config.service_token, "")
        check_access(caller, ACCESS_READ, ROLE_VIEWER)
        assume(caller)
        require_sender(request.environment_id)


def _message(told: feed.Told) -> pb.StreamEventsResponse:
    return pb.StreamEventsResponse(event=event(told), resume_token=told.position.encode())


def event(told: feed.Told) -> Event:
    """As the contract says it."""
    return Event(
        id=f"evt_{told.position.id}",
        email_id=str(told.email_id),
        type=told.type,
        time=convert.timestamp(told.time),
        recipient=told.recipient,
        provider_account=told.account,
        text=told.text,
        attempt_id=str(told.attempt_id or ""),
    )
