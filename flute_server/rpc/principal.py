"""Who is calling, from the `authorization` metadata."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from flute_server.errors import PermissionDenied, Unauthenticated, Violation, invalid
from flute_server.sending import senders
from flute_server.sending.senders import Sender


@dataclass(frozen=True, slots=True)
class Principal:
    """service: one of the operator's own programs, which may do all; sender: an API key's environment."""

    service: bool = False
    sender: Sender | None = None


ANONYMOUS = Principal()
current: ContextVar[Principal] = ContextVar("principal", default=ANONYMOUS)


def identify(metadata: Sequence[tuple[str, str | bytes]], service_token: str) -> Principal:
    """The caller. Raises Unauthenticated for credentials that are none; without any it is ANONYMOUS."""
    given = next((str(value) for name, value in metadata if name == "authorization"), None)
    if given is None:
        return ANONYMOUS
    scheme, _, token = given.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("BAD_AUTHORIZATION", "authorization must be: Bearer <token>")
    if hmac.compare_digest(token.encode(), service_token.encode()):
        return Principal(service=True)
    return Principal(sender=senders.by_key(token))


def require_service() -> None:
    """Raises unless the caller has the service token."""
    principal = current.get()
    if principal.service:
        return
    if principal.sender is None:
        raise Unauthenticated("NO_CREDENTIALS", "this call needs the service token in `authorization`")
    raise PermissionDenied("SERVICE_TOKEN_REQUIRED", "an API key may not do this; use the service token")


def require_sender(environment_id: str) -> Sender:
    """The environment to act in: the key's own, or the one that the service names."""
    principal = current.get()
    if principal.sender:
        if environment_id not in {"", str(principal.sender.environment_id)}:
            raise PermissionDenied("OTHER_ENVIRONMENT", "the API key belongs to another environment")
        return principal.sender
    if not principal.service:
        raise Unauthenticated("NO_CREDENTIALS", "an access token is required")
    if not environment_id:
        raise invalid([Violation("environment_id", "is required with the service token")])
    return senders.by_environment(environment_id)
