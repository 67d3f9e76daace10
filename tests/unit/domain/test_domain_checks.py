"""The checks of a domain for each kind of provider, over a DNS that is a dictionary."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.authentication.book import Answer, Book, Question, RecordType
from flute_server.domain.authentication.checks import Check, Kind, Status, summary
from flute_server.domain.authentication.examine import examine
from flute_server.domain.authentication.setup import Carrier, DnsSetup
from flute_server.providers.authentication import dns_setup, is_label

DOMAIN = "a.example"
KEY = f"k=rsa; p={base64.b64encode(bytes(162)).decode()}"
ACCOUNT = UUID(int=1)
WHOLE = {
    (DOMAIN, "TXT"): "v=spf1 include:mailgun.org ~all",
    ("mailgun.org", "TXT"): "v=spf1 ip4:192.0.2.0/24 ~all",
    (f"_dmarc.{DOMAIN}", "TXT"): "v=DMARC1; p=none",
    (DOMAIN, "MX"): "mx.a.example",
}
SENDGRID = {
    (f"s1._domainkey.{DOMAIN}", "CNAME"): "s1.domainkey.u12.wl3.sendgrid.net",
    (f"s1._domainkey.{DOMAIN}", "TXT"): KEY,
    (f"s2._domainkey.{DOMAIN}", "CNAME"): "s2.domainkey.u12.wl3.sendgrid.net",
    (f"s2._domainkey.{DOMAIN}", "TXT"): KEY,
    (f"em12.{DOMAIN}", "CNAME"): "u12.wl3.sendgrid.net",
}
POSTMARK = {
    (f"20260131pm._domainkey.{DOMAIN}", "TXT"): KEY,
    (f"pm-bounces.{DOMAIN}", "CNAME"): "pm.mtasv.net",
}
SPARKPOST = {
    (f"scph0126._domainkey.{DOMAIN}", "TXT"): f"v=DKIM1; {KEY}",
    (f"bounces.{DOMAIN}", "CNAME"): "sparkpostmail.com",
}
MAILGUN = {(f"mx._domainkey.{DOMAIN}", "TXT"): KEY}

Zone = Mapping[tuple[str, str], str]


def carrier(slug: str, *, authenticated: bool = True, **credentials: str) -> Carrier:
    return Carrier(ACCOUNT, "Mine", slug.title(), dns_setup(slug, credentials), authenticated)


def checked(zone: Zone, *carriers: Carrier, domain: str = DOMAIN) -> list[Check]:
    known: dict[Question, Answer] = {}
    for _ in range(12):
        book = Book(known)
        checks = examine(domain, carriers, book)
        if not book.wanted:
            return checks
        for question in book.wanted:
            value = zone.get((question.host, str(question.type)))
            known[question] = Answer(tuple(value.split("|")) if value is not None else ())
    raise AssertionError("questions without end")


def only(checks: list[Check], kind: Kind, *, whole: bool = False) -> Check:
    [found] = [check for check in checks if check.kind is kind and (check.account is None) == whole]
    return found


ALL_WELL = {
    "sendgrid": (SENDGRID, carrier("sendgrid", return_path="em12")),
    "sendgrid by SMTP": (SENDGRID, carrier("smtp", host="smtp.sendgrid.net", return_path="EM12")),
    "postmark": (POSTMARK, carrier("postmark", dkim_selector="20260131PM")),
    "sparkpost": (SPARKPOST, carrier("sparkpost", dkim_selector="scph0126")),
    "mailgun": (MAILGUN, carrier("mailgun", domain=DOMAIN)),
    "mailgun by SMTP": (
        MAILGUN,
        carrier("smtp", host="smtp.eu.mailgun.org", username=f"postmaster@{DOMAIN}"),
    ),
    "simulator": ({}, carrier("simulator")),
    "own server": (
        {(f"k._domainkey.{DOMAIN}", "TXT"): KEY, ("b.a.example", "MX"): "flute.a.example"},
        carrier("smtp", host="mail.a.example", dkim_selector="k", bounce_domain="b.a.example"),
    ),
}


@pytest.mark.parametrize("name", ALL_WELL)
def test_all_is_well(name: str):
    zone, one = ALL_WELL[name]
    checks = checked({**WHOLE, **zone}, one)
    assert [(c.kind, c.status, c.text) for c in checks if c.status is not Status.OK] == []
    assert not any(check.expected for check in checks)
    assert summary(DOMAIN, checks) == "All is well with a.example."


def test_an_empty_zone_says_what_to_add():
    carriers = [
        carrier("sendgrid"),
        carrier("postmark"),
        carrier("sparkpost"),
        carrier("mailgun", domain=DOMAIN),
    ]
    checks = checked({}, *carriers)
    told = [(check.kind, check.status, check.host, check.expected) for check in checks]
    mailgun, somewhere = "v=spf1 include:mailgun.org ~all", "<selector>._domainkey.a.example"
    signing = "{}.domainkey.u<number>.wl<number>.sendgrid.net"
    assert told == [
        (Kind.SPF, Status.MISSING, DOMAIN, mailgun),
        (Kind.DMARC, Status.MISSING, "_dmarc.a.example", "v=DMARC1; p=none; rua=mailto:dmarc@a.example"),
        (Kind.MX, Status.WARNING, DOMAIN, ""),
        (Kind.DKIM, Status.MISSING, "s1._domainkey.a.example", signing.format("s1")),
        (Kind.DKIM, Status.MISSING, "s2._domainkey.a.example", signing.format("s2")),
        (Kind.RETURN_PATH, Status.UNKNOWN, "<label>.a.example", "u<number>.wl<number>.sendgrid.net"),
        (Kind.SPF, Status.OK, DOMAIN, ""),
        (Kind.DKIM, Status.UNKNOWN, somewhere, "k=rsa;p=<the key that Postmark shows>"),
        (Kind.RETURN_PATH, Status.WARNING, "pm-bounces.a.example", "pm.mtasv.net"),
        (Kind.SPF, Status.OK, DOMAIN, ""),
        (Kind.DKIM, Status.UNKNOWN, somewhere, "v=DKIM1; k=rsa; h=sha256; p=<the key that SparkPost shows>"),
        (Kind.RETURN_PATH, Status.WARNING, "bounces.a.example", "sparkpostmail.com"),
        (Kind.SPF, Status.OK, DOMAIN, ""),
        (Kind.DKIM, Status.MISSING, somewhere, "k=rsa; p=<the key that Mailgun shows>"),
        (Kind.RETURN_PATH, Status.OK, DOMAIN, ""),
        (Kind.SPF, Status.MISSING, DOMAIN, mailgun),
    ]  # fmt: skip
    assert summary(DOMAIN, checks) == (
        "6 records missing or wrong, 3 records could be better, 3 records not known."
    )
    assert [check.account_name for check in checks] == [""] * 3 + ["Mine"] * 13


@pytest.mark.parametrize(("record", "status", "text", "expected"), [
    ("v=spf1 +all", Status.WRONG, "everybody on earth", "v=spf1 ~all"),
    ("v=spf1 a -all|v=spf1 mx ~all", Status.WRONG, "2 SPF records", "v=spf1 a mx -all"),
    ("v=spf1 ip4:300.1.1.1 ~all", Status.WRONG, "'ip4:300.1.1.1' is no network", "v=spf1 ~all"),
    ("v=spf1 include:x.example ~all", Status.WRONG, "has no SPF record", "v=spf1 include:x.example ~all"),
    ("v=spf1 mx", Status.WARNING, "other senders (1 of at most 10", "v=spf1 mx ~all"),
    ("v=spf1 mx ?all", Status.WARNING, "other senders", "v=spf1 mx ~all"),
    ("google-site-verification=1", Status.WARNING, "there is none", "v=spf1 ~all"),
    ("v=spf1 redirect=mailgun.org", Status.OK, "1 of at most 10 DNS lookups", ""),
    ("v=spf1 a mx -all|other=1", Status.OK, "2 of at most 10 DNS lookups", ""),
])  # fmt: skip
def test_the_spf_record_of_the_domain(record: str, status: Status, text: str, expected: str):
    check = only(checked({**WHOLE, (DOMAIN, "TXT"): record}), Kind.SPF, whole=True)
    assert (check.status, check.expected) == (status, expected)
    assert text in check.text
    assert check.found == tuple(value for value in record.split("|") if value.startswith("v=spf1"))


@pytest.mark.parametrize(("record", "status", "text"), [
    ("v=spf1 include:spf.b.example ~all", Status.OK, "lets Mailgun send"),
    ("v=spf1 a -all", Status.WRONG, "does not let Mailgun send: add include:mailgun.org"),
    ("v=spf1 include:mailgun.org -all|v=spf1 -all", Status.WRONG, "2 SPF records"),
])  # fmt: skip
def test_spf_for_a_provider_is_found_behind_other_includes(record: str, status: Status, text: str):
    zone = {**WHOLE, ("spf.b.example", "TXT"): "v=spf1 include:mailgun.org ~all", (DOMAIN, "TXT"): record}
    check = only(checked(zone, carrier("mailgun", domain=DOMAIN)), Kind.SPF)
    assert check.status is status
    assert text in check.text
    assert status is Status.OK or "include:mailgun.org" in check.expected


@pytest.mark.parametrize(("record", "status", "text"), [
    ("v=DMARC1; p=reject; pct=50", Status.OK, "asked to reject mail that neither"),
    ("v=DMARC1; p=non", Status.WRONG, "p=non is none of"),
    ("v=DMARC1; p=none|v=DMARC1; p=reject", Status.WRONG, "2 DMARC records"),
])  # fmt: skip
def test_the_dmarc_record(record: str, status: Status, text: str):
    check = only(checked({**WHOLE, (f"_dmarc.{DOMAIN}", "TXT"): record}), Kind.DMARC, whole=True)
    assert check.status is status
    assert text in check.text


def test_a_null_mx_is_wrong():
    check = only(checked({**WHOLE, (DOMAIN, "MX"): ""}), Kind.MX, whole=True)
    assert check.status is Status.WRONG
    assert "takes no mail" in check.text


@pytest.mark.parametrize(("change", "text"), [
    ({"CNAME": "s1.elsewhere.example"}, "leads to s1.elsewhere.example, which is not Sendgrid's"),
    ({"TXT": None}, "has no key there (yet)"),
    ({"TXT": "v=DKIM1; p="}, "the key was revoked"),
])  # fmt: skip
def test_a_signature_that_cannot_be_verified_is_wrong(change: dict[str, str], text: str):
    zone = {**WHOLE, **SENDGRID} | {
        (f"s1._domainkey.{DOMAIN}", type_): value for type_, value in change.items()
    }
    first, second = (check for check in checked(zone, carrier("sendgrid")) if check.kind is Kind.DKIM)
    assert (first.status, second.status) == (Status.WRONG, Status.OK)
    assert text in first.text
    assert "marked as authenticated all the same" in first.text


def test_a_selector_that_was_told_may_hold_the_key_itself():
    zone = {**WHOLE, (f"m1._domainkey.{DOMAIN}", "TXT"): KEY}
    check = only(checked(zone, carrier("sendgrid", dkim_selector="m1")), Kind.DKIM)
    assert (check.status, check.type) == (Status.OK, RecordType.TXT)


def test_a_key_of_the_domain_above_counts_unless_dmarc_is_strict():
    zone = {**WHOLE, **POSTMARK}
    one = carrier("postmark", dkim_selector="20260131pm")
    check = only(checked(zone, one, domain="mail.a.example"), Kind.DKIM)
    assert (check.status, check.host) == (Status.OK, "20260131pm._domainkey.a.example")
    zone[f"_dmarc.{DOMAIN}", "TXT"] = "v=DMARC1; p=reject; adkim=s"
    check = only(checked(zone, one, domain="mail.a.example"), Kind.DKIM)
    assert check.status is Status.WRONG
    assert "the signature is of a.example, which does not count for mail from mail.a.example" in check.text
    assert "(the DMARC record says adkim=s); DMARC asks receivers to reject such mail" in check.text


def test_mailgun_may_send_for_another_domain():
    zone = {**WHOLE, ("mg.a.example", "TXT"): "v=spf1 include:mailgun.org ~all"}
    zone["mx._domainkey.mg.a.example", "TXT"] = KEY
    checks = checked(zone, carrier("mailgun", domain="mg.a.example"))
    assert {check.status for check in checks} == {Status.OK}
    assert only(checks, Kind.SPF).host == "mg.a.example"
    zone[f"_dmarc.{DOMAIN}", "TXT"] = "v=DMARC1; p=none; aspf=s"
    path = only(checked(zone, carrier("mailgun", domain="mg.a.example")), Kind.RETURN_PATH)
    assert (path.status, "aspf=s" in path.text) == (Status.WARNING, True)
    path = only(checked(zone, carrier("mailgun", domain="mg.b.example")), Kind.RETURN_PATH)
    assert path.status is Status.WARNING


def test_a_route_is_told_what_it_may_say():
    zone = {**WHOLE, **MAILGUN}
    check = only(checked(zone, carrier("mailgun", domain=DOMAIN, authenticated=False)), Kind.DKIM)
    assert check.text.endswith("; its route may be marked as authenticated")


def test_a_return_path_that_leads_elsewhere_is_wrong():
    zone = {**WHOLE, **POSTMARK, (f"pm-bounces.{DOMAIN}", "CNAME"): "b.example"}
    check = only(checked(zone, carrier("postmark")), Kind.RETURN_PATH)
    assert (check.status, check.expected) == (Status.WRONG, "pm.mtasv.net")


def test_where_dns_does_not_answer_nothing_is_claimed():
    class Dead(Book):
        def ask(self, host: str, type_: RecordType) -> Answer:
            return Answer(fault="no answer in time")

    carriers = [one for _, one in ALL_WELL.values() if one.setup.domain == "" and one.setup != DnsSetup()]
    checks = examine(DOMAIN, carriers, Dead({}))
    without_spf = [check for check in checks if not (check.kind is Kind.SPF and check.account)]
    assert {check.status for check in without_spf} == {Status.UNKNOWN}
    assert summary(DOMAIN, checks).startswith("DNS does not answer, so nothing is known of a.example")


names = st.sampled_from(["", DOMAIN, "mailgun.org", "_dmarc.a.example", "s1._domainkey.a.example"])
values = st.sampled_from(
    ["v=spf1 include:a.example", "v=spf1 redirect=mailgun.org", "v=DMARC1;p=none", KEY, "."]
)
zones = st.dictionaries(
    st.tuples(names, st.sampled_from(["TXT", "CNAME", "MX"])), values | st.text(max_size=20)
)


@given(zones)
def test_no_zone_takes_it_aback(zone: Zone):
    carriers = [replace(one, authenticated=n % 2 > 0) for n, (_, one) in enumerate(ALL_WELL.values())]
    checks = checked(zone, *carriers)
    assert all(check.text and check.host for check in checks)
    assert summary(DOMAIN, checks)


@pytest.mark.parametrize(
    ("text", "good"), [("s1", True), ("a.b_c-d", True), ("-a", False), ("a..b", False), ("", False)]
)
def test_what_stands_before_a_domain(text: str, good: bool):
    assert is_label(text) == good
