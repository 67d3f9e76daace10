"""EnvironmentService."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from flute.v1 import environment_service_pb2 as pb
from flute.v1.environment_service_pb2_grpc import EnvironmentServiceServicer
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty

from flute_server.admin import environments, summaries
from flute_server.admin.environments import Remarks
from flute_server.admin.find import find
from flute_server.admin.summaries import RouteSummary, Summary
from flute_server.domain.breaker import BreakerState
from flute_server.models import AmbiguityPolicy, DelayPolicy, Environment
from flute_server.rpc.convert import timestamp
from flute_server.rpc.principal import author, current, require_account, require_sender
from flute_server.rpc.provider_health import breaker_state, state
from flute_server.rpc.rate_limits import rate_limit, to_limit
from flute_server.sending import account_states
from flute_server.sending.account_states import Standing

_POLICIES = {
    pb.AMBIGUITY_POLICY_UNSPECIFIED: AmbiguityPolicy.RESEND,
    pb.AMBIGUITY_POLICY_RESEND: AmbiguityPolicy.RESEND,
    pb.AMBIGUITY_POLICY_WAIT: AmbiguityPolicy.WAIT,
}
_DELAYS = {
    pb.DELAY_POLICY_UNSPECIFIED: DelayPolicy.WAIT,
    pb.DELAY_POLICY_WAIT: DelayPolicy.WAIT,
    pb.DELAY_POLICY_RESEND: DelayPolicy.RESEND,
}


class EnvironmentServicer(EnvironmentServiceServicer):
    """FROM domains with their routes and settings."""

    def CreateEnvironment(
        self, request: pb.CreateEnvironmentRequest, context: grpc.ServicerContext
    ) -> pb.Environment:
        given = request.environment
        names = ["allow_subdomains", "on_ambiguous", "on_delay", "monthly_quota", "one_click_unsubscribe"]
        names += ["retention_days", "track_opens", "track_clicks"]
        names += [name for name in ("ambiguity_wait", "give_up_after", "rate_limit") if given.HasField(name)]
        row = environments.create(
            require_account(given.account_id), given.name, given.domain, _settings(given, names), author()
        )
        return _environment(row)

    def GetEnvironment(
        self, request: pb.GetEnvironmentRequest, context: grpc.ServicerContext
    ) -> pb.Environment:
        if current.get().sender:
            return _environment(find(Environment, str(require_sender(request.id).environment_id)))
        return _environment(find(Environment, request.id))

    def ListEnvironments(
        self, request: pb.ListEnvironmentsRequest, context: grpc.ServicerContext
    ) -> pb.ListEnvironmentsResponse:
        rows, token = environments.list_page(
            require_account(request.account_id), request.page_size, request.page_token
        )
        found = summaries.of([row.id for row in rows])
        standings = account_states.read({route.account for one in found.values() for route in one.routes})
        remarks = environments.remarks([row.id for row in rows])
        return pb.ListEnvironmentsResponse(
            environments=[_told(row, remarks[row.id]) for row in rows],
            next_page_token=token,
            summaries=[_summary(row, found[row.id], standings) for row in rows],
        )

    def UpdateEnvironment(
        self, request: pb.UpdateEnvironmentRequest, context: grpc.ServicerContext
    ) -> pb.Environment:
        settings = _settings(request.environment, request.update_mask.paths)
        return _environment(environments.update(request.environment.id, settings, author()))

    def DeleteEnvironment(self, request: pb.DeleteEnvironmentRequest, context: grpc.ServicerContext) -> Empty:
        environments.delete(request.id, author())
        return Empty()


def _settings(given: pb.Environment, names: Iterable[str]) -> dict[str, Any]:
    """The named fields in our own types; an unknown name goes along, to be refused where the rules are."""
    settings = {name: getattr(given, name, None) for name in names}
    if "on_ambiguous" in settings:
        settings["on_ambiguous"] = _POLICIES.get(given.on_ambiguous, AmbiguityPolicy.RESEND)
    if "on_delay" in settings:
        settings["on_delay"] = _DELAYS.get(given.on_delay, DelayPolicy.WAIT)
    if "rate_limit" in settings:
        settings["rate_limit"] = to_limit(given.rate_limit) if given.HasField("rate_limit") else None
    return {name: value.seconds if isinstance(value, Duration) else value for name, value in settings.items()}


def _environment(row: Environment) -> pb.Environment:
    return _told(row, environments.remarks([row.id])[row.id])


def _told(row: Environment, remarks: Remarks) -> pb.Environment:
    return pb.Environment(
        id=str(row.id),
        account_id=str(row.account_id),
        name=row.name,
        domain=row.domain,
        allow_subdomains=row.allow_subdomains,
        on_ambiguous=pb.AmbiguityPolicy.Value(f"AMBIGUITY_POLICY_{row.on_ambiguous.upper()}"),
        ambiguity_wait=Duration(seconds=row.ambiguity_wait_s),
        give_up_after=Duration(seconds=row.give_up_after_s),
        create_time=timestamp(row.create_time),
        on_delay=pb.DelayPolicy.Value(f"DELAY_POLICY_{row.on_delay.upper()}"),
        warnings=remarks.warnings,
        differences=remarks.differences,
        rate_limit=rate_limit(row.rate_per_second, row.rate_burst),
        monthly_quota=row.monthly_quota or 0,
        one_click_unsubscribe=row.one_click_unsubscribe,
        retention_days=row.retention_days,
        track_opens=row.track_opens,
        track_clicks=row.track_clicks,
    )


def _summary(
    row: Environment, found: Summary, standings: Mapping[uuid.UUID, Standing]
) -> pb.EnvironmentSummary:
    routes = (_route(route, standings[route.account.id]) for route in found.routes)
    return pb.EnvironmentSummary(environment_id=str(row.id), routes=routes, key_count=found.keys)


def _route(route: RouteSummary, standing: Standing) -> pb.RouteSummary:
    return pb.RouteSummary(
        provider_account=route.account.name,
        provider=route.account.provider,
        disabled=route.disabled,
        breaker_state=breaker_state(standing.whole.state if standing.whole else BreakerState.CLOSED),
        paused=route.account.pause_time is not None,
        provider_account_state=state(standing.state),
    )
