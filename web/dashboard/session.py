"""Who is logged in: the token that flute_server gave, kept in the signed cookie."""

from __future__ import annotations

import flask

_TOKEN = "token"  # noqa: S105 (its key in the cookie)


def token() -> str:
    """The session's token; empty for who is not logged in."""
    found: str = flask.session.get(_TOKEN, "")
    return found


def begin(new: str) -> None:
    """They are logged in from now on. Nothing that was in the cookie lives on, such as its CSRF token."""
    flask.session.clear()
    flask.session[_TOKEN] = new
    flask.session.permanent = True


def end() -> None:
    """They are not logged in any more."""
    flask.session.clear()
