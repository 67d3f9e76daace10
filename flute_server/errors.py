"""The errors that a caller can meet. A provider's failure is none of them: it is an attempt on the timeline.

FluteError
├── InvalidArgument      the request is wrong whatever the state; names the fields
├── Unauthenticated      no, unknown or revoked credentials
├── PermissionDenied     known credentials that may not do this
├── NotFound             no such thing, or not the caller's
├── AlreadyExists        the name or place is taken
├── FailedPrecondition   right request, wrong state
└── Unavailable          a part behind us is away; try again
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field: `field` is its path in the request, for example content.to[0].email."""

    field: str
    text: str


class FluteError(Exception):
    """Root. `code` is the name of the gRPC status; `reason` is stable and for programs (AIP-193)."""

    code: ClassVar[str]

    def __init__(
        self,
        reason: str,
        text: str,
        violations: Sequence[Violation] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})


class InvalidArgument(FluteError):
    code = "INVALID_ARGUMENT"


class Unauthenticated(FluteError):
    code = "UNAUTHENTICATED"


class PermissionDenied(FluteError):
    code = "PERMISSION_DENIED"


class NotFound(FluteError):
    code = "NOT_FOUND"


class AlreadyExists(FluteError):
    code = "ALREADY_EXISTS"


class FailedPrecondition(FluteError):
    code = "FAILED_PRECONDITION"


class Unavailable(FluteError):
    code = "UNAVAILABLE"


def invalid(violations: Sequence[Violation]) -> InvalidArgument:
    """The error for wrong fields; its text repeats the first, since some callers see only the text."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return InvalidArgument("INVALID_FIELDS", f"{first.field}: {first.text}{more}", violations)


def not_found(kind: str, given: str) -> NotFound:
    """The error for an id that leads nowhere, the same whether it never was or belongs to somebody else."""
    return NotFound("NOT_FOUND", f"there is no {kind} {given[:100]!r}", metadata={"kind": kind})
