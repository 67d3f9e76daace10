"""What SMTP codes say: enhanced status codes (RFC 3463, 5248, 7372, 7505) and reply codes.

The confidence tells how far a code can be trusted alone. Codes that receivers use for
anything (x.0.0, x.1.0, x.5.0, x.7.1) are left out on purpose: only the words can tell.
"""

from __future__ import annotations

from .evidence import Evidence
from .vocabulary import Action, Cause, Opinion

_R, _P, _M, _S, _T = (
    Cause.RECIPIENT,
    Cause.PROVIDER,
    Cause.MESSAGE,
    Cause.SENDER_DOMAIN,
    Cause.TRANSIENT,
)
_GONE = Action.SUPPRESS

# Without the first digit, which only says how long it lasts.
_ENHANCED: dict[str, tuple[Cause, float, str, Action | None]] = {
    "1.1": (_R, 0.86, "there is no such mailbox", _GONE),
    "1.2": (_R, 0.84, "the recipient's domain is wrong", _GONE),
    "1.3": (_R, 0.84, "the recipient's address is malformed", _GONE),
    "1.4": (_R, 0.8, "the recipient's address is ambiguous", None),
    "1.6": (_R, 0.84, "the mailbox has moved", _GONE),
    "1.7": (_S, 0.75, "the sender's address is malformed", None),
    "1.8": (_S, 0.75, "the sender's domain is wrong", None),
    "1.9": (_M, 0.5, "the message was relayed to a non-compliant mailer", None),
    "1.10": (_R, 0.95, "the recipient's domain takes no mail (at Microsoft: no recipient)", _GONE),
    "2.0": (_R, 0.55, "something is wrong with the mailbox", None),
    "2.1": (_R, 0.82, "the mailbox is disabled", None),
    "2.2": (_R, 0.9, "the mailbox is full", None),
    "2.3": (_M, 0.88, "the message is longer than the mailbox takes", None),
    "2.4": (_R, 0.8, "a mailing list could not be expanded", None),
    "3.0": (_T, 0.45, "the receiving system has a fault", None),
    "3.1": (_T, 0.75, "the receiving system is full", None),
    "3.2": (_T, 0.5, "the receiving system takes no mail now", None),
    "3.3": (_M, 0.6, "the receiving system lacks a feature that the message needs", None),
    "3.4": (_M, 0.88, "the message is too big for the receiving system", None),
    "3.5": (_T, 0.5, "the receiving system is badly configured", None),
    "4.0": (_T, 0.6, "a network fault", None),
    "4.1": (_T, 0.6, "the receiving host does not answer", None),
    "4.2": (_T, 0.7, "the connection broke", None),
    "4.3": (_T, 0.7, "a directory server failed", None),
    "4.4": (_R, 0.7, "there is no route to the recipient's domain", None),
    "4.5": (_T, 0.75, "the receiving system is congested", None),
    "4.6": (_R, 0.85, "the message runs in a loop", None),
    "4.7": (_T, 0.6, "the message waited until its time was over", None),
    "4.14": (_R, 0.85, "the message runs in a loop", None),
    "5.3": (_P, 0.6, "too many recipients in one transaction", None),
    "6.0": (_M, 0.8, "the content cannot be handled", None),
    "6.1": (_M, 0.85, "the medium is not supported", None),
    "6.2": (_M, 0.85, "a conversion is needed and forbidden", None),
    "6.3": (_M, 0.85, "a conversion is needed and not supported", None),
    "6.4": (_M, 0.85, "a conversion lost something", None),
    "6.5": (_M, 0.85, "a conversion failed", None),
    "6.6": (_M, 0.85, "the content is not available", None),
    "6.7": (_R, 0.8, "non-ASCII addresses are not supported there", None),
    "6.8": (_R, 0.8, "a UTF-8 reply is needed for this address", None),
    "6.9": (_M, 0.85, "the header needs UTF-8 that is not supported", None),
    "7.0": (_M, 0.5, "a security rule refused it", None),
    "7.2": (_R, 0.85, "this sender may not post to the list", None),
    "7.3": (_M, 0.7, "a security conversion is not possible", None),
    "7.4": (_M, 0.7, "a security feature is not supported", None),
    "7.5": (_M, 0.7, "a cryptographic fault", None),
    "7.6": (_M, 0.7, "the encryption algorithm is not supported", None),
    "7.7": (_M, 0.6, "the message's integrity is in doubt", None),
    "7.8": (_P, 0.85, "the credentials are wrong", None),
    "7.10": (_P, 0.75, "encryption is needed", None),
    "7.11": (_P, 0.85, "encryption is needed for this authentication", None),
    "7.12": (_P, 0.8, "the password has to be changed", None),
    "7.13": (_R, 0.8, "the account is disabled", None),
    "7.14": (_P, 0.75, "a trust relationship is needed", None),
    "7.17": (_R, 0.88, "the mailbox has changed its owner", _GONE),
    "7.18": (_R, 0.88, "the domain has changed its owner", _GONE),
    "7.19": (_R, 0.7, "the change of owner cannot be checked", None),
    "7.20": (_S, 0.9, "no passing DKIM signature", None),
    "7.21": (_S, 0.9, "no acceptable DKIM signature", None),
    "7.22": (_S, 0.9, "no DKIM signature of the author's domain", None),
    "7.23": (_S, 0.9, "SPF failed", None),
    "7.24": (_S, 0.85, "SPF could not be evaluated", None),
    "7.25": (_P, 0.92, "the IP's reverse DNS failed", None),
    "7.26": (_S, 0.92, "several authentication checks failed", None),
    "7.27": (_S, 0.8, "the sender's domain takes no mail, or SPF failed", None),
    "7.28": (_P, 0.9, "too much mail at once", None),
    "7.29": (_S, 0.7, "ARC validation failed", None),
    "7.30": (_M, 0.6, "the message demands encryption that is not available", None),
    "7.32": (_S, 0.85, "the From domain is not aligned", None),
    # Microsoft's own
    "1.20": (_M, 0.8, "several From addresses without a Sender", None),
    "1.90": (_P, 0.9, "the provider's daily limit is used up", None),
    "2.122": (_R, 0.9, "the recipient receives too much per hour", None),
    "4.310": (_R, 0.85, "the recipient's domain does not exist", _GONE),
    "4.312": (_R, 0.8, "the recipient's domain could not be found", None),
    "4.316": (_T, 0.85, "the receiving server refused the connection", None),
    "4.317": (_T, 0.85, "the receiving server broke the connection", None),
    "7.57": (_P, 0.75, "the client did not authenticate", None),
    "7.64": (_R, 0.85, "the domain's MX points to the wrong tenant", None),
    "7.501": (_P, 0.85, "this sender is taken for a spammer", None),
    "7.502": (_P, 0.85, "this sender is banned", None),
    "7.503": (_P, 0.85, "this sender is banned", None),
    "7.505": (_R, 0.6, "the recipient's domain is banned", None),
    "7.508": (_P, 0.9, "the IP sends too much", None),
    "7.509": (_S, 0.95, "DMARC failed", None),
    "7.511": (_P, 0.92, "the sender is banned", None),
    "7.512": (_M, 0.8, "the From header is not valid", None),
    "7.513": (_R, 0.6, "the recipient's organisation refuses it", None),
    "7.515": (_S, 0.95, "the sending domain lacks the required authentication", None),
    "7.705": (_P, 0.92, "the provider's tenant has exceeded its threshold", None),
    "7.708": (_P, 0.95, "no traffic is accepted from this IP", None),
    "7.750": (_P, 0.92, "the provider's tenant sends from an unregistered domain", None),
}
# Ranges that Microsoft uses: (second figure, first and last third figure).
_RANGES: tuple[tuple[int, range, tuple[Cause, float, str, Action | None]], ...] = (
    (7, range(124, 137), (_R, 0.92, "this sender may not write to the recipient", None)),
    (7, range(606, 650), (_P, 0.95, "the sending IP is banned", None)),
    (7, range(500, 700), (_P, 0.75, "Microsoft limits this IP or sender", None)),
)

