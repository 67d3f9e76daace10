"""EmailService.PlanEmail."""

from __future__ import annotations

from contextlib import closing

from flute.v1.email_service_pb2 import (
    PlanEmailRequest,
    PlanEmailResponse,
    PlannedGroup,
    PlannedRoute,
    PlannedSuppression,
)

from flute_server.config import Config
from flute_server.rpc.drafts import draft
from flute_server.rpc.principal import require_sender
from flute_server.sending import plan
from flute_server.sending.connections import Connections
from flute_server.sending.unsubscribe import Links


def plan_email(request: PlanEmailRequest, config: Config) -> PlanEmailResponse:
    """Which way a mail would take now."""
    sender = require_sender(request.environment_id)
    with closing(Connections(config)) as connections:
        found = plan.plan(sender, draft(request.content, sender), connections, Links.of(config))
    return PlanEmailResponse(
        sendable=found.sendable,
        summary=found.summary,
        groups=map(_group, found.groups),
        suppressed=[PlannedSuppression(email=email, reason=why) for email, why in found.suppressed],
        warnings=found.warnings,
    )


def _group(group: plan.PlannedGroup) -> PlannedGroup:
    return PlannedGroup(recipients=group.recipients, routes=map(_route, group.routes))


def _route(route: plan.PlannedRoute) -> PlannedRoute:
    return PlannedRoute(
        provider_account=route.account,
        provider=route.provider,
        chosen=route.chosen,
        usable=route.usable,
        reason=route.reason,
        losses=route.losses,
    )
