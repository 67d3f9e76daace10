"""One suite for every provider, against the sandbox: adding a provider is one file and one row of FACTS."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from flute_server.domain.message import Address, Attachment, Handoff, Message, Recipient, RecipientKind
from flute_server.domain.outcome import ErrorKind, SendResult
from flute_server.providers import registry
from flute_server.providers.base import CredentialError, Network, Provider
from flute_server.sandbox import Sandbox, start

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


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


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture(params=list(registry.PROVIDERS))
def slug(request: pytest.FixtureRequest, sandbox: Sandbox) -> str:
    sandbox.reset()
    return str(request.param)


@pytest.fixture
def facts(slug: str) -> Facts:
    return FACTS[slug]


@pytest.fixture
def provider(slug: str, sandbox: Sandbox) -> Iterator[Provider]:
    connected = registry.connect(slug, credentials(slug, sandbox), network())
    yield connected
    connected.close()


def network(*, read_timeout_s: float = 10.0, allow_private: bool = True) -> Network:
    return Network(connect_timeout_s=2.0, read_timeout_s=read_timeout_s, allow_private=allow_private)


def credentials(slug: str, sandbox: Sandbox, **changed: str) -> dict[str, str]:
    own = sandbox.credentials(slug)
    if slug == "smtp":
        host, port = sandbox.address(slug)
        own |= {"host": host, "port": str(port), "security": "none"}
    else:
        own["base_url"] = sandbox.base_url(slug)
    return own | changed


def secrets(provider: Provider) -> list[str]:
    return [provider.credentials[field.name] for field in provider.fields if field.secret]


def handoff(message: Message, *, email_id: str = "email-1", attempt_id: str = "attempt-1") -> Handoff:
    """Everybody named in the message, with ids r1, r2, ..."""
    people = [
        *((a, RecipientKind.TO) for a in message.to),
        *((a, RecipientKind.CC) for a in message.cc),
        *((a, RecipientKind.BCC) for a in message.bcc),
    ]
    return Handoff(
        email_id, attempt_id, message, tuple(Recipient(f"r{n}", a, k) for n, (a, k) in enumerate(people, 1))
    )


def only(full: Handoff, *ids: str) -> Handoff:
    return replace(full, recipients=tuple(r for r in full.recipients if r.id in ids))


SIMPLE = Message(
    sender=Address("news@flutemail.io", "Flute News"),
    to=(Address("ada@example.com", "Ada"),),
    subject="Hello",
    text="hi there\n",
    html="<p>hi <b>there</b></p>\n",
)
FULL = Message(
    sender=Address("news@flutemail.io", "Jürgen, Weiß"),
    to=(Address("ada@example.com", "Ada Lövelace"), Address("bob@example.net")),
    cc=(Address("cyd@example.org", 'Cyd "C; D" Day'),),
    bcc=(Address("dan@bücher.example"),),
    reply_to=(Address("help@flutemail.io", "Hilfe ☂"), Address("ops@flutemail.io")),
    subject="Grüße aus dem Zürichsee: ☂ " + "und noch ein langer Betreff " * 4 + "Ende",
    text="Zeile eins\n.ein Punkt\nüber ☂\n",
    html='<p>über ☂ <img src="cid:logo1"></p>\n',
    headers=(("X-Campaign", "7"), ("X-Note", "naïve ☂")),
    attachments=(
        Attachment("Größe.pdf", b"%PDF-1.4 not really", "application/pdf"),
        Attachment("logo.png", PNG, "image/png", "logo1"),
    ),
    tags=("welcome", "first", "second", "third"),
    metadata={"order": "stays in Flute"},
)


def kinds(result: SendResult, full: Handoff) -> dict[str, ErrorKind | None]:
    return {r.id: result.of(r.id).kind for r in full.recipients}


def emails(people: list[dict[str, str]]) -> set[str]:
    return {person["email"] for person in people}


def test_every_provider_has_its_facts() -> None:
    assert set(FACTS) == set(registry.PROVIDERS)
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


def merged(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """A provider may play one mail per recipient or one for all; a reader sees one mail either way."""
    assert entries
    mail = dict(entries[0])
    mail["recipients"] = {r for entry in entries for r in entry["envelope"]["recipients"]}
    return mail


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
    if provider.slug == "mailgun":
        pytest.skip("the sandbox does not play recipient-variables; see tests/unit/providers/test_mailgun.py")
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
    provider = registry.connect(slug, credentials(slug, sandbox), network(read_timeout_s=0.5))
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


def test_good_credentials_check_out_and_send_nothing(provider: Provider, sandbox: Sandbox) -> None:
    checked = provider.check()

    assert checked.ok, checked.text
    assert sandbox.count(provider=provider.slug) == 0


def test_bad_credentials_are_told_without_repeating_them(slug: str, sandbox: Sandbox) -> None:
    kind = registry.PROVIDERS[slug]
    secret = next(field.name for field in kind.fields if field.secret)
    wrong = registry.connect(slug, credentials(slug, sandbox, **{secret: "wr0ng-s3cret"}), network())

    checked = wrong.check()
    reply = wrong.send(handoff(SIMPLE)).reply

    assert not checked.ok
    assert reply.kind is ErrorKind.AUTH
    assert "wr0ng" not in checked.text + reply.text
    wrong.close()


def test_an_unreachable_provider_fails_the_check(provider: Provider, sandbox: Sandbox) -> None:
    sandbox.set_mode(provider.slug, "down")

    assert not provider.check().ok


def test_secrets_show_nowhere(provider: Provider, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen = [repr(provider), str(provider), repr(vars(provider).get("_server"))]
    for mode in ("ok", "error", "unauthorized", "rate_limited", "down"):
        sandbox.set_mode(provider.slug, mode)
        seen += [repr(provider.send(handoff(SIMPLE))), repr(provider.check())]

    text = "\n".join([*seen, caplog.text])

    assert not [secret for secret in secrets(provider) if secret in text]


def test_a_secret_that_the_provider_repeats_is_taken_out(slug: str, sandbox: Sandbox) -> None:
    kind = registry.PROVIDERS[slug]
    values = {field.name: "s3cr3t" for field in kind.fields if field.secret}
    with EchoServer() as port:
        own = credentials(slug, sandbox, **values)
        own |= {"port": str(port)} if slug == "smtp" else {"base_url": f"http://127.0.0.1:{port}"}
        provider = registry.connect(slug, own, network(read_timeout_s=2.0))
        reply = provider.send(handoff(SIMPLE)).reply
        provider.close()

    assert not reply.accepted
    assert "s3cr3t" not in repr(reply)
    assert "[secret]" in reply.text


class EchoServer:
    """Answers any call with an error that repeats a secret, in HTTP and SMTP words alike."""

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(0.2)
            try:
                spoke = connection.recv(65536)
            except TimeoutError:
                spoke = b""
            if spoke:
                said = {"message": "no s3cr3t", "Message": "no s3cr3t", "ErrorCode": 300}
                body = json.dumps(said | {"errors": [said]}).encode()
                head = b"HTTP/1.1 422 No\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
                connection.sendall(head + body)
            else:
                connection.sendall(b"554 go away, s3cr3t\r\n")


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


def test_unknown_or_missing_credentials_name_the_field(slug: str, sandbox: Sandbox) -> None:
    good = credentials(slug, sandbox)
    required = next(field.name for field in registry.PROVIDERS[slug].fields if field.required)

    with pytest.raises(CredentialError) as unknown:
        registry.connect(slug, {**good, "colour": "red"}, network())
    with pytest.raises(CredentialError) as missing:
        registry.connect(slug, {**good, required: ""}, network())

    assert unknown.value.field == "colour"
    assert missing.value.field == required


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
