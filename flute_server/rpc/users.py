"""UserService."""

from __future__ import annotations

from email.utils import parseaddr

import grpc
from flute.v1 import user_service_pb2 as pb
from flute.v1.user_service_pb2_grpc import UserServiceServicer

from flute_server.admin import system_mail, users
from flute_server.admin.users import Presence
from flute_server.models import SystemMail, User
from flute_server.rpc.convert import timestamp
from flute_server.rpc.masks import require_only
from flute_server.rpc.principal import author


class UserServicer(UserServiceServicer):
    """Everybody who can log in here."""

    def ListUsers(self, request: pb.ListUsersRequest, context: grpc.ServicerContext) -> pb.ListUsersResponse:
        rows, token = users.list_page(request.page_size, request.page_token)
        found = users.presences(rows)
        listed = [_user(row, found[row.id]) for row in rows]
        return pb.ListUsersResponse(users=listed, next_page_token=token)

    def UpdateUser(self, request: pb.UpdateUserRequest, context: grpc.ServicerContext) -> pb.User:
        require_only(request.update_mask, "operator")
        return _one(users.set_operator(request.user.id, request.user.operator, author()))

    def ResetUserPassword(
        self, request: pb.ResetUserPasswordRequest, context: grpc.ServicerContext
    ) -> pb.ResetUserPasswordResponse:
        user, link = users.reset_password(
            request.email, request.new_password, author(), disable_totp=request.disable_totp
        )
        return pb.ResetUserPasswordResponse(user=_one(user), link=link)

    def GetSystemMailStatus(
        self, request: pb.GetSystemMailStatusRequest, context: grpc.ServicerContext
    ) -> pb.SystemMailStatus:
        waiting, oldest, said = system_mail.standing()
        return pb.SystemMailStatus(
            configured=system_mail.is_configured(),
            sender=parseaddr(system_mail.config().system_from)[1],
            waiting=waiting,
            oldest_time=timestamp(oldest),
            last_error=said,
        )

    def ListSystemMails(
        self, request: pb.ListSystemMailsRequest, context: grpc.ServicerContext
    ) -> pb.ListSystemMailsResponse:
        rows, token = system_mail.list_page(request.page_size, request.page_token)
        return pb.ListSystemMailsResponse(system_mails=map(_mail, rows), next_page_token=token)


def _one(row: User) -> pb.User:
    return _user(row, users.presences([row])[row.id])


def _user(row: User, presence: Presence) -> pb.User:
    return pb.User(
        id=str(row.id),
        email=row.email,
        name=row.name,
        operator=row.operator,
        confirmed=row.confirm_time is not None,
        totp_enabled=row.totp is not None,
        memberships=presence.memberships,
        last_active_time=timestamp(presence.last_active),
        create_time=timestamp(row.create_time),
    )


def _mail(row: SystemMail) -> pb.SystemMail:
    content = system_mail.opened(row)
    return pb.SystemMail(
        id=str(row.id),
        kind=row.kind,
        recipient=row.recipient,
        subject=content["subject"],
        text=content["text"],
        tries=row.tries,
        last_error=row.last_error,
        create_time=timestamp(row.create_time),
        next_try_time=timestamp(row.next_try_time),
    )
