"""Passwords: what may be one, and the proof that somebody knows theirs."""

from __future__ import annotations

import re
import unicodedata

from flute_server.errors import FailedPrecondition, Violation, invalid
from flute_server.models import User
from flute_server.vault import is_outdated, password_hash, password_matches

LENGTHS = range(12, 1001)
# What remains of the passwords that are tried first, without the digits and signs that people add.
_COMMON = re.compile(
    "(password|passwort|passw|passwd|qwerty(uiop)?|letmein|welcome|iloveyou|changeme|administrator|admin|secret)+"
)
_IN_A_ROW = "0123456789" * 101


def violations(field: str, password: str) -> list[Violation]:
    """What is wrong with a new password; nothing if it will do."""
    # First as it came: making millions of characters alike takes seconds, before anybody has proven anything.
    if len(password) > LENGTHS[-1] or len(_normal(password)) not in LENGTHS:
        return [Violation(field, "12 to 1,000 characters")]
    if len(set(password)) < 4:
        return [Violation(field, "takes at least 4 different characters")]
    if _is_common(password):
        return [Violation(field, "is among the first that anybody would try; take a few random words")]
    return []


def _is_common(password: str) -> bool:
    letters = re.sub(r"[\W\d_]", "", password.lower())
    return bool(_COMMON.fullmatch(letters)) or password in _IN_A_ROW


def require_good(field: str, password: str) -> None:
    """Raises InvalidArgument unless it will do as a new password."""
    if found := violations(field, password):
        raise invalid(found)


def hashed(password: str) -> str:
    """The argon2id string of a new password."""
    return password_hash(_normal(password))


def matches(user: User | None, password: str) -> bool:
    """Whether it is the user's; nobody's takes as long."""
    return fits(user.password_hash if user else None, password)


def fits(password_hash: str | None, password: str) -> bool:
    """Whether it is the password of which this is the hash; None takes as long."""
    return len(password) <= LENGTHS[-1] and password_matches(_normal(password), password_hash)


def renew(user: User, password: str) -> None:
    """Hash it anew when parameters have changed. It is the user's, whose row is locked."""
    if is_outdated(user.password_hash):
        user.password_hash = hashed(password)


def require(user: User, password: str) -> None:
    """The password as proof of a person who is logged in already. Raises FailedPrecondition."""
    if not matches(user, password):
        raise FailedPrecondition(
            "WRONG_PASSWORD", "this is not your password", [Violation("password", "not your password")]
        )


def _normal(password: str) -> str:
    """The same password typed on another keyboard is the same (NFKC, as RFC 8265 has it for usernames)."""
    return unicodedata.normalize("NFKC", password)