_REPLIES: dict[str, tuple[Cause, float, str]] = {
    "421": (_T, 0.5, "the receiver closed the connection"),
    "432": (_T, 0.5, "the receiver's queue is stopped"),
    "441": (_T, 0.5, "the receiver does not respond"),
    "442": (_T, 0.5, "the connection broke"),
    "452": (_T, 0.4, "the receiver is short of space"),
    "454": (_P, 0.6, "authentication or encryption is not available for now"),
    "510": (_R, 0.5, "the address is bad"),
    "511": (_R, 0.5, "the address is bad"),
    "512": (_R, 0.5, "the domain is unknown"),
    "513": (_R, 0.5, "the address is malformed"),
    "521": (_R, 0.5, "the host takes no mail"),
    "525": (_R, 0.5, "the account is disabled"),
    "523": (_M, 0.6, "the message is too large"),
    "530": (_P, 0.7, "authentication is needed"),
    "534": (_P, 0.7, "the authentication is too weak"),
    "535": (_P, 0.8, "the credentials are wrong"),
    "538": (_P, 0.7, "encryption is needed"),
    "541": (_M, 0.5, "the receiver's filter refused it"),
    "550": (_R, 0.45, "the mailbox is not available"),
    "551": (_R, 0.5, "the recipient is not local"),
    "552": (_M, 0.42, "the message or mailbox is too large"),
    "553": (_R, 0.45, "the mailbox name is not allowed"),
    "556": (_R, 0.6, "the domain takes no mail"),
}

