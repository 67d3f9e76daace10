"""Asking DNS many questions at once, within a time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.rdatatype
import dns.resolver

from flute_server.domain.authentication.book import Answer, Question, RecordType

AT_A_TIME = 32
# For one packet, and for all questions together; a server that has no answer by then is taken for dead.
TRY_S = 1.2
LONGEST_S = 2.5
# What is more or longer than any honest answer is not looked at.
MOST_VALUES = 50
MOST_CHARACTERS = 4096


class Resolver:
    """server: HOST:PORT as Config has it; empty for those of the system."""

    def __init__(self, server: str = "") -> None:
        self.trouble = ""
        try:
            self._resolver = dns.resolver.Resolver(configure=not server)
        except dns.resolver.NoResolverConfiguration:
            self.trouble = "this machine names no DNS server; set FLUTE_DNS_SERVER"
            return
        if server:
            host, _, port = server.rpartition(":")
            self._resolver.nameservers, self._resolver.port = [host.strip("[]")], int(port)
        self._resolver.timeout = TRY_S

    def ask(self, questions: Iterable[Question], deadline: float) -> dict[Question, Answer]:
        """An answer to each, within LONGEST_S. deadline: as time.monotonic() tells it, if that is sooner."""
        deadline = min(deadline, time.monotonic() + LONGEST_S)
        asked = sorted(questions, key=lambda question: (question.host, question.type))
        with ThreadPoolExecutor(min(AT_A_TIME, len(asked) or 1), "dns") as pool:
            answers = pool.map(lambda question: self._answer(question, deadline), asked)
            return dict(zip(asked, answers, strict=True))

    def _answer(self, question: Question, deadline: float) -> Answer:
        rest = deadline - time.monotonic()
        if self.trouble or rest <= 0:
            return Answer(fault=self.trouble or "no time was left")
        try:
            return self._look_up(question, rest)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return Answer()
        except dns.resolver.NoNameservers:
            return Answer(fault="the DNS server says that it cannot find out")
        except dns.exception.Timeout:
            return Answer(fault="no answer in time")
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return Answer(fault=f"{type(error).__name__}: {str(error)[:100]}")

    def _look_up(self, question: Question, rest: float) -> Answer:
        found = self._resolver.resolve(question.host, question.type.value, lifetime=rest, search=False)
        values = (_value(record, question.type) for record in list(found)[:MOST_VALUES])
        return Answer(tuple(value[:MOST_CHARACTERS] for value in values))


def _value(record: object, type_: RecordType) -> str:
    if type_ is RecordType.TXT:
        strings: tuple[bytes, ...] = record.strings  # type: ignore[attr-defined]  # as dnspython's TXT has
        return b"".join(strings).decode("utf-8", "replace")
    name = record.target if type_ is RecordType.CNAME else record.exchange  # type: ignore[attr-defined]
    return str(name.to_text(omit_final_dot=True))
