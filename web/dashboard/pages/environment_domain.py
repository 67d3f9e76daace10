"""Domain checks: whether DNS says what receivers look for, and the records to add."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from flask import request
from flask.typing import ResponseReturnValue
from flute.v1.domain_check_service_pb2 import (
    CheckDomainRequest,
    CheckDomainResponse,
    DomainCheck,
    DomainCheckKind,
    DomainCheckStatus,
)

from web.dashboard import dashboard
from web.dashboard.ask import ask
from web.dashboard.pages.environments import environment_of, environment_page
from web.dashboard.render import page
from web.dashboard.words import sentence

_PATIENCE_S = 20.0  # DNS is given some 5 s
_KINDS = {
    "SPF": ("SPF", "Which servers may send for the domain"),
    "DKIM": ("DKIM", "The key with which mail is signed for the domain"),
    "DMARC": ("DMARC", "What receivers do with mail that nobody vouches for"),
    "RETURN_PATH": ("Return path", "Where bounces return to"),
    "MX": ("MX", "Where answers go"),
}


@dashboard.get("/environments/<id_>/domain")
def environment_domain(id_: str) -> ResponseReturnValue:
    """The frame at once; the checks follow by themselves, or with ?now=1 come along."""
    told = _checked(id_) if "now" in request.args else None
    return environment_page("domain.html", environment_of(id_), "domain", **_words(told))


@dashboard.get("/environments/<id_>/domain/checks")
def domain_checks(id_: str) -> ResponseReturnValue:
    """The checks alone."""
    return page("environments/_domain.html", **_words(_checked(id_)))


def _checked(id_: str) -> CheckDomainResponse:
    return ask(CheckDomainRequest(environment_id=id_), CheckDomainResponse, _PATIENCE_S)


def _words(told: CheckDomainResponse | None) -> dict[str, object]:
    """What the templates show."""
    return {
        "told": told,
        "clause": _clause,
        "groups": _groups(told.checks) if told else [],
        "kind": lambda check: _KINDS.get(
            DomainCheckKind.Name(check.kind)[len("DOMAIN_CHECK_KIND_") :], ("?", "")
        ),
        "status": lambda check: DomainCheckStatus.Name(check.status)[len("DOMAIN_CHECK_STATUS_") :].lower(),
    }


def _clause(text: str) -> str:
    """As a sentence, unless it begins with a word of a record, which stays as it is: include:example.com."""
    return text if ":" in text.partition(" ")[0] else sentence(text)


def _groups(checks: Iterable[DomainCheck]) -> list[tuple[str, list[DomainCheck]]]:
    """By provider account, in the server's order; the domain as a whole has no name."""
    return [(name, list(group)) for name, group in groupby(checks, key=lambda check: check.provider_account)]
