"""Templates with what every page shows: who is logged in, and where they are."""

from __future__ import annotations

from typing import Any, cast

import flask
from flask import render_template

from web.dashboard.me import may, me_or_nobody, role_name


def page(template: str, **values: Any) -> str:  # noqa: ANN401 (whatever the template shows)
    """The page's HTML. `nav` names the section to be marked in the menu."""
    values.setdefault("nav", "")
    return render_template(template, me=me_or_nobody(), may=may, role_name=role_name, flashes=_flashes(), **values)


def _flashes() -> list[tuple[str, str]]:
    """Kind and text of what is to be said once; kinds: good, info, bad."""
    return cast(list[tuple[str, str]], flask.get_flashed_messages(with_categories=True))


def say(text: str, kind: str = "good") -> None:
    """To be shown once, on the next page."""
    flask.flash(text, kind)
