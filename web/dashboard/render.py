"""Templates with what every page shows: who is logged in, and where they are."""

from __future__ import annotations

from typing import Any, cast

import flask
from flask import render_template
from flute.v1.person_service_pb2 import GetSignUpPolicyRequest, Me, SignUpPolicy

from web.client import RpcFailure
from web.dashboard.ask import ask
from web.dashboard.me import may, me_or_nobody


def page(template: str, **values: Any) -> str:  # noqa: ANN401 (whatever the template shows)
    """The page's HTML. `nav` names the section to be marked in the menu."""
    values.setdefault("nav", "")
    who = me_or_nobody()
    return render_template(
        template, me=who, unconfirmed=_is_unconfirmed(who), may=may, flashes=_flashes(), **values
    )


def _is_unconfirmed(who: Me | None) -> bool:
    """Whether they are to be asked to prove their address: not where no mail leaves, which it takes."""
    return who is not None and not who.confirmed and mail_leaves()


def mail_leaves() -> bool:
    """Whether this installation sends mail of its own, without which nobody can prove an address."""
    try:
        return ask(GetSignUpPolicyRequest(), SignUpPolicy).mail_configured
    except RpcFailure:
        return False


def part(template: str, **values: Any) -> str:  # noqa: ANN401 (the same)
    """A piece of a page that is fetched anew: without what stands around it."""
    return render_template(template, may=may, **values)


def _flashes() -> list[tuple[str, str]]:
    """Kind and text of what is to be said once; kinds: good, info, bad."""
    return cast(list[tuple[str, str]], flask.get_flashed_messages(with_categories=True))


def say(text: str, kind: str = "good") -> None:
    """To be shown once, on the next page."""
    flask.flash(text, kind)
