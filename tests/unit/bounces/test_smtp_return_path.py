"""How the SMTP provider asks for bounces: a signed return path, and reports where the server offers them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flute_server.domain.message import Address, Handoff
from flute_server.domain.verp import read_return_path
from flute_server.providers.base import CredentialError, Network
from flute_server.providers.smtp import Smtp
from tests.unit.bounces.samples import ATTEMPT, SECRET
from tests.unit.providers.calls import SIMPLE, handoff
from tests.unit.providers.test_smtp import Script, running

TWO = replace(SIMPLE, cc=(Address("bob+x@example.com"),))


def mail(*, two: bool = False) -> Handoff:
    plain = handoff(TWO if two else SIMPLE)
    recipients = tuple(replace(r, id=r.id.removeprefix("r")) for r in plain.recipients)
    return replace(plain, attempt_id=ATTEMPT, recipients=recipients)


def said(
    call: Handoff, *extensions: str, domain: str = "bounces.example.org", secret: bytes = SECRET
) -> list[str]:
    """What the server heard at MAIL and RCPT."""
    script = Script(extensions=extensions)
    with running(script) as server:
        given = {"host": "127.0.0.1", "port": str(server.port), "security": "none", "bounce_domain": domain}
        provider = Smtp(given, Network(allow_private=True, bounce_secret=secret))
        assert provider.send(call).reply.accepted
        provider.close()
    return [line for line in script.seen if line.startswith(("MAIL", "RCPT"))]


def sender(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


def test_one_recipient_is_named_in_the_return_path():
    (from_, to) = said(mail())
    assert read_return_path(SECRET, sender(from_)) == (ATTEMPT, "1")
    assert sender(from_).endswith("@bounces.example.org")
    assert to == "RCPT TO:<ada@example.com>"


def test_several_share_one():
    assert read_return_path(SECRET, sender(said(mail(two=True))[0])) == (ATTEMPT, "0")


@pytest.mark.parametrize(("domain", "secret"), [("", SECRET), ("bounces.example.org", b"")])
def test_without_a_domain_or_a_secret_bounces_go_to_the_sender(domain: str, secret: bytes):
    (from_, to) = said(mail(), "DSN", domain=domain, secret=secret)
    assert (from_, to) == ("MAIL FROM:<news@flutemail.io>", "RCPT TO:<ada@example.com>")


def test_asks_for_reports_where_the_server_offers_them():
    from_, ada, bob = said(mail(two=True), "DSN", "SIZE 1000000")
    assert from_.endswith(f" RET=HDRS ENVID={ATTEMPT}")
    assert ada == "RCPT TO:<ada@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;ada@example.com"
    assert bob == "RCPT TO:<bob+x@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;bob+2Bx@example.com"


def test_an_address_that_is_not_ascii_is_not_repeated():
    call = mail()
    (ada,) = call.recipients
    call = replace(call, recipients=(replace(ada, address=Address("адам@example.com")),))
    assert said(call, "DSN", "SMTPUTF8")[1].endswith(" NOTIFY=FAILURE,DELAY")


@pytest.mark.parametrize("domain", ["x", "a b.example", "<x>.example", "bounces@example.org", "x.\u00e9"])
def test_the_domain_has_to_be_one(domain: str):
    with pytest.raises(CredentialError) as error:
        Smtp.validate({"host": "a", "bounce_domain": domain})
    assert error.value.field == "bounce_domain"


def test_the_secret_is_not_shown():
    assert SECRET.decode() not in repr(Network(bounce_secret=SECRET))
