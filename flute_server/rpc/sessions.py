"""SessionService."""

from __future__ import annotations

import grpc
from flute.v1 import session_service_pb2 as pb
from flute.v1.session_service_pb2_grpc import SessionServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.admin import log_in, sessions
from flute_server.config import Config
from flute_server.models import Session
from flute_server.rpc.convert import timestamp
from flute_server.rpc.principal import current, require_person, visit
from flute_server.sending import throttle
from flute_server.sending.limits import meter


class SessionServicer(SessionServiceServicer):
    """Logging in and out."""

    def __init__(self, config: Config) -> None:
        self._meter = meter(config.redis_url)

    def LogIn(self, request: pb.LogInRequest, context: grpc.ServicerContext) -> pb.LogInResponse:
        here = visit()
        throttle.log_in(self._meter, request.email, here.address)
        token, challenge = log_in.log_in(request.email, request.password, here, current.get().person)
        throttle.logged_in(self._meter, request.email, here.address)
        return pb.LogInResponse(session_token=token, challenge_token=challenge)

    def CompleteLogIn(
        self, request: pb.CompleteLogInRequest, context: grpc.ServicerContext
    ) -> pb.LogInResponse:
        here = visit()
        user_id = log_in.challenged(request.challenge_token)
        throttle.code(self._meter, user_id, here.address)
        before = current.get().person
        token = log_in.complete(request.challenge_token, request.code, here, before)
        throttle.code_was_right(self._meter, user_id)
        return pb.LogInResponse(session_token=token)

    def LogOut(self, request: pb.LogOutRequest, context: grpc.ServicerContext) -> Empty:
        sessions.end(require_person(), visit())
        return Empty()

    def ListSessions(
        self, request: pb.ListSessionsRequest, context: grpc.ServicerContext
    ) -> pb.ListSessionsResponse:
        rows = sessions.list_all(require_person())
        return pb.ListSessionsResponse(sessions=map(_session, rows))

    def RevokeSession(self, request: pb.RevokeSessionRequest, context: grpc.ServicerContext) -> Empty:
        sessions.revoke(require_person(), request.id, visit())
        return Empty()

    def RevokeOtherSessions(
        self, request: pb.RevokeOtherSessionsRequest, context: grpc.ServicerContext
    ) -> pb.RevokeOtherSessionsResponse:
        return pb.RevokeOtherSessionsResponse(count=sessions.revoke_others(require_person(), visit()))

    def SwitchAccount(self, request: pb.SwitchAccountRequest, context: grpc.ServicerContext) -> pb.Session:
        return _session(sessions.switch(require_person(), request.account_id, visit()))


def _session(row: Session) -> pb.Session:
    return pb.Session(
        id=str(row.id),
        address=row.address,
        user_agent=row.user_agent,
        create_time=timestamp(row.create_time),
        last_used_time=timestamp(row.last_used_time),
        expire_time=timestamp(row.expire_time),
        current=row.id == require_person().session_id,
        account_id=str(row.account_id or ""),
    )
