"""MemberService."""

from __future__ import annotations

import grpc
from flute.v1 import member_service_pb2 as pb
from flute.v1.member_service_pb2_grpc import MemberServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.admin import invitations, members, system_mail, users
from flute_server.admin.members import Seat
from flute_server.config import Config
from flute_server.models import Account, Invitation, db
from flute_server.rpc.convert import timestamp
from flute_server.rpc.masks import require_only
from flute_server.rpc.principal import author, current, own_role, require_account, require_person, visit
from flute_server.rpc.roles import from_role, to_role
from flute_server.sending import throttle
from flute_server.sending.limits import meter


class MemberServicer(MemberServiceServicer):
    """The people of an account."""

    def __init__(self, config: Config) -> None:
        self._meter = meter(config.redis_url)

    def ListMembers(
        self, request: pb.ListMembersRequest, context: grpc.ServicerContext
    ) -> pb.ListMembersResponse:
        account_id = require_account(request.account_id)
        rows, token = members.list_page(account_id, request.page_size, request.page_token)
        return pb.ListMembersResponse(members=map(_member, rows), next_page_token=token)

    def UpdateMember(self, request: pb.UpdateMemberRequest, context: grpc.ServicerContext) -> pb.Member:
        require_only(request.update_mask, "role")
        given = request.member
        account_id = require_account(given.account_id)
        role = to_role("member.role", given.role)
        return _member(members.set_role(account_id, given.user_id, role, own_role(), author()))

    def RemoveMember(self, request: pb.RemoveMemberRequest, context: grpc.ServicerContext) -> Empty:
        members.remove(require_account(request.account_id), request.user_id, own_role(), author())
        return Empty()

    def LeaveAccount(self, request: pb.LeaveAccountRequest, context: grpc.ServicerContext) -> Empty:
        members.leave(require_person(), author())
        return Empty()

    def CreateInvitation(
        self, request: pb.CreateInvitationRequest, context: grpc.ServicerContext
    ) -> pb.CreateInvitationResponse:
        account_id = require_account(request.account_id)
        role = to_role("role", request.role)
        if person := current.get().person:
            throttle.invitation(self._meter, request.email, account_id, str(person.user_id))
        row, link = invitations.create(account_id, request.email, role, own_role(), author())
        return pb.CreateInvitationResponse(
            invitation=_invitation(row), link=link, mail_configured=system_mail.is_configured()
        )

    def ListInvitations(
        self, request: pb.ListInvitationsRequest, context: grpc.ServicerContext
    ) -> pb.ListInvitationsResponse:
        account_id = require_account(request.account_id)
        rows, token = invitations.list_page(account_id, request.page_size, request.page_token)
        return pb.ListInvitationsResponse(invitations=map(_invitation, rows), next_page_token=token)

    def RevokeInvitation(self, request: pb.RevokeInvitationRequest, context: grpc.ServicerContext) -> Empty:
        invitations.revoke(request.id, author())
        return Empty()

    def GetInvitation(
        self, request: pb.GetInvitationRequest, context: grpc.ServicerContext
    ) -> pb.InvitationView:
        row, mailed = invitations.by_token(request.token, lock=False)
        # Nobody else learns who has a login here: the inviter has the other link, to any address they like.
        return pb.InvitationView(
            account_name=db.session.get_one(Account, row.account_id).name,
            email=row.email,
            role=from_role(row.role),
            inviter=invitations.inviter_name(row),
            user_exists=users.by_email(row.email) is not None if mailed else None,
            expire_time=timestamp(row.expire_time),
        )

    def AcceptInvitation(
        self, request: pb.AcceptInvitationRequest, context: grpc.ServicerContext
    ) -> pb.Member:
        member = invitations.accept(request.token, require_person(), visit())
        (seat,) = members.seats([member])
        return _member(seat)


def _member(seat: Seat) -> pb.Member:
    return pb.Member(
        account_id=str(seat.member.account_id),
        user_id=str(seat.user.id),
        email=seat.user.email,
        name=seat.user.name,
        role=from_role(seat.member.role),
        confirmed=seat.user.confirm_time is not None,
        totp_enabled=seat.user.totp is not None,
        last_active_time=timestamp(seat.last_active),
        create_time=timestamp(seat.member.create_time),
    )


def _invitation(row: Invitation) -> pb.Invitation:
    return pb.Invitation(
        id=str(row.id),
        account_id=str(row.account_id),
        email=row.email,
        role=from_role(row.role),
        inviter=row.inviter,
        create_time=timestamp(row.create_time),
        expire_time=timestamp(row.expire_time),
    )
