"""Credentials of every provider: tried without sending, refused by name, shown nowhere."""

from __future__ import annotations

import logging

import pytest

from flute_server.domain.outcome import ErrorKind
from flute_server.providers import registry
from flute_server.providers.base import CredentialError, Provider
from flute_server.sandbox import Sandbox
from tests.contract.shared import SIMPLE, EchoServer, credentials, handoff, network, secrets


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
    assert checked.refused
    assert checked.advice.startswith("Copy the credentials anew")
    assert reply.kind is ErrorKind.AUTH
    assert "wr0ng" not in checked.text + reply.text
    wrong.close()


def test_an_unreachable_provider_fails_the_check(provider: Provider, sandbox: Sandbox) -> None:
    sandbox.set_mode(provider.slug, "down")

    checked = provider.check()
    assert not checked.ok
    assert not checked.refused
    assert checked.advice.startswith("Check the address")


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


def test_unknown_or_missing_credentials_name_the_field(slug: str, sandbox: Sandbox) -> None:
    good = credentials(slug, sandbox)
    required = next(field.name for field in registry.PROVIDERS[slug].fields if field.required)

    with pytest.raises(CredentialError) as unknown:
        registry.connect(slug, {**good, "colour": "red"}, network())
    with pytest.raises(CredentialError) as missing:
        registry.connect(slug, {**good, required: ""}, network())

    assert unknown.value.field == "colour"
    assert missing.value.field == required
