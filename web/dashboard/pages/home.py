"""Where people arrive."""

from __future__ import annotations

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from web.dashboard import dashboard
from web.dashboard.me import me
from web.dashboard.nav import sections


@dashboard.get("/")
def home() -> ResponseReturnValue:
    """The first page is the first of the menu: the overview."""
    first = next(section for group in sections(me()) for section in group)
    return redirect(url_for(first.endpoint))
