"""DMARC records (RFC 7489): where a domain's policy stands, and what it asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flute_server.domain.authentication.book import Book, RecordType, is_within, parents

_POLICIES = ("none", "quarantine", "reject")
_TAG = re.compile(r"\s*([a-z]{1,8})\s*=\s*([^;]*?)\s*", re.IGNORECASE)
_VERSION = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")


class DmarcError(ValueError):
    """The text is no DMARC record that receivers heed, and says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What receivers shall do with mail that fails, and how strictly SPF and DKIM must match the FROM domain.

    subdomains: the policy for domains below the record's. percent: for how much of the mail.
    """

    policy: str
    subdomains: str
    strict_dkim: bool = False
    strict_spf: bool = False
    percent: int = 100
    reports: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The policy record that counts for a domain. host: where it stands, or should; domain: above that.

    records: as DNS has them. fault: DNS did not answer. error: why receivers do not heed it.
    """

    host: str
    domain: str
    records: tuple[str, ...] = ()
    policy: Policy | None = None
    fault: str = ""
    error: str = ""

    def asks(self, domain: str) -> str:
        """none, quarantine or reject, for mail from this domain; empty where there is no policy."""
        if self.policy is None:
            return ""
        return self.policy.policy if domain == self.domain else self.policy.subdomains


def is_dmarc(text: str) -> bool:
    """Whether a TXT record means to be a DMARC record."""
    return _VERSION.match(text) is not None


def parse(text: str) -> Policy:
    """The policy that a record states. Raises DmarcError."""
    if not is_dmarc(text):
        raise DmarcError("it does not begin with v=DMARC1")
    tags: dict[str, str] = {}
    for part in text.split(";")[1:]:
        found = _TAG.fullmatch(part)
        if not found and part.strip():
            raise DmarcError(f"{part.strip()[:60]!r} is no tag such as p=none")
        if found:
            tags.setdefault(found[1].lower(), found[2])
    if "p" not in tags:
        raise DmarcError("it has no policy: add p=none, p=quarantine or p=reject")
    policy = _one_of(tags, "p", _POLICIES, "")
    return Policy(
        policy=policy,
        subdomains=_one_of(tags, "sp", _POLICIES, policy),
        strict_dkim=_one_of(tags, "adkim", ("r", "s"), "r") == "s",
        strict_spf=_one_of(tags, "aspf", ("r", "s"), "r") == "s",
        percent=_percent(tags.get("pct", "100")),
        reports=tags.get("rua", ""),
    )


def _one_of(tags: dict[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = tags.get(name, default).lower()
    if value not in choices:
        raise DmarcError(f"{name}={value[:60]} is none of {', '.join(choices)}")
    return value


def _percent(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > 100:
        raise DmarcError(f"pct={text[:60]} is none of 0 to 100")
    return int(text)


def find(domain: str, book: Book) -> Found:
    """The record of the domain, else that of the nearest domain above it."""
    for at in parents(domain):
        host = f"_dmarc.{at}"
        answer = book.ask(host, RecordType.TXT)
        if answer.fault:
            return Found(host, at, fault=answer.fault)
        if records := tuple(value for value in answer.values if is_dmarc(value)):
            return _read(host, at, records)
        if misspelt := tuple(value for value in answer.values if "dmarc" in value.lower()):
            return Found(host, at, misspelt, error="it does not begin with v=DMARC1")
    return Found(f"_dmarc.{domain}", domain)


def _read(host: str, domain: str, records: tuple[str, ...]) -> Found:
    if len(records) > 1:
        error = f"there are {len(records)} DMARC records, so receivers heed none of them"
        return Found(host, domain, records, error=error)
    try:
        return Found(host, domain, records, parse(records[0]))
    except DmarcError as error:
        return Found(host, domain, records, error=str(error))


def aligned(domain: str, other: str, *, strict: bool, organization: str) -> bool:
    """Whether a domain that SPF or DKIM vouches for counts for mail from `domain`.

    organization: the domain of the policy record, below which domains count as one when it is not strict.
    """
    if strict:
        return domain == other
    return (is_within(domain, organization) and is_within(other, organization)) or _one_above(domain, other)


def _one_above(domain: str, other: str) -> bool:
    return is_within(domain, other) or is_within(other, domain)
