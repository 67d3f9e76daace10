"""The timeline of a mail as people read it: what happened, to whom, and why it went that way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from flute.v1.email_pb2 import OUTCOME_UNSPECIFIED, Attempt, AttemptResult, Candidate, Email, Event, Outcome
from flute.v1.email_service_pb2 import Evidence, Verdict
from google.protobuf.timestamp_pb2 import Timestamp

from flute_json.naming import words
from web.dashboard.words import sentence

# Type of event -> its icon, its tone, and its title, in which {} is the provider account.
_SHOWN: Mapping[str, tuple[str, str, str]] = {
    "accepted": ("inbox", "neutral", "Accepted"),
    "scheduled": ("calendar", "info", "Scheduled"),
    "attempt": ("route", "info", "Handed to {}"),
    "sent": ("send", "info", "{} took it"),
    "deferred": ("hourglass", "warn", "Not yet"),
    "delivered": ("circle-check", "good", "Delivered"),
    "bounced": ("circle-x", "bad", "Bounced"),
    "failover": ("split", "special", "Failover: away from {}"),
    "failed": ("circle-x", "bad", "Failed"),
    "complained": ("flame", "bad", "Marked as spam"),
    "opened": ("eye", "good", "Opened"),
    "clicked": ("mouse-pointer-click", "good", "Link followed"),
    "unsubscribed": ("user-minus", "special", "Unsubscribed"),
    "suppressed": ("ban", "special", "Not sent: on the suppression list"),
    "canceled": ("undo-2", "neutral", "Canceled"),
}
_CAUSES = {
    "provider": "The provider's fault",
    "recipient": "The recipient's cause",
    "message": "The message's fault",
    "sender_domain": "The sender domain's fault",
    "transient": "Nobody's fault yet",
    "not_a_bounce": "Not a bounce",
    "unknown": "Cause unknown",
}
_ACTIONS = {
    "failover": "Send it through another provider.",
    "failover_if_authenticated": "Send it once through another provider where the domain is authenticated.",
    "retry": "Wait for the same provider, then try another one.",
    "suppress": "Stop, and never mail this address again.",
    "stop": "Stop; another provider would not help.",
    "review": "Do not send again; let a person look at it.",
    "none": "Nothing: nothing failed.",
}
_OUTCOMES = words(Outcome.DESCRIPTOR)
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said about some of the recipients of a call. name: no other has it."""

    name: str
    outcome: str
    recipients: Sequence[str]
    lines: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict in words. facts: name and text, the evidence last."""

    title: str
    reason: str
    rule: str
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of the timeline. whom: empty where it concerns everybody the mail goes to."""

    id: str
    icon: str
    tone: str
    title: str
    text: str
    time: Timestamp
    whom: str = ""
    attempt: Attempt | None = None
    candidates: Sequence[Candidate] = ()
    answers: Sequence[Answer] = field(default_factory=list)
    judgement: Judgement | None = None


def timeline(email: Email, verdicts: Sequence[Verdict]) -> list[Moment]:
    """Oldest first. What happened to several recipients at once is one line."""
    attempts = {attempt.id: attempt for attempt in email.attempts}
    judged = {verdict.event_id: verdict for verdict in verdicts}
    several = len(email.recipients) > 1
    return [
        _moment(f"moment-{number}", list(events), attempts, judged, several=several)
        for number, (_, events) in enumerate(groupby(email.events, _alike))
    ]


def _alike(event: Event) -> tuple[str, str, str]:
    return event.type, event.attempt_id, event.text


def _moment(
    id_: str,
    events: list[Event],
    attempts: Mapping[str, Attempt],
    judged: Mapping[str, Verdict],
    *,
    several: bool,
) -> Moment:
    event = events[0]
    icon, tone, title = _SHOWN.get(event.type, ("circle-dot", "neutral", sentence(event.type).rstrip(".")))
    began = attempts.get(event.attempt_id) if event.type == "attempt" else None
    verdict = judged.get(event.id)
    return Moment(
        id=id_,
        icon=icon,
        tone=tone,
        title=_title(title, event.provider_account),
        text=_passed_over(began) if began else sentence(_without_verdict(event.text, verdict)),
        time=event.time,
        whom=_whom(events, began) if several else "",
        attempt=began,
        candidates=began.candidates if began else (),
        answers=list(_answers(began, list(attempts).index(began.id) + 1)) if began else [],
        judgement=_judgement(verdict) if verdict else None,
    )


def _title(title: str, account: str) -> str:
    return title.format(account) if account else title.partition(":")[0].replace("{}", "a provider")


def _without_verdict(text: str, verdict: Verdict | None) -> str:
    """The event's words; what they say of the verdict has a place of its own."""
    if verdict is None:
        return text
    before, mark, after = text.rpartition(" [cause: ")
    return before + after.partition("]")[2] if mark else text


def _whom(events: Sequence[Event], attempt: Attempt | None) -> str:
    if attempt:
        return named([result.email for result in attempt.results])
    return named([event.recipient for event in events if event.recipient])


def named(addresses: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(addresses) - _NAMED
    shown = ", ".join(addresses[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown


def _passed_over(attempt: Attempt) -> str:
    """Why it was not one of those before."""
    before = []
    for candidate in attempt.candidates:
        if candidate.chosen:
            break
        before.append(f"{candidate.provider_account} ({candidate.reason})")
    return f"Passed over {', '.join(before)}." if before else ""


def _answers(attempt: Attempt, number: int) -> Iterator[Answer]:
    """What was answered; recipients with the same answer together."""
    ended = [result for result in attempt.results if result.outcome != OUTCOME_UNSPECIFIED]
    for place, (_, results) in enumerate(groupby(sorted(ended, key=_said), _said), 1):
        same = list(results)
        name = f"Call {number}" + (f", answer {place}" if place > 1 else "")
        yield Answer(
            name, _OUTCOMES.get(same[0].outcome, "unknown"), [one.email for one in same], _lines(same[0])
        )


def _said(result: AttemptResult) -> tuple[int, str, str, str, str, str]:
    return result.outcome, result.error, result.status, result.code, result.text, result.provider_message_id


def _lines(result: AttemptResult) -> str:
    parts = (
        ("Status", result.status),
        ("Code", result.code),
        ("Id at the provider", result.provider_message_id),
        ("Kind of error", result.error),
        ("Answer", result.text),
    )
    return "\n".join(f"{name}: {value}" for name, value in parts if value)


def _judgement(verdict: Verdict) -> Judgement:
    facts = [
        ("Will waiting help?", "No" if verdict.permanent else "It may"),
        ("What follows", _ACTIONS.get(verdict.action, verdict.action)),
        *_evidence(verdict.evidence),
    ]
    return Judgement(
        title=f"{_CAUSES.get(verdict.cause, verdict.cause)}, {verdict.confidence_percent} % sure",
        reason=verdict.reason,
        rule=verdict.rule,
        facts=facts,
    )


def _evidence(evidence: Evidence) -> Iterator[tuple[str, str]]:
    names = {
        "text": "The words",
        "reply": "SMTP reply",
        "code": "Enhanced code",
        "host": "Refused by",
        "destination": "Recipient's domain",
        "provider_class": "Provider's class",
        "provider_detail": "Provider's detail",
    }
    for name, label in names.items():
        if value := getattr(evidence, name):
            yield label, value
