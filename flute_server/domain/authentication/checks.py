"""The verdict on a domain's records: what is there, what should be, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from flute_server.domain.authentication.book import Answer, RecordType


class Kind(StrEnum):
    """What is checked."""

    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    RETURN_PATH = "return_path"
    MX = "mx"


class Status(StrEnum):
    """How it stands."""

    OK = "ok"
    WARNING = "warning"  # mail goes without it, and better with it
    MISSING = "missing"  # there is no such record
    WRONG = "wrong"  # there is one that does not do
    UNKNOWN = "unknown"  # DNS did not answer, or nobody told Flute which record it is


@dataclass(frozen=True, slots=True)
class Check:
    """One record. host: where it is looked for; found: what is there; expected: what should be, empty if all
    is well. account: the provider account that needs it, None where the domain as a whole does.
    """

    kind: Kind
    status: Status
    host: str
    type: RecordType
    text: str
    found: tuple[str, ...] = ()
    expected: str = ""
    account: UUID | None = None
    account_name: str = ""


_TO_DO = frozenset({Status.MISSING, Status.WRONG})


def unknown(fault: str) -> str:
    """The text of a check for which DNS had no answer."""
    return f"DNS did not answer ({fault}); try again later"


def mx(domain: str, ask: Callable[[str, RecordType], Answer]) -> Check:
    """Whether answers to the FROM domain arrive somewhere: receivers distrust a sender that takes no mail."""
    answer = ask(domain, RecordType.MX)

    def check(status: Status, text: str) -> Check:
        return Check(Kind.MX, status, domain, RecordType.MX, text, answer.values)

    if answer.fault:
        return check(Status.UNKNOWN, unknown(answer.fault))
    if any(host in {"", "."} for host in answer.values):
        text = f"{domain} says that it takes no mail (null MX), and some receivers refuse mail from such"
        return check(Status.WRONG, f"{text}; let its MX record name a mail server")
    if not answer.values:
        text = "answers and bounces to this domain reach nobody, which makes some receivers distrust its mail"
        return check(Status.WARNING, f"{text}; add an MX record that names your mail server")
    return check(Status.OK, "answers to this domain have somewhere to go")


def summary(domain: str, checks: Sequence[Check]) -> str:
    """One sentence on all of them."""
    if all(check.status is Status.UNKNOWN for check in checks if check.account is None):
        return f"DNS does not answer, so nothing is known of {domain}; what should stand there is listed."
    parts = list(_counts(checks))
    if not parts:
        return f"All is well with {domain}."
    text = ", ".join(parts)
    return text[0].upper() + text[1:] + "."


def _counts(checks: Sequence[Check]) -> Iterator[str]:
    for statuses, words in (
        (_TO_DO, "{} missing or wrong"),
        ({Status.WARNING}, "{} could be better"),
        ({Status.UNKNOWN}, "{} not known"),
    ):
        if count := sum(check.status in statuses for check in checks):
            yield words.format(f"{count} record{'s' * (count != 1)}")
