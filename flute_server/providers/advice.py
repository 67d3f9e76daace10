"""What a person can do when a provider does not take their credentials."""

from __future__ import annotations

from collections.abc import Mapping

from flute_server.domain.outcome import ErrorKind
from flute_server.egress import ALLOW_HINT

_AGAIN = "Test again in a few minutes; if it stays, look at the provider's status page."
_ADVICE: Mapping[ErrorKind, str] = {
    ErrorKind.UNREACHABLE: "Check the address, and whether this machine may reach it (firewall).",
    ErrorKind.AMBIGUOUS: _AGAIN,
    ErrorKind.AUTH: "Copy the credentials anew, in full, from the right account; they may be revoked.",
    ErrorKind.QUOTA: "Raise the plan at the provider, or wait until the limit is renewed.",
    ErrorKind.SUSPENDED: "The account is switched off there: ask the provider to switch it on.",
    ErrorKind.SENDER: "Verify the sender or the domain at the provider.",
    ErrorKind.RATE: _AGAIN,
    ErrorKind.SERVER: _AGAIN,
    ErrorKind.TEMPORARY: _AGAIN,
}


def advice(kind: ErrorKind | None, text: str) -> str:
    """One or two sentences; none where the text of the error tells what to do already."""
    if ALLOW_HINT in text:
        return ""
    return _ADVICE.get(kind or ErrorKind.REQUEST, "Compare the settings with those at the provider.")
