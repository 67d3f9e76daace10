"""Where people arrive."""

from __future__ import annotations

from flask import redirect, url_for
from flask.typing import ResponseReturnValue

from web.dashboard import dashboard


@dashboard.get("/")
def home() -> ResponseReturnValue:
    """The first page is the overview."""
    return redirect(url_for("dashboard.overview"))
