"""Between the roles of the contract and our own."""

from __future__ import annotations

from flute.v1 import annotations_pb2 as pb

from flute_server.errors import Violation, invalid
from flute_server.models import Role

_ROLES = {
    pb.ROLE_VIEWER: Role.VIEWER,
    pb.ROLE_DEVELOPER: Role.DEVELOPER,
    pb.ROLE_ADMIN: Role.ADMIN,
    pb.ROLE_OWNER: Role.OWNER,
}


def to_role(field: str, given: pb.Role.ValueType) -> Role:
    """Our role. Raises InvalidArgument naming the field."""
    if given not in _ROLES:
        raise invalid([Violation(field, "viewer, developer, admin or owner")])
    return _ROLES[given]


def from_role(role: str | None) -> pb.Role.ValueType:
    """The contract's role."""
    return pb.Role.Value(f"ROLE_{role.upper()}") if role else pb.ROLE_UNSPECIFIED
