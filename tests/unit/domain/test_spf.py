"""SPF: the grammar, and where evaluating a record leads."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.authentication.book import Answer, Book, Question, RecordType
from flute_server.domain.authentication.spf import (
    SpfError,
    Term,
    Walk,
    is_spf,
    merged,
    parse,
    text_of,
    walk,
    with_includes,
)

hosts = st.from_regex(r"[a-z]{1,8}(\.[a-z]{2,5}){1,2}", fullmatch=True)
qualifiers = st.sampled_from("+-~?")
lengths = st.sampled_from(["", "/24", "//64", "/24//64"])
terms = st.one_of(
    st.builds(Term, st.just("all"), st.just(""), qualifiers),
    st.builds(Term, st.sampled_from(["include", "exists"]), hosts, qualifiers),
    st.builds(Term, st.sampled_from(["a", "mx"]), st.just("") | hosts, qualifiers, lengths),
    st.builds(Term, st.just("ptr"), st.just("") | hosts, qualifiers),
    st.builds(Term, st.just("ip4"), st.ip_addresses(v=4).map(str), qualifiers),
    st.builds(Term, st.just("ip6"), st.ip_addresses(v=6).map(lambda ip: f"{ip}/64"), qualifiers),
    st.builds(Term, st.sampled_from(["x-note", "exp"]), hosts),
)
records = st.lists(terms, max_size=8, unique_by=lambda term: term.name if not term.qualifier else str(term))


def book(**zone: str) -> Book:
    """TXT records by host, with _ for a dot."""
    return Book(
        {Question(host.replace("_", "."), RecordType.TXT): Answer((value,)) for host, value in zone.items()}
    )


def evaluated(record: str, **zone: str) -> Walk:
    return walk("a.example", parse(record), book(**zone))


@given(records)
def test_what_is_written_is_read_back(record: list[Term]):
    assert parse(text_of(record)) == tuple(record)
    assert parse(text_of(record).upper().replace("V=SPF1", "v=spf1")) is not None


@given(
    st.text()
    | st.text(alphabet="v=spf1 include:+all-~?ip4/0123456789.%{i}a", max_size=60).map("v=spf1 ".__add__)
)
def test_any_text_is_a_record_or_an_error_in_words(text: str):
    with suppress(SpfError):
        record = parse(text)
        assert is_spf(text)
        assert parse(text_of(record)) == record


@pytest.mark.parametrize("text", [
    "v=spf10 -all", "spf1 -all", "v=spf1 include:", "v=spf1 include", "v=spf1 all:x", "v=spf1 ip4:1.2.3",
    "v=spf1 ip4:::1", "v=spf1 ip6:1.2.3.4", "v=spf1 a/999x", "v=spf1 -al", "v=spf1 include:a.b/24",
    "v=spf1 redirect=a.b redirect=c.d", "v=spf1 redirect=", "v=spf1 a:", "v=spf1 ip4:10.0.0.0/33",
    "v=spf1 ünclude:a.b",
])  # fmt: skip
def test_what_receivers_could_not_read_is_refused(text: str):
    with pytest.raises(SpfError):
        parse(text)


@pytest.mark.parametrize("text", [
    "v=spf1", "V=SPF1 -ALL", "v=spf1 a mx -all", "v=spf1 a:b.example/24//64 ?all", "v=spf1  ip4:10.0.0.0/8",
    "v=spf1 exists:%{i}._spf.%{d2}", "v=spf1 include:_spf.google.com", "v=spf1 redirect=_spf.b.example",
    "v=spf1 some-thing=whatever/else -all", "v=spf1 mx/28 ~all",
])  # fmt: skip
def test_what_receivers_read_is_read(text: str):
    assert parse(text) is not None


def test_lookups_are_counted_through_all_includes():
    found = evaluated(
        "v=spf1 a mx include:b.example ip4:10.0.0.1 -all",
        b_example="v=spf1 include:c.example exists:x.example ~all",
        c_example="v=spf1 ip4:10.0.0.2 ?all",
    )
    assert (found.lookups, found.all, found.problems) == (5, "-", [])
    assert found.included == {"b.example", "c.example"}


def test_more_than_ten_are_too_many():
    zone = {f"h{n}_example": "v=spf1 a -all" for n in range(6)}
    record = "v=spf1 " + " ".join(f"include:h{n}.example" for n in range(6)) + " -all"
    [problem] = evaluated(record, **zone).problems
    assert problem == "evaluating it takes 12 DNS lookups, and receivers give up after 10"


def test_a_bomb_of_includes_ends_soon():
    record = "v=spf1 " + " ".join(f"include:h{n}.example" for n in range(10))
    zone = {f"h{n}_example": record for n in range(10)}
    found = evaluated(record, **zone)
    assert any("more than 30 DNS lookups" in problem for problem in found.problems)


def test_a_redirect_takes_the_place_of_the_record():
    zone = {"b_example": "v=spf1 include:c.example -all", "c_example": "v=spf1 ~all"}
    found = evaluated("v=spf1 redirect=b.example", **zone)
    assert (found.all, found.lookups, found.included) == ("-", 2, {"b.example", "c.example"})
    assert evaluated("v=spf1 redirect=b.example ~all", **zone).included == set()


@pytest.mark.parametrize(("zone", "problem"), [
    ({}, "not asked"),
    ({"b_example": "hello"}, "include:b.example leads to b.example, which has no SPF record"),
    ({"b_example": "v=spf1 ip4:x"}, "the SPF record of b.example: 'ip4:x' is no network"),
    ({"b_example": "v=spf1 include:a.example"}, "a.example includes itself"),
])  # fmt: skip
def test_what_an_include_leads_to_matters(zone: dict[str, str], problem: str):
    found = evaluated("v=spf1 include:b.example -all", **zone)
    assert found.unanswered == (not zone)
    assert found.problems == ([problem] if zone else [])


def test_a_walk_says_what_it_wants_to_know():
    empty = book()
    walk("a.example", parse("v=spf1 include:B.example. include:%{i}.x -all"), empty)
    assert empty.wanted == {Question("b.example", RecordType.TXT)}


@given(records, st.lists(hosts, max_size=3))
def test_includes_are_added_once_and_before_the_end(record: list[Term], new: list[str]):
    mended = with_includes(record, new)
    assert {term.value for term in mended if term.name == "include"} >= set(new)
    assert with_includes(mended, new) == mended
    ends = [n for n, term in enumerate(mended) if term.name == "all"]
    added = [n for n, term in enumerate(mended) if term.value in new and term not in record]
    assert not ends or all(n < ends[0] for n in added)


def test_several_records_become_one():
    two = [parse("v=spf1 a include:b.example -all"), parse("v=spf1 include:b.example mx ~all")]
    assert text_of(merged(two)) == "v=spf1 a include:b.example mx -all"
