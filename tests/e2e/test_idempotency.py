"""The same call again: one mail, one answer."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import psycopg
import pytest
from flute.v1.api_key_service_pb2 import API_KEY_KIND_TEST
from flute.v1.email_service_pb2 import SendEmailBatchRequest, SendEmailRequest

from flute_server.sending import idempotency
from tests.integration.places import app_of
from tests.rpc import TOMORROW, Caller, content, details, new_key, refused
from tests.stack import Stack, Tenant

MAIL = content(send_at=TOMORROW)


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return stack.tenant("postmark")


@pytest.fixture
def caller(tenant: Tenant) -> Iterator[Caller]:
    caller = Caller(tenant)
    with caller.channel:
        yield caller


def stored(tenant: Tenant) -> int:
    with psycopg.connect(tenant.stack.services.database_url) as database:
        query = "SELECT count(*) FROM email WHERE environment_id = %s"
        row = database.execute(query, [tenant.environment_id]).fetchone()
    return int(row[0]) if row else 0


def test_the_same_call_again_gives_the_first_answer(tenant: Tenant, caller: Caller) -> None:
    request = SendEmailRequest(
        content=content(send_at=TOMORROW, tags=["a"], metadata={"b": "1", "a": "2"}), request_id="order 1"
    )
    first, trailing = caller.trailing("SendEmail", request)
    assert "idempotent-replayed" not in trailing
    again, trailing = caller.trailing("SendEmail", request)
    assert trailing["idempotent-replayed"] == "true"
    assert again == first
    # Who names the key's own environment asks for nothing else.
    request.environment_id = tenant.environment_id
    assert caller.call("SendEmail", request) == first
    assert stored(tenant) == 1


def test_a_key_belongs_to_one_request(tenant: Tenant, caller: Caller) -> None:
    caller.send(MAIL, key="k")
    with refused("IDEMPOTENCY_KEY_REUSED"):
        caller.send(content(subject="Another"), key="k")
    with refused("IDEMPOTENCY_KEY_REUSED"):
        caller.batch(content(), key="k")
    assert stored(tenant) == 1


def test_what_a_test_key_tried_out_can_be_sent_in_earnest_unchanged(tenant: Tenant, caller: Caller) -> None:
    tester = Caller(tenant, new_key(tenant, kind=API_KEY_KIND_TEST))
    with tester.channel:
        test = tester.send(MAIL, key="k")
        live = caller.send(MAIL, key="k")
        assert (test.test, live.test) == (True, False)
        assert tester.send(MAIL, key="k") == test
        assert caller.send(MAIL, key="k") == live
        with refused("IDEMPOTENCY_KEY_REUSED"):
            tester.send(content(subject="Another"), key="k")
    assert stored(tenant) == 2


def test_a_key_belongs_to_one_environment(stack: Stack, caller: Caller) -> None:
    other = Caller(stack.tenant("postmark"))
    with other.channel:
        assert caller.send(MAIL, key="k").id != other.send(MAIL, key="k").id


def test_a_repetition_is_answered_although_it_would_be_refused_by_now(tenant: Tenant, caller: Caller) -> None:
    first = caller.send(MAIL, key="k")
    with psycopg.connect(tenant.stack.services.database_url, autocommit=True) as database:
        database.execute("DELETE FROM route WHERE environment_id = %s", [tenant.environment_id])
    assert caller.send(MAIL, key="k") == first
    with refused("NO_ROUTES"):
        caller.send(MAIL, key="other")


def test_a_refused_request_leaves_its_key_free(caller: Caller) -> None:
    with refused("INVALID_FIELDS", "content.subject"):
        caller.send(content(subject=""), key="k")
    assert caller.send(MAIL, key="k").id


@pytest.mark.parametrize("key", ["é", "x" * 256, "a\nb"])
def test_a_key_that_is_none_is_refused(caller: Caller, key: str) -> None:
    with refused("INVALID_FIELDS", "request_id"):
        caller.send(MAIL, key=key)


def test_fifty_calls_at_once_store_one_mail(tenant: Tenant, caller: Caller) -> None:
    start = threading.Barrier(50)

    def call(_: int) -> str:
        start.wait(60)
        try:
            return caller.send(MAIL, key="race").id
        except grpc.RpcError as error:
            return details(error)[0]

    with ThreadPoolExecutor(50) as pool:
        answers = set(pool.map(call, range(50)))
    assert stored(tenant) == 1
    assert {answer for answer in answers if answer != "REQUEST_IN_FLIGHT"} == {
        caller.send(MAIL, key="race").id
    }


def test_while_the_first_call_is_under_way_the_second_waits_and_then_says_so(
    tenant: Tenant, caller: Caller
) -> None:
    with psycopg.connect(tenant.stack.services.database_url) as first:
        first.execute(
            "INSERT INTO idempotency_key (environment_id, key, hash, answer) VALUES (%s, 'k', '', '{}')",
            [tenant.environment_id],
        )
        with pytest.raises(grpc.RpcError) as caught:
            caller.send(MAIL, key="k")
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.ABORTED
        assert details(caught.value)[0] == "REQUEST_IN_FLIGHT"
        first.rollback()  # its holder has crashed
    assert caller.send(MAIL, key="k").id
    assert stored(tenant) == 1


def test_a_key_is_free_again_after_a_day_and_forgotten(tenant: Tenant, caller: Caller) -> None:
    first = caller.send(MAIL, key="k")
    caller.send(MAIL, key="young")
    with psycopg.connect(tenant.stack.services.database_url, autocommit=True) as database:
        database.execute(
            "UPDATE idempotency_key SET create_time = create_time - interval '24 hours 1 second' "
            "WHERE environment_id = %s AND key = 'k'",
            [tenant.environment_id],
        )
        assert caller.send(MAIL, key="k").id != first.id
        database.execute(
            "UPDATE idempotency_key SET create_time = create_time - interval '24 hours 1 second' "
            "WHERE environment_id = %s AND key = 'k'",
            [tenant.environment_id],
        )
        with app_of(tenant.stack.config) as app:
            idempotency.sweep(app)
        query = "SELECT key FROM idempotency_key WHERE environment_id = %s"
        assert database.execute(query, [tenant.environment_id]).fetchall() == [("young",)]


def test_what_is_kept_of_an_answer_names_no_address(tenant: Tenant, caller: Caller) -> None:
    caller.send(content("ada@secret.example", send_at=TOMORROW), key="k")
    with psycopg.connect(tenant.stack.services.database_url) as database:
        query = "SELECT answer::text FROM idempotency_key WHERE environment_id = %s"
        row = database.execute(query, [tenant.environment_id]).fetchone()
    assert row
    assert "secret.example" not in row[0]


def test_a_batch_is_repeated_as_a_whole(tenant: Tenant, caller: Caller) -> None:
    emails = [content(address, send_at=TOMORROW) for address in ("ada@example.com", "ada", "bob@example.com")]
    request = SendEmailBatchRequest(emails=emails, request_id=str(uuid.uuid4()))
    first, _ = caller.trailing("SendEmailBatch", request)
    assert [bool(result.id) for result in first.results] == [True, False, True]
    again, trailing = caller.trailing("SendEmailBatch", request)
    assert trailing["idempotent-replayed"] == "true"
    assert again == first
    assert stored(tenant) == 2
