"""From a protobuf message to the public JSON: states in lower case, times in RFC 3339 UTC."""

from __future__ import annotations

from typing import Any

from flute.v1.email_pb2 import (
    Address,
    AttachmentInfo,
    Attempt,
    AttemptResult,
    DeliveryState,
    Email,
    EmailContent,
    Event,
    Outcome,
    Recipient,
    RecipientKind,
)
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

Json = dict[str, Any]


def accepted(email: Email) -> Json:
    """The answer to POST /v1/email."""
    return {
        "id": email.id,
        "status": _STATE.get(email.state),
        "create_time": _time(email.create_time),
        "recipients": [{"email": r.email, "status": _STATE.get(r.state)} for r in email.recipients],
    }


def email(email: Email) -> Json:
    """The answer to GET /v1/email/<id>. The server decides what the caller may see; the rest is left out."""
    full = email.HasField("content")
    view: Json = {
        "id": email.id,
        "status": _STATE.get(email.state),
        "create_time": _time(email.create_time),
    }
    if email.HasField("next_attempt_time"):
        view["next_attempt_time"] = _time(email.next_attempt_time)
    if full:
        view["environment_id"] = email.environment_id
        view |= _content(email.content)
        view["attachments"] = [_attachment(file) for file in email.attachments]
    view["recipients"] = [_recipient(recipient, full) for recipient in email.recipients]
    view["timeline"] = [_event(event) for event in email.events]
    view["attempts"] = [_attempt(attempt) for attempt in email.attempts]
    return view


def _content(content: EmailContent) -> Json:
    return {
        "subject": content.subject,
        "text": content.text,
        "html": content.html,
        "from": _address(getattr(content, "from")),
        "to": [_address(address) for address in content.to],
        "cc": [_address(address) for address in content.cc],
        "bcc": [_address(address) for address in content.bcc],
        "reply_to": [_address(address) for address in content.reply_to],
        "headers": dict(content.headers),
        "tags": list(content.tags),
        "metadata": dict(content.metadata),
        "track_opens": content.track_opens,
        "track_clicks": content.track_clicks,
    }


def _attachment(file: AttachmentInfo) -> Json:
    return {
        "filename": file.filename,
        "content_type": file.content_type,
        "content_id": file.content_id,
        "size": file.size,
    }


def _address(address: Address) -> Json:
    return {"email": address.email, "name": address.name}


def _recipient(recipient: Recipient, full: bool) -> Json:
    name = {"name": recipient.name} if full else {}
    return {
        "email": recipient.email,
        **name,
        "kind": _KIND.get(recipient.kind),
        "status": _STATE.get(recipient.state),
        "update_time": _time(recipient.update_time),
    }


def _event(event: Event) -> Json:
    return {
        "time": _time(event.time),
        "type": event.type,
        "recipient": event.recipient or None,
        "provider_account": event.provider_account or None,
        "text": event.text,
        "attempt_id": event.attempt_id or None,
    }


def _attempt(attempt: Attempt) -> Json:
    return {
        "id": attempt.id,
        "provider": attempt.provider,
        "provider_account": attempt.provider_account,
        "start_time": _time(attempt.start_time),
        "duration_ms": attempt.duration.ToMilliseconds() if attempt.HasField("duration") else None,
        "results": [_result(result) for result in attempt.results],
        "candidates": [
            {"provider_account": c.provider_account, "chosen": c.chosen, "reason": c.reason}
            for c in attempt.candidates
        ],
    }


def _result(result: AttemptResult) -> Json:
    return {
        "email": result.email,
        "outcome": _OUTCOME.get(result.outcome),
        "error": result.error or None,
        "status": result.status or None,
        "code": result.code or None,
        "text": result.text or None,
        "provider_message_id": result.provider_message_id or None,
    }


def _words(enum: EnumDescriptor, prefix: str) -> dict[int, str]:
    """Value -> public word. The zero value and values of a newer server have none and are shown as null."""
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values if value.number}


_STATE = _words(DeliveryState.DESCRIPTOR, "DELIVERY_STATE_")
_KIND = _words(RecipientKind.DESCRIPTOR, "RECIPIENT_KIND_")
_OUTCOME = _words(Outcome.DESCRIPTOR, "OUTCOME_")


def _time(time: Timestamp) -> str | None:
    return time.ToJsonString() if time.seconds or time.nanos else None
