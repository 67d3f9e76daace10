"""The sentences of the timeline."""

from __future__ import annotations

from datetime import UTC, datetime

from flute_server.domain.effect import Notice
from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.outcome import ErrorKind, Reply
from flute_server.domain.settlement import Settlement, Step
from flute_server.domain.state import EventType, State
from flute_server.domain.verdict import Verdict

_KINDS = {
    ErrorKind.UNREACHABLE: "could not be reached",
    ErrorKind.AUTH: "refused the credentials",
    ErrorKind.QUOTA: "has no quota left",
    ErrorKind.SUSPENDED: "has suspended the account",
    ErrorKind.SENDER: "does not accept the FROM address",
    ErrorKind.RATE: "asks to slow down",
    ErrorKind.SERVER: "failed",
    ErrorKind.REQUEST: "does not take this mail",
    ErrorKind.TOO_LARGE: "finds the mail too large",
    ErrorKind.RECIPIENT: "refused the recipient",
    ErrorKind.SUPPRESSED: "has the recipient on its own suppression list",
    ErrorKind.MESSAGE: "refused the message",
    ErrorKind.TEMPORARY: "asks to try this recipient later",
    ErrorKind.UNCALLED: "was not called",
    ErrorKind.AMBIGUOUS: "gave no answer, so it may or may not have taken the mail",
}


def to_be_sent(time: datetime) -> str:
    """When a scheduled mail is to leave."""
    return f"to be sent on {time.astimezone(UTC):%d %b %Y at %H:%M:%S} UTC"


def answered(account: str, reply: Reply) -> str:
    """What the provider did, in words: `Postmark refused the recipient (422 300: …)`."""
    if reply.kind is None:
        id_ = f" as {reply.provider_message_id}" if reply.provider_message_id else ""
        return f"{account} took the mail{id_}"
    codes = " ".join(filter(None, (reply.status, reply.code)))
    said = ": ".join(filter(None, (codes, reply.text.rstrip("."))))
    return f"{account} {_KINDS[reply.kind]}" + (f" ({said})" if said else "")


_HAPPENED = {
    ProviderEventKind.ACCEPTED: "confirms that it took the mail",
    ProviderEventKind.DEFERRED: "is still trying, for the receiver put it off",
    ProviderEventKind.DELIVERED: "delivered it to the receiver",
    ProviderEventKind.BOUNCED: "reports that the receiver refused it",
    ProviderEventKind.DROPPED: "did not try to deliver it",
    ProviderEventKind.COMPLAINED: "reports that the recipient called it spam",
    ProviderEventKind.OPENED: "reports that it was opened",
    ProviderEventKind.CLICKED: "reports that a link in it was followed",
    ProviderEventKind.UNSUBSCRIBED: "reports that the recipient unsubscribed",
}


def happened(account: str, event: ProviderEvent, verdict: Verdict | None) -> str:
    """What a provider told afterwards, in words, with what was made of it."""
    said = f": {event.diagnostic.text}" if event.diagnostic.text else ""
    text = f"{account} {_HAPPENED.get(event.kind, 'told something')}{said}"
    if verdict is None:
        return text
    cause = verdict.cause.replace("_", " ")
    return f"{text} [cause: {cause}, for {verdict.reason} (rule {verdict.rule})]"


def noted(notice: Notice | None, *, test: bool) -> str:
    """What else an event leads to; what a test mail spares."""
    if notice is None:
        return ""
    suppresses = notice not in {Notice.ALERT_SENDER_DOMAIN, Notice.ALERT_REVIEW}
    if test:
        what = "the address would be suppressed" if suppresses else "an alert would be raised"
        return f"; with a live mail, {what}"
    return "; the address is suppressed" if suppresses else ""


def consequence(settlement: Settlement) -> str:
    """What Flute does about it."""
    if settlement.step is Step.NEXT_ROUTE:
        return "; going on to the next provider"
    if settlement.step is Step.NEXT_ROUND:
        return "; trying again later"
    if settlement.step is Step.HOLD:
        return "; holding the mail until more is known, as the environment's on_ambiguous says"
    if settlement.state in {State.BOUNCED, State.SUPPRESSED, State.FAILED}:
        return "; another provider would not help"
    return ""


_FOR_STRANGERS = {
    EventType.ACCEPTED: "Flute took the mail in",
    EventType.SCHEDULED: "the mail waits for its time",
    EventType.ATTEMPT: "the mail is handed to a provider",
    EventType.SENT: "the provider took the mail",
    EventType.DEFERRED: "the mail could not go on yet, and is tried again",
    EventType.DELIVERED: "the receiver took the mail",
    EventType.BOUNCED: "the receiver refused the mail",
    EventType.FAILOVER: "the mail goes on through another provider",
    EventType.FAILED: "the mail could not be sent",
    EventType.COMPLAINED: "the recipient called the mail spam",
    EventType.OPENED: "the mail was opened",
    EventType.CLICKED: "a link in the mail was followed",
    EventType.UNSUBSCRIBED: "the recipient unsubscribed",
    EventType.SUPPRESSED: "the address gets no mail from this sender",
    EventType.CANCELED: "the mail was taken back",
}


def for_strangers(type_: EventType) -> str:
    """What happened, for who may not know why."""
    return _FOR_STRANGERS[type_]
