"""One-click unsubscription (RFC 8058): from the header of a mail to the suppression list."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psycopg
import pytest
import requests
from flute.v1 import api_key_service_pb2, suppression_service_pb2
from flute.v1.suppression_service_pb2_grpc import SuppressionServiceStub

from flute_server.domain.unsubscribe import secret_of, token
from flute_server.local.client import open_channel
from tests.stack import DOMAIN, Stack, Tenant, until

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def address() -> str:
    return f"{uuid.uuid4().hex[:12]}@example.com"


def headers(tenant: Tenant, to: str) -> dict[str, str]:
    """Of the mail that the sandbox got for this address."""
    mail = until(lambda: tenant.stack.sandbox.inbox(to=to), f"a mail to {to}")[0]
    return {name.lower(): value for name, value in mail["headers"].items()}


def link(tenant: Tenant, to: str) -> str:
    found = re.fullmatch(r"<(\S+)>", headers(tenant, to)["list-unsubscribe"])
    assert found
    return found[1]


def suppressions(tenant: Tenant) -> list[Any]:
    client, pb = tenant.stack.client, suppression_service_pb2
    request = pb.ListSuppressionsRequest(account_id=tenant.account_id)
    return list(client.pages(client.suppressions.ListSuppressions, request, "suppressions"))


def unsubscribed(tenant: Tenant, id_: str) -> list[str]:
    return [moment["text"] for moment in tenant.get(id_)["timeline"] if moment["type"] == "unsubscribed"]


def ask(stack: Stack, token_: str, *, only_look: bool) -> Any:
    """What anybody is told, without any credentials."""
    with open_channel(stack.grpc) as channel:
        request = suppression_service_pb2.UnsubscribeRequest(token=token_, only_look=only_look)
        try:
            return SuppressionServiceStub(channel).Unsubscribe(request, timeout=60)
        except grpc.RpcError as error:
            return error


@pytest.mark.parametrize("provider", ["sendgrid", "postmark", "mailgun", "smtp"])
def test_every_provider_that_can_carries_the_link(stack: Stack, provider: str):
    tenant, to = stack.tenant(provider, one_click_unsubscribe=True), address()
    tenant.send(to=[{"email": to}])
    found = headers(tenant, to)
    assert found["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert re.fullmatch(
        rf"<{re.escape(stack.web_address)}/unsubscribe/[\w-]{{54}}>", found["list-unsubscribe"]
    )


def test_following_the_link_ends_all_mail_to_the_address(stack: Stack):
    tenant, to = stack.tenant("sendgrid", one_click_unsubscribe=True), address()
    id_ = tenant.send(to=[{"email": to}])
    url = link(tenant, to)
    # A mail scanner that follows links does nobody any harm.
    assert requests.get(url, timeout=60).status_code == 200
    assert suppressions(tenant) == []
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: requests.post(url, data=ONE_CLICK, timeout=60), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert to not in answers[0].text
    assert unsubscribed(tenant, id_) == [
        "the recipient unsubscribed by the link in the mail; the address is suppressed"
    ]
    (row,) = suppressions(tenant)
    assert (row.email, row.reason) == (to, suppression_service_pb2.SUPPRESSION_REASON_UNSUBSCRIBE)
    tenant.wait(tenant.send(to=[{"email": to}]), "suppressed")


def test_looking_tells_whom_it_concerns_and_changes_nothing(stack: Stack):
    tenant, to = stack.tenant("sendgrid", one_click_unsubscribe=True), address()
    tenant.send(to=[{"email": to}])
    good = link(tenant, to).rpartition("/")[2]
    answer = ask(stack, good, only_look=True)
    assert (answer.email, answer.domain) == (f"{to[0]}***@example.com", DOMAIN)
    assert suppressions(tenant) == []
    for bad in ("", "x", good[:-2], good[:10] + ("A" if good[10] != "A" else "B") + good[11:]):
        error = ask(stack, bad, only_look=False)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert "the unsubscribe link is not valid" in error.details()


def test_some_mail_gets_no_link(stack: Stack):
    tenant = stack.tenant("sendgrid", one_click_unsubscribe=True)
    own, two, third = address(), address(), address()
    tenant.send(to=[{"email": own}], headers={"list-unsubscribe": "<mailto:off@flutemail.io>"})
    tenant.send(to=[{"email": two}], cc=[{"email": address()}])
    assert headers(tenant, own)["list-unsubscribe"] == "<mailto:off@flutemail.io>"
    assert "list-unsubscribe-post" not in headers(tenant, own)
    assert "list-unsubscribe" not in headers(tenant, two)
    # SparkPost would put its own in place of ours: then rather none than no mail.
    sparkpost = stack.tenant("sparkpost", one_click_unsubscribe=True)
    sparkpost.send(to=[{"email": third}])
    assert "list-unsubscribe" not in headers(sparkpost, third)


def test_a_test_mail_changes_no_list(stack: Stack):
    tenant = stack.tenant("sendgrid", one_click_unsubscribe=True)
    client = stack.client
    request = api_key_service_pb2.CreateApiKeyRequest(
        environment_id=tenant.environment_id, name="test", kind=api_key_service_pb2.API_KEY_KIND_TEST
    )
    test_token = client.call(client.api_keys.CreateApiKey, request).access_token
    id_ = tenant.send(access_token=test_token)
    with psycopg.connect(stack.services.database_url) as connection:
        row = connection.execute("SELECT id FROM recipient WHERE email_id = %s", [id_]).fetchone()
    assert row
    signed = token(secret_of(stack.config.secret_keys[0]), uuid.UUID(id_), row[0])
    assert ask(stack, signed, only_look=False).domain == DOMAIN
    assert suppressions(tenant) == []
    assert len(unsubscribed(tenant, id_)) == 1
