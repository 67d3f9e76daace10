"""web.api.query: whatever stands in an address, it is understood or refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from flute.v1.email_service_pb2 import ListEmailsRequest
from flute.v1.event_service_pb2 import ListEventsRequest
from hypothesis import given
from hypothesis import strategies as st

from web.api.query import Query
from web.errors import Problem

EMAILS = Query(ListEmailsRequest.DESCRIPTOR.fields)
EVENTS = Query(ListEventsRequest.DESCRIPTOR.fields)

# What UTF-8 can carry, without NUL.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.text(st.characters(max_codepoint=255)))
def test_anything_is_understood_or_refused(query: str) -> None:
    for parser in (EMAILS, EVENTS):
        with suppress(Problem):
            parser.parse(query)


@given(texts, st.dictionaries(texts, texts))
def test_any_text_comes_through(tag: str, metadata: dict[str, str]) -> None:
    pairs = {"tag": tag} | {f"metadata[{key}]": value for key, value in metadata.items()}
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs.items())
    found = ListEmailsRequest(**EMAILS.parse(query))
    assert found.tag == tag
    assert dict(found.metadata) == metadata


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0,"), min_size=1)))
def test_a_list_may_be_repeated_or_joined(types: list[str]) -> None:
    repeated = EVENTS.parse("&".join(f"types={quote(item)}" for item in types))
    joined = EVENTS.parse("types=" + ",".join(map(quote, types)))
    assert list(repeated.get("types", [])) == list(joined["types"]) == types


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_true_and_false(text: str, value: bool) -> None:
    assert EVENTS.parse(f"latest={text}") == {"latest": value}


@pytest.mark.parametrize("text", ["", "1", "True", "yes", "null"])
def test_nothing_else_is_true_or_false(text: str) -> None:
    assert problem(EVENTS, f"latest={text}") == [("latest", "wrong_type")]


def test_every_wrong_parameter_is_named_at_once() -> None:
    found = problem(EMAILS, "status=x&nothing=1&tag=a&tag=b&page_size=-&end_time=0")
    assert found == [
        ("status", "unknown_value"),
        ("nothing", "unknown_parameter"),
        ("tag", "repeated_parameter"),
        ("page_size", "wrong_type"),
        ("end_time", "invalid_time"),
    ]


def test_a_likely_name_is_suggested() -> None:
    with pytest.raises(Problem, match="malformed_query") as caught:
        EMAILS.parse("recipent=a")
    assert caught.value.errors[0].detail == "there is no such parameter; did you mean recipient?"
    assert caught.value.detail == f"recipent: {caught.value.errors[0].detail}"


def problem(query: Query, text: str) -> list[tuple[str, str]]:
    with pytest.raises(Problem) as caught:
        query.parse(text)
    found: list[Any] = [(error.parameter, error.code) for error in caught.value.errors]
    return found
