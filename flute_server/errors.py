"""The errors that a caller can meet. A provider's failure is none of them: it is an attempt on the timeline.

FluteError
├── InvalidArgument      the request is wrong whatever the state; names the fields
├── Unauthenticated      no, unknown or revoked credentials
├── PermissionDenied     known credentials that may not do this
├── NotFound             no such thing, or not the caller's
├── AlreadyExists        the name or place is taken
├── FailedPrecondition   right request, wrong state
├── Aborted              another call is in the way; try again in a moment
├── RateLimited          too much at once, or for this month; says when to come back
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
    """Root. `code` is the name of the gRPC status; `reason` is stable and for programs (AIP-193).

    retry_after_s: when the same call may go better; None where it would not.
    """

    code: ClassVar[str]
    retry_after_s: float | None = None

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


class Aborted(FluteError):
    """retry_after_s: the other call has ended by then."""

    code = "ABORTED"
    retry_after_s = 1.0


class RateLimited(FluteError):
    """retry_after_s: after so many seconds the same call would be let through, if none came before it."""

    code = "RESOURCE_EXHAUSTED"
    retry_after_s: float

    def __init__(
        self, reason: str, text: str, retry_after_s: float, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason, text, metadata=metadata)
        self.retry_after_s = retry_after_s


class Unavailable(FluteError):
    code = "UNAVAILABLE"
    retry_after_s = 2.0


def invalid(violations: Sequence[Violation]) -> InvalidArgument:
    """The error for wrong fields; its text repeats the first, since some callers see only the text."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return InvalidArgument("INVALID_FIELDS", f"{first.field}: {first.text}{more}", violations)


def not_found(kind: str, given: str) -> NotFound:
    """The error for an id that leads nowhere, the same whether it never was or belongs to somebody else."""
    text = f"there is no {kind} {given[:100]!r}, or none that you may see"
    return NotFound("NOT_FOUND", text, metadata={"kind": kind})


def no_email() -> NotFound:
    """There is no such email, or it belongs to somebody else: the same words for both."""
    return NotFound("EMAIL_NOT_FOUND", "there is no email with this id")
