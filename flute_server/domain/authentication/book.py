"""What DNS was asked and said. Judging never waits for DNS: it notes what it lacks, and is repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class RecordType(StrEnum):
    """The kinds of records that are looked at."""

    TXT = "TXT"
    CNAME = "CNAME"
    MX = "MX"


@dataclass(frozen=True, slots=True)
class Question:
    """host: in lower case, without a dot at the end."""

    host: str
    type: RecordType


@dataclass(frozen=True, slots=True)
class Answer:
    """values: empty when there is no such record. fault: why nobody knows; empty when DNS answered."""

    values: tuple[str, ...] = ()
    fault: str = ""


NOT_ASKED = Answer(fault="DNS was not asked, as the time was up")


class Book:
    """The answers so far. wanted: what was asked for and is not among them."""

    def __init__(self, known: Mapping[Question, Answer]) -> None:
        self._known = known
        self.wanted: set[Question] = set()

    def ask(self, host: str, type_: RecordType) -> Answer:
        """What DNS says; NOT_ASKED as long as that is not known."""
        question = Question(host.lower().rstrip("."), type_)
        answer = self._known.get(question)
        if answer is None:
            self.wanted.add(question)
            return NOT_ASKED
        return answer


def parents(domain: str) -> list[str]:
    """The domain and those above it, the top level left out."""
    labels = domain.split(".")
    return [".".join(labels[n:]) for n in range(max(1, len(labels) - 1))]


def is_within(domain: str, above: str) -> bool:
    """Whether a domain is another one or below it."""
    return domain == above or domain.endswith(f".{above}")