SUCCESS = Opinion("reply-2xx", Cause.NOT_A_BOUNCE, 0.8, "The receiver accepted the message.")


def code_opinion(evidence: Evidence) -> Opinion | None:
    """What the codes say: the most telling enhanced code, else the reply code."""
    found = [opinion for code in evidence.statuses if (opinion := _enhanced(code))]
    if found:
        return max(found, key=lambda opinion: opinion.confidence)
    if evidence.first_digit == "2":
        return SUCCESS
    if any(code[2:].startswith("7.") for code in evidence.statuses):
        return None  # a decision about security: "550" does not mean the mailbox then
    return next((opinion for code in evidence.replies if (opinion := _reply(code))), None)


def _enhanced(code: str) -> Opinion | None:
    digit, _, tail = code.partition(".")
    entry = _special(code) or _ENHANCED.get(tail) or _in_range(tail)
    if entry is None or digit == "2":
        return None
    cause, confidence, meaning, action = entry
    return Opinion(
        f"status-{code}",
        cause,
        confidence,
        f"Status {code}: {meaning}.",
        permanent=digit == "5",
        action=action if digit == "5" else None,
    )


def _special(code: str) -> tuple[Cause, float, str, Action | None] | None:
    """Codes whose meaning depends on the first digit."""
    return {
        # Microsoft's edge answers 5.4.1 when its directory does not hold the recipient.
        "5.4.1": (_R, 0.55, "the receiver does not know this recipient", None),
        "5.3.2": (_R, 0.5, "the recipient's system takes no mail", None),
        # Gmail's 4.7.0 limits the rate; its 4.7.23 is about PTR, 4.7.29 about TLS.
        "4.7.0": (_P, 0.55, "the receiver limits this IP", None),
        "4.7.23": (_P, 0.85, "the IP's reverse DNS failed", None),
        "4.7.29": (_P, 0.85, "encryption is needed", None),
        "4.7.30": (_S, 0.85, "no passing DKIM signature", None),
    }.get(code)


def _in_range(tail: str) -> tuple[Cause, float, str, Action | None] | None:
    second, _, third = tail.partition(".")
    for figure, span, entry in _RANGES:
        if int(second) == figure and int(third) in span:
            return entry
    return None


def _reply(code: str) -> Opinion | None:
    entry = _REPLIES.get(code)
    if entry is None:
        return None
    cause, confidence, meaning = entry
    return Opinion(f"reply-{code}", cause, confidence, f"Reply {code}: {meaning}.")
