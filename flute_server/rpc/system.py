"""SystemService."""

from __future__ import annotations

from importlib.metadata import version

import grpc
from flute.v1 import system_service_pb2 as pb
from flute.v1.system_service_pb2_grpc import SystemServiceServicer

from flute_server.checkup.check import Check
from flute_server.checkup.examine import examine
from flute_server.config import Config


class SystemServicer(SystemServiceServicer):
    """How this installation fares."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def GetSystemHealth(
        self, request: pb.GetSystemHealthRequest, context: grpc.ServicerContext
    ) -> pb.SystemHealth:
        checks = [_check(check) for check in examine(self._config)]
        worst = max(check.status for check in checks)
        return pb.SystemHealth(version=version("flute"), status=worst, checks=checks)


def _check(check: Check) -> pb.Check:
    return pb.Check(
        name=check.name,
        title=check.title,
        status=pb.CheckStatus.Value(f"CHECK_STATUS_{check.status.upper()}"),
        text=check.text,
        fix=check.fix,
    )
