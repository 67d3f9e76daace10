"""Failure tables: what a provider complains about, and which kind of error that is for which recipient."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from flute_server.domain.message import Handoff
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.providers.redaction import clip

SERVER_ERRORS = range(500, 600)
ABOUT_RECIPIENTS = {ErrorKind.RECIPIENT, ErrorKind.SUPPRESSED}


@dataclass(frozen=True, slots=True)
class Fault:
    """One complaint. `own`: said in the provider's own error form, not by something in between."""

    status: int
    code: str = ""
    text: str = ""
    field: str = ""
    named: tuple[str, ...] = ()  # ids of the recipients it is about
    own: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of a failure table: every condition that is given must hold. The first row that matches counts.

    whole: the complaint is about all recipients of the call even if it names none.
    """

    kind: ErrorKind
    status: int | range | None = None
    codes: frozenset[str] | None = None
    says: str = ""
    field: str = ""
    own: bool | None = None
    whole: bool = False

    def matches(self, fault: Fault) -> bool:
        return (
            self._status(fault.status)
            and (self.codes is None or fault.code in self.codes)
            and (not self.says or re.search(self.says, fault.text, re.IGNORECASE) is not None)
            and (not self.field or re.search(self.field, fault.field) is not None)
            and (self.own is None or self.own is fault.own)
        )

    def _status(self, status: int) -> bool:
        if isinstance(self.status, range):
            return status in self.status
        return self.status is None or self.status == status


def codes(*values: int | str) -> frozenset[str]:
    """Codes for a Rule, however the provider types them."""
    return frozenset(str(value) for value in values)


# Where a provider's own table is silent. An error status answers "not done" (RFC 9110 section 15), so that a
# 5xx may go to the next provider at once. The decision per provider, with its source:
#   SendGrid, Postmark, SparkPost   SERVER     nothing to the contrary is known (providers.md 0.1)
#   Mailgun 503 in its own JSON     SERVER     maintenance, said by the API itself (providers.md 4.3)
#   Mailgun, any other 5xx          AMBIGUOUS  mail was reported sent in spite of it (providers.md 4.3)
COMMON = (
    Rule(ErrorKind.AUTH, status=401),
    Rule(ErrorKind.AUTH, status=403),
    Rule(ErrorKind.TOO_LARGE, status=413),
    Rule(ErrorKind.RATE, status=429),
    Rule(ErrorKind.SERVER, status=SERVER_ERRORS),
    Rule(ErrorKind.REQUEST),  # other 3xx and 4xx: wrong base_url, or our call's form
)


def judge(
    table: tuple[Rule, ...], faults: list[Fault], handoff: Handoff, wait: float | None = None
) -> SendResult:
    """The meaning of at least one complaint: one that is not about a recipient decides for all."""
    judged = [(fault, rule_for(table, fault)) for fault in faults]
    for fault, rule in judged:
        if rule.kind not in ABOUT_RECIPIENTS:
            return SendResult(_reply(rule.kind, fault, wait))
    return _told_apart(judged, handoff, wait)


def rule_for(table: Iterable[Rule], fault: Fault) -> Rule:
    """The first row that matches; COMMON ends with one that always does."""
    return next(rule for rule in (*table, *COMMON) if rule.matches(fault))


def _told_apart(judged: list[tuple[Fault, Rule]], handoff: Handoff, wait: float | None) -> SendResult:
    """All complaints are about recipients: who is named is refused, the others are innocent and not sent."""
    exceptions = {
        recipient: _reply(rule.kind, fault, wait)
        for fault, rule in reversed(judged)
        for recipient in fault.named
    }
    fault, rule = judged[0]
    if rule.whole or len(handoff.recipients) <= 1 or len(exceptions) == len(handoff.recipients):
        return SendResult(_reply(rule.kind, fault, wait), exceptions)
    text = f"the call was refused because of another recipient: {fault.text}"
    return SendResult(_reply(ErrorKind.REQUEST, replace(fault, text=text), wait), exceptions)


def _reply(kind: ErrorKind, fault: Fault, wait: float | None) -> Reply:
    return Reply(kind, str(fault.status or ""), code=fault.code, text=clip(fault.text), retry_after=wait)
