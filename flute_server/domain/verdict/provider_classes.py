"""What the sending providers' own bounce classes say.

A provider sees only the receiver's words, as we do, so most classes count less than a clear
text. Classes about the provider's own doings (suppression, quota) are certain.
"""

from __future__ import annotations

from .vocabulary import Action, Cause, Diagnostic, Opinion

_CERTAIN, _FIRM, _FAIR, _WEAK = 0.98, 0.82, 0.65, 0.5

_R, _P, _M, _S, _T, _N, _U = (
    Cause.RECIPIENT,
    Cause.PROVIDER,
    Cause.MESSAGE,
    Cause.SENDER_DOMAIN,
    Cause.TRANSIENT,
    Cause.NOT_A_BOUNCE,
    Cause.UNKNOWN,
)
_GONE = Action.SUPPRESS

_Row = tuple[str, Cause, float, bool | None, Action | None, str]

_SENDGRID: tuple[_Row, ...] = (
    # dropped: reasons
    ("invalid", _R, _CERTAIN, True, _GONE, "the address is invalid"),
    ("bounced address", _R, _CERTAIN, True, _GONE, "the address bounced before"),
    ("unsubscribed address", _R, _CERTAIN, True, _GONE, "the recipient unsubscribed"),
    ("spam reporting address", _R, _CERTAIN, True, _GONE, "the recipient complained before"),
    ("invalid smtpapi header", _M, _CERTAIN, True, None, "a header is invalid"),
    ("spam content", _M, _CERTAIN, True, None, "its filter judged the content spam"),
    (
        "recipient list over package quota",
        _P,
        _CERTAIN,
        True,
        None,
        "the account's quota is used up",
    ),
    # bounce: bounce_classification
    ("invalid address", _R, _FIRM, True, _GONE, "the address does not exist"),
    ("mailbox unavailable", _R, _FIRM, None, None, "the mailbox cannot be used"),
    ("technical", _T, _FAIR, None, None, "a technical fault at the receiver"),
    ("technical failure", _T, _FAIR, None, None, "a technical fault at the receiver"),
    ("content", _M, _FIRM, None, None, "the receiver refused the content"),
    ("reputation", _P, _FIRM, None, None, "the receiver distrusts the sending IP"),
    ("frequency or volume too high", _P, _FIRM, None, None, "too much was sent at once"),
    # bounce: type. "blocked" also holds full mailboxes and content, so it only hints.
    ("expired", _T, _FAIR, None, None, "the receiver deferred it until time ran out"),
    ("blocked", _U, 0.3, None, None, "the receiver refused it for now"),
    ("bounce", _R, _WEAK, True, None, "the receiver refused the address"),
)
_POSTMARK: tuple[_Row, ...] = (
    ("hardbounce", _R, _FIRM, True, _GONE, "the address is unusable"),
    ("bademailaddress", _R, _CERTAIN, True, _GONE, "the address is not valid"),
    ("manuallydeactivated", _R, _CERTAIN, True, None, "the account's owner switched it off"),
    ("unconfirmed", _R, _FIRM, True, None, "the recipient never confirmed"),
    ("softbounce", _R, _WEAK, False, None, "the mailbox could not take it"),
    ("dnserror", _T, _FAIR, False, None, "the recipient's DNS failed"),
    ("transient", _T, _FAIR, False, None, "it is delayed and will be retried"),
    ("spamnotification", _M, _FIRM, None, None, "the receiver took it for spam"),
    ("virusnotification", _M, _CERTAIN, True, None, "the receiver found a virus"),
    ("templaterenderingfailed", _M, _CERTAIN, True, None, "the template failed"),
    ("blocked", _P, _FIRM, None, None, "the receiver blocks the sending IP"),
    ("smtpapierror", _P, _FIRM, None, None, "it could not take the message over"),
    ("dmarcpolicy", _S, _CERTAIN, True, None, "the sender's DMARC policy refused it"),
    ("spamcomplaint", _N, _CERTAIN, None, _GONE, "the recipient complained"),
    ("unsubscribe", _N, _CERTAIN, None, _GONE, "the recipient unsubscribed"),
    ("subscribe", _N, _CERTAIN, None, None, "a subscription request"),
    ("autoresponder", _N, _CERTAIN, None, None, "an automatic reply"),
    ("addresschange", _N, _CERTAIN, None, None, "the recipient tells a new address"),
    ("challengeverification", _N, _CERTAIN, None, None, "a challenge to the sender"),
    ("openrelaytest", _N, _FIRM, None, None, "an open relay test"),
    ("inbounderror", _N, _FIRM, None, None, "its inbound hook failed"),
    ("unknown", _U, 0.3, None, None, "it could not be classified"),
)
_SPARKPOST: tuple[_Row, ...] = (
    ("1", _U, 0.3, None, None, "the answer was not understood"),
    ("10", _R, _FIRM, True, _GONE, "there is no such recipient"),
    ("15", _R, _FAIR, True, None, "the recipient was refused"),
    ("20", _T, _FAIR, False, None, "a temporary failure"),
    ("21", _T, _FAIR, False, None, "the recipient's DNS failed"),
    ("22", _R, _FIRM, None, None, "the mailbox is full"),
    ("23", _M, _FIRM, True, None, "the message is too large"),
    ("24", _T, _FIRM, False, None, "the receiver did not answer in time"),
    ("25", _P, _FIRM, True, None, "its own policy or set-up refused it"),
    ("30", _R, _FIRM, True, _GONE, "no recipient could be found"),
    ("40", _U, 0.3, None, None, "an unspecific failure"),
    ("50", _P, _FIRM, None, None, "the receiver blocks the sending IP"),
    ("51", _P, _FIRM, None, None, "the receiver knows the source for spam"),
    ("52", _M, _FIRM, None, None, "the content looks like spam"),
    ("53", _M, _FIRM, True, None, "the attachment is forbidden"),
    ("54", _R, _FAIR, True, None, "the receiver does not serve this domain"),
    ("60", _N, _CERTAIN, None, None, "an automatic reply"),
    ("70", _T, _FAIR, False, None, "it is being retried"),
    ("80", _N, _CERTAIN, None, None, "a subscription request"),
    ("90", _N, _CERTAIN, None, _GONE, "the recipient unsubscribed"),
    ("100", _N, _CERTAIN, None, None, "a challenge to the sender"),
)
_MAILGUN: tuple[_Row, ...] = (
    ("suppress-bounce", _R, _CERTAIN, True, _GONE, "the address bounced before"),
    ("suppress-complaint", _R, _CERTAIN, True, _GONE, "the recipient complained before"),
    ("suppress-unsubscribe", _R, _CERTAIN, True, _GONE, "the recipient unsubscribed"),
    ("espblock", _P, _FIRM, None, None, "the receiver blocks the sending IP"),
    ("blacklisted", _P, _FIRM, None, None, "a block list names the sending IP"),
    ("greylisted", _T, _FIRM, False, None, "the receiver greylists"),
    ("old", _T, _FAIR, True, None, "it gave up after too long a time"),
    ("bounce", _R, _WEAK, None, None, "the receiver refused it"),
    ("hardfail", _R, _WEAK, True, None, "the receiver refused it for good"),
    ("generic", _U, 0.3, None, None, "an unspecific failure"),
    ("unknown", _U, 0.3, None, None, "it could not be classified"),
    # its own reply codes
    ("498", _R, _FIRM, True, None, "the recipient's domain has no mail server"),
    ("499", _T, _FIRM, False, None, "the receiver could not be reached"),
    ("605", _R, _CERTAIN, True, _GONE, "the address bounced before"),
    ("606", _R, _CERTAIN, True, _GONE, "the recipient unsubscribed"),
    ("607", _R, _CERTAIN, True, _GONE, "the recipient complained before"),
)


