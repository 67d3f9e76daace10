"""EmailService.PlanEmail."""

from __future__ import annotations

from flute.v1.email_service_pb2 import PlanEmailRequest, PlanEmailResponse

from flute_server.config import Config


def plan_email(request: PlanEmailRequest, config: Config) -> PlanEmailResponse:
    """Which way a mail would take now."""
    raise NotImplementedError
