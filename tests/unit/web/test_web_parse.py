"""web.api.parse: what it accepts, what it says about the rest, and that nothing else can happen."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from flute.v1.api_key_service_pb2 import (
    API_KEY_KIND_TEST,
    API_KEY_SCOPE_MANAGE,
    API_KEY_SCOPE_SEND,
    CreateApiKeyRequest,
)
from flute.v1.email_pb2 import EmailContent
from flute.v1.environment_service_pb2 import Environment
from flute.v1.suppression_service_pb2 import Suppression
from flute.v1.webhook_service_pb2 import ReplayWebhookDeliveriesRequest, RotateWebhookSecretRequest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from web.api.parse import MAX_PROBLEMS, MAX_VALUES, Parser, decode, string
from web.errors import Problem

PARSER = Parser(EmailContent.DESCRIPTOR, {"access_token": string})
FIELDS = [*EmailContent.DESCRIPTOR.fields_by_name, "access_token"]

EXAMPLE = {
    "access_token": "flute_secret",
    "subject": "Hello",
    "text": "Hi",
    "to": [{"email": "ada@example.com"}],
    "from": {"name": "Flute", "email": "hello@flutemail.io"},
}


def parse(body: Any) -> EmailContent:
    return EmailContent(**PARSER.parse(decode(json.dumps(body).encode()))[0])


def problems(body: Any) -> list[tuple[str, str]]:
    with pytest.raises(Problem) as caught:
        parse(body)
    assert caught.value.status == 400
    return [(error.pointer, error.code) for error in caught.value.errors]


def details(body: Any) -> str:
    with pytest.raises(Problem) as caught:
        parse(body)
    return " | ".join(error.detail for error in caught.value.errors)


def test_the_docs_example_becomes_a_message() -> None:
    fields, extra = PARSER.parse(decode(json.dumps(EXAMPLE).encode()))
    content = EmailContent(**fields)
    assert extra == {"access_token": "flute_secret"}
    assert content.subject == "Hello"
    assert getattr(content, "from").name == "Flute"
    assert [a.email for a in content.to] == ["ada@example.com"]


def test_every_kind_of_field_is_understood() -> None:
    content = parse(
        {
            "headers": {"X-A": "1", "": ""},
            "tags": ["a", "é", "😀"],
            "metadata": {},
            "track_opens": True,
            "attachments": [{"filename": "a", "content": base64.b64encode(b"\0\xff").decode()}],
        }
    )
    assert dict(content.headers) == {"X-A": "1", "": ""}
    assert list(content.tags) == ["a", "é", "😀"]
    assert content.track_opens
    assert content.attachments[0].content == b"\0\xff"


def test_null_is_absent_where_a_field_may_be_absent() -> None:
    assert parse({"subject": None, "to": None, "from": None, "headers": None}) == EmailContent()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"subjekt": "a"}, [("/subjekt", "unknown_field")]),
        ({"to": [{"email": "a", "nmae": "b"}]}, [("/to/0/nmae", "unknown_field")]),
        ({"subject": 5}, [("/subject", "wrong_type")]),
        ({"to": {"email": "a"}}, [("/to", "wrong_type")]),
        ({"to": ["a"]}, [("/to/0", "wrong_type")]),
        ({"to": [None]}, [("/to/0", "wrong_type")]),
        ({"from": "a@b"}, [("/from", "wrong_type")]),
        ({"track_opens": 1}, [("/track_opens", "wrong_type")]),
        ({"track_opens": "true"}, [("/track_opens", "wrong_type")]),
        ({"tags": [1, "a", True]}, [("/tags/0", "wrong_type"), ("/tags/2", "wrong_type")]),
        ({"headers": []}, [("/headers", "wrong_type")]),
        (
            {"metadata": {"a/b~c": 1, "d": None}},
            [("/metadata/a~1b~0c", "wrong_type"), ("/metadata/d", "wrong_type")],
        ),
        ({"attachments": [{"content": 1}]}, [("/attachments/0/content", "wrong_type")]),
        ({"attachments": [{"content": "a"}]}, [("/attachments/0/content", "invalid_base64")]),
        ({"subject": "a\0"}, [("/subject", "invalid_text")]),
        ({"subject": "é\0"}, [("/subject", "invalid_text")]),
        ({"subject": "\ud800"}, [("/subject", "invalid_text")]),
        ({"headers": {"\ud800": "a"}}, [("/headers/\ud800", "invalid_text")]),
        ({"access_token": 1}, [("/access_token", "wrong_type")]),
        ({"subject": 1e999}, [("/subject", "wrong_type")]),
    ],
)
def test_each_problem_is_pointed_at(body: Any, found: list[tuple[str, str]]) -> None:
    assert problems(body) == found


def test_a_problem_says_what_was_expected_and_what_came() -> None:
    assert details({"subject": 5}) == "expected a string, got a number"
    assert details({"to": "a"}) == "expected an array, got a string"
    assert (
        details({"from": [], "text": True})
        == "expected an object, got an array | expected a string, got true"
    )
    assert details({"subject": float("nan")}) == "expected a string, got NaN or Infinity"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("replyTo", "reply_to"), ("subjekt", "subject"), ("Html", "html"), ("acess_token", "access_token")],
)
def test_a_likely_name_is_suggested(given: str, meant: str) -> None:
    assert f"did you mean {meant}?" in details({given: "a"})


def test_all_names_are_told_where_none_is_near() -> None:
    assert details({"zzz": 1}) == f"there is no such field; there is {', '.join(FIELDS)}"


def test_values_are_never_repeated() -> None:
    secret = "flute_very-secret"
    body = {
        "to": secret,
        "access_token": [secret],
        "attachments": [{"content": secret}],
        "track_opens": secret,
    }
    with pytest.raises(Problem) as caught:
        parse(body)
    assert secret not in str(caught.value.errors) + caught.value.detail


def test_problems_are_collected_up_to_a_bound() -> None:
    assert len(problems({f"f{n}": 1 for n in range(MAX_PROBLEMS * 3)})) == MAX_PROBLEMS
    assert len(problems({"tags": [1] * MAX_PROBLEMS * 3})) == MAX_PROBLEMS


@pytest.mark.parametrize("text", ["QUJD", "QUI=", "QQ==", "", "QU\r\nJD\r\n", "\nQUJD"])
def test_base64_is_accepted_with_line_breaks(text: str) -> None:
    clean = text.replace("\r", "").replace("\n", "")
    assert parse({"attachments": [{"content": text}]}).attachments[0].content == base64.b64decode(clean)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("QQ", "padding"),
        ("QQ= =", "not base64"),
        ("QQ==QQ==", "not base64"),
        ("QU JD", "not base64"),
        ("ab-_", "URL-safe"),
        ("data:text/plain;base64,QUJD", "data:"),
        ("é", "not base64"),
        ("====", "not base64"),
    ],
)
def test_base64_is_otherwise_strict_and_says_why(text: str, advice: str) -> None:
    assert advice in details({"attachments": [{"content": text}]})


def decode_problem(body: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        PARSER.parse(decode(body))
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", "malformed_json", "line 1, column 1"),
        (b'{"a": 1,\n "b" 2}', "malformed_json", "line 2, column 6"),
        (b"{'a': 1}", "malformed_json", "line 1, column 2"),
        (b'{"a": 1} x', "malformed_json", "Extra data"),
        (b'{"subject": "\xff"}', "malformed_json", "byte 14"),
        (b'{"subject": "a\nb"}', "malformed_json", "control character"),
        ('{"a": 1}'.encode("utf-16"), "malformed_json", "UTF-8"),
        (b"[" * 100_000, "malformed_json", "deep"),
        (b'{"to":' * 100_000, "malformed_json", "deep"),
        (b"[]", "not_an_object", "an array"),
        (b"null", "not_an_object", "null"),
        (b"NaN", "not_an_object", "NaN"),
        (b"1" * 10_000, "not_an_object", "a number"),
        (b'{"tags": [' + b"[]," * MAX_VALUES + b"[]]}", "too_many_values", "more than"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, code: str, words: str) -> None:
    problem = decode_problem(body)
    assert problem.code == code
    assert words in problem.detail


def test_a_name_twice_is_an_error_with_a_pointer() -> None:
    problem = decode_problem(
        b'{"subject":"a","subject":"a","from":{"email":"x","name":"","email":"y"},"metadata":{"k":"","k":""}}'
    )
    assert [(e.pointer, e.code) for e in problem.errors] == [
        ("/subject", "duplicate_field"),
        ("/from/email", "duplicate_field"),
        ("/metadata/k", "duplicate_field"),
    ]


def test_huge_numbers_are_just_numbers() -> None:
    problem = decode_problem(b'{"subject": ' + b"9" * 10_000 + b"}")
    assert problem.errors[0].detail == "expected a string, got a number"


# ----- properties

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["QQ==", "a@b.c"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [field.name for field in EmailContent.DESCRIPTOR.fields] + ["email", "name", "content"]
            )
            | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


def message_or_problem(body: bytes) -> EmailContent | Problem:
    try:
        return EmailContent(**PARSER.parse(decode(body))[0])
    except Problem as problem:
        return problem


@given(JSON)
@settings(max_examples=400, deadline=None)
def test_any_json_is_a_message_or_a_problem(value: Any) -> None:
    result = message_or_problem(json.dumps(value).encode())
    if isinstance(result, EmailContent):
        assert result.SerializeToString() is not None
    else:
        assert result.status == 400
        assert result.code == "not_an_object" or 0 < len(result.errors) <= MAX_PROBLEMS


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_message_or_a_problem(body: bytes) -> None:
    result = message_or_problem(body)
    assert isinstance(result, EmailContent) or result.status == 400


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ADDRESS = st.fixed_dictionaries({"email": TEXT, "name": TEXT})
CONTENT = st.builds(
    EmailContent,
    subject=TEXT,
    text=TEXT,
    html=TEXT,
    to=st.lists(ADDRESS, max_size=3),
    cc=st.lists(ADDRESS, max_size=3),
    headers=st.dictionaries(TEXT, TEXT, max_size=3),
    metadata=st.dictionaries(TEXT, TEXT, max_size=3),
    tags=st.lists(TEXT, max_size=3),
    track_opens=st.booleans(),
    attachments=st.lists(st.fixed_dictionaries({"filename": TEXT, "content": st.binary()}), max_size=2),
)


@given(CONTENT, st.booleans())
@settings(deadline=None)
def test_a_message_survives_the_way_through_json(content: EmailContent, ascii_only: bool) -> None:
    text = json.dumps(MessageToDict(content, preserving_proto_field_name=True), ensure_ascii=ascii_only)
    assert EmailContent(**PARSER.parse(decode(text.encode()))[0]) == content


# ----- kinds that a mail does not have

WEBHOOK = Parser(ReplayWebhookDeliveriesRequest.DESCRIPTOR)
ROTATE = Parser(RotateWebhookSecretRequest.DESCRIPTOR)
KEY = Parser(CreateApiKeyRequest.DESCRIPTOR)
QUOTA = Parser(Environment.DESCRIPTOR)


def one_problem(parser: Parser, body: str) -> tuple[str, str, str]:
    with pytest.raises(Problem) as caught:
        parser.parse(decode(body.encode()))
    (error,) = caught.value.errors
    return error.pointer, error.code, error.detail


def test_enums_are_words() -> None:
    fields, _ = KEY.parse({"kind": "test", "scopes": ["send", "manage"]})
    assert fields == {"kind": API_KEY_KIND_TEST, "scopes": [API_KEY_SCOPE_SEND, API_KEY_SCOPE_MANAGE]}
    assert CreateApiKeyRequest(**fields).kind == API_KEY_KIND_TEST


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"kind": "Test"}', ("/kind", "unknown_value", "expected one of live, test")),
        ('{"kind": "unspecified"}', ("/kind", "unknown_value", "expected one of live, test")),
        ('{"kind": "API_KEY_KIND_TEST"}', ("/kind", "unknown_value", "expected one of live, test")),
        ('{"kind": 2}', ("/kind", "wrong_type", "expected one of live, test")),
        ('{"scopes": ["send", "x"]}', ("/scopes/1", "unknown_value", "expected one of send, read, manage")),
        (
            '{"rate_limit": {"per_second": 2147483648}}',
            ("/rate_limit/per_second", "out_of_range", "must be between -2147483648 and 2147483647"),
        ),
    ],
)  # fmt: skip
def test_words_and_numbers_that_cannot_be(body: str, found: tuple[str, str, str]) -> None:
    assert one_problem(KEY, body) == found


@pytest.mark.parametrize(
    ("value", "kind"),
    [("1.5", "a fraction"), ('"1"', "a string"), ("true", "true"), ("1e999", "a fraction"),
     ("NaN", "NaN or Infinity")],
)  # fmt: skip
def test_what_is_no_whole_number(value: str, kind: str) -> None:
    found = one_problem(KEY, f'{{"rate_limit": {{"burst": {value}}}}}')
    assert found == ("/rate_limit/burst", "wrong_type", f"expected a whole number, got {kind}")


def test_whole_numbers() -> None:
    fields, _ = KEY.parse(decode(b'{"rate_limit": {"per_second": 100000, "burst": 5.0}}'))
    assert fields == {"rate_limit": {"per_second": 100000, "burst": 5}}
    assert QUOTA.parse({"monthly_quota": 1 << 62})[0] == {"monthly_quota": 1 << 62}
    assert one_problem(QUOTA, f'{{"monthly_quota": {1 << 63}}}')[:2] == ("/monthly_quota", "out_of_range")
    assert one_problem(QUOTA, f'{{"monthly_quota": {"9" * 5000}}}')[0] == "/monthly_quota"


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [("0", 0), ("1", 10**9), ("0.25", 25 * 10**7), ("-1.5", -15 * 10**8), ("1e3", 10**12)],
)
def test_durations_are_seconds(seconds: str, nanos: int) -> None:
    fields, _ = ROTATE.parse(decode(f'{{"overlap_s": {seconds}}}'.encode()))
    assert fields["overlap"].ToNanoseconds() == nanos


@pytest.mark.parametrize(
    ("seconds", "code"),
    [('"5"', "wrong_type"), ("true", "wrong_type"), ("NaN", "wrong_type"), ("1e999", "out_of_range"),
     ("315576000001", "out_of_range")],
)  # fmt: skip
def test_durations_that_cannot_be(seconds: str, code: str) -> None:
    assert one_problem(ROTATE, f'{{"overlap_s": {seconds}}}')[:2] == ("/overlap_s", code)


def test_a_duration_is_not_known_by_the_contracts_name() -> None:
    assert one_problem(ROTATE, '{"overlap": 1}')[2] == "there is no such field; did you mean overlap_s?"


offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=offsets))  # noqa: DTZ001
def test_every_time_of_rfc_3339_is_understood(time: datetime) -> None:
    fields, _ = WEBHOOK.parse({"start_time": time.isoformat()})
    assert fields["start_time"].ToDatetime(UTC) == time


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-22", "2026-11-22T10:00:00", "2026-11-22 10:00:00Z", "2026-02-30T10:00:00Z",
     "2026-11-22T25:00:00Z", "2026-11-22T10:00:00+24:00", "2026-11-22T10:00:00.1234567890Z",
     "\uff12026-11-22T10:00:00Z", "0001-01-01T00:00:00+01:00", "2026-11-22T10:00:00Z\n"],
)  # fmt: skip
def test_times_that_are_none(text: str) -> None:
    assert one_problem(WEBHOOK, json.dumps({"start_time": text}))[:2] == ("/start_time", "invalid_time")


def test_fields_that_callers_cannot_give_do_not_exist() -> None:
    parser = Parser(Suppression.DESCRIPTOR)
    for name in ("id", "account_id", "create_time"):
        assert one_problem(parser, f'{{"{name}": "x"}}')[:2] == (f"/{name}", "unknown_field")
