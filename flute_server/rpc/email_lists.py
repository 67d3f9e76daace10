"""EmailService.ListEmails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from flute.v1 import email_pb2 as pb
from flute.v1.email_service_pb2 import ListEmailsRequest, ListEmailsResponse
from google.protobuf.timestamp_pb2 import Timestamp

from flute_server.admin.find import as_uuid
from flute_server.admin.paging import checked_size
from flute_server.domain import terms
from flute_server.domain.limits import (
    MAX_METADATA,
    MAX_METADATA_KEY,
    MAX_METADATA_VALUE,
    MAX_SUBJECT,
    MAX_TAG,
)
from flute_server.domain.message import Address
from flute_server.domain.state import State
from flute_server.errors import Violation, invalid
from flute_server.rpc.convert import timestamp
from flute_server.rpc.email_stories import STATES
from flute_server.rpc.principal import require_sender
from flute_server.sending.search import Filters, search
from flute_server.sending.summary import Addressee, Summary, summaries

DEFAULT_PAGE = 50
LARGEST_PAGE = 200
# Characters of a filter.
_LONGEST = {"recipient": 320, "tag": MAX_TAG, "subject": MAX_SUBJECT, "provider_account": 200}
_STATES = {number: State(word) for word, number in STATES.items()}


def list_emails(request: ListEmailsRequest) -> ListEmailsResponse:
    """One page of an environment's mails."""
    sender = require_sender(request.environment_id)
    size = checked_size(request.page_size, DEFAULT_PAGE, LARGEST_PAGE)
    ids, token = search(sender, _filters(request), size, request.page_token)
    return ListEmailsResponse(emails=map(told, summaries(ids)), next_page_token=token)


def _filters(request: ListEmailsRequest) -> Filters:
    violations = list(_violations(request))
    if violations:
        raise invalid(violations)
    return Filters(
        state=_STATES.get(request.state),
        recipient=request.recipient.strip().lower(),
        tag=request.tag,
        metadata=dict(sorted(request.metadata.items())),
        subject=request.subject,
        provider_account=request.provider_account.strip(),
        start=_time(request.start_time) if request.HasField("start_time") else None,
        end=_time(request.end_time) if request.HasField("end_time") else None,
        resent_from=as_uuid(request.resent_from),
    )


def _violations(request: ListEmailsRequest) -> Iterator[Violation]:
    """Every filter that no mail could match, or that the database could not take."""
    if request.state and request.state not in _STATES:
        yield Violation("state", "not a state that a mail can be in")
    for name, longest in _LONGEST.items():
        value = getattr(request, name)
        if len(value) > longest or "\0" in value:
            yield Violation(name, f"at most {longest} characters, without NUL")
    if request.subject and not terms.words(request.subject):
        yield Violation("subject", "has no word in it: a word is made of letters and digits")
    if request.resent_from and not as_uuid(request.resent_from):
        yield Violation("resent_from", "the id of an email is wanted, a UUID")
    for name, time in (("start_time", request.start_time), ("end_time", request.end_time)):
        if _time(time) is None:
            yield Violation(name, "a time from the year 1 to 9999 is wanted")
    yield from _metadata_violations(request.metadata)


def _metadata_violations(pairs: Mapping[str, str]) -> Iterator[Violation]:
    if len(pairs) > MAX_METADATA:
        yield Violation("metadata", f"at most {MAX_METADATA} keys")
        return
    for key, value in pairs.items():
        if len(key) > MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE or "\0" in key + value:
            text = (
                f"a key has at most {MAX_METADATA_KEY} characters, a value {MAX_METADATA_VALUE}, without NUL"
            )
            yield Violation(f"metadata.{key[:MAX_METADATA_KEY]}", text)


def _time(given: Timestamp) -> datetime | None:
    """The time, or None if it is none."""
    try:
        return given.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def told(line: Summary) -> pb.EmailSummary:
    """A line of a list."""
    summary = pb.EmailSummary(
        id=str(line.id),
        state=STATES[line.state],
        create_time=timestamp(line.create_time),
        send_at=timestamp(line.send_time),
        subject=line.subject,
        recipients=map(_recipient, line.recipients),
        tags=line.tags,
        provider_accounts=line.provider_accounts,
        test=line.test,
    )
    # `from` is a word of Python's, so the field cannot be named in a call.
    getattr(summary, "from").CopyFrom(_address(line.sender))
    return summary


def _recipient(addressee: Addressee) -> pb.Recipient:
    return pb.Recipient(
        email=addressee.address.email,
        name=addressee.address.name,
        kind=pb.RecipientKind.Value(f"RECIPIENT_KIND_{addressee.kind.upper()}"),
        state=STATES[addressee.state],
        update_time=timestamp(addressee.update_time),
    )


def _address(address: Address) -> pb.Address:
    return pb.Address(email=address.email, name=address.name)
