"""Send a mail over gRPC, then follow what becomes of it, through any break of the connection.

Needs grpcio and the generated contract (proto/gen). FLUTE_GRPC_ADDRESS is where flute_server listens,
FLUTE_ACCESS_TOKEN the key of an environment with the scopes send and read:

    python examples/internal_caller.py hello@flutemail.io ada@example.com
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import grpc
from flute.v1.email_pb2 import Event
from flute.v1.email_service_pb2 import SendEmailRequest
from flute.v1.email_service_pb2_grpc import EmailServiceStub
from flute.v1.event_service_pb2 import ListEventsRequest, StreamEventsRequest
from flute.v1.event_service_pb2_grpc import EventServiceStub
from google.protobuf.json_format import ParseDict

channel = grpc.insecure_channel(os.environ["FLUTE_GRPC_ADDRESS"])
key = (("authorization", f"Bearer {os.environ['FLUTE_ACCESS_TOKEN']}"),)


def send(sender: str, recipient: str) -> str:
    """The id of an accepted mail."""
    content = {
        "from": {"email": sender},
        "to": [{"email": recipient}],
        "subject": "Hello",
        "text": "It works.",
    }
    request = ParseDict({"content": content}, SendEmailRequest())
    return EmailServiceStub(channel).SendEmail(request, metadata=key, timeout=10).id


def follow(token: str) -> Iterator[Event]:
    """Every event from this place on, once and in order. To go on after a crash, store the token."""
    events = EventServiceStub(channel)
    while True:
        try:
            for message in events.StreamEvents(StreamEventsRequest(resume_token=token), metadata=key):
                if message.HasField("event"):
                    yield message.event
                token = message.resume_token
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(1)


now = ListEventsRequest(latest=True)
start = EventServiceStub(channel).ListEvents(now, metadata=key, timeout=10).next_page_token
email_id = send(*sys.argv[1:3])
for event in follow(start):
    if event.email_id == email_id:
        print(event.type, "-", event.text, flush=True)
        if event.type in {"delivered", "bounced", "failed", "suppressed", "canceled"}:
            break
