"""DMARC and DKIM records: the grammar, where the policy stands, and what counts as the same domain."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.authentication import dkim, dmarc
from flute_server.domain.authentication.book import Answer, Book, Question, RecordType
from flute_server.domain.authentication.dmarc import DmarcError, Found, Policy, aligned, parse

RSA = base64.b64encode(bytes(162)).decode()
policies = st.sampled_from(["none", "quarantine", "reject"])
stated = st.builds(
    Policy, policies, policies, st.booleans(), st.booleans(), st.integers(0, 100), st.just("mailto:a@b")
)


def found(domain: str, **zone: str) -> Found:
    """zone: TXT records, by host with __ for a dot; all else is not there."""
    known = {host.replace("__", "."): (value,) for host, value in zone.items()}
    asked = [f"_dmarc.{domain}", f"_dmarc.{domain.partition('.')[2]}"]
    return dmarc.find(domain, Book({Question(at, RecordType.TXT): Answer(known.get(at, ())) for at in asked}))


@given(stated, st.sampled_from([";", "; ", " ; "]), st.booleans())
def test_what_is_written_is_read_back(policy: Policy, between: str, upper: bool):
    tags = [
        "v=DMARC1",
        f"p={policy.policy}",
        f"sp={policy.subdomains}",
        f"adkim={'rs'[policy.strict_dkim]}",
        f"aspf={'rs'[policy.strict_spf]}",
        f"pct={policy.percent}",
        "rua=mailto:a@b",
    ]
    text = between.join([tags[0], *(tag.upper() if upper and "rua" not in tag else tag for tag in tags[1:])])
    assert parse(text) == policy
    assert parse(text + ";") == policy


@given(
    st.text() | st.text(alphabet="; =psvadkimrejectnone1DMARC", max_size=40).map("v=DMARC1;p=none;".__add__)
)
def test_any_text_is_a_policy_or_an_error_in_words(text: str):
    with suppress(DmarcError):
        assert parse(text).policy in {"none", "quarantine", "reject"}


@pytest.mark.parametrize(("text", "why"), [
    ("v=DMARC2; p=none", "does not begin"), ("p=none; v=DMARC1", "does not begin"),
    ("v=DMARC1; rua=mailto:a@b", "no policy"), ("v=DMARC1; p=rejct", "p=rejct is none of"),
    ("v=DMARC1; p=none; adkim=x", "adkim=x"), ("v=DMARC1; p=none; pct=101", "pct=101"),
    ("v=DMARC1; p=none; hello", "'hello' is no tag"),
])  # fmt: skip
def test_what_receivers_pay_no_heed_to_is_told(text: str, why: str):
    with pytest.raises(DmarcError, match=why):
        parse(text)


def test_the_nearest_record_counts():
    at = found("mail.a.example", _dmarc__a__example="v=DMARC1; p=reject; sp=none")
    assert (at.host, at.domain, at.asks("mail.a.example"), at.asks("a.example")) == (
        "_dmarc.a.example", "a.example", "none", "reject",
    )  # fmt: skip
    own = {"_dmarc__mail__a__example": "v=DMARC1; p=quarantine", "_dmarc__a__example": "v=DMARC1; p=none"}
    assert found("mail.a.example", **own).asks("mail.a.example") == "quarantine"
    assert found("a.example") == Found("_dmarc.a.example", "a.example")


def test_what_is_misspelt_is_shown():
    at = found("a.example", _dmarc__a__example="v=dmarc1 p=none")
    assert (at.records, at.error) == (("v=dmarc1 p=none",), "it does not begin with v=DMARC1")


@pytest.mark.parametrize(("other", "strict", "counts"), [
    ("a.example", True, True), ("mg.a.example", True, False), ("mg.a.example", False, True),
    ("b.example", False, False), ("xa.example", False, False),
])  # fmt: skip
def test_relaxed_and_strict(other: str, strict: bool, counts: bool):
    assert aligned("a.example", other, strict=strict, organization="a.example") == counts


def test_siblings_below_the_policy_count_as_one():
    assert aligned("x.a.example", "y.a.example", strict=False, organization="a.example")
    assert not aligned("x.a.example", "y.a.example", strict=False, organization="x.a.example")
    assert aligned("x.a.example", "a.example", strict=False, organization="x.a.example")


@pytest.mark.parametrize(("text", "fault"), [
    (f"v=DKIM1; k=rsa; p={RSA}", ""), (f"p={RSA}", ""), (f"k=rsa;t=s;p={RSA[:40]} {RSA[40:]};", ""),
    (f"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(32)).decode()}", ""),
    ("v=DKIM1; p=", "revoked"), ("v=DKIM1; k=rsa", "holds no key"), (f"v=DKIM2; p={RSA}", "version"),
    (f"v=DKIM1; p={RSA[:50]}", "not base64"), (f"v=DKIM1; p={RSA[:80]}", "cut off"),
    (f"v=DKIM1; k=ed25519; p={RSA}", "not one of Ed25519"), (f"k=dsa; p={RSA}", "'dsa', is not known"),
])  # fmt: skip
def test_a_key_can_be_verified_with_or_the_fault_is_told(text: str, fault: str):
    told = dkim.fault(text)
    assert fault in told if fault else not told


@given(st.text())
def test_any_text_is_a_key_or_has_a_fault(text: str):
    assert isinstance(dkim.fault(text), str)
    assert not dkim.is_key("hello")
