"""EmailService."""

from __future__ import annotations

import uuid

import grpc
from flute.v1 import email_pb2 as pb
from flute.v1.email_service_pb2 import (
    RESEND_TO_ALL,
    CancelEmailRequest,
    ExplainEmailRequest,
    ExplainEmailResponse,
    GetEmailAttachmentRequest,
    GetEmailRequest,
    ListEmailsRequest,
    ListEmailsResponse,
    PlanEmailRequest,
    PlanEmailResponse,
    RescheduleEmailRequest,
    ResendEmailRequest,
    SendEmailBatchRequest,
    SendEmailBatchResponse,
    SendEmailRequest,
    SendEmailResult,
)
from flute.v1.email_service_pb2_grpc import EmailServiceServicer

from flute_server.config import Config
from flute_server.domain.message import Message
from flute_server.errors import Unavailable, Violation, invalid
from flute_server.models import Scope
from flute_server.rpc import convert
from flute_server.rpc.drafts import draft
from flute_server.rpc.email_explanations import explanation
from flute_server.rpc.email_lists import list_emails
from flute_server.rpc.email_plans import plan_email
from flute_server.rpc.email_stories import STATES, for_stranger, whole
from flute_server.rpc.principal import current, require_scope, require_sender
from flute_server.sending import files
from flute_server.sending.accept import accept, accept_batch
from flute_server.sending.answer import Accepted, Answer, Problem
from flute_server.sending.idempotency import once
from flute_server.sending.reschedule import cancel, reschedule
from flute_server.sending.resend import original, resend
from flute_server.sending.senders import Sender
from flute_server.sending.store import Origin
from flute_server.sending.story import Story, tell
from flute_server.sending.wake import wake

_Repeatable = SendEmailRequest | SendEmailBatchRequest | ResendEmailRequest


