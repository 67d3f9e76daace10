"""The events of an environment over gRPC: in pages, and as a stream."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from flask import Flask
from flute.v1 import (
    api_key_service_pb2,
    environment_service_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
)
from flute.v1.email_pb2 import Event
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from flute_server.rpc.event_stream import Streams
from flute_server.rpc.events import EventServicer
from flute_server.rpc.places import MOST_OF_ENVIRONMENT
from tests.integration.people import SESSION, Browser, People
from tests.integration.serving import serving
from tests.stack import DOMAIN, ROOT, Stack, Tenant, free_port, until

List = event_service_pb2.ListEventsRequest
Stream = event_service_pb2.StreamEventsRequest


class Caller:
    """An internal program with a key of an environment."""

    def __init__(self, address: str, token: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self._events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    def page(self, **fields: Any) -> event_service_pb2.ListEventsResponse:
        return self._events.ListEvents(List(**fields), metadata=self._metadata, timeout=60)

    def stream(self, timeout: float = 30, **fields: Any) -> Any:
        return self._events.StreamEvents(Stream(**fields), metadata=self._metadata, timeout=timeout)

    def all(self, **fields: Any) -> list[Event]:
        """All events that there are, page after page."""
        found: list[Event] = []
        token = ""
        while True:
            page = self.page(page_token=token, **fields)
            if not page.events:
                return found
            found += page.events
            token = page.next_page_token


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return stack.tenant("postmark")


@pytest.fixture
def caller(stack: Stack, tenant: Tenant) -> Iterator[Caller]:
    with closing(stack.grpc, tenant.access_token) as made:
        yield made


@contextmanager
def closing(address: str, token: str) -> Iterator[Caller]:
    caller = Caller(address, token)
    with caller.channel:
        yield caller


@contextmanager
def own_server(stack: Stack, heartbeat_s: float = 15, recheck_s: float = 30) -> Iterator[str]:
    """The address of a server in this process whose streams have these times."""
    config, stop = stack.config, threading.Event()

    def add(app: Flask, server: grpc.Server) -> None:
        servicer = EventServicer(config, Streams(config, app, stop, heartbeat_s, recheck_s))
        event_service_pb2_grpc.add_EventServiceServicer_to_server(servicer, server)

    with serving(config, event_service_pb2, add) as address:
        try:
            yield address
        finally:
            stop.set()


def refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str, str]:
    """Status, reason and text of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    info = ErrorInfo()
    status = rpc_status.from_call(error)
    assert status
    assert status.details[0].Unpack(info)
    return error.code(), info.reason, error.details()


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


def settled(caller: Caller, email_id: str) -> list[str]:
    """The types of a mail's events, once it was sent."""

    def types() -> list[str]:
        return [event.type for event in caller.all() if event.email_id == email_id]

    until(lambda: "sent" in types(), "the mail was sent")
    return types()


# Pages.


def test_events_in_pages_from_any_place_on(tenant: Tenant, caller: Caller):
    first = tenant.send()
    assert settled(caller, first) == ["accepted", "sent"]
    everything = caller.all()
    assert ids(caller.all(page_size=1)) == ids(everything)
    accepted, sent = everything
    assert accepted.id.startswith("evt_")
    assert (accepted.recipient, sent.recipient) == ("", "ada@example.com")
    assert (sent.provider_account, bool(sent.attempt_id)) == ("postmark", True)
    token = caller.page(latest=True).next_page_token
    page = caller.page(page_token=token)
    assert (list(page.events), bool(page.next_page_token)) == ([], True)
    second = tenant.send()
    settled(caller, second)
    assert {event.email_id for event in caller.page(page_token=page.next_page_token).events} == {second}
    assert [event.email_id for event in caller.all(types=["sent"])] == [first, second]


def test_what_no_list_of_events_can_be_asked_for(caller: Caller):
    for fields, field in (
        ({"page_size": 1001}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"types": ["sent", "lost"]}, "types[1]"),
    ):
        code, reason, text = refusal(lambda fields=fields: caller.page(**fields))  # type: ignore[misc]
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
        assert text.startswith(f"{field}: ")
    assert "delivered" in text
    code, _, text = refusal(lambda: next(caller.stream(resume_token="x")))
    assert text.startswith("resume_token: ")
    code, _, text = refusal(lambda: next(caller.stream(types=["lost"])))
    assert text.startswith("types[0]: ")


def test_no_tenant_sees_anothers_events(stack: Stack, tenant: Tenant, caller: Caller):
    other = stack.tenant("postmark")
    token = caller.page(latest=True).next_page_token
    settled(caller, tenant.send())
    with closing(stack.grpc, other.access_token) as stranger:
        assert not stranger.all()
        assert not stranger.page(page_token=token).events
        assert not next(stranger.stream(resume_token=token)).HasField("event")
        for call in (
            lambda: stranger.page(environment_id=tenant.environment_id),
            lambda: next(stranger.stream(environment_id=tenant.environment_id)),
        ):
            assert refusal(call)[1] == "OTHER_ENVIRONMENT"


def test_the_service_names_an_environment(stack: Stack, tenant: Tenant, caller: Caller):
    settled(caller, tenant.send())
    with closing(stack.grpc, stack.service_token) as service:
        assert ids(service.all(environment_id=tenant.environment_id)) == ids(caller.all())
        assert next(service.stream(environment_id=tenant.environment_id)).resume_token
        assert refusal(lambda: next(service.stream()))[2].startswith("environment_id: ")
        unknown = str(uuid.uuid4())
        assert refusal(lambda: next(service.stream(environment_id=unknown)))[1] == "NOT_FOUND"


# The stream.


