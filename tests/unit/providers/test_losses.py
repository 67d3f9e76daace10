"""What a plan says that a provider leaves out is what its call leaves out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flute_server.domain.capability import losses
from flute_server.domain.message import Address, Attachment, Message, RecipientKind
from flute_server.providers.base import Network
from flute_server.providers.http import HttpProvider
from flute_server.providers.mailgun import Mailgun
from flute_server.providers.postmark import Postmark
from flute_server.providers.sendgrid import SendGrid
from flute_server.providers.smtp import Smtp
from flute_server.providers.sparkpost import SparkPost
from tests.unit.providers.calls import SIMPLE, handoff

HTTP: dict[str, HttpProvider] = {
    "mailgun": Mailgun({"api_key": "key", "domain": "mg.flutemail.io"}, Network()),
    "postmark": Postmark({"server_token": "token"}, Network()),
    "sendgrid": SendGrid({"api_key": "key"}, Network()),
    "sparkpost": SparkPost({"api_key": "key"}, Network()),
}
SMTP = Smtp({"host": "mail.example.org"}, Network())
LOGO = Attachment("logo.png", b"x", "image/png", "cid-1")
# As no other part of a call looks.
tags = st.lists(st.from_regex(r"tag-[a-zü]{1,90}", fullmatch=True), min_size=1, max_size=12)


def told(provider: HttpProvider | Smtp, message: Message) -> tuple[str, ...]:
    return losses(provider.capabilities, handoff(message))


@pytest.mark.parametrize("slug", HTTP)
def test_a_simple_mail_loses_nothing(slug: str) -> None:
    assert told(HTTP[slug], SIMPLE) == ()
    assert told(SMTP, SIMPLE) == ()


@pytest.mark.parametrize("slug", HTTP)
@given(given=tags)
def test_each_tag_is_in_the_call_or_told_as_lost(slug: str, given: list[str]) -> None:
    provider = HTTP[slug]
    message = replace(SIMPLE, tags=tuple(given))
    found = told(provider, message)
    body = provider.build(handoff(message)).body.decode()
    there = {tag for tag in given if re.search(rf"{tag}(?![a-zü])", body)}
    lost = set(given) - there
    assert len(found) == bool(lost)
    for tag in sorted(lost, key=given.index)[:5]:
        assert f'"{tag}"' in found[0]
    assert not any(f'"{tag}"' in text for tag in there for text in found)


def test_smtp_carries_no_tags() -> None:
    [text] = told(SMTP, replace(SIMPLE, tags=tuple(f"t{n}" for n in range(8))))
    assert (
        text == 'the provider does not get the tags "t0", "t1", "t2", "t3", "t4" and 3 more; Flute keeps them'
    )


@pytest.mark.parametrize("slug", HTTP)
def test_metadata_stays_with_flute(slug: str) -> None:
    message = replace(SIMPLE, metadata={"order-no": "value-17"})
    assert any('the metadata "order-no"' in text for text in told(HTTP[slug], message))
    assert b"value-17" not in HTTP[slug].build(handoff(message)).body


@pytest.mark.parametrize("slug", HTTP)
def test_the_name_of_an_inline_file_is_kept_or_told_as_lost(slug: str) -> None:
    message = replace(SIMPLE, attachments=(LOGO,))
    kept = b"logo.png" in HTTP[slug].build(handoff(message)).body
    assert bool(told(HTTP[slug], message)) is not kept


@pytest.mark.parametrize("slug", HTTP)
def test_copies_without_an_addressee_stand_in_to(slug: str) -> None:
    message = replace(SIMPLE, to=(), cc=(Address("ada@example.com"), Address("bob@example.com")))
    assert told(HTTP[slug], message) == ("those in Cc stand in To, which would be empty otherwise",)
    assert told(SMTP, message) == ()


@pytest.mark.parametrize("slug", HTTP)
def test_who_is_not_in_the_call_is_not_named_by_it(slug: str) -> None:
    provider = HTTP[slug]
    whole = handoff(replace(SIMPLE, to=(Address("ada@example.com"), Address("bob@example.com"))))
    part = replace(whole, recipients=whole.recipients[:1])
    assert part.recipients[0].kind is RecipientKind.TO
    named = b"bob@example.com" in provider.build(part).body
    assert bool(losses(provider.capabilities, part)) is not named
