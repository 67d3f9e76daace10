"""ApiKeyService."""

from __future__ import annotations

import grpc
from flute.v1 import api_key_service_pb2 as pb
from flute.v1.api_key_service_pb2_grpc import ApiKeyServiceServicer

from flute_server.admin import api_keys
from flute_server.models import ApiKey
from flute_server.rpc.convert import timestamp


class ApiKeyServicer(ApiKeyServiceServicer):
    """The keys with which apps send."""

    def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: grpc.ServicerContext
    ) -> pb.CreateApiKeyResponse:
        row, token = api_keys.create(request.environment_id, request.name)
        return pb.CreateApiKeyResponse(api_key=_key(row), access_token=token)

    def ListApiKeys(
        self, request: pb.ListApiKeysRequest, context: grpc.ServicerContext
    ) -> pb.ListApiKeysResponse:
        rows, token = api_keys.list_page(request.environment_id, request.page_size, request.page_token)
        return pb.ListApiKeysResponse(api_keys=map(_key, rows), next_page_token=token)

    def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: grpc.ServicerContext) -> pb.ApiKey:
        return _key(api_keys.revoke(request.id))


def _key(row: ApiKey) -> pb.ApiKey:
    return pb.ApiKey(
        id=str(row.id),
        environment_id=str(row.environment_id),
        name=row.name,
        hint=row.hint,
        create_time=timestamp(row.create_time),
        last_used_time=timestamp(row.last_used_time),
        revoke_time=timestamp(row.revoke_time),
    )
