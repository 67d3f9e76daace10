"""Did the provider take a mail whose answer was lost? Asked of every provider, against the sandbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.message import Handoff
from flute_server.domain.outcome import ErrorKind
from flute_server.providers import registry
from flute_server.providers.base import Provider, Trace
from flute_server.sandbox import Sandbox
from tests.contract.shared import FULL, SIMPLE, credentials, handoff, network, secrets

CAN = {"postmark", "sparkpost", "mailgun"}
TELLS_EVENTS = {"sparkpost", "mailgun"}


def trace(mail: Handoff, *, age: timedelta = timedelta(0), message_id: str = "") -> Trace:
    return Trace(
        attempt_id=mail.attempt_id,
        email_id=mail.email_id,
        recipients=tuple(recipient.address.email for recipient in mail.recipients),
        subject=mail.message.subject,
        start_time=datetime.now(UTC) - age,
        provider_message_id=message_id,
    )


@pytest.mark.parametrize("message", [SIMPLE, FULL])
@pytest.mark.parametrize("mode", ["drop_answer", "hang"])
def test_a_mail_whose_answer_was_lost_is_found(
    slug: str, sandbox: Sandbox, mode: str, message: object
) -> None:
    provider = registry.connect(slug, credentials(slug, sandbox), network())
    hasty = registry.connect(slug, credentials(slug, sandbox), network(read_timeout_s=1.0))
    lost = handoff(FULL if message is FULL else SIMPLE, attempt_id="attempt-lost")
    wanted = trace(lost)
    provider.send(handoff(SIMPLE, attempt_id="attempt-before"))
    sandbox.set_mode(slug, mode)
    assert hasty.send(lost).reply.kind is ErrorKind.AMBIGUOUS
    hasty.close()
    sandbox.set_mode(slug, "ok")
    provider.send(handoff(SIMPLE, attempt_id="attempt-after"))

    found = provider.look_up(wanted)

    assert found.found is (True if slug in CAN else None), found.text
    assert bool(found.provider_message_id) is (slug in CAN)
    assert {event.attempt_id for event in found.events} <= {"attempt-lost"}
    if slug in TELLS_EVENTS:
        assert {event.kind for event in found.events} >= {Kind.ACCEPTED}
        assert {event.recipient.lower() for event in found.events} >= {"ada@example.com"}
        assert len({event.key for event in found.events}) == len(found.events)
    provider.close()


def test_a_mail_that_never_arrived_is_not_found(provider: Provider, sandbox: Sandbox) -> None:
    provider.send(handoff(SIMPLE, attempt_id="attempt-1"))
    sandbox.set_mode(provider.slug, "reset")
    lost = handoff(SIMPLE, attempt_id="attempt-2")
    assert not provider.send(lost).reply.accepted
    sandbox.set_mode(provider.slug, "ok")

    found = provider.look_up(trace(lost))

    assert found.found is (False if provider.slug in CAN else None), found.text
    assert found.events == ()
    assert found.text


def test_a_known_id_finds_the_mail_too(provider: Provider) -> None:
    mail = handoff(SIMPLE)
    message_id = provider.send(mail).reply.provider_message_id

    found = provider.look_up(trace(mail, message_id=message_id))

    assert found.found is (True if provider.slug in CAN else None), found.text
    assert found.provider_message_id == (message_id if provider.slug in CAN else "")


def test_a_mail_of_long_ago_may_be_forgotten(provider: Provider) -> None:
    assert provider.look_up(trace(handoff(SIMPLE), age=timedelta(days=400))).found is None


def test_without_recipients_nothing_is_taken_for_absent_by_mistake(provider: Provider) -> None:
    nobody = Trace("attempt-9", "email-9", (), "Hello", datetime.now(UTC))

    assert provider.look_up(nobody).found is (False if provider.slug == "postmark" else None)


@pytest.mark.parametrize("mode", ["down", "reset", "error", "rate_limited", "unauthorized"])
def test_a_provider_in_trouble_cannot_tell(provider: Provider, sandbox: Sandbox, mode: str) -> None:
    provider.send(handoff(SIMPLE))
    sandbox.set_mode(provider.slug, mode)

    found = provider.look_up(trace(handoff(SIMPLE)))

    assert found.found is None
    assert found.text
    assert not [secret for secret in secrets(provider) if secret in found.text]


def test_how_long_absence_proves_nothing_is_said(provider: Provider) -> None:
    settles = provider.look_up_settles

    assert (timedelta(0) < settles <= timedelta(hours=1)) is (provider.slug in CAN)
