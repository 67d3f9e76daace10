"""From a protobuf message to the public JSON, by its descriptor and the rules of flute_json.naming.

Emails alone have a shape of their own: their content stands beside their state, and who may not see it
gets a view without names.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from typing import Any

from flute.v1.email_pb2 import DeliveryState, Email, EmailContent
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from flute_json.naming import Kind, is_array, is_map, is_nullable, json_name, kind, words

Json = dict[str, Any]
_Write = Callable[[Any], Any]


def render(message: Any) -> Json:  # noqa: ANN401  any message: its fields are known to its descriptor alone
    """The public view of a message."""
    return _writer(message.DESCRIPTOR)(message)


@cache
def _writer(descriptor: Descriptor) -> Callable[[Any], Json]:
    if descriptor is Email.DESCRIPTOR:
        return email
    fields = [(json_name(field), _field(field)) for field in descriptor.fields]
    return lambda message: {name: write(message) for name, write in fields}


def _field(field: FieldDescriptor) -> _Write:
    """From the message to what stands for its field."""
    name = field.name
    if is_map(field):
        return lambda message: dict(getattr(message, name))
    one = _value(field)
    if is_array(field):
        return lambda message: [one(item) for item in getattr(message, name)]
    if field.message_type is not None:
        return lambda message: one(getattr(message, name)) if message.HasField(name) else None
    if field.enum_type is None and is_nullable(field):
        return lambda message: getattr(message, name) or None
    return lambda message: one(getattr(message, name))


def _value(field: FieldDescriptor) -> _Write:
    match kind(field):
        case Kind.OBJECT:
            return render
        case Kind.ENUM:
            # The zero value and values of a newer server have no word.
            return words(field.enum_type).get
        case other:
            return _WRITERS[other]


def _plain(value: object) -> object:
    return value


_WRITERS: dict[Kind, _Write] = {
    Kind.STRING: _plain,
    Kind.BYTES: lambda content: base64.b64encode(content).decode(),
    Kind.BOOLEAN: _plain,
    Kind.INTEGER: _plain,
    Kind.TIME: lambda time: time.ToJsonString(),
    Kind.SECONDS: lambda duration: duration.ToTimedelta().total_seconds(),
    Kind.MILLISECONDS: lambda duration: duration.ToMilliseconds(),
}


# ----- emails


def accepted(email: Email) -> Json:
    """The answer to POST /v1/email."""
    view: Json = {
        "id": email.id,
        "status": _STATE.get(email.state),
        "create_time": _time(email.create_time),
        "recipients": [{"email": r.email, "status": _STATE.get(r.state)} for r in email.recipients],
    }
    if email.test:
        view["test"] = True
    if email.resent_from:
        view["resent_from"] = email.resent_from
    if email.HasField("content") and email.content.HasField("send_at"):
        view["send_at"] = email.content.send_at.ToJsonString()
    return view


def email(email: Email) -> Json:
    """One email. The server decides what the caller may see; the rest is left out."""
    full = email.HasField("content")
    view: Json = {
        "id": email.id,
        "status": _STATE.get(email.state),
        "create_time": _time(email.create_time),
        "test": email.test,
    }
    if email.HasField("next_attempt_time"):
        view["next_attempt_time"] = _time(email.next_attempt_time)
    if full:
        view["environment_id"] = email.environment_id
        view["resent_from"] = email.resent_from or None
        if email.content_removed:
            view["content_removed"] = email.content_removed
        view |= {name: write(email.content) for name, write in _CONTENT}
        view["attachments"] = [render(file) for file in email.attachments]
    view["recipients"] = [_recipient(recipient, full) for recipient in email.recipients]
    view["timeline"] = [render(event) for event in email.events]
    view["attempts"] = [render(attempt) for attempt in email.attempts]
    return view


def _recipient(recipient: Any, full: bool) -> Json:  # noqa: ANN401  as above
    view = render(recipient)
    if not full:
        del view["name"]
    return view


_CONTENT = [
    (json_name(field), _field(field))
    for field in EmailContent.DESCRIPTOR.fields
    if field.name != "attachments"
]
_STATE = words(DeliveryState.DESCRIPTOR)


def _time(time: Timestamp) -> str | None:
    return time.ToJsonString() if time.seconds or time.nanos else None
