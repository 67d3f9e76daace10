"""RouteService."""

from __future__ import annotations

import grpc
from flute.v1 import route_service_pb2 as pb
from flute.v1.route_service_pb2_grpc import RouteServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.admin import routes
from flute_server.models import Route
from flute_server.rpc.principal import author

_SETTINGS = ("position", "weight", "disabled", "max_per_second", "max_per_day", "authenticated")


class RouteServicer(RouteServiceServicer):
    """The order in which an environment tries its provider accounts."""

    def CreateRoute(self, request: pb.CreateRouteRequest, context: grpc.ServicerContext) -> pb.Route:
        given = request.route
        settings = {name: getattr(given, name) for name in _SETTINGS}
        row = routes.create(given.environment_id, given.provider_account_id, settings, author())
        return _route(row)

    def ListRoutes(
        self, request: pb.ListRoutesRequest, context: grpc.ServicerContext
    ) -> pb.ListRoutesResponse:
        return pb.ListRoutesResponse(routes=map(_route, routes.list_all(request.environment_id)))

    def UpdateRoute(self, request: pb.UpdateRouteRequest, context: grpc.ServicerContext) -> pb.Route:
        paths = request.update_mask.paths
        settings = {path: getattr(request.route, path, 0) for path in paths}
        return _route(routes.update(request.route.id, settings, author()))

    def ReorderRoutes(
        self, request: pb.ReorderRoutesRequest, context: grpc.ServicerContext
    ) -> pb.ReorderRoutesResponse:
        ranks = [list(rank.route_ids) for rank in request.ranks]
        rows = routes.reorder(request.environment_id, ranks, author())
        return pb.ReorderRoutesResponse(routes=map(_route, rows))

    def DeleteRoute(self, request: pb.DeleteRouteRequest, context: grpc.ServicerContext) -> Empty:
        routes.delete(request.id, author())
        return Empty()


def _route(row: Route) -> pb.Route:
    return pb.Route(
        id=str(row.id),
        environment_id=str(row.environment_id),
        provider_account_id=str(row.provider_account_id),
        position=row.position,
        weight=row.weight,
        disabled=row.disabled,
        max_per_second=row.max_per_second or 0,
        max_per_day=row.max_per_day or 0,
        authenticated=row.authenticated,
    )
