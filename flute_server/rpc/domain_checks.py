"""DomainCheckService."""

from __future__ import annotations

import grpc
from flute.v1 import domain_check_service_pb2 as pb
from flute.v1.domain_check_service_pb2_grpc import DomainCheckServiceServicer

from flute_server.admin import domain_checks
from flute_server.config import Config
from flute_server.domain.authentication.checks import Check
from flute_server.rpc.waiting import waiting


class DomainCheckServicer(DomainCheckServiceServicer):
    """Whether DNS says what it should of FROM domains."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def CheckDomain(
        self, request: pb.CheckDomainRequest, context: grpc.ServicerContext
    ) -> pb.CheckDomainResponse:
        with waiting(self._config.grpc_threads).one():
            found = domain_checks.check(self._config, request.environment_id)
        return pb.CheckDomainResponse(
            domain=found.domain, summary=found.summary, checks=map(_check, found.checks)
        )


def _check(check: Check) -> pb.DomainCheck:
    return pb.DomainCheck(
        kind=pb.DomainCheckKind.Value(f"DOMAIN_CHECK_KIND_{check.kind.upper()}"),
        status=pb.DomainCheckStatus.Value(f"DOMAIN_CHECK_STATUS_{check.status.upper()}"),
        provider_account_id=str(check.account or ""),
        provider_account=check.account_name,
        host=check.host,
        type=check.type,
        found=check.found,
        expected=check.expected,
        text=check.text,
    )
