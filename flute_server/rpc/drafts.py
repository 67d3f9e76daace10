"""A mail as a caller asks for it."""

from __future__ import annotations

from dataclasses import replace

from flute.v1.email_pb2 import EmailContent

from flute_server.rpc import convert
from flute_server.sending.senders import Sender
from flute_server.sending.store import Draft


def draft(content: EmailContent, sender: Sender) -> Draft:
    """What is asked, and what the environment says where the request says nothing."""
    send_at = convert.time(content.send_at) if content.HasField("send_at") else None
    message = convert.message(content)
    if sender.track_opens and not content.HasField("track_opens"):
        message = replace(message, track_opens=True)
    if sender.track_clicks and not content.HasField("track_clicks"):
        message = replace(message, track_clicks=True)
    return Draft(message, send_at)