def test_a_stream_that_is_cut_goes_on_without_loss_or_repetition(tenant: Tenant, caller: Caller):
    token = next(caller.stream()).resume_token  # begins with now
    for _ in range(12):
        tenant.send()
    told: list[Event] = []

    def read_on(most: int) -> None:
        nonlocal token
        call = caller.stream(resume_token=token)
        for _, message in zip(range(most), call, strict=False):
            if message.HasField("event"):
                told.append(message.event)
            token = message.resume_token
        call.cancel()

    for most in (1, 2, 3, 5, 2, 4, 3, 2, 1, 1):
        if len(told) < 24:
            read_on(min(most, 24 - len(told)))
    while len(told) < 24:
        read_on(1)
    assert ids(told) == ids(caller.all())
    assert [event.type for event in told].count("sent") == 12


def test_a_stream_tells_the_types_that_were_asked_for(tenant: Tenant, caller: Caller):
    call = caller.stream(types=["sent"])
    assert not next(call).HasField("event")  # it is on from here
    sent = [tenant.send() for _ in range(3)]
    events = [next(call).event for _ in sent]
    assert [event.type for event in events] == ["sent"] * 3
    assert {event.email_id for event in events} == set(sent)


def test_a_silent_stream_shows_that_it_lives(stack: Stack, tenant: Tenant):
    with own_server(stack, heartbeat_s=0.4) as address, closing(address, tenant.access_token) as caller:
        call = caller.stream()
        beats = [next(call) for _ in range(3)]
        assert all(beat.resume_token and not beat.HasField("event") for beat in beats)
        sent = tenant.send()
        assert next(message for message in call if message.HasField("event")).event.email_id == sent


def test_a_stream_ends_with_its_key(stack: Stack, tenant: Tenant):
    client = stack.client
    make = api_key_service_pb2.CreateApiKeyRequest(environment_id=tenant.environment_id, name="short")
    key = client.call(client.api_keys.CreateApiKey, make)
    with own_server(stack, recheck_s=0.2) as address, closing(address, key.access_token) as caller:
        call = caller.stream()
        next(call)
        client.call(client.api_keys.RevokeApiKey, api_key_service_pb2.RevokeApiKeyRequest(id=key.api_key.id))
        assert refusal(lambda: list(call))[1] == "REVOKED_ACCESS_TOKEN"


def environment_of(browser: Browser) -> str:
    made = environment_service_pb2.Environment(name="Test", domain=DOMAIN)
    request = environment_service_pb2.CreateEnvironmentRequest(environment=made)
    return str(browser.call(browser.client.environments.CreateEnvironment, request).id)


def test_a_stream_ends_with_its_persons_place_in_the_account(people: People):
    owner, guest = people.person(), people.person()
    own_account, environment_id = guest.me().account_id, environment_of(owner)
    guest.accept(owner.invite(guest.email).link.rpartition("/")[2])
    with own_server(people.stack, recheck_s=0.2) as address, closing(address, guest.token) as caller:
        call = caller.stream(environment_id=environment_id)
        assert next(call).resume_token
        # The session goes on, in an account where it has a role too: over events of the other it has none.
        switch = SESSION.SwitchAccountRequest(account_id=own_account)
        guest.call(people.client.sessions.SwitchAccount, switch)
        assert refusal(lambda: list(call))[:2] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


def test_more_streams_than_threads_leave_room_for_other_calls_and_other_tenants(
    stack: Stack, tenant: Tenant, caller: Caller
):
    with closing(stack.grpc, stack.tenant("postmark").access_token) as other:
        calls = [caller.stream(timeout=120) for _ in range(MOST_OF_ENVIRONMENT)]
        others = [other.stream(timeout=120) for _ in range(MOST_OF_ENVIRONMENT)]
        for call in calls + others:
            assert next(call).resume_token
        begin = time.monotonic()
        for _ in range(10):
            caller.page(page_size=1)
        assert time.monotonic() - begin < 20
        begin = time.monotonic()
        sent = tenant.send()
        for call in calls:
            assert next(call).event.email_id == sent
        assert time.monotonic() - begin < 50
        code, reason, text = refusal(lambda: next(caller.stream()))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        assert text.startswith(f"{MOST_OF_ENVIRONMENT} streams of this environment are open")
        for call in calls + others:
            call.cancel()

    def admitted() -> bool:
        try:
            return bool(next(caller.stream()).resume_token)
        except grpc.RpcError:
            return False

    until(admitted, "the places are free again")


def test_a_server_that_stops_says_so_and_does_not_wait_for_streams(stack: Stack, tenant: Tenant):
    address = f"127.0.0.1:{free_port()}"
    server = stack.process("stopping-server", "-m", "flute_server")
    server.env = server.env | {"FLUTE_GRPC_ADDRESS": address}
    server.start()
    try:
        with closing(address, tenant.access_token) as caller:
            grpc.channel_ready_future(caller.channel).result(60)
            calls = [caller.stream() for _ in range(3)]
            for call in calls:
                next(call)
            begin = time.monotonic()
            server.stop()
            assert time.monotonic() - begin < 20
            for call in calls:
                code, reason, _ = refusal(lambda call=call: list(call))  # type: ignore[misc]
                assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")
    finally:
        server.kill()


def test_the_example_for_internal_callers_runs(stack: Stack, tenant: Tenant):
    stack.listen(tenant, "postmark")
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "proto" / "gen"),
        "FLUTE_GRPC_ADDRESS": stack.grpc,
        "FLUTE_ACCESS_TOKEN": tenant.access_token,
    }
    argv = [sys.executable, "examples/internal_caller.py", "hello@flutemail.io", "ada@example.com"]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    types = [line.partition(" - ")[0] for line in done.stdout.splitlines()]
    assert (types[0], types[-1]) == ("accepted", "delivered")
