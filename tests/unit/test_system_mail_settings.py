"""The route of Flute's own mail, as the operator writes it, and what the mails say."""

from __future__ import annotations

import pytest

from flute_server.admin import mail_texts
from flute_server.config import Config, ConfigError, Relay

NEEDED = {
    "DATABASE_URL": "postgresql://x",
    "REDIS_URL": "redis://x",
    "FLUTE_SECRET_KEYS": "x",
    "FLUTE_SERVICE_TOKEN": "x",
}
FROM = {"FLUTE_SYSTEM_FROM": "Flute <flute@example.com>"}


def config(**settings: str) -> Config:
    return Config.from_env({**NEEDED, **settings})


@pytest.mark.parametrize(
    ("url", "relay"),
    [
        ("smtp://mail.example.com", Relay("mail.example.com", 587, "starttls")),
        ("smtps://mail.example.com", Relay("mail.example.com", 465, "tls")),
        ("smtp://127.0.0.1:25?starttls=off", Relay("127.0.0.1", 25, "none")),
        ("smtp://me%40x:p%3Aw%2F@h:2525/", Relay("h", 2525, "starttls", "me@x", "p:w/")),
    ],
)
def test_a_route_is_read(url: str, relay: Relay):
    assert config(FLUTE_SYSTEM_SMTP=url, **FROM).system_smtp == relay


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com:587",
        "http://mail.example.com",
        "smtp://",
        "smtp://user@mail.example.com",
        "smtp://mail.example.com:port",
        "smtp://mail.example.com/inbox",
        "smtp://mail.example.com?starttls=no",
        "smtps://mail.example.com?starttls=off",
    ],
)
def test_a_wrong_route_is_refused_without_showing_it(url: str):
    with pytest.raises(ConfigError, match="FLUTE_SYSTEM_SMTP must be like") as caught:
        config(FLUTE_SYSTEM_SMTP=url, **FROM)
    assert "user@mail" not in str(caught.value)


def test_a_route_needs_a_sender_and_the_password_is_not_shown():
    with pytest.raises(ConfigError, match="FLUTE_SYSTEM_FROM is not set"):
        config(FLUTE_SYSTEM_SMTP="smtp://h")
    with pytest.raises(ConfigError, match="FLUTE_SYSTEM_FROM must be an address"):
        config(FLUTE_SYSTEM_SMTP="smtp://h", FLUTE_SYSTEM_FROM="Flute")
    assert "secret" not in repr(config(FLUTE_SYSTEM_SMTP="smtp://u:secret@h", **FROM))


def test_sign_up_is_one_of_three():
    assert config().sign_up == "invitation"
    assert config(FLUTE_SIGN_UP="Closed").sign_up == "closed"
    with pytest.raises(ConfigError, match="FLUTE_SIGN_UP must be one of open, invitation, closed"):
        config(FLUTE_SIGN_UP="yes")


def test_names_that_others_chose_carry_no_link_and_no_markup():
    mail = mail_texts.invitation(
        "https://flute.example/invitation/x", "<b>Eve</b>", "https://evil.example", "viewer"
    )
    assert "https://evil" not in mail.text()
    assert "<b>" not in mail.html()
    assert "&lt;b&gt;Eve" in mail.html()
    assert mail.text().count("https://") == 1


def test_long_names_are_cut():
    assert len(mail_texts.name("x" * 500)) < 70
