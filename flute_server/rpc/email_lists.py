"""EmailService.ListEmails."""

from __future__ import annotations

from flute.v1.email_service_pb2 import ListEmailsRequest, ListEmailsResponse


def list_emails(request: ListEmailsRequest) -> ListEmailsResponse:
    """One page of an environment's mails."""
    raise NotImplementedError
