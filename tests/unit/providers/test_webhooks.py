"""What the readers of webhooks share, and what all of them withstand."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.event import ProviderEvent, ProviderEventKind
from flute_server.domain.verdict import classify
from flute_server.providers import (
    mailgun_events,
    postmark_events,
    registry,
    sendgrid_events,
    sparkpost_events,
)
from flute_server.providers.base import CredentialError, Network, Provider, WebhookMalformed, WebhookRefused
from flute_server.providers.base import WebhookRequest as Request
from flute_server.providers.webhooks import (
    MAX_BODY,
    MAX_DEPTH,
    MAX_EVENTS,
    MAX_PARTS,
    MAX_STRING,
    moment,
    parse,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CREDENTIALS = {
    "sendgrid": {"api_key": "k"},
    "postmark": {"server_token": "k", "webhook_password": "open sesame"},
    "sparkpost": {"api_key": "k", "webhook_password": "open sesame"},
    "mailgun": {"api_key": "k", "domain": "mg.example.org", "webhook_signing_key": "s"},
}
READERS = (sendgrid_events.read, postmark_events.read, sparkpost_events.read, mailgun_events.read)
# What the providers' own shapes look like from outside, around anything.
WRAPPERS = (
    lambda item: [item],
    lambda item: item,
    lambda item: [{"msys": {"message_event": item}}],
    lambda item: {"signature": {}, "event-data": item},
)


def one_of(words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(words.split())


NAMES = one_of(
    "event type timestamp email reason response status sg_event_id sg_message_id RecordType Type ID Email"
    " Recipient BouncedAt DeliveredAt Details Metadata MessageID SuppressSending rcpt_to rcpt_meta raw_reason"
    " bounce_class error_code event_id recipient id severity delivery-status user-variables message headers"
    " code flute_email reject"
)
WORDS = one_of(
    "bounce blocked dropped Bounce Transient SubscriptionChange out_of_band 70 25 failed old temporary"
    " 1772000000 1e400 99999999999 0 550 605 2026-02-25T06:00:00.1234567Z 9999-12-31T23:59:59-23:59 a@b.c"
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | WORDS
    | st.sampled_from(["\x00", "\ud800", "a\udfff@b", 10**400])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=6),
    max_leaves=20,
)


def connected(slug: str, **more: str) -> Provider:
    return registry.connect(slug, CREDENTIALS[slug] | more, Network())


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def leaves(value: Any, depth: int = 0) -> Iterator[tuple[Any, int]]:
    yield value, depth
    if isinstance(value, dict):
        for name, item in value.items():
            yield name, depth
            yield from leaves(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, depth + 1)


def check_storable(event: ProviderEvent) -> None:
    """As PostgreSQL takes it: text without NUL and surrogates, JSON without NaN."""
    diagnostic = event.diagnostic
    texts = [event.key, event.recipient, event.email_id, event.attempt_id, event.recipient_id]
    texts += [event.provider_message_id, diagnostic.text, diagnostic.provider_class, diagnostic.rhost]
    texts += [value for value, _ in leaves(dict(event.raw)) if isinstance(value, str)]
    for text in texts:
        assert "\x00" not in text
        assert len(text) <= MAX_STRING
        text.encode()
    json.dumps(event.raw, allow_nan=False)
    assert max(depth for _, depth in leaves(dict(event.raw))) <= MAX_DEPTH
    assert event.key
    assert event.time.tzinfo is not None
    classify(diagnostic)


@given(body=st.binary())
def test_any_bytes_are_events_or_malformed(body: bytes) -> None:
    for read in READERS:
        try:
            events = read(body)
        except WebhookMalformed:
            continue
        assert isinstance(events, list)


@given(item=JSON)
def test_any_json_in_the_providers_shape_reads_to_what_can_be_stored(item: Any) -> None:
    for wrap in WRAPPERS:
        body = json.dumps(wrap(item)).encode()
        for read in READERS:
            try:
                events = read(body)
            except WebhookMalformed:
                continue
            for event in events:
                check_storable(event)
            assert [event.key for event in read(body)] == [event.key for event in events]


@given(body=st.binary(), headers=st.dictionaries(st.sampled_from(["authorization", "x-other"]), st.text()))
def test_any_call_without_the_secret_is_refused(body: bytes, headers: dict[str, str]) -> None:
    for provider in ANY:
        with pytest.raises(WebhookRefused) as refusal:
            provider.authenticate(Request(headers, body), NOW)
        assert "open sesame" not in str(refusal.value)


ANY = [connected(slug) for slug in CREDENTIALS]


@pytest.mark.parametrize("read", READERS)
def test_large_deep_and_broken_bodies_are_malformed(read: Any) -> None:
    for body in (
        b"",
        b"[{",
        b'"text"',
        b"7",
        b"null",
        b"[" * 100_000,
        b'[{"event": ' + b"9" * 5000 + b"}]",
        b" " * 10_000_000,
        b"[" + b"{}," * (MAX_BODY // 3 + 1) + b"{}]",
        b'[{"a": [' + b"[]," * MAX_PARTS + b"0]}]",
    ):
        with pytest.raises(WebhookMalformed):
            read(body)


@pytest.mark.parametrize("read", [sendgrid_events.read, sparkpost_events.read])
def test_more_events_than_anybody_posts_are_malformed(read: Any) -> None:
    with pytest.raises(WebhookMalformed, match="10,001 events"):
        read(json.dumps([{"event": "x"}] * (MAX_EVENTS + 1)).encode())


def test_what_cannot_be_stored_is_taken_out() -> None:
    body = (
        rb'{"a\u0000": "x\u0000y\ud800z\ud83d\ude00", "n": [NaN, Infinity, 1e999, 1.5], "raw": "' + b'\x00"}'
    )

    assert parse(body) == {"a�": "x�y�z😀", "n": [None, None, None, 1.5], "raw": "�"}
    assert parse(b'\xef\xbb\xbf{"latin": "\xfc"}') == {"latin": "�"}


def test_long_texts_keep_both_ends_and_deep_ones_their_top() -> None:
    deep: Any = "bottom"
    for _ in range(50):
        deep = {"in": deep}

    parsed = parse(json.dumps({"text": "a" * 50_000 + "the end", "deep": deep}).encode())

    assert len(parsed["text"]) <= MAX_STRING
    assert parsed["text"].endswith("the end")
    assert max(depth for _, depth in leaves(parsed)) <= MAX_DEPTH


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (1772000000, datetime(2026, 2, 25, 6, 13, 20, tzinfo=UTC)),
        (1772000000.5, datetime(2026, 2, 25, 6, 13, 20, 500_000, tzinfo=UTC)),
        ("1772000000", datetime(2026, 2, 25, 6, 13, 20, tzinfo=UTC)),
        ("2026-02-25T06:13:20.1234567Z", datetime(2026, 2, 25, 6, 13, 20, 123_456, tzinfo=UTC)),
        ("2026-02-25T01:13:20-05:00", datetime(2026, 2, 25, 6, 13, 20, tzinfo=UTC)),
        ("2026-02-25T06:13:20", datetime(2026, 2, 25, 6, 13, 20, tzinfo=UTC)),
        (0, None),
        (99_999_999_999, None),
        (math.inf, None),
        ("soon", None),
        (None, None),
        (True, None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_moments(told: object, meant: datetime | None) -> None:
    assert moment(told) == meant


@pytest.mark.parametrize("slug", ["postmark", "sparkpost"])
def test_basic_authentication(slug: str) -> None:
    provider = connected(slug)

    provider.authenticate(Request(basic("flute", "open sesame"), b""), NOW)
    connected(slug, webhook_username="ü").authenticate(Request(basic("ü", "open sesame"), b""), NOW)

    for headers, says in (
        ({}, "no basic authentication"),
        (basic("flute", "wrong"), "is wrong"),
        (basic("other", "open sesame"), "is wrong"),
        ({"authorization": "Bearer x"}, "no basic authentication"),
        ({"authorization": "Basic %%%"}, "base64"),
        ({"authorization": "Basic \udcff"}, "base64"),
    ):
        with pytest.raises(WebhookRefused, match=says):
            provider.authenticate(Request(headers, b""), NOW)
    with pytest.raises(CredentialError, match="colon"):
        connected(slug, webhook_username="a:b")


@pytest.mark.parametrize(
    ("slug", "field"),
    [
        ("sendgrid", "webhook_public_key"),
        ("postmark", "webhook_password"),
        ("sparkpost", "webhook_password"),
        ("mailgun", "webhook_signing_key"),
    ],
)
def test_without_a_secret_the_refusal_says_which_field_to_set(slug: str, field: str) -> None:
    provider = connected(slug, **{field: ""})

    with pytest.raises(WebhookRefused, match=field):
        provider.authenticate(Request(basic("flute", ""), b"[]"), NOW)


def test_each_provider_says_how_to_set_its_webhook_up() -> None:
    for slug, kind in registry.PROVIDERS.items():
        assert kind.webhooks is (slug not in {"smtp", "simulator"})
        assert bool(kind.webhook_help) is kind.webhooks
        secret = [field.name for field in kind.fields if field.name in " ".join(kind.webhook_help)]
        assert secret or not kind.webhooks


def test_smtp_posts_nothing_and_cannot_be_asked() -> None:
    smtp = registry.connect("smtp", {"host": "mx.example.org"}, Network())

    with pytest.raises(WebhookRefused):
        smtp.authenticate(Request({}, b""), NOW)
    with pytest.raises(WebhookMalformed):
        smtp.read_events(b"{}")
    assert smtp.look_up_settles > timedelta(days=1000)


def test_an_event_without_a_time_is_of_now() -> None:
    before = datetime.now(UTC)

    event = sendgrid_events.read(b'[{"event": "new thing"}]')[0]

    assert before <= event.time <= datetime.now(UTC)
    assert event.kind is ProviderEventKind.OTHER
    assert event.raw == {"event": "new thing"}
