"""A mail and its story, as messages: whole for its owner, and what strangers may know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flute.v1 import email_pb2 as pb

from flute_server.addresses import masked
from flute_server.domain.outcome import Outcome
from flute_server.domain.state import State
from flute_server.domain.wording import for_strangers
from flute_server.models import Ledger, Recipient
from flute_server.rpc import convert
from flute_server.sending.retention import removed
from flute_server.sending.story import AttemptStory, FileInfo, Moment, Story

# Recipient id -> the address as the caller may see it.
Names = Mapping[int | None, str]

STATES = {state.value: pb.DeliveryState.Value(f"DELIVERY_STATE_{state.name}") for state in State}
_OUTCOMES = {outcome.value: pb.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in Outcome}


def whole(story: Story) -> pb.Email:
    """For who may read it. Without the content where the story has none."""
    return _email(story, str)


def for_stranger(story: Story) -> pb.Email:
    """For who has nothing but the id. What providers answer, and what people note of an address, is in free
    words, which may name the recipient: none of them is told."""
    email = _email(story, masked)
    for attempt in email.attempts:
        attempt.ClearField("candidates")
        for result in attempt.results:
            result.ClearField("text")
            result.ClearField("provider_message_id")
    for event, moment in zip(email.events, story.timeline, strict=True):
        event.text = for_strangers(moment.type)
    return email


def _email(story: Story, show: Callable[[str], str]) -> pb.Email:
    names: Names = {None: ""} | {row.id: show(row.address) for row in story.recipients}
    email = pb.Email(
        id=str(story.email.id),
        state=STATES[story.state],
        create_time=convert.timestamp(story.email.create_time),
        next_attempt_time=convert.timestamp(story.email.due_time),
        recipients=[_recipient(row, names, story) for row in story.recipients],
        attempts=[_attempt(attempt, names) for attempt in story.attempts],
        events=[_event(moment, names, str(story.email.id)) for moment in story.timeline],
        test=story.email.test,
    )
    if story.message:
        email.environment_id = str(story.email.environment_id)
        email.content.CopyFrom(convert.content(story.message))
        if story.email.send_time:
            email.content.send_at.FromDatetime(story.email.send_time)
        email.resent_from = str(story.email.resent_from or "")
        email.attachments.extend(_file(file) for file in story.files)
        email.content_removed = removed(story.email.content)
    return email


def _file(file: FileInfo) -> pb.AttachmentInfo:
    return pb.AttachmentInfo(
        filename=file.filename,
        content_type=file.content_type,
        content_id=file.content_id,
        size=file.size,
    )


def _recipient(row: Recipient, names: Names, story: Story) -> pb.Recipient:
    return pb.Recipient(
        email=names[row.id],
        name=row.name if story.message else "",
        kind=pb.RecipientKind.Value(f"RECIPIENT_KIND_{row.kind.upper()}"),
        state=STATES[story.states[row.id]],
        update_time=convert.timestamp(row.update_time),
    )


def _attempt(story: AttemptStory, names: Names) -> pb.Attempt:
    attempt = pb.Attempt(
        id=str(story.attempt.id),
        provider=story.account.provider,
        provider_account=story.account.name,
        start_time=convert.timestamp(story.attempt.start_time),
        results=[_result(entry, names) for entry in story.ledger],
        candidates=[pb.Candidate(**candidate) for candidate in story.attempt.candidates],
    )
    if story.attempt.end_time:
        attempt.duration.FromTimedelta(story.attempt.end_time - story.attempt.start_time)
    return attempt


def _result(entry: Ledger, names: Names) -> pb.AttemptResult:
    return pb.AttemptResult(
        email=names[entry.recipient_id],
        outcome=_OUTCOMES[entry.outcome] if entry.outcome else pb.OUTCOME_UNSPECIFIED,
        error=entry.error,
        status=entry.status,
        code=entry.code,
        text=entry.text,
        provider_message_id=entry.provider_message_id,
    )


def _event(moment: Moment, names: Names, email_id: str) -> pb.Event:
    return pb.Event(
        type=moment.type,
        time=convert.timestamp(moment.time),
        recipient=names[moment.recipient_id],
        provider_account=moment.account,
        text=moment.text,
        attempt_id=str(moment.attempt_id) if moment.attempt_id else "",
        id=f"evt_{moment.id}" if moment.id else "",
        email_id=email_id,
    )
