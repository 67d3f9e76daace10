"""A 202 is never lost: processes are killed and Valkey is emptied while mail is under way."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import psycopg
import pytest
from flute.v1.drill_service_pb2 import CreateDrillRequest, GetDrillRequest
from google.protobuf.duration_pb2 import Duration
from redis import Redis

from flute_server.local.embedded import Services
from flute_server.sandbox import Sandbox
from tests.stack import Stack, Tenant, fresh_database, running, until
from web import create_app
from web.config import WebConfig


@pytest.fixture
def own_stack(
    services: Services, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack whose processes a test may kill; no other works on its database meanwhile."""
    folder = tmp_path_factory.mktemp("crash")
    redis_url = services.redis_url.replace("db=0", "db=1")
    Redis.from_url(redis_url).flushdb()
    own = Services(fresh_database(services, "crash_test"), redis_url)
    with running(own, sandbox, folder, workers=0, FLUTE_READ_TIMEOUT="20") as stack:
        yield stack


def end_leases(stack: Stack) -> None:
    """What time would do: a lease outlasts any test."""
    with psycopg.connect(stack.services.database_url, autocommit=True) as database:
        database.execute("UPDATE email SET due_time = now() WHERE due_time > now()")


def attempt_began(tenant: Tenant, id_: str) -> bool:
    return bool(tenant.get(id_)["attempts"])


def test_worker_killed_in_mid_send_leaves_an_ambiguous_attempt_and_the_mail_goes_on(own_stack: Stack) -> None:
    own_stack.sandbox.set_mode("sendgrid", "hang")
    tenant = own_stack.tenant()
    worker = own_stack.add_worker()
    id_ = tenant.send()
    until(lambda: attempt_began(tenant, id_), "the attempt is on record")
    worker.kill()
    story = tenant.get(id_)
    assert story["status"] == "sending"
    assert story["attempts"][0]["results"][0]["outcome"] is None
    end_leases(own_stack)
    own_stack.add_worker()
    story = tenant.wait(id_, "sent")
    first, second = story["attempts"]
    assert first["results"][0]["outcome"] == "ambiguous"
    assert "worker was lost" in first["results"][0]["text"]
    assert (second["provider"], second["results"][0]["outcome"]) == ("postmark", "accepted")


def test_worker_killed_in_mid_send_is_not_repeated_where_the_policy_is_to_wait(own_stack: Stack) -> None:
    own_stack.sandbox.set_mode("sendgrid", "hang")
    tenant = own_stack.tenant(on_ambiguous="AMBIGUITY_POLICY_WAIT")
    worker = own_stack.add_worker()
    id_ = tenant.send()
    until(lambda: attempt_began(tenant, id_), "the attempt is on record")
    worker.kill()
    end_leases(own_stack)
    own_stack.add_worker()
    until(lambda: "deferred" in str(tenant.get(id_)["timeline"]), "the hold is on record")
    story = tenant.get(id_)
    assert story["status"] == "sending"
    assert len(story["attempts"]) == 1
    assert story["next_attempt_time"] > story["create_time"]


def test_mail_waits_out_an_emptied_valkey(own_stack: Stack) -> None:
    tenant = own_stack.tenant()
    ids = [tenant.send() for _ in range(5)]
    Redis.from_url(own_stack.services.redis_url).flushdb()
    own_stack.add_worker()
    for id_ in ids:
        tenant.wait(id_, "sent")
    assert len(own_stack.sandbox.inbox()) == 5


def test_mail_is_accepted_and_sent_while_the_server_comes_and_goes(own_stack: Stack) -> None:
    own_stack.add_worker()
    tenant = own_stack.tenant()
    before = tenant.send()
    own_stack.server.kill()
    answer = tenant.post()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    own_stack.start_server()
    until(lambda: tenant.post().status_code == 202, "accepts again")
    tenant.wait(before, "sent")


def test_a_drill_ends_by_itself_whatever_dies_meanwhile(own_stack: Stack) -> None:
    tenant = own_stack.tenant()
    client, worker = own_stack.client, own_stack.add_worker()
    request = CreateDrillRequest(
        provider_account_id=tenant.provider_accounts["sendgrid"], duration=Duration(seconds=600)
    )
    drill = client.call(client.drills.CreateDrill, request)
    own_stack.sandbox.set_mode("postmark", "hang")
    id_ = tenant.send()
    until(lambda: attempt_began(tenant, id_), "the mail goes to the standby")
    worker.kill()
    own_stack.server.kill()
    with psycopg.connect(own_stack.services.database_url, autocommit=True) as database:
        database.execute("UPDATE drill SET end_time = now()")  # what time would do
    end_leases(own_stack)
    own_stack.start_server()
    own_stack.add_worker()
    tenant.wait(id_, "sent")
    assert "sendgrid" in tenant.inbox(id_)
    told = client.call(client.drills.GetDrill, GetDrillRequest(id=drill.id))
    assert not told.running
    assert (told.report.recipients, told.report.returned) == (1, 1)


def test_a_stopped_worker_ends_its_calls_and_writes_them_down(own_stack: Stack) -> None:
    own_stack.sandbox.set_mode("sendgrid", "slow", seconds=2)
    worker = own_stack.add_worker()
    tenant = own_stack.tenant()
    id_ = tenant.send()
    until(lambda: attempt_began(tenant, id_), "the attempt is on record")
    worker.stop()
    story = tenant.get(id_)
    assert story["status"] == "sent"
    assert len(story["attempts"]) == 1


def test_a_frozen_server_holds_up_one_call_and_no_more(stack: Stack) -> None:
    tenant = stack.tenant()
    app = create_app(WebConfig(grpc_address=stack.grpc, rpc_timeout_s=4.0))

    def post() -> tuple[int, str]:
        answer = app.test_client().post("/v1/email", json=tenant.body())
        return answer.status_code, (answer.json or {}).get("code", "")

    assert post() == (202, "")
    assert stack.server.popen
    stack.server.popen.send_signal(signal.SIGSTOP)
    try:
        assert post() == (503, "timeout")
        for _ in range(2):
            began = time.monotonic()
            assert post() == (503, "unavailable")
            assert time.monotonic() - began < 3
    finally:
        stack.server.popen.send_signal(signal.SIGCONT)
    until(lambda: post() == (202, ""), "it goes on")
    app.extensions["flute"].close()


def test_a_second_server_at_the_same_address_is_refused(stack: Stack) -> None:
    second = stack.process("second-server", "-m", "flute_server")
    second.start()
    assert second.popen
    try:
        assert second.popen.wait(60) != 0
    finally:
        second.kill()
    assert "cannot listen on FLUTE_GRPC_ADDRESS" in second.text()