def _table(provider: str, rows: tuple[_Row, ...]) -> dict[str, Opinion]:
    return {
        name: Opinion(
            f"{provider}-{name.replace(' ', '-')}",
            cause,
            confidence,
            f"{provider.capitalize()} says: {meaning}.",
            permanent,
            action,
        )
        for name, cause, confidence, permanent, action, meaning in rows
    }


PROVIDER_CLASSES: dict[str, dict[str, Opinion]] = {
    "sendgrid": _table("sendgrid", _SENDGRID),
    "postmark": _table("postmark", _POSTMARK),
    "sparkpost": _table("sparkpost", _SPARKPOST),
    "mailgun": _table("mailgun", _MAILGUN),
}


def provider_opinion(diagnostic: Diagnostic) -> Opinion | None:
    """The most confident of the provider's words; None for an unknown provider or word."""
    table = PROVIDER_CLASSES.get(diagnostic.provider.strip().lower(), {})
    words = (diagnostic.provider_detail, diagnostic.provider_class, diagnostic.reply)
    found = [opinion for word in words if (opinion := table.get(word.strip().lower()))]
    return max(found, key=lambda opinion: opinion.confidence, default=None)


def provider_retries(diagnostic: Diagnostic) -> bool:
    """Whether the provider says that it is still trying."""
    return "temporary" in (
        diagnostic.provider_class.strip().lower(),
        diagnostic.provider_detail.strip().lower(),
    )
