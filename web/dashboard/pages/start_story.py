"""The last step of the first-run guide: what becomes of the first mail."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import url_for
from flask.typing import ResponseReturnValue
from flute.v1.email_pb2 import OUTCOME_ACCEPTED, Email
from flute.v1.email_service_pb2 import GetEmailRequest
from flute.v1.provider_account_service_pb2 import (
    PROVIDER_ACCOUNT_STATE_FAILING,
    PROVIDER_ACCOUNT_STATE_PAUSED,
    ListProviderAccountsRequest,
    ListProviderAccountsResponse,
    ProviderAccount,
)
from flute.v1.route_service_pb2 import ListRoutesRequest, ListRoutesResponse

from web.dashboard import dashboard, first_run, provider_state
from web.dashboard.ask import ask
from web.dashboard.first_run import SIMULATOR, progress
from web.dashboard.pages.environment_try import state_name
from web.dashboard.places import address_of
from web.dashboard.render import part
from web.dashboard.words import sentence

_AT_REST = {"delivered", "bounced", "failed", "suppressed", "canceled"}
_UNSENT = {"queued", "sending"}


class Obstacle(NamedTuple):
    """A provider account that takes no mail now: why, and where that is mended."""

    name: str
    label: str
    text: str
    url: str
    action: str


@dashboard.get("/start/mail/<uuid:id_>")
def start_story(id_: uuid.UUID) -> ResponseReturnValue:
    """The last step as it is now; it asks again by itself until the mail is at rest."""
    story = story_of(mail_of(str(id_)))
    state = progress() if story["at_rest"] else None
    return part("start/_story.html", page_url=address_of, state=state, steps=first_run.STEPS, **story)


def mail_of(id_: str) -> Email:
    """The mail. Raises RpcFailure."""
    return ask(GetEmailRequest(id=id_), Email)


def story_of(mail: Email | None) -> dict[str, Any]:
    """What the last step shows of a mail."""
    states = {state_name(recipient.state) for recipient in mail.recipients} if mail else set()
    word = state_name(mail.state) if mail else ""
    accounts = _accounts() if word in _UNSENT or word == "sent" else {}
    taker = _taker(mail, accounts) if mail and word == "sent" else None
    handed_over = taker is not None and not taker.webhook_path
    return {
        "mail": mail,
        "word": word,
        "taker": taker,
        "handed_over": handed_over,
        "obstacles": _obstacles(mail, accounts) if mail and word in _UNSENT else [],
        "at_rest": bool(mail) and (handed_over or states <= _AT_REST),
        "took": _took(mail) if mail else None,
        "sentence": sentence,
    }


def _accounts() -> Mapping[str, ProviderAccount]:
    """Those of the account by id, but for the one that plays."""
    told = ask(ListProviderAccountsRequest(page_size=1000), ListProviderAccountsResponse)
    return {one.id: one for one in told.provider_accounts if one.provider != SIMULATOR}


def _taker(mail: Email, accounts: Mapping[str, ProviderAccount]) -> ProviderAccount | None:
    """The one that took it last; None for a mail that is only played."""
    names = [
        attempt.provider_account
        for attempt in mail.attempts
        if any(result.outcome == OUTCOME_ACCEPTED for result in attempt.results)
    ]
    if mail.test or not names:
        return None
    return next((one for one in accounts.values() if one.name == names[-1]), None)


def _obstacles(mail: Email, accounts: Mapping[str, ProviderAccount]) -> list[Obstacle]:
    """What keeps every route of its environment from taking it; none as long as one may take it."""
    routes = ask(ListRoutesRequest(environment_id=mail.environment_id), ListRoutesResponse).routes
    used = [accounts.get(route.provider_account_id) for route in routes if not route.disabled]
    stuck = [one for one in used if one is not None and _takes_none(one)]
    return [_obstacle(one) for one in stuck] if len(stuck) == len(used) else []


def _takes_none(account: ProviderAccount) -> bool:
    return account.state == PROVIDER_ACCOUNT_STATE_PAUSED or provider_state.is_ill(account.state)


def _obstacle(account: ProviderAccount) -> Obstacle:
    mark = provider_state.health(account)
    # Without a time at which it is tried again, it waits for other credentials, or for somebody who acts.
    failing = account.state == PROVIDER_ACCOUNT_STATE_FAILING and not account.HasField("retry_time")
    if failing or provider_state.doubted(account):
        url = url_for("dashboard.start", step="provider", account=account.id, _anchor="step-provider")
        return Obstacle(account.name, mark.label, mark.text, url, "Correct its credentials")
    url = url_for("dashboard.provider_account", id_=account.id)
    return Obstacle(account.name, mark.label, mark.text, url, "See the provider")


def _took(mail: Email) -> float | None:
    """Seconds from accepting it until the last delivery."""
    ends = [event.time for event in mail.events if event.type == "delivered"]
    return (ends[-1].ToDatetime() - mail.create_time.ToDatetime()).total_seconds() if ends else None