class EmailServicer(EmailServiceServicer):
    """Accepts mail and tells what became of it."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def SendEmail(self, request: SendEmailRequest, context: grpc.ServicerContext) -> pb.Email:
        sender = require_sender(request.environment_id)
        origin = _origin(request, test=sender.test)
        asked = draft(request.content, sender)
        _expect_caller(context)
        answer = self._told(accept(sender, asked, origin), context)
        return _accepted(answer, sender, asked.message)

    def SendEmailBatch(
        self, request: SendEmailBatchRequest, context: grpc.ServicerContext
    ) -> SendEmailBatchResponse:
        sender = require_sender(request.environment_id)
        origin = _origin(request, test=sender.test)
        drafts = [draft(content, sender) for content in request.emails]
        _expect_caller(context)
        answer = self._told(accept_batch(sender, drafts, origin), context)
        return SendEmailBatchResponse(results=map(_result_of, answer.results))

    def ResendEmail(self, request: ResendEmailRequest, context: grpc.ServicerContext) -> pb.Email:
        to_all = request.recipients == RESEND_TO_ALL
        found = original(request.id, current.get().sender, to_all=to_all)
        origin = _origin(request, test=found.sender.test)
        _expect_caller(context)
        answer = self._told(resend(found, origin), context)
        message = found.message
        if answer.replayed:
            # Who was missed may have changed since.
            message = tell(str(_only(answer).id), None, full=True).message or message
        return _accepted(answer, found.sender, message, resent_from=str(found.email_id))

    def CancelEmail(self, request: CancelEmailRequest, context: grpc.ServicerContext) -> pb.Email:
        cancel(request.id, _environment_id(), current.get().request_id, tests_only=_tests_only())
        return _as_allowed(request.id)

    def RescheduleEmail(self, request: RescheduleEmailRequest, context: grpc.ServicerContext) -> pb.Email:
        if not request.HasField("send_at"):
            # Nothing given must not mean "at once": a slip would send what was to wait.
            raise invalid([Violation("send_at", "is required; a past time sends the mail at once")])
        send_at = convert.time(request.send_at)
        request_id = current.get().request_id
        if reschedule(request.id, _environment_id(), send_at, request_id, tests_only=_tests_only()):
            wake(self._config.redis_url)
        return _as_allowed(request.id)

    def GetEmail(self, request: GetEmailRequest, context: grpc.ServicerContext) -> pb.Email:
        if current.get().anonymous:
            return for_stranger(tell(request.id, None, full=False))
        if sender := current.get().sender:
            require_scope(sender, Scope.READ)
        return whole(_own_story(request.id))

    def GetEmailAttachment(
        self, request: GetEmailAttachmentRequest, context: grpc.ServicerContext
    ) -> pb.Attachment:
        file = files.read(request.id, _environment_id(), request.index)
        return pb.Attachment(
            filename=file.filename,
            content=file.content,
            content_type=file.content_type,
            content_id=file.content_id,
        )

    def ListEmails(self, request: ListEmailsRequest, context: grpc.ServicerContext) -> ListEmailsResponse:
        return list_emails(request)

    def PlanEmail(self, request: PlanEmailRequest, context: grpc.ServicerContext) -> PlanEmailResponse:
        return plan_email(request, self._config)

    def ExplainEmail(
        self, request: ExplainEmailRequest, context: grpc.ServicerContext
    ) -> ExplainEmailResponse:
        return explanation(_own_story(request.id))

    def _told(self, answer: Answer, context: grpc.ServicerContext) -> Answer:
        """Make the answer known: to a worker, or as a repetition to the caller."""
        if answer.replayed:
            context.set_trailing_metadata((("idempotent-replayed", "true"),))
        else:
            wake(self._config.redis_url)
        return answer


def _origin(request: _Repeatable, *, test: bool) -> Origin:
    """Where mail comes from. Takes the key out of the request, since it is no part of what is asked."""
    request_id = current.get().request_id
    if not (key := request.request_id):
        return Origin(request_id)
    request.ClearField("request_id")
    if not isinstance(request, ResendEmailRequest):
        # A key says it by itself.
        request.ClearField("environment_id")
    asked = request.DESCRIPTOR.name.encode() + request.SerializeToString(deterministic=True)
    return Origin(request_id, once(key, asked, test=test))


def _expect_caller(context: grpc.ServicerContext) -> None:
    if not context.is_active():
        # The caller has given up and will never learn the id: better no mail than a second one.
        raise Unavailable("CALLER_GONE", "the deadline passed before the mail was stored")


def _accepted(answer: Answer, sender: Sender, message: Message, resent_from: str = "") -> pb.Email:
    """What is told of a mail that was just stored."""
    accepted = _only(answer)
    state = STATES[accepted.state]
    return pb.Email(
        id=str(accepted.id),
        environment_id=str(sender.environment_id),
        state=state,
        create_time=convert.timestamp(answer.create_time),
        recipients=[
            pb.Recipient(email=address.email, name=address.name, state=state)
            for address in (*message.to, *message.cc, *message.bcc)
        ],
        test=sender.test,
        resent_from=resent_from,
    )


def _only(answer: Answer) -> Accepted:
    [accepted] = answer.results
    assert isinstance(accepted, Accepted)  # noqa: S101  what is wrong with a single mail is raised
    return accepted


def _result_of(result: Accepted | Problem) -> SendEmailResult:
    if isinstance(result, Accepted):
        return SendEmailResult(id=str(result.id), state=STATES[result.state])
    problem = pb.Problem(
        code=result.reason.lower(),
        detail=result.text,
        errors=[pb.FieldProblem(field=wrong.field, detail=wrong.text) for wrong in result.violations],
    )
    return SendEmailResult(problem=problem)


def _environment_id() -> uuid.UUID | None:
    """Where the caller may look for an email; None for everywhere."""
    sender = current.get().sender
    return sender.environment_id if sender else None


def _tests_only() -> bool:
    sender = current.get().sender
    return sender is not None and sender.test


def _own_story(id_: str) -> Story:
    return tell(id_, _environment_id(), full=True)


def _as_allowed(id_: str) -> pb.Email:
    """An email of the caller's, as a key without the scope `read` may see it: like a stranger."""
    sender = current.get().sender
    if sender is None or Scope.READ in sender.scopes:
        return whole(_own_story(id_))
    return for_stranger(tell(id_, _environment_id(), full=False))
