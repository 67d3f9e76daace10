"""SPF records (RFC 7208): their grammar, and what evaluating one costs and leads to."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from flute_server.domain.authentication.book import Book, RecordType

# Terms that make a receiver ask DNS; it gives up beyond so many of them (section 4.6.4).
ASKING = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
MOST_LOOKUPS = 10
# Where counting ends: what is far beyond the limit need not be known exactly.
_ENOUGH = 3 * MOST_LOOKUPS
_DEEPEST = 10

_MECHANISM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:([:/])(.*))?", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9._-]*)=(.*)", re.IGNORECASE)
_DOMAIN = re.compile(r"(?:[!-$&-~]|%\{[a-z0-9.+,/_=-]+\}|%[%_-])+", re.IGNORECASE)
_LENGTHS = re.compile(r"(?:/\d{1,2})?(?://\d{1,3})?")


class SpfError(ValueError):
    """The text is no SPF record, and says why."""


@dataclass(frozen=True, slots=True)
class Term:
    """A mechanism or modifier. qualifier: +, -, ~ or ?; empty for a modifier. name: in lower case.

    value: what stands behind the colon or the equals sign; lengths: of prefixes, as in /24.
    """

    name: str
    value: str = ""
    qualifier: str = ""
    lengths: str = ""

    def __str__(self) -> str:
        if not self.qualifier:
            return f"{self.name}={self.value}"
        sign = "" if self.qualifier == "+" else self.qualifier
        return f"{sign}{self.name}{':' if self.value else ''}{self.value}{self.lengths}"

    @property
    def target(self) -> str:
        """The domain that it leads to; empty if there is none, or if only a receiver knows (macros)."""
        return "" if "%" in self.value else self.value.lower().rstrip(".")


Record = tuple[Term, ...]


def is_spf(text: str) -> bool:
    """Whether a TXT record means to be an SPF record."""
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def parse(text: str) -> Record:
    """The terms of a record. Raises SpfError."""
    if not is_spf(text):
        raise SpfError("does not begin with v=spf1")
    terms = tuple(_term(word) for word in text[6:].split(" ") if word)
    for name in ("redirect", "exp"):
        if sum(term.name == name and not term.qualifier for term in terms) > 1:
            raise SpfError(f"has {name}= more than once")
    return terms


def text_of(terms: Iterable[Term]) -> str:
    """The record as it stands in DNS."""
    return " ".join(["v=spf1", *map(str, terms)])


def _term(word: str) -> Term:
    if found := _MECHANISM.fullmatch(word):
        qualifier, name, sign, rest = found.groups()
        return _mechanism(word, qualifier or "+", name.lower(), (sign if sign == "/" else "") + (rest or ""))
    if found := _MODIFIER.fullmatch(word):
        name, value = found[1].lower(), found[2]
        if name in {"redirect", "exp"} and not _DOMAIN.fullmatch(value):
            raise SpfError(f"{word!r} names no domain")
        return Term(name, value)
    raise SpfError(f"{word!r} is no SPF term")


def _mechanism(word: str, qualifier: str, name: str, rest: str) -> Term:
    if name == "all":
        if rest:
            raise SpfError(f"{word!r}: all takes no value")
        return Term(name, "", qualifier)
    if name in {"ip4", "ip6"}:
        return Term(name, _network(word, name, rest), qualifier)
    value, slash, lengths = rest.partition("/")
    lengths = slash + lengths
    if lengths and (name not in {"a", "mx"} or not _LENGTHS.fullmatch(lengths)):
        raise SpfError(f"{word!r} has a wrong prefix length")
    named = _DOMAIN.fullmatch(value) if value else name in {"a", "mx", "ptr"} and ":" not in word
    if not named:
        raise SpfError(f"{word!r} names no domain")
    return Term(name, value, qualifier, lengths)


def _network(word: str, name: str, value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise SpfError(f"{word!r} is no network") from error
    if network.version != int(name[2]):
        raise SpfError(f"{word!r} is of the other IP version")
    return value


@dataclass(slots=True)
class Walk:
    """Where evaluating a domain's record leads. lookups: how many a receiver makes; included: all domains
    whose records are reached; all: the qualifier of what matches in the end, empty if nothing does.

    unanswered: DNS did not tell everything. problems: in words, what makes receivers give up.
    """

    lookups: int = 0
    included: set[str] = field(default_factory=set)
    all: str = ""
    unanswered: bool = False
    problems: list[str] = field(default_factory=list)


def walk(domain: str, terms: Sequence[Term], book: Book) -> Walk:
    """Follow the record of a domain to its ends."""
    found = Walk()
    found.all = _visit((domain,), terms, book, found)
    if found.lookups > MOST_LOOKUPS:
        more = "more than " if found.lookups >= _ENOUGH else ""
        count = min(found.lookups, _ENOUGH)
        text = f"evaluating it takes {more}{count} DNS lookups, and receivers give up after {MOST_LOOKUPS}"
        found.problems.append(text)
    return found


def _visit(trail: tuple[str, ...], terms: Sequence[Term], book: Book, found: Walk) -> str:
    """Take the terms in; the qualifier of the record's `all`."""
    whole = [term for term in terms if term.name == "all" and term.qualifier]
    for term in terms:
        if term.name == "redirect" and (term.qualifier or whole):
            continue  # receivers pay no heed to it
        if term.name not in ASKING:
            continue
        found.lookups += 1
        if term.name in {"include", "redirect"}:
            result = _follow(trail, term, book, found)
            if term.name == "redirect":
                return result
    return whole[0].qualifier if whole else ""


def _follow(trail: tuple[str, ...], term: Term, book: Book, found: Walk) -> str:
    target = term.target
    if not target or found.lookups >= _ENOUGH or len(trail) > _DEEPEST:
        return ""
    if target in trail:
        found.problems.append(f"{target} includes itself")
        return ""
    found.included.add(target)
    answer = book.ask(target, RecordType.TXT)
    if answer.fault:
        found.unanswered = True
        return ""
    records = [value for value in answer.values if is_spf(value)]
    if len(records) != 1:
        count = "no SPF record" if not records else f"{len(records)} SPF records"
        found.problems.append(f"{term} leads to {target}, which has {count}")
        return ""
    try:
        return _visit((*trail, target), parse(records[0]), book, found)
    except SpfError as error:
        found.problems.append(f"the SPF record of {target}: {error}")
        return ""


def with_includes(terms: Sequence[Term], hosts: Iterable[str]) -> Record:
    """The record with these included too, before whatever ends it."""
    there = {term.target for term in terms if term.name == "include"}
    new = [Term("include", host, "+") for host in hosts if host not in there]
    place = next((n for n, term in enumerate(terms) if term.name in {"all", "redirect"}), len(terms))
    return (*terms[:place], *new, *terms[place:])


def merged(records: Sequence[Sequence[Term]]) -> Record:
    """One record that says what several do; the first word on all the rest stands."""
    seen = dict.fromkeys(term for record in records for term in record)
    last = [term for term in seen if term.name in {"all", "redirect"}][:1]
    return (*(term for term in seen if term.name not in {"all", "redirect"}), *last)
