"""The list of an environment's mails: live, searched, filtered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from flute.v1.email_pb2 import Email, EmailSummary
from flute.v1.email_service_pb2 import GetEmailRequest, ListEmailsResponse
from flute.v1.provider_account_service_pb2 import ListProviderAccountsRequest, ListProviderAccountsResponse
from google.protobuf.timestamp_pb2 import Timestamp

from web.client import RpcFailure
from web.dashboard import curl, dashboard
from web.dashboard.ask import ask
from web.dashboard.pages.email_filters import MOST_NEWS, PERIODS, STATES, STATUSES, Filters
from web.dashboard.places import base_url
from web.dashboard.render import page, part
from web.dashboard.switch import switch

PAGE = 50
# Pages without a hit that are followed at once: where few match, a search goes on from where it stopped.
EMPTY_PAGES = 3
# With more environments, their tabs would be a list of their own.
MOST_TABS = 6
# How often the first page looks for news; less often where looking costs more.
LIVE_S, LIVE_FILTERED_S = 3, 8


@dataclass(frozen=True, slots=True)
class Rows:
    """What a page shows. token: of the next page; until: what was accepted then or later is news, and is not
    put between what somebody reads."""

    emails: Sequence[EmailSummary] = ()
    token: str = ""
    until: datetime | None = None
    news: int = 0

    @property
    def seen(self) -> str:
        """The same as long as nothing changes."""
        whole = hashlib.sha256(str(self.news).encode())
        for email in self.emails:
            whole.update(email.SerializeToString(deterministic=True))
        return whole.hexdigest()[:16]


@dashboard.get("/emails")
def emails() -> ResponseReturnValue:
    """The list, newest first."""
    at = switch()
    if at.chosen is None:
        return page("emails_none.html", nav="emails")
    filters = Filters.of(request.args, at.chosen.id)
    if filters.email_id and _exists(filters.email_id):
        return redirect(url_for("dashboard.email", id_=filters.email_id))
    body = page(
        "emails.html",
        nav="emails",
        environments=at.all,
        chosen=at.chosen,
        tabs=1 < len(at.all) <= MOST_TABS,
        statuses=STATUSES,
        periods=PERIODS,
        providers=_providers(),
        **_shown(filters, _first_rows(filters)),
        first_call=curl.send(base_url(), curl.hello(at.chosen.domain, "ada@example.com")),
    )
    return body, filters.form.status


@dashboard.get("/emails/live")
def emails_live() -> ResponseReturnValue:
    """The first page again: the same mails as they are now, and how many have come since."""
    filters = Filters.of(request.args, request.args.get("environment", ""))
    rows = _later_rows(filters)
    if rows.seen == request.args.get("seen"):
        # Nothing has changed, so nothing that somebody reads or has selected is touched.
        return "", 204
    return part("_emails.html", **_shown(filters, rows))


def _shown(filters: Filters, rows: Rows) -> dict[str, Any]:
    """What the rows are made of."""
    paged = bool(filters.form["page"])
    live = {} if paged or filters.form.failed else _live(filters, rows)
    return {
        "filters": filters,
        "form": filters.form,
        "rows": rows,
        "most_news": MOST_NEWS,
        "states": STATES,
        "paged": paged,
        "live_url": url_for("dashboard.emails_live", **live) if live else "",
        "live_s": LIVE_FILTERED_S if filters.active else LIVE_S,
        "next_url": url_for("dashboard.emails", **filters.query(page=rows.token)) if rows.token else "",
    }


def _live(filters: Filters, rows: Rows) -> dict[str, Any]:
    until = rows.until.isoformat() if rows.until else ""
    return filters.query(until=until, seen=rows.seen)


def _exists(email_id: str) -> bool:
    try:
        ask(GetEmailRequest(id=email_id), Email)
    except RpcFailure as failure:
        if failure.code is not grpc.StatusCode.NOT_FOUND:
            raise
        return False
    return True


def _first_rows(filters: Filters) -> Rows:
    if filters.email_id:
        return Rows()  # there is no such mail, and no other has that in its subject
    message = filters.request(page_size=PAGE)
    for _ in range(EMPTY_PAGES):
        told = filters.form.send(message, ListEmailsResponse)
        if told is None:
            return Rows()
        if told.emails:
            return Rows(told.emails, told.next_page_token, _just_after(told.emails[0].create_time))
        message.page_token = told.next_page_token
        if not message.page_token:
            break
    return Rows(token=message.page_token)


def _later_rows(filters: Filters) -> Rows:
    if not filters.until:
        return _first_rows(filters)
    told = ask(filters.request(page_size=PAGE), ListEmailsResponse)
    news = ask(filters.news_request(), ListEmailsResponse)
    return Rows(told.emails, told.next_page_token, filters.until, len(news.emails))


def _just_after(time: Timestamp) -> datetime:
    """The next moment as the database counts."""
    return time.ToDatetime(UTC) + timedelta(microseconds=1)


def _providers() -> list[str]:
    """The names of the provider accounts."""
    accounts = ask(ListProviderAccountsRequest(page_size=1000), ListProviderAccountsResponse)
    return [account.name for account in accounts.provider_accounts]
