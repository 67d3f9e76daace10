"""Who is calling, from the `authorization` metadata, and what they may call."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from flute.v1.annotations_pb2 import (
    ACCESS_ANYONE,
    ACCESS_MANAGE,
    ACCESS_OPERATOR,
    ACCESS_PERSON,
    ACCESS_READ,
    ACCESS_SEND,
    ROLE_ADMIN,
    ROLE_DEVELOPER,
    ROLE_OWNER,
    ROLE_UNSPECIFIED,
    ROLE_VIEWER,
    Access,
)
from flute.v1.annotations_pb2 import Role as RoleValue

from flute_server.admin import scope, sessions
from flute_server.admin.audit import Author
from flute_server.admin.sessions import Person, Visit
from flute_server.errors import PermissionDenied, Unauthenticated, Violation, invalid
from flute_server.models import Role, Scope
from flute_server.sending import senders
from flute_server.sending.senders import Sender
from flute_server.vault import SESSION_PREFIX

SERVICE = "service"
NOWHERE = Visit()


@dataclass(frozen=True, slots=True)
class Principal:
    """service: one of the operator's own programs, which may do all; sender: an API key's environment;
    person: somebody who is logged in; visit: from where they call.
    """

    service: bool = False
    sender: Sender | None = None
    person: Person | None = None
    request_id: str = ""
    visit: Visit = NOWHERE

    @property
    def anonymous(self) -> bool:
        """Whether they showed no credentials at all."""
        return not (self.service or self.sender or self.person)

    @property
    def actor(self) -> str:
        """For the audit log."""
        return self.sender.actor if self.sender else self.person.actor if self.person else SERVICE

    @property
    def scope(self) -> uuid.UUID | None:
        """The only account whose rows they may touch; None for the service, and for keys, which have less."""
        return (self.person.account_id or scope.NOBODY) if self.person else None


_NOBODY = Principal()
current: ContextVar[Principal] = ContextVar("principal", default=_NOBODY)

# In the order of what they may: each may do what those before it may.
ROLES = {
    Role.VIEWER: ROLE_VIEWER,
    Role.DEVELOPER: ROLE_DEVELOPER,
    Role.ADMIN: ROLE_ADMIN,
    Role.OWNER: ROLE_OWNER,
}
_SCOPES = {ACCESS_SEND: Scope.SEND, ACCESS_READ: Scope.READ, ACCESS_MANAGE: Scope.MANAGE}


def identify(authorization: str | None, service_token: str, request_id: str) -> Principal:
    """The caller. Raises Unauthenticated for credentials that are none; without any they are anonymous."""
    if authorization is None:
        return Principal(request_id=request_id)
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("BAD_AUTHORIZATION", "authorization must be: Bearer <token>")
    if hmac.compare_digest(token.encode(), service_token.encode()):
        return Principal(service=True, request_id=request_id)
    if token.startswith(SESSION_PREFIX):
        return Principal(person=sessions.by_token(token), request_id=request_id)
    return Principal(sender=senders.by_key(token), request_id=request_id)


def assume(principal: Principal) -> None:
    """From now on, this context acts for the caller."""
    current.set(principal)
    scope.limit(principal.scope)


@contextmanager
def acting(principal: Principal) -> Iterator[None]:
    """What is done inside this block is done for the caller."""
    token = current.set(principal)
    try:
        with scope.within(principal.scope):
            yield
    finally:
        current.reset(token)


def check_access(principal: Principal, access: Access.ValueType, role: RoleValue.ValueType) -> None:
    """Raises unless the caller may call an RPC that is marked so in the contract."""
    if principal.service or access == ACCESS_ANYONE:
        return
    if principal.person:
        _check_person(principal.person, access, role)
    else:
        _check_key(principal, access)


def _check_person(person: Person, access: Access.ValueType, role: RoleValue.ValueType) -> None:
    if access == ACCESS_PERSON:
        return
    if access == ACCESS_OPERATOR:
        if not person.operator:
            raise PermissionDenied("OPERATOR_REQUIRED", "only those who run this installation may see this")
        return
    if role == ROLE_UNSPECIFIED:
        raise PermissionDenied("SERVICE_TOKEN_REQUIRED", "people may not do this; use the service token")
    if person.role is None:
        text = "you are not a member of this account any more; choose another one, or ask to be invited again"
        raise PermissionDenied("NO_ACCOUNT", text)
    if ROLES[person.role] < role:
        wanted = next(name for name, value in ROLES.items() if value == role)
        text = (
            f"this takes the role {wanted}, and you are {person.role}; ask an owner or admin of the account"
        )
        raise PermissionDenied("ROLE_TOO_LOW", text, metadata={"role": wanted})


def _check_key(principal: Principal, access: Access.ValueType) -> None:
    if principal.sender is None:
        if access in {ACCESS_PERSON, ACCESS_OPERATOR}:
            raise Unauthenticated("NO_SESSION", "you are not logged in; please log in")
        wanted = "an access token is required" if access in _SCOPES else "this call needs the service token"
        raise Unauthenticated("NO_CREDENTIALS", f"{wanted} in `authorization`")
    if access not in _SCOPES:
        raise PermissionDenied("SERVICE_TOKEN_REQUIRED", "an API key may not do this; use the service token")
    require_scope(principal.sender, _SCOPES[access])


def require_scope(sender: Sender, scope: Scope) -> None:
    """Raises PermissionDenied unless the key has the scope."""
    if scope not in sender.scopes:
        has = ", ".join(sorted(sender.scopes)) or "none"
        text = (
            f"the key lacks the scope {scope}; it has {has}. Use another key, or create one with that scope"
        )
        raise PermissionDenied("INSUFFICIENT_SCOPE", text, metadata={"scope": scope})


def require_sender(environment_id: str) -> Sender:
    """The environment to act in: the key's own, or the one that the service names."""
    principal = current.get()
    if principal.sender:
        if environment_id not in {"", str(principal.sender.environment_id)}:
            raise PermissionDenied("OTHER_ENVIRONMENT", "the API key belongs to another environment")
        return principal.sender
    if principal.anonymous:
        raise Unauthenticated("NO_CREDENTIALS", "an access token is required in `authorization`")
    if not environment_id:
        raise invalid([Violation("environment_id", "is required; only an API key has one of its own")])
    return replace(senders.by_environment(environment_id), actor=principal.actor)


def require_account(account_id: str) -> str:
    """The id of the account to act in: the key's or the person's own, or the one that the service names."""
    principal = current.get()
    own = principal.sender or principal.person
    if own is None:
        return account_id
    if account_id not in {"", str(own.account_id)}:
        whose = "the API key belongs to" if principal.sender else "you are logged in to"
        raise PermissionDenied("OTHER_ACCOUNT", f"{whose} another account")
    return str(own.account_id)


def require_person() -> Person:
    """Who is logged in. Raises Unauthenticated for others: the service is nobody in particular."""
    person = current.get().person
    if person is None:
        raise Unauthenticated("NO_SESSION", "you are not logged in; please log in")
    return person


def visit() -> Visit:
    """From where the present call comes."""
    return current.get().visit


def own_role() -> Role:
    """What the caller is in the account that they act in; the service may do what owners may."""
    principal = current.get()
    if principal.service:
        return Role.OWNER
    if principal.person is None or principal.person.role is None:
        raise PermissionDenied("NO_ACCOUNT", "you are not a member of this account")
    return principal.person.role


def author() -> Author:
    """Who changes something, for the audit log."""
    principal = current.get()
    return Author(principal.actor, principal.request_id)
