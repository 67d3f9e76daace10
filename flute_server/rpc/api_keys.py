"""ApiKeyService."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
from flute.v1 import api_key_service_pb2 as pb
from flute.v1.api_key_service_pb2_grpc import ApiKeyServiceServicer
from google.protobuf.timestamp_pb2 import Timestamp

from flute_server.admin import api_keys
from flute_server.admin.api_keys import Rights
from flute_server.admin.find import find
from flute_server.errors import Violation, invalid
from flute_server.models import ApiKey, KeyKind, Scope
from flute_server.rpc.convert import timestamp
from flute_server.rpc.principal import author
from flute_server.rpc.rate_limits import rate_limit, to_limit

_KINDS = {
    pb.API_KEY_KIND_UNSPECIFIED: KeyKind.LIVE,
    pb.API_KEY_KIND_LIVE: KeyKind.LIVE,
    pb.API_KEY_KIND_TEST: KeyKind.TEST,
}
_SCOPES = {
    pb.API_KEY_SCOPE_SEND: Scope.SEND,
    pb.API_KEY_SCOPE_READ: Scope.READ,
    pb.API_KEY_SCOPE_MANAGE: Scope.MANAGE,
}


class ApiKeyServicer(ApiKeyServiceServicer):
    """The keys with which apps send."""

    def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: grpc.ServicerContext
    ) -> pb.CreateApiKeyResponse:
        rights = _rights(request)
        row, token = api_keys.create(request.environment_id, request.name, rights, author())
        return pb.CreateApiKeyResponse(api_key=_key(row), access_token=token)

    def GetApiKey(self, request: pb.GetApiKeyRequest, context: grpc.ServicerContext) -> pb.ApiKey:
        return _key(find(ApiKey, request.id))

    def ListApiKeys(
        self, request: pb.ListApiKeysRequest, context: grpc.ServicerContext
    ) -> pb.ListApiKeysResponse:
        rows, token = api_keys.list_page(request.environment_id, request.page_size, request.page_token)
        return pb.ListApiKeysResponse(api_keys=map(_key, rows), next_page_token=token)

    def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: grpc.ServicerContext) -> pb.ApiKey:
        return _key(api_keys.revoke(request.id, author()))

    def RotateApiKey(
        self, request: pb.RotateApiKeyRequest, context: grpc.ServicerContext
    ) -> pb.CreateApiKeyResponse:
        overlap = request.overlap.ToTimedelta() if request.HasField("overlap") else None
        row, token = api_keys.rotate(request.id, overlap, author())
        return pb.CreateApiKeyResponse(api_key=_key(row), access_token=token)


def _rights(request: pb.CreateApiKeyRequest) -> Rights:
    found = []
    if request.kind not in _KINDS:
        found.append(Violation("kind", "live or test"))
    for place, scope in enumerate(request.scopes):
        if scope not in _SCOPES:
            found.append(Violation(f"scopes[{place}]", f"one of {', '.join(Scope)}"))
    if found:
        raise invalid(found)
    return Rights(
        kind=_KINDS[request.kind],
        scopes=[_SCOPES[scope] for scope in request.scopes],
        expire_time=_time(request.expire_time) if request.HasField("expire_time") else None,
        limit=to_limit(request.rate_limit) if request.HasField("rate_limit") else None,
    )


def _time(given: Timestamp) -> datetime:
    try:
        return given.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise invalid([Violation("expire_time", "not a time between the years 1 and 9999")]) from error


def _key(row: ApiKey) -> pb.ApiKey:
    return pb.ApiKey(
        id=str(row.id),
        environment_id=str(row.environment_id),
        name=row.name,
        hint=row.hint,
        create_time=timestamp(row.create_time),
        last_used_time=timestamp(row.last_used_time),
        revoke_time=timestamp(row.revoke_time),
        kind=pb.ApiKeyKind.Value(f"API_KEY_KIND_{row.kind.upper()}"),
        scopes=[pb.ApiKeyScope.Value(f"API_KEY_SCOPE_{scope.upper()}") for scope in row.scopes],
        expire_time=timestamp(row.expire_time),
        rate_limit=rate_limit(row.rate_per_second, row.rate_burst),
    )
