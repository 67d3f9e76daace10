"""EmailService as an app calls it over gRPC, with its key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from flute.v1 import email_pb2 as pb
from flute.v1.api_key_service_pb2 import CreateApiKeyRequest
from flute.v1.email_service_pb2 import GetEmailRequest, SendEmailBatchRequest, SendEmailRequest
from flute.v1.email_service_pb2_grpc import EmailServiceStub
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.stack import DOMAIN, Tenant

# For mail that nobody has to deliver, so that it does not get into the way of other tests.
TOMORROW = datetime.now(UTC) + timedelta(days=1)


def content(*to: str, send_at: datetime | None = None, **fields: Any) -> pb.EmailContent:
    """A mail that is well, with these fields changed."""
    usual = {"subject": "Hello", "text": "How are you?"}
    made = pb.EmailContent(
        to=[pb.Address(email=address) for address in to or ("ada@example.com",)], **(usual | fields)
    )
    getattr(made, "from").CopyFrom(pb.Address(email=f"hello@{DOMAIN}", name="Flute"))
    if send_at:
        made.send_at.FromDatetime(send_at)
    return made


class Caller:
    """One channel with one key."""

    def __init__(self, tenant: Tenant, token: str = "") -> None:
        self.channel = grpc.insecure_channel(tenant.stack.grpc, [("grpc.use_local_subchannel_pool", 1)])
        self.stub = EmailServiceStub(self.channel)
        self.metadata: tuple[tuple[str, str], ...] = (
            ("authorization", f"Bearer {token or tenant.access_token}"),
        )

    def call(self, name: str, request: Any) -> Any:
        return getattr(self.stub, name)(request, metadata=self.metadata, timeout=60)

    def send(self, made: pb.EmailContent | None = None, key: str = "") -> pb.Email:
        request = SendEmailRequest(content=made or content(), request_id=key)
        sent: pb.Email = self.call("SendEmail", request)
        return sent

    def batch(self, *emails: pb.EmailContent, key: str = "") -> list[Any]:
        return list(self.call("SendEmailBatch", SendEmailBatchRequest(emails=emails, request_id=key)).results)

    def get(self, id_: str) -> pb.Email:
        found: pb.Email = self.call("GetEmail", GetEmailRequest(id=id_))
        return found

    def trailing(self, name: str, request: Any) -> tuple[Any, dict[str, str]]:
        """The answer and its trailing metadata."""
        answer, call = getattr(self.stub, name).with_call(request, metadata=self.metadata, timeout=60)
        return answer, {str(key): str(value) for key, value in call.trailing_metadata()}


def details(error: grpc.RpcError) -> tuple[str, list[str]]:
    """Reason and wrong fields of a refusal."""
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    assert status is not None
    info, wrong = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for packed in status.details:
        _ = packed.Unpack(info) or packed.Unpack(wrong)
    return info.reason, [violation.field for violation in wrong.field_violations]


def new_key(tenant: Tenant, **fields: Any) -> str:
    """The token of a new key of the tenant's environment."""
    client = tenant.stack.client
    request = CreateApiKeyRequest(environment_id=tenant.environment_id, name="another", **fields)
    return str(client.call(client.api_keys.CreateApiKey, request).access_token)


@contextmanager
def refused(reason: str, *fields: str) -> Iterator[None]:
    """The call inside is refused for this reason, naming these fields if any are given."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    found, wrong = details(caught.value)
    assert found == reason, caught.value
    assert not fields or wrong == list(fields)
