"""StatisticsService."""

from __future__ import annotations

import grpc
from flute.v1 import statistics_service_pb2 as pb
from flute.v1.statistics_service_pb2_grpc import StatisticsServiceServicer


class StatisticsServicer(StatisticsServiceServicer):
    """Figures over time."""

    def GetStatistics(
        self, request: pb.GetStatisticsRequest, context: grpc.ServicerContext
    ) -> pb.GetStatisticsResponse:
        raise NotImplementedError
