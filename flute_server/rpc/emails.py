"""EmailService."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import grpc
from flute.v1 import email_pb2 as pb
from flute.v1.email_service_pb2 import (
    ExplainEmailRequest,
    ExplainEmailResponse,
    GetEmailRequest,
    ListEmailsRequest,
    ListEmailsResponse,
    PlanEmailRequest,
    PlanEmailResponse,
    SendEmailRequest,
)
from flute.v1.email_service_pb2_grpc import EmailServiceServicer

from flute_server.addresses import masked
from flute_server.config import Config
from flute_server.domain.outcome import Outcome
from flute_server.domain.state import State
from flute_server.errors import Unavailable
from flute_server.models import Ledger, Recipient, Scope
from flute_server.rpc import convert
from flute_server.rpc.email_lists import list_emails
from flute_server.rpc.email_plans import plan_email
from flute_server.rpc.principal import ANONYMOUS, current, require_scope, require_sender
from flute_server.sending.accept import accept
from flute_server.sending.explain import paragraphs, summary
from flute_server.sending.story import AttemptStory, FileInfo, Moment, Story, tell
from flute_server.sending.wake import wake

# Recipient id -> the address as the caller may see it.
Names = Mapping[int | None, str]

_STATES = {state.value: pb.DeliveryState.Value(f"DELIVERY_STATE_{state.name}") for state in State}
_OUTCOMES = {outcome.value: pb.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in Outcome}


class EmailServicer(EmailServiceServicer):
    """Accepts mail and tells what became of it."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def SendEmail(self, request: SendEmailRequest, context: grpc.ServicerContext) -> pb.Email:
        sender = require_sender(request.environment_id)
        message = convert.message(request.content)
        if not context.is_active():
            # The caller has given up and will never learn the id: better no mail than a second one.
            raise Unavailable("CALLER_GONE", "the deadline passed before the mail was stored")
        accepted = accept(sender, message)
        wake(self._config.redis_url)
        return pb.Email(
            id=str(accepted.id),
            environment_id=str(sender.environment_id),
            state=pb.DELIVERY_STATE_QUEUED,
            create_time=convert.timestamp(accepted.create_time),
            recipients=[
                pb.Recipient(email=address.email, name=address.name, state=pb.DELIVERY_STATE_QUEUED)
                for address in (*message.to, *message.cc, *message.bcc)
            ],
        )

    def GetEmail(self, request: GetEmailRequest, context: grpc.ServicerContext) -> pb.Email:
        if current.get() is ANONYMOUS:
            return _email(tell(request.id, None, full=False), masked)
        if sender := current.get().sender:
            require_scope(sender, Scope.READ)
        return _email(_own_story(request.id), str)

    def ListEmails(self, request: ListEmailsRequest, context: grpc.ServicerContext) -> ListEmailsResponse:
        return list_emails(request)

    def PlanEmail(self, request: PlanEmailRequest, context: grpc.ServicerContext) -> PlanEmailResponse:
        return plan_email(request, self._config)

    def ExplainEmail(
        self, request: ExplainEmailRequest, context: grpc.ServicerContext
    ) -> ExplainEmailResponse:
        story = _own_story(request.id)
        return ExplainEmailResponse(summary=summary(story), paragraphs=paragraphs(story))


def _own_story(id_: str) -> Story:
    sender = current.get().sender
    return tell(id_, sender.environment_id if sender else None, full=True)


def _email(story: Story, show: Callable[[str], str]) -> pb.Email:
    names: Names = {None: ""} | {row.id: show(row.address) for row in story.recipients}
    email = pb.Email(
        id=str(story.email.id),
        state=_STATES[story.state],
        create_time=convert.timestamp(story.email.create_time),
        next_attempt_time=convert.timestamp(story.email.due_time),
        recipients=[_recipient(row, names, story) for row in story.recipients],
        attempts=[_attempt(attempt, names) for attempt in story.attempts],
        events=[_event(moment, names) for moment in story.timeline],
    )
    if story.message:
        email.environment_id = str(story.email.environment_id)
        email.content.CopyFrom(convert.content(story.message))
        email.attachments.extend(_file(file) for file in story.files)
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
        state=_STATES[story.states[row.id]],
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


def _event(moment: Moment, names: Names) -> pb.Event:
    return pb.Event(
        type=moment.type,
        time=convert.timestamp(moment.time),
        recipient=names[moment.recipient_id],
        provider_account=moment.account,
        text=moment.text,
        attempt_id=str(moment.attempt_id) if moment.attempt_id else "",
    )
