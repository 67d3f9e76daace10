"""The verdict on a domain's SPF record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flute_server.domain.authentication import spf
from flute_server.domain.authentication.book import Book, RecordType
from flute_server.domain.authentication.checks import Check, Kind, Status, unknown

_SOFT = spf.Term("all", "", "~")


@dataclass(frozen=True, slots=True)
class SpfState:
    """What is known of a domain's record. records: as DNS has them; terms: of all that can be read, in one;
    error: why the record counts for nothing."""

    domain: str
    records: tuple[str, ...]
    terms: spf.Record
    walk: spf.Walk
    fault: str = ""
    error: str = ""

    def check(self, needed: Sequence[str]) -> Check:
        """The record as a whole. needed: the hosts that it has to include."""
        if self.fault:
            # Without knowing what is there, a record of ours could take the place of a better one.
            return self._check(Status.UNKNOWN, unknown(self.fault), self._with(needed) if needed else "")
        if not self.records:
            text = "there is none; let it name whoever else sends mail for this domain, too"
            return self._check(Status.MISSING if needed else Status.WARNING, text, self._with(needed))
        if self.error:
            return self._check(Status.WRONG, self.error, self._with(needed))
        if self.walk.all == "+":
            text = "+all lets everybody on earth send for this domain; end it with ~all"
            return self._check(Status.WRONG, text, self._with(needed))
        if self.walk.unanswered:
            return self._check(Status.UNKNOWN, unknown("not for all that the record includes"))
        return self._ending(needed)

    def _ending(self, needed: Sequence[str]) -> Check:
        lookups = f"{self.walk.lookups} of at most {spf.MOST_LOOKUPS} DNS lookups"
        if self.walk.all in {"", "?"}:
            text = f"it does not say what to make of other senders ({lookups}); end it with ~all"
            return self._check(Status.WARNING, text, self._with(needed))
        return self._check(Status.OK, f"takes {lookups}")

    def check_include(self, host: str, provider: str, *, needed: bool) -> Check:
        """Whether a provider may send by this record. needed: receivers look at this very record for it."""
        if host in self.walk.included and not self.error:
            return self._check(Status.OK, f"lets {provider} send (include:{host})")
        if not needed:
            text = f"{provider} needs no include:{host}: receivers look at the domain that bounces return to"
            return self._check(Status.OK, text)
        if self.fault or self.walk.unanswered:
            return self._check(Status.UNKNOWN, unknown(self.fault or "not for all that the record includes"))
        text = f"does not let {provider} send: add include:{host}"
        if self.error:
            text = f"{self.error}, so it lets nobody send"
        return self._check(Status.WRONG if self.records else Status.MISSING, text, self._with([host]))

    def _check(self, status: Status, text: str, expected: str = "") -> Check:
        return Check(Kind.SPF, status, self.domain, RecordType.TXT, text, self.records, expected)

    def _with(self, hosts: Sequence[str]) -> str:
        """A record to copy: what is there, mended, with these included."""
        terms = [
            replace(term, qualifier="~") if term.name == "all" and term.qualifier in {"+", "?"} else term
            for term in spf.with_includes(self.terms, hosts)
        ]
        ends = any(term.name == "all" or (term.name == "redirect" and not term.qualifier) for term in terms)
        return spf.text_of(terms if ends else [*terms, _SOFT])


def state_of(domain: str, book: Book) -> SpfState:
    """Look a domain's record up and follow it."""
    answer = book.ask(domain, RecordType.TXT)
    records = tuple(value for value in answer.values if spf.is_spf(value))
    read: list[spf.Record] = []
    errors = []
    for record in records:
        try:
            read.append(spf.parse(record))
        except spf.SpfError as error:
            errors.append(f"receivers cannot read it: {error}")
    terms = spf.merged(read)
    walk = spf.walk(domain, terms, book)
    if len(records) > 1:
        count = f"there are {len(records)} SPF records, so receivers heed none of them; make one of them"
        errors.insert(0, count)
    return SpfState(domain, records, terms, walk, answer.fault, "; ".join([*errors, *walk.problems]))
