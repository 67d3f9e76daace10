"""One suite for every provider, against the sandbox: adding a provider is one file and one row of FACTS."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from flute_server.domain.message import Address, Attachment, Handoff
from flute_server.domain.outcome import ErrorKind, SendResult
from flute_server.providers import registry
from flute_server.providers.base import Provider
from flute_server.sandbox import Sandbox
from tests.contract.shared import (
    FULL,
    PNG,
    SIMPLE,
    credentials,
    handoff,
    merged,
    network,
    only,
)


@dataclass(frozen=True)
class Facts:
    """What differs: the kind of a 500, how many tags arrive, what is told apart."""

    server_error: ErrorKind = ErrorKind.SERVER
    tags: int = 0
    copies_of_their_own: bool = False  # a call with several `to` and nothing else shows each only itself
    separates_recipients: bool = False
    tracking: bool = True
    forbidden_header: str = "Subject"


FACTS = {
    "sendgrid": Facts(tags=4, forbidden_header="X-SG-ID"),
    "postmark": Facts(tags=1),
    "sparkpost": Facts(
        tags=1, copies_of_their_own=True, separates_recipients=True, forbidden_header="List-Unsubscribe"
    ),
    "mailgun": Facts(server_error=ErrorKind.AMBIGUOUS, tags=3),
    "smtp": Facts(separates_recipients=True, tracking=False, forbidden_header="Message-ID"),
}


@pytest.fixture
def facts(slug: str) -> Facts:
    return FACTS[slug]


def kinds(result: SendResult, full: Handoff) -> dict[str, ErrorKind | None]:
    return {r.id: result.of(r.id).kind for r in full.recipients}


def emails(people: list[dict[str, str]]) -> set[str]:
    return {person["email"] for person in people}


def test_every_provider_has_its_facts() -> None:
    assert set(FACTS) == {slug for slug, kind in registry.PROVIDERS.items() if not kind.simulated}
    assert all(kind.slug == slug for slug, kind in registry.PROVIDERS.items())


def test_all_fields_arrive_as_sent(provider: Provider, facts: Facts, sandbox: Sandbox) -> None:
    full = handoff(FULL)
    assert provider.objections(full) == ()

    result = provider.send(full)

    assert set(kinds(result, full).values()) == {None}
    assert result.reply.provider_message_id
    mail = merged(sandbox.inbox(provider=provider.slug, content=1))
    assert mail["from"] == {"email": "news@flutemail.io", "name": "Jürgen, Weiß"}
    assert mail["recipients"] == {
        "ada@example.com",
        "bob@example.net",
        "cyd@example.org",
        "dan@xn--bcher-kva.example",
    }
    assert emails(mail["to"]) == {"ada@example.com", "bob@example.net"}
    assert {"email": "ada@example.com", "name": "Ada Lövelace"} in mail["to"]
    assert [a["email"] for a in mail["cc"]] == ["cyd@example.org"]
    assert "dan" not in str(mail["to"]) + str(mail["cc"]) + str(mail["headers"])
    assert [a["email"] for a in mail["reply_to"]] == ["help@flutemail.io", "ops@flutemail.io"]
    assert mail["reply_to"][0]["name"] == "Hilfe ☂"
    assert mail["subject"] == FULL.subject
    assert mail["text"].replace("\r\n", "\n") == FULL.text
    assert mail["html"].replace("\r\n", "\n") == FULL.html
    assert {name: mail["headers"].get(name) for name, _ in FULL.headers} == dict(FULL.headers)
    assert list(mail["tags"]) == list(FULL.tags[: facts.tags])
    assert "stays in Flute" not in str(mail)


def test_attachments_and_inline_images_arrive_octet_for_octet(provider: Provider, sandbox: Sandbox) -> None:
    provider.send(handoff(FULL))

    parts = {
        a["content_id"]: a for a in merged(sandbox.inbox(provider=provider.slug, content=1))["attachments"]
    }

    assert {cid: (a["content_type"], a["size"]) for cid, a in parts.items()} == {
        "": ("application/pdf", len(FULL.attachments[0].content)),
        "logo1": ("image/png", len(PNG)),
    }
    assert parts[""]["filename"] == "Größe.pdf"


def test_our_ids_come_back_with_what_the_provider_received(provider: Provider, sandbox: Sandbox) -> None:
    provider.send(handoff(SIMPLE, email_id="email-7", attempt_id="attempt-9"))

    mail = sandbox.inbox(provider=provider.slug)[0]

    if provider.slug == "smtp":
        assert mail["headers"]["X-Flute-Id"] == "email-7"
    else:
        assert mail["metadata"] == {
            "flute_email": "email-7",
            "flute_attempt": "attempt-9",
            "flute_recipient": "r1",
        }


def test_a_failover_goes_to_the_remaining_recipients_only(
    provider: Provider, facts: Facts, sandbox: Sandbox
) -> None:
    full = handoff(FULL)

    result = provider.send(only(full, "r2"))

    assert result.of("r2").accepted
    mail = merged(sandbox.inbox(provider=provider.slug))
    assert mail["recipients"] == {"bob@example.net"}
    shown = emails(mail["to"])
    assert shown == (
        {"ada@example.com", "bob@example.net"} if facts.separates_recipients else {"bob@example.net"}
    )


@pytest.mark.parametrize("left", [("r3",), ("r4",), ("r3", "r4")])
def test_carbon_copies_alone_are_accepted(
    provider: Provider, sandbox: Sandbox, left: tuple[str, ...]
) -> None:
    full = handoff(FULL)

    result = provider.send(only(full, *left))

    assert all(result.of(recipient).accepted for recipient in left)
    wanted = {"r3": "cyd@example.org", "r4": "dan@xn--bcher-kva.example"}
    received = merged(sandbox.inbox(provider=provider.slug))["recipients"]
    assert received == {wanted[recipient] for recipient in left}


def test_blind_copies_alone_do_not_see_each_other(provider: Provider, facts: Facts, sandbox: Sandbox) -> None:
    hidden = replace(SIMPLE, to=(), bcc=(Address("eve@example.com"), Address("fay@example.com")))

    result = provider.send(handoff(hidden))

    assert result.reply.accepted
    for mail in sandbox.inbox(provider=provider.slug):
        assert facts.copies_of_their_own or len(emails(mail["to"] + mail["cc"])) <= 1
    assert merged(sandbox.inbox(provider=provider.slug))["recipients"] == {
        "eve@example.com",
        "fay@example.com",
    }


def test_one_body_is_enough_and_an_address_may_be_named_twice(provider: Provider, sandbox: Sandbox) -> None:
    bare = replace(
        SIMPLE,
        to=(Address("ada@example.com"),),
        cc=(Address("Ada@example.com"),),
        subject="",
        html="",
        sender=Address("a@flutemail.io"),
    )

    result = provider.send(handoff(bare))

    assert result.of("r1").accepted
    assert result.of("r2").accepted
    assert merged(sandbox.inbox(provider=provider.slug))["text"].strip() == "hi there"


def test_a_provider_that_is_down_was_certainly_not_sent_to(provider: Provider, sandbox: Sandbox) -> None:
    sandbox.set_mode(provider.slug, "down")

    result = provider.send(handoff(SIMPLE))

    assert result.reply.kind is ErrorKind.UNREACHABLE
    assert "127.0.0.1" in result.reply.text


def test_it_recovers_on_kept_connections(provider: Provider, sandbox: Sandbox) -> None:
    assert provider.send(handoff(SIMPLE)).reply.accepted
    sandbox.set_mode(provider.slug, "down")
    # The first call may cross with the end of the kept connection, which nobody can tell from a lost answer.
    assert provider.send(handoff(SIMPLE)).reply.kind in {ErrorKind.UNREACHABLE, ErrorKind.AMBIGUOUS}
    assert provider.send(handoff(SIMPLE)).reply.kind is ErrorKind.UNREACHABLE
    sandbox.set_mode(provider.slug, "ok")

    assert provider.send(handoff(SIMPLE)).reply.accepted


def test_server_errors(provider: Provider, facts: Facts, sandbox: Sandbox) -> None:
    sandbox.set_mode(provider.slug, "error")

    reply = provider.send(handoff(SIMPLE)).reply

    assert reply.kind is facts.server_error
    assert reply.status in {"500", "503", "421"}
    assert reply.text


def test_rate_limits_say_how_long_to_wait(provider: Provider, sandbox: Sandbox) -> None:
    settings = {} if provider.slug == "smtp" else {"retry_after": 7}
    sandbox.set_mode(provider.slug, "rate_limited", **settings)

    reply = provider.send(handoff(SIMPLE)).reply

    assert reply.kind is ErrorKind.RATE
    assert reply.retry_after == (None if provider.slug == "smtp" else 7)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("unauthorized", ErrorKind.AUTH),
        ("quota", ErrorKind.QUOTA),
        ("sender_unverified", ErrorKind.SENDER),
        ("reject_message", ErrorKind.MESSAGE),
        ("reject_recipient", ErrorKind.RECIPIENT),
    ],
)
def test_refusals_say_whose_fault_it_is(
    provider: Provider, sandbox: Sandbox, mode: str, kind: ErrorKind
) -> None:
    sandbox.set_mode(provider.slug, mode)

    reply = provider.send(handoff(SIMPLE)).of("r1")

    assert reply.kind is kind
    assert reply.status
    assert reply.text
    assert sandbox.count(provider=provider.slug) == 0


def test_one_refused_address_blames_no_other(provider: Provider, facts: Facts, sandbox: Sandbox) -> None:
    full = handoff(FULL)
    sandbox.set_mode(provider.slug, "reject_recipient", domains=["example.net"])

    result = provider.send(full)

    found = kinds(result, full)
    assert found.pop("r2") is ErrorKind.RECIPIENT
    taken = sandbox.count(provider=provider.slug) > 0
    assert set(found.values()) == ({None} if taken else {ErrorKind.REQUEST})
    assert taken is facts.separates_recipients


@pytest.mark.parametrize("mode", ["drop_answer", "hang"])
def test_no_answer_after_the_mail_left_is_ambiguous(slug: str, sandbox: Sandbox, mode: str) -> None:
    provider = registry.connect(slug, credentials(slug, sandbox), network(read_timeout_s=1.0))
    sandbox.set_mode(slug, mode)

    result = provider.send(handoff(SIMPLE))

    assert result.reply.kind is ErrorKind.AMBIGUOUS
    assert sandbox.count(provider=slug) == 1
    sandbox.set_mode(slug, "ok")
    assert provider.send(handoff(SIMPLE)).reply.accepted
    provider.close()


def test_slow_within_the_deadline_is_accepted_and_beyond_it_ambiguous(slug: str, sandbox: Sandbox) -> None:
    sandbox.set_mode(slug, "slow", seconds=1)
    patient = registry.connect(slug, credentials(slug, sandbox), network())
    hasty = registry.connect(slug, credentials(slug, sandbox), network(read_timeout_s=0.3))

    assert patient.send(handoff(SIMPLE)).reply.accepted
    assert hasty.send(handoff(SIMPLE)).reply.kind is ErrorKind.AMBIGUOUS
    patient.close()
    hasty.close()


def test_a_reset_connection_is_an_outcome_and_no_exception(provider: Provider, sandbox: Sandbox) -> None:
    sandbox.set_mode(provider.slug, "reset")

    kind = provider.send(handoff(SIMPLE)).reply.kind

    assert kind in {ErrorKind.UNREACHABLE, ErrorKind.AMBIGUOUS}
    assert sandbox.count(provider=provider.slug) == 0


def test_a_header_that_it_cannot_carry_is_an_objection(provider: Provider, facts: Facts) -> None:
    mail = replace(SIMPLE, headers=((facts.forbidden_header, "x"),))

    assert facts.forbidden_header in " ".join(provider.objections(handoff(mail)))
    assert provider.objections(handoff(SIMPLE)) == ()


def test_size_and_number_of_recipients_are_objections(provider: Provider) -> None:
    limits = provider.capabilities
    big = replace(SIMPLE, attachments=(Attachment("a", bytes(limits.max_bytes), "application/octet-stream"),))
    many = replace(SIMPLE, to=tuple(Address(f"u{n}@example.com") for n in range(limits.max_recipients + 1)))

    assert "bytes" in provider.objections(handoff(big))[0]
    assert "recipients" in provider.objections(handoff(many))[0]


def test_tracking_is_switched_as_asked_or_objected_to(
    provider: Provider, facts: Facts, sandbox: Sandbox
) -> None:
    tracked = handoff(replace(SIMPLE, track_opens=True, track_clicks=True))

    if facts.tracking:
        assert provider.objections(tracked) == ()
        assert provider.send(tracked).reply.accepted
    else:
        assert "track" in provider.objections(tracked)[0]


def test_a_private_address_is_refused_unless_the_operator_allows_it(slug: str, sandbox: Sandbox) -> None:
    careful = registry.connect(slug, credentials(slug, sandbox), network(allow_private=False))

    reply = careful.send(handoff(SIMPLE)).reply

    assert reply.kind is ErrorKind.UNREACHABLE
    assert "FLUTE_ALLOW_PRIVATE_ADDRESSES=1" in reply.text
    assert sandbox.calls(slug)["calls"] == 0
    careful.close()


def test_many_threads_share_one_connection_pool(provider: Provider, sandbox: Sandbox) -> None:
    def send(number: int) -> bool:
        return provider.send(handoff(SIMPLE, email_id=f"email-{number}")).reply.accepted

    with ThreadPoolExecutor(32) as threads:
        assert all(threads.map(send, range(200)))

    assert sandbox.count(provider=provider.slug) == 200
