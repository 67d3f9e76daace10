"""Settings of environments that need something around them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from flask import Flask

from flute_server.admin import environments
from flute_server.admin.audit import Author
from flute_server.config import Config, ConfigError
from flute_server.errors import FailedPrecondition, InvalidArgument
from flute_server.local.embedded import Services
from flute_server.models import Environment, ProviderAccount, db
from tests.integration.places import Place, fresh_app

OPERATOR = Author("service")


@pytest.fixture(scope="module")
def app(services: Services) -> Iterator[Flask]:
    with fresh_app(services, "environments") as app, app.app_context():
        yield app


def test_links_need_an_address_that_leads_to_web(app: Flask):
    id_ = str(Place.create().environment_id)
    with pytest.raises(FailedPrecondition, match="FLUTE_PUBLIC_URL") as found:
        environments.update(id_, {"one_click_unsubscribe": True}, OPERATOR)
    assert found.value.reason == "PUBLIC_URL_MISSING"
    assert environments.update(id_, {"one_click_unsubscribe": False}, OPERATOR).one_click_unsubscribe is False
    app.config["FLUTE"] = dataclasses.replace(app.config["FLUTE"], public_url="https://mail.example.com")
    assert environments.update(id_, {"one_click_unsubscribe": True}, OPERATOR).one_click_unsubscribe is True


@pytest.mark.parametrize("domain", ["https://acme.example", "ada@acme.example", "acme example", ""])
def test_what_is_no_domain_is_told_how_to_write_one(app: Flask, domain: str):
    place = Place.create()
    with pytest.raises(InvalidArgument) as found:
        environments.create(str(place.tenant_id), "Shop", domain, {}, OPERATOR)
    assert "without https:// and @, like mail.example.com" in found.value.violations[0].text


def test_a_simulator_among_providers_that_really_send_is_warned_of(app: Flask):
    place = Place.create()
    environment = db.session.get_one(Environment, place.environment_id)
    assert not [
        text for text in environments.remarks([environment.id])[environment.id].warnings if "nobody" in text
    ]
    db.session.get_one(ProviderAccount, place.accounts[1]).provider = "simulator"
    assert [
        text
        for text in environments.remarks([environment.id])[environment.id].warnings
        if "delivers to nobody" in text
    ]
    for account in place.accounts:
        db.session.get_one(ProviderAccount, account).provider = "simulator"
    assert not [
        text for text in environments.remarks([environment.id])[environment.id].warnings if "nobody" in text
    ]


def _config(url: str) -> Config:
    needed = ("DATABASE_URL", "REDIS_URL", "FLUTE_SECRET_KEYS", "FLUTE_SERVICE_TOKEN")
    return Config.from_env({**dict.fromkeys(needed, "x"), "FLUTE_PUBLIC_URL": url})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("https://mail.example.com/", "https://mail.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://example.com/flute/", "https://example.com/flute"),
    ],
)
def test_the_public_address_is_kept_without_a_slash_at_its_end(given: str, kept: str):
    assert _config(given).public_url == kept


@pytest.mark.parametrize(
    "given",
    ["mail.example.com", "ftp://example.com", "https://", "https://a b", "https://a/?x=1", "https://a>"],
)
def test_an_address_that_cannot_begin_a_link_is_refused(given: str):
    with pytest.raises(ConfigError, match="FLUTE_PUBLIC_URL"):
        _config(given)
