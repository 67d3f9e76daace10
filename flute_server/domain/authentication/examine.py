"""All checks of a FROM domain, for the provider accounts through which its mail goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flute_server.domain.authentication import dkim, dmarc
from flute_server.domain.authentication.book import Answer, Book, RecordType, parents
from flute_server.domain.authentication.checks import Check, Kind, Status, mx, unknown
from flute_server.domain.authentication.dmarc import Found, aligned
from flute_server.domain.authentication.setup import Carrier
from flute_server.domain.authentication.spf_check import SpfState, state_of

_OUT = frozenset({Status.MISSING, Status.WRONG})


def examine(domain: str, carriers: Sequence[Carrier], book: Book) -> list[Check]:
    """Of the domain as a whole first, then of each carrier. Repeat with more answers while book.wanted."""
    policy = dmarc.find(domain, book)
    here = [item.setup for item in carriers if item.setup.domain in {"", domain}]
    needed = list(dict.fromkeys(setup.include for setup in here if setup.include_needed))
    state = state_of(domain, book)
    found = [state.check(needed), _dmarc(domain, policy), mx(domain, book.ask)]
    for carrier in carriers:
        found += _Bench(domain, carrier, policy, book).checks(state)
    return found


def _dmarc(domain: str, found: Found) -> Check:
    def check(status: Status, text: str, expected: str = "") -> Check:
        return Check(Kind.DMARC, status, found.host, RecordType.TXT, text, found.records, expected)

    usual = f"v=DMARC1; p=none; rua=mailto:dmarc@{domain}"
    if found.fault:
        return check(Status.UNKNOWN, unknown(found.fault), usual)
    if found.error:
        return check(Status.WRONG, f"{found.error}; keep one record like the one below", usual)
    if found.policy is None:
        text = "large mailbox providers ask bulk senders for it; p=none does nothing but get you reports"
        return check(Status.MISSING, text, usual)
    asks = found.asks(domain)
    where = "" if found.domain == domain else f", by the record of {found.domain}"
    if asks == "none":
        text = f"receivers are asked for reports only (p=none){where}; once these look well, ask for more"
        return check(Status.OK, f"{text} (p=quarantine)")
    some = f" for {found.policy.percent} % of the mail" if found.policy.percent < 100 else ""
    return check(
        Status.OK, f"receivers are asked to {asks} mail that neither SPF nor DKIM vouches for{some}{where}"
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """What the checks of one carrier share."""

    domain: str
    carrier: Carrier
    policy: Found
    book: Book

    def checks(self, state: SpfState) -> Iterator[Check]:
        found = [*self._dkim(), *self._return_path()]
        yield from found
        if self.carrier.setup.include:
            yield self._own(self._spf(state))

    def _own(self, check: Check) -> Check:
        return replace(check, account=self.carrier.account, account_name=self.carrier.name)

    @property
    def _places(self) -> list[str]:
        setup = self.carrier.setup
        return [setup.domain] if setup.domain else parents(self.domain)

    # DKIM

    def _dkim(self) -> Iterator[Check]:
        setup = self.carrier.setup
        if not setup.signs:
            return
        if not setup.selectors:
            host = f"<selector>._domainkey.{self._places[0]}"
            text = f"which DKIM key {self.carrier.provider} signs with is not known to Flute: {setup.where}"
            check = Check(Kind.DKIM, Status.UNKNOWN, host, RecordType.TXT, text, (), setup.key_value)
            yield self._own(check)
        elif setup.every_selector:
            for selector in setup.selectors:
                yield self._own(self._key((selector,)))
        else:
            yield self._own(self._key(setup.selectors))

    def _key(self, selectors: Sequence[str]) -> Check:
        """The first key at any of these selectors, at the domain or one above it."""
        # Every place is asked at once: DNS takes longer than judging.
        found = [(at, self._key_at(selector, at)) for at in self._places for selector in selectors]
        best = [item for item in found if item[1].status is not Status.MISSING] or found[:1]
        at, check = next((item for item in best if item[1].status is Status.OK), best[0])
        if check.status is Status.MISSING and len(selectors) > 1:
            check = replace(check, host=f"<selector>._domainkey.{at}")
        return self._weighed(check, at)

    def _key_at(self, selector: str, at: str) -> Check:
        setup = self.carrier.setup
        host = f"{selector}._domainkey.{at}"
        alias = self.book.ask(host, RecordType.CNAME) if setup.key_target else Answer()
        key = self.book.ask(host, RecordType.TXT)
        status, text = self._verdict(alias, key)
        type_ = RecordType.CNAME if setup.key_target else RecordType.TXT
        expected = "" if status is Status.OK else setup.key_value.format(selector=selector, domain=at)
        return Check(Kind.DKIM, status, host, type_, text, alias.values or key.values, expected)

    def _verdict(self, alias: Answer, key: Answer) -> tuple[Status, str]:
        provider, target = self.carrier.provider, self.carrier.setup.key_target
        if fault := key.fault or alias.fault:
            return Status.UNKNOWN, unknown(fault)
        if alias.values and not alias.values[0].lower().endswith(target):
            return Status.WRONG, f"leads to {alias.values[0]}, which is not {provider}'s"
        keys = [value for value in key.values if dkim.is_key(value)]
        if alias.values and not keys:
            return Status.WRONG, f"leads to {provider}, which has no key there (yet): verify the domain there"
        if not key.values:
            return Status.MISSING, f"{provider} cannot sign for this domain: {self.carrier.setup.where}"
        fault = dkim.fault(keys[0]) if keys else "there is a record, but it is no DKIM key"
        return (Status.WRONG, fault) if fault else (Status.OK, f"{provider} can sign for the domain")

    def _weighed(self, check: Check, at: str) -> Check:
        """With what DMARC and the route make of it."""
        strict = self.policy.policy is not None and self.policy.policy.strict_dkim
        if check.status is Status.OK and not self._aligned(at, strict):
            text = f"the signature is of {at}, which does not count for mail from {self.domain}"
            text += " (the DMARC record says adkim=s)" if strict else ""
            check = replace(check, status=Status.WRONG, text=text)
        return replace(check, text=check.text + self._consequence(check.status))

    def _consequence(self, status: Status) -> str:
        authenticated, asks = self.carrier.authenticated, self.policy.asks(self.domain)
        if status is Status.OK and not authenticated:
            return "; its route may be marked as authenticated"
        if status not in _OUT:
            return ""
        words = f"; DMARC asks receivers to {asks} such mail" if asks in {"quarantine", "reject"} else ""
        return words + ("; its route is marked as authenticated all the same" if authenticated else "")

    def _aligned(self, other: str, strict: bool) -> bool:
        return aligned(self.domain, other, strict=strict, organization=self.policy.domain)

    # The return path

    def _return_path(self) -> Iterator[Check]:
        setup = self.carrier.setup
        if setup.domain:
            yield self._own(self._returns_to(setup.domain))
        elif setup.bounce_domain:
            yield self._own(self._bounce_domain(setup.bounce_domain))
        elif setup.return_label:
            yield self._own(self._return_cname())
        elif setup.return_target:
            host = f"<label>.{self.domain}"
            text = f"which host bounces return to is not known to Flute: {setup.return_where}"
            check = Check(
                Kind.RETURN_PATH, Status.UNKNOWN, host, RecordType.CNAME, text, (), setup.return_value
            )
            yield self._own(check)

    def _returns_to(self, at: str) -> Check:
        """Bounces return to the domain of the account itself: a matter of its name, not of DNS."""
        strict = self.policy.policy is not None and self.policy.policy.strict_spf
        if self._aligned(at, strict):
            text = f"bounces return to {at}, which counts for mail from {self.domain}"
            return Check(Kind.RETURN_PATH, Status.OK, at, RecordType.TXT, text)
        text = f"bounces return to {at}, so that SPF does not count for mail from {self.domain}"
        text += (
            " (the DMARC record says aspf=s)" if strict else f"; set {self.domain} or one below it up there"
        )
        return Check(Kind.RETURN_PATH, Status.WARNING, at, RecordType.TXT, text)

    def _bounce_domain(self, at: str) -> Check:
        answer = self.book.ask(at, RecordType.MX)
        status, text = Status.OK, "bounces come back to Flute"
        if answer.fault:
            status, text = Status.UNKNOWN, unknown(answer.fault)
        elif not answer.values:
            status, text = Status.MISSING, "bounces get lost: let its MX record lead to `flute bounces`"
        return Check(Kind.RETURN_PATH, status, at, RecordType.MX, text, answer.values)

    def _return_cname(self) -> Check:
        setup, provider = self.carrier.setup, self.carrier.provider
        hosts = [f"{setup.return_label}.{at}" for at in self._places]
        answers = [(host, self.book.ask(host, RecordType.CNAME)) for host in hosts]
        host, answer = next((item for item in answers if item[1].values), answers[0])

        def check(status: Status, text: str) -> Check:
            expected = "" if status is Status.OK else setup.return_value
            return Check(Kind.RETURN_PATH, status, host, RecordType.CNAME, text, answer.values, expected)

        if answer.fault:
            return check(Status.UNKNOWN, unknown(answer.fault))
        if not answer.values:
            text = f"bounces return to {provider}'s own domain, so DMARC rests on DKIM alone; add this record"
            return check(Status.WARNING, text)
        if not answer.values[0].lower().endswith(setup.return_target):
            return check(Status.WRONG, f"leads to {answer.values[0]}, which is not {provider}'s")
        return check(Status.OK, f"bounces return by a host of the domain to {provider}")

    # SPF

    def _spf(self, state: SpfState) -> Check:
        """Whether the record that receivers look at lets the provider send."""
        setup = self.carrier.setup
        if setup.domain and setup.domain != self.domain:
            state = state_of(setup.domain, self.book)
        return state.check_include(setup.include, self.carrier.provider, needed=setup.include_needed)
