"""Who is calling, from the `authorization` metadata, and what they may call."""

from __future__ import annotations

import hmac
from contextvars import ContextVar
from dataclasses import dataclass

from flute.v1.annotations_pb2 import (
    ACCESS_ANYONE,
    ACCESS_MANAGE,
    ACCESS_READ,
    ACCESS_SEND,
    Access,
)

from flute_server.admin.audit import Author
from flute_server.errors import PermissionDenied, Unauthenticated, Violation, invalid
from flute_server.models import Scope
from flute_server.sending import senders
from flute_server.sending.senders import Sender

SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """service: one of the operator's own programs, which may do all; sender: an API key's environment."""

    service: bool = False
    sender: Sender | None = None
    request_id: str = ""

    @property
    def actor(self) -> str:
        """For the audit log."""
        return self.sender.actor if self.sender else SERVICE


ANONYMOUS = Principal()
current: ContextVar[Principal] = ContextVar("principal", default=ANONYMOUS)

_SCOPES = {ACCESS_SEND: Scope.SEND, ACCESS_READ: Scope.READ, ACCESS_MANAGE: Scope.MANAGE}


def identify(authorization: str | None, service_token: str, request_id: str) -> Principal:
    """The caller. Raises Unauthenticated for credentials that are none; without any it is ANONYMOUS."""
    if authorization is None:
        return ANONYMOUS
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("BAD_AUTHORIZATION", "authorization must be: Bearer <token>")
    if hmac.compare_digest(token.encode(), service_token.encode()):
        return Principal(service=True, request_id=request_id)
    return Principal(sender=senders.by_key(token), request_id=request_id)


def check_access(principal: Principal, access: Access.ValueType) -> None:
    """Raises unless the caller may call an RPC that is marked so in the contract."""
    if principal.service or access == ACCESS_ANYONE:
        return
    if principal.sender is None:
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
    if not principal.service:
        raise Unauthenticated("NO_CREDENTIALS", "an access token is required in `authorization`")
    if not environment_id:
        raise invalid([Violation("environment_id", "is required with the service token")])
    return senders.by_environment(environment_id)


def require_account(account_id: str) -> str:
    """The id of the account to act in: the key's own, or the one that the service names."""
    sender = current.get().sender
    if sender is None:
        return account_id
    if account_id not in {"", str(sender.account_id)}:
        raise PermissionDenied("OTHER_ACCOUNT", "the API key belongs to another account")
    return str(sender.account_id)


def author() -> Author:
    """Who changes something, for the audit log."""
    principal = current.get()
    return Author(principal.actor, principal.request_id)
