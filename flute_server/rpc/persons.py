"""PersonService."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from flute.v1 import person_service_pb2 as pb
from flute.v1.person_service_pb2_grpc import PersonServiceServicer
from google.protobuf.empty_pb2 import Empty

from flute_server.admin import invitations, people, sign_up, system_mail, users
from flute_server.admin.audit import Author
from flute_server.admin.sessions import Person
from flute_server.config import Config
from flute_server.models import Member, db
from flute_server.rpc.convert import timestamp
from flute_server.rpc.masks import require_only
from flute_server.rpc.principal import current, require_person, visit
from flute_server.rpc.roles import from_role
from flute_server.sending import throttle
from flute_server.sending.limits import meter

# What must not tell whether an address is known takes at least so long, either way.
STEADY_S = 0.25


class PersonServicer(PersonServiceServicer):
    """What people do about themselves."""

    def __init__(self, config: Config) -> None:
        self._meter = meter(config.redis_url)

    def GetSignUpPolicy(
        self, request: pb.GetSignUpPolicyRequest, context: grpc.ServicerContext
    ) -> pb.SignUpPolicy:
        return pb.SignUpPolicy(
            mode=pb.SignUpMode.Value(f"SIGN_UP_MODE_{sign_up.mode().upper()}"),
            first=users.nobody_yet(),
            mail_configured=system_mail.is_configured(),
        )

    def SignUp(self, request: pb.SignUpRequest, context: grpc.ServicerContext) -> pb.SignUpResponse:
        here = visit()
        throttle.sign_up(self._meter, request.email or _invited(request.invitation_token), here.address)
        wish = sign_up.Wish(request.email, request.password, request.name, request.account_name)
        with _steady():
            if request.invitation_token:
                token, sent_to = sign_up.join(request.invitation_token, wish, here)
            else:
                token, sent_to = sign_up.sign_up(wish, here)
        return pb.SignUpResponse(session_token=token, confirmation_sent_to=sent_to)

    def ConfirmEmail(
        self, request: pb.ConfirmEmailRequest, context: grpc.ServicerContext
    ) -> pb.ConfirmEmailResponse:
        here, person = visit(), current.get().person
        guarded = sign_up.guarded(request.token, person)
        throttle.token(self._meter, guarded, here.address)
        email, session = sign_up.confirm(request.token, request.password, here, person)
        if guarded:
            throttle.logged_in(self._meter, guarded, here.address)
        return pb.ConfirmEmailResponse(email=email, session_token=session)

    def ResendConfirmation(
        self, request: pb.ResendConfirmationRequest, context: grpc.ServicerContext
    ) -> Empty:
        person = require_person()
        throttle.mail(self._meter, person.email, visit().address)
        sign_up.resend(person)
        return Empty()

    def RequestPasswordReset(
        self, request: pb.RequestPasswordResetRequest, context: grpc.ServicerContext
    ) -> Empty:
        here = visit()
        throttle.mail(self._meter, request.email, here.address)
        with _steady():
            users.request_reset(request.email, Author("a visitor", here.request_id))
        return Empty()

    def ResetPassword(
        self, request: pb.ResetPasswordRequest, context: grpc.ServicerContext
    ) -> pb.ResetPasswordResponse:
        email = users.choose_password(request.token, request.new_password, visit())
        return pb.ResetPasswordResponse(email=email)

    def GetMe(self, request: pb.GetMeRequest, context: grpc.ServicerContext) -> pb.Me:
        return _me(require_person())

    def UpdateMe(self, request: pb.UpdateMeRequest, context: grpc.ServicerContext) -> pb.Me:
        require_only(request.update_mask, "name")
        people.rename(require_person(), request.me.name, visit())
        return _me(require_person())

    def ChangePassword(self, request: pb.ChangePasswordRequest, context: grpc.ServicerContext) -> Empty:
        people.change_password(self._prover(), request.password, request.new_password, visit())
        return Empty()

    def ChangeEmail(self, request: pb.ChangeEmailRequest, context: grpc.ServicerContext) -> pb.Me:
        person = self._prover()
        throttle.mail(self._meter, request.new_email, visit().address)
        sign_up.change_email(person, request.password, request.new_email, visit())
        return _me(person)

    def BeginTotp(self, request: pb.BeginTotpRequest, context: grpc.ServicerContext) -> pb.BeginTotpResponse:
        secret, uri = people.begin_totp(self._prover(), request.password)
        return pb.BeginTotpResponse(secret=secret, uri=uri)

    def EnableTotp(self, request: pb.EnableTotpRequest, context: grpc.ServicerContext) -> pb.RecoveryCodes:
        return pb.RecoveryCodes(codes=people.enable_totp(self._prover(), request.code, visit()))

    def RegenerateRecoveryCodes(
        self, request: pb.RegenerateRecoveryCodesRequest, context: grpc.ServicerContext
    ) -> pb.RecoveryCodes:
        return pb.RecoveryCodes(codes=people.renew_codes(self._prover(), request.password, visit()))

    def DisableTotp(self, request: pb.DisableTotpRequest, context: grpc.ServicerContext) -> pb.Me:
        person = self._prover()
        people.disable_totp(person, request.password, request.code, visit())
        return _me(person)

    def _prover(self) -> Person:
        """Who is logged in and gives a proof once more, not too often."""
        person = require_person()
        throttle.proof(self._meter, person.user_id)
        return person


def _invited(token: str) -> str:
    """To whom the mail goes if no other address is named."""
    return invitations.by_token(token, lock=False)[0].email if token else ""


@contextmanager
def _steady() -> Iterator[None]:
    """What is done inside takes as long whether it had something to do or not."""
    end = time.monotonic() + STEADY_S
    try:
        yield
    finally:
        # What was refused holds locks until then, and others would wait for them.
        db.session.rollback()
        time.sleep(max(0.0, end - time.monotonic()))


def _me(person: Person) -> pb.Me:
    found = people.me(person)
    user = found.user
    here = next((name for member, name in found.places if member.account_id == person.account_id), "")
    return pb.Me(
        id=str(user.id),
        name=user.name,
        email=user.email,
        confirmed=user.confirm_time is not None,
        pending_email=found.pending_email,
        operator=user.operator,
        totp_enabled=user.totp is not None,
        recovery_codes_left=found.codes_left,
        account_id=str(person.account_id or ""),
        account_name=here,
        role=from_role(person.role),
        memberships=[_membership(*place) for place in found.places],
        create_time=timestamp(user.create_time),
        session_id=str(person.session_id),
        may_create_account=found.may_create_account,
    )


def _membership(member: Member, name: str) -> pb.Membership:
    return pb.Membership(
        account_id=str(member.account_id),
        account_name=name,
        role=from_role(member.role),
        create_time=timestamp(member.create_time),
    )
