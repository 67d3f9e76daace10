"""What every provider posts about its mails, through one suite: the sandbox posts, our readers read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flute_server.domain.event import ProviderEvent
from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.message import Address
from flute_server.domain.verdict import Action, classify
from flute_server.providers import registry
from flute_server.providers.base import Provider, Trace, WebhookRefused, WebhookRequest
from flute_server.sandbox import Sandbox
from flute_server.sandbox.receiver import Post, Receiver
from tests.contract.shared import FULL, SIMPLE, credentials, handoff, network

HTTP = [slug for slug, kind in registry.PROVIDERS.items() if kind.webhooks]
SIGNED = {"sendgrid"}  # over the whole body
TELLS_OF_ACCEPTANCE = {"sendgrid", "sparkpost", "mailgun"}
TELLS_OF_SUPPRESSION = TELLS_OF_ACCEPTANCE
ACTIONS = {"block": Action.FAILOVER, "bounce": Action.SUPPRESS, "defer": Action.RETRY}
DELIVERED = {
    "sendgrid": b'"delivered"',
    "postmark": b'"Delivery"',
    "sparkpost": b'"delivery"',
    "mailgun": b'"delivered"',
}
PASSWORD = "open sesame"


@pytest.fixture(params=HTTP)
def slug(request: pytest.FixtureRequest, sandbox: Sandbox) -> str:
    return str(request.param)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
def provider(slug: str, sandbox: Sandbox, receiver: Receiver) -> Iterator[Provider]:
    """Connected, and its webhook set up as a person would."""
    basic = {"username": "flute", "password": PASSWORD} if slug in {"postmark", "sparkpost"} else {}
    shown = sandbox.set_webhook(slug, receiver.url, **basic)
    connected = registry.connect(slug, credentials(slug, sandbox, **keys(slug, shown)), network())
    yield connected
    connected.close()


def keys(slug: str, shown: Mapping[str, Any]) -> dict[str, str]:
    if slug == "sendgrid":
        return {"webhook_public_key": str(shown["public_key"])}
    if slug == "mailgun":
        return {"webhook_signing_key": str(shown["signing_key"])}
    return {"webhook_password": PASSWORD}


def request(post: Post, body: bytes | None = None) -> WebhookRequest:
    headers = {name.lower(): value for name, value in post.headers.items()}
    return WebhookRequest(headers, post.body if body is None else body)


def events(provider: Provider, posts: list[Post]) -> list[ProviderEvent]:
    found = []
    for post in posts:
        provider.authenticate(request(post), datetime.now(UTC))
        found += provider.read_events(post.body)
    return found


def wait(provider: Provider, receiver: Receiver, count: int) -> list[ProviderEvent]:
    """That many events or more, each from an authenticated call."""
    receiver.wait(lambda posts: len(events(provider, posts)) >= count)
    return events(provider, list(receiver.posts))


@pytest.mark.parametrize(
    ("mode", "last"),
    [
        ("ok", Kind.DELIVERED),
        ("bounce", Kind.BOUNCED),
        ("block", Kind.BOUNCED),
        ("complain", Kind.COMPLAINED),
        ("suppress", Kind.DROPPED),
    ],
)
def test_what_becomes_of_a_mail_comes_back_with_our_ids(
    provider: Provider, receiver: Receiver, sandbox: Sandbox, mode: str, last: Kind
) -> None:
    if mode == "suppress" and provider.slug not in TELLS_OF_SUPPRESSION:
        return  # its answer to the send says so
    sandbox.set_mode(provider.slug, mode)
    result = provider.send(handoff(SIMPLE, email_id="email-7", attempt_id="attempt-9"))

    tells_of_acceptance = provider.slug in TELLS_OF_ACCEPTANCE and mode != "suppress"
    # Over two connections the last event may come first.
    expected = {last, Kind.ACCEPTED} if tells_of_acceptance else {last}
    receiver.wait(lambda posts: expected <= {event.kind for event in events(provider, posts)})

    found = events(provider, list(receiver.posts))
    for event in found:
        assert (event.email_id, event.attempt_id, event.recipient_id) == ("email-7", "attempt-9", "r1")
        assert event.recipient == "ada@example.com"
        assert event.provider_message_id == result.reply.provider_message_id
        assert abs(datetime.now(UTC) - event.time) < timedelta(minutes=1)
    kinds = {event.kind for event in found}
    assert Kind.OTHER not in kinds
    assert (Kind.ACCEPTED in kinds) is tells_of_acceptance


@pytest.mark.parametrize("domain", ["gmail.com", "outlook.com", "gmx.net", "example.com"])
@pytest.mark.parametrize("mode", ["block", "bounce", "defer"])
def test_the_classifier_understands_what_is_told(
    provider: Provider, receiver: Receiver, sandbox: Sandbox, mode: str, domain: str
) -> None:
    sandbox.set_mode(provider.slug, mode, seconds=0)
    provider.send(handoff(replace(SIMPLE, to=(Address(f"ada@{domain}"),))))

    failed = {Kind.BOUNCED, Kind.DEFERRED}
    receiver.wait(lambda posts: failed & {event.kind for event in events(provider, posts)})

    for event in events(provider, list(receiver.posts)):
        if event.kind in failed:
            assert event.diagnostic.provider == provider.slug
            assert event.diagnostic.destination == domain
            assert classify(event.diagnostic).action is ACTIONS[mode], event.diagnostic


@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        ("opened", Kind.OPENED),
        ("clicked", Kind.CLICKED),
        ("unsubscribed", Kind.UNSUBSCRIBED),
        ("complained", Kind.COMPLAINED),
        ("deferred", Kind.DEFERRED),
    ],
)
def test_what_recipients_do_is_understood(
    provider: Provider, receiver: Receiver, sandbox: Sandbox, kind: str, meant: Kind
) -> None:
    sandbox.set_mode(provider.slug, "silent")
    provider.send(handoff(SIMPLE, email_id="email-7"))

    sandbox.send_event(provider.slug, kind, flute_email="email-7")

    told = wait(provider, receiver, 1)
    assert [event.kind for event in told] == [meant]
    assert told[0].email_id == "email-7"


def test_recipients_are_told_apart(provider: Provider, receiver: Receiver) -> None:
    provider.send(handoff(FULL))

    def delivered(posts: list[Post]) -> set[str]:
        return {e.recipient for e in events(provider, posts) if e.kind is Kind.DELIVERED}

    receiver.wait(lambda posts: len(delivered(posts)) == 4)
    assert delivered(list(receiver.posts)) == {
        "ada@example.com",
        "bob@example.net",
        "cyd@example.org",
        "dan@xn--bcher-kva.example",
    }
    assert len({event.key for event in events(provider, list(receiver.posts))}) == len(
        events(provider, list(receiver.posts))
    )


def test_a_duplicate_has_the_same_key(provider: Provider, receiver: Receiver, sandbox: Sandbox) -> None:
    sandbox.set_mode(provider.slug, "bounce", duplicate_events=True, shuffle_events=True)
    provider.send(handoff(SIMPLE))
    count = 4 if provider.slug in TELLS_OF_ACCEPTANCE else 2

    keys = [event.key for event in wait(provider, receiver, count)]

    assert len(keys) == count
    assert sorted(keys) == sorted([*set(keys)] * 2)


def test_a_tampered_call_is_refused(provider: Provider, receiver: Receiver) -> None:
    provider.send(handoff(SIMPLE))
    post = receiver.wait(lambda posts: len(events(provider, posts)))[-1]
    now = datetime.now(UTC)
    other = b"".join((post.body[:-1], b" ", post.body[-1:]))

    if provider.slug in SIGNED:
        with pytest.raises(WebhookRefused, match="does not match"):
            provider.authenticate(request(post, other), now)
    if provider.slug == "mailgun":
        other = post.body.replace(b'"token"', b'"tokem"')
        with pytest.raises(WebhookRefused, match="does not match"):
            provider.authenticate(request(post, other), now)
        assert provider.webhook_token(post.body)
    if provider.slug in {"sendgrid", "mailgun"}:
        with pytest.raises(WebhookRefused, match="old"):
            provider.authenticate(request(post), now + timedelta(days=8))
    else:
        with pytest.raises(WebhookRefused):
            provider.authenticate(WebhookRequest({}, post.body), now)


def test_another_accounts_secret_is_refused(
    slug: str, provider: Provider, receiver: Receiver, sandbox: Sandbox
) -> None:
    provider.send(handoff(SIMPLE))
    post = receiver.wait(lambda posts: len(events(provider, posts)))[-1]
    none = registry.connect(slug, credentials(slug, sandbox), network())

    with pytest.raises(WebhookRefused, match="is not set") as refusal:
        none.authenticate(request(post), datetime.now(UTC))

    assert PASSWORD not in str(refusal.value)
    none.close()


def test_an_unknown_event_is_kept(provider: Provider, receiver: Receiver) -> None:
    provider.send(handoff(SIMPLE))
    delivered = receiver.wait(lambda posts: Kind.DELIVERED in {e.kind for e in events(provider, posts)})
    body = next(p.body for p in delivered if Kind.DELIVERED in {e.kind for e in provider.read_events(p.body)})

    found = provider.read_events(body.replace(DELIVERED[provider.slug], b'"teleported"'))

    unknown = [event for event in found if event.kind is Kind.OTHER]
    assert len(unknown) == 1
    assert "teleported" in str(unknown[0].raw)
    assert unknown[0].email_id == "email-1"


def test_a_look_up_tells_the_same_events(provider: Provider, receiver: Receiver) -> None:
    mail = handoff(SIMPLE)
    provider.send(mail)
    receiver.wait(lambda posts: Kind.DELIVERED in {event.kind for event in events(provider, posts)})
    found = provider.look_up(
        Trace(mail.attempt_id, mail.email_id, ("ada@example.com",), "", datetime.now(UTC))
    )
    # Events are posted apart, and one may overtake another.
    keys = {event.key for event in found.events}
    receiver.wait(lambda posts: keys <= {event.key for event in events(provider, posts)})
    told = {event.key: event for event in events(provider, list(receiver.posts))}

    for event in found.events:
        assert told[event.key].kind is event.kind
        assert told[event.key].diagnostic == event.diagnostic
