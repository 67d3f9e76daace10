"""The files of a mail: who may read them, and that they come as they went."""

from __future__ import annotations

import base64
import os
from typing import Any

import pytest
import requests
from flute.v1.api_key_service_pb2 import API_KEY_SCOPE_READ, API_KEY_SCOPE_SEND, CreateApiKeyRequest
from flute.v1.email_service_pb2 import GetEmailAttachmentRequest

from flute_server.local.client import RpcFailed
from tests.stack import Stack, Tenant

# With its envelope more than 4 MB, which is as much as gRPC takes by itself.
LARGE = os.urandom(8 * 1024 * 1024)
HOSTILE = '\u202egpj.exe";\u00a0x=<b>.html'


def key(tenant: Tenant, *scopes: Any) -> str:
    client = tenant.stack.client
    request = CreateApiKeyRequest(environment_id=tenant.environment_id, name="a key", scopes=scopes)
    return str(client.call(client.api_keys.CreateApiKey, request).access_token)


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def mail(running_stack: Stack) -> tuple[Tenant, str]:
    tenant = running_stack.tenant("simulator")
    files = [
        {"filename": "large.bin", "content": encoded(LARGE), "content_type": "application/x-thing"},
        {"filename": HOSTILE, "content": encoded(b"<script>"), "content_id": "logo"},
    ]
    return tenant, tenant.send(attachments=files)


def ask(mail: tuple[Tenant, str], index: object, token: str | None) -> requests.Response:
    tenant, id_ = mail
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{tenant.stack.web_address}/v1/email/{id_}/attachments/{index}"
    return requests.get(url, headers=headers, timeout=30)


def test_each_file_comes_as_it_was_given(mail: tuple[Tenant, str]):
    token = key(mail[0], API_KEY_SCOPE_READ)
    large, small = (ask(mail, index, token) for index in (0, 1))
    assert base64.b64decode(large.json().pop("content")) == LARGE
    assert large.json()["content_type"] == "application/x-thing"
    assert small.headers["Content-Type"] == "application/json"
    assert small.json() == {
        "filename": HOSTILE,
        "content": encoded(b"<script>"),
        "content_type": "text/html",
        "content_id": "logo",
    }


@pytest.mark.parametrize("index", ["2", "50", "999999999", "-1", "1e0", "x", "%00", "01x"])
def test_where_there_is_no_file_there_is_nothing(mail: tuple[Tenant, str], index: str):
    answer = ask(mail, index, key(mail[0], API_KEY_SCOPE_READ))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_it_takes_a_key_that_may_read_this_environment(mail: tuple[Tenant, str]):
    stack = mail[0].stack
    assert ask(mail, 1, None).json()["code"] == "missing_api_key"
    assert ask(mail, 1, key(mail[0], API_KEY_SCOPE_SEND)).json()["code"] == "insufficient_scope"
    assert ask(mail, 1, key(stack.tenant(), API_KEY_SCOPE_READ)).json()["code"] == "email_not_found"


@pytest.mark.parametrize("index", [-1, 2, 2**31 - 1, -(2**31)])
def test_a_place_that_no_list_has_is_not_found(mail: tuple[Tenant, str], index: int):
    client = mail[0].stack.client
    request = GetEmailAttachmentRequest(id=mail[1], index=index)
    with pytest.raises(RpcFailed, match="no attachment"):
        client.call(client.emails.GetEmailAttachment, request)
