"""How far an account has come on the way to its first delivered mail: by what is there, not by clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flask import current_app, request
from flute.v1.api_key_service_pb2 import ApiKey, ListApiKeysRequest, ListApiKeysResponse
from flute.v1.email_pb2 import DELIVERY_STATE_DELIVERED, EmailSummary
from flute.v1.email_service_pb2 import ListEmailsRequest, ListEmailsResponse
from flute.v1.environment_service_pb2 import Environment
from flute.v1.provider_account_service_pb2 import (
    ListProviderAccountsRequest,
    ListProviderAccountsResponse,
    ProviderAccount,
)
from flute.v1.route_service_pb2 import ListRoutesRequest, ListRoutesResponse, Route
from werkzeug.wrappers import Response

from web.dashboard.ask import ask
from web.dashboard.me import me
from web.dashboard.switch import environments

# Whoever has more environments without a route than this is past the guide.
_LOOKED_AT = 3
_DISMISSED = "flute_guide"
_REMEMBERED_S = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Step:
    """One step. role: the least that may do it; verb: of who has to be asked for it."""

    slug: str
    title: str
    role: str
    verb: str


STEPS = (
    Step("provider", "Connect a provider", "admin", "connect a provider"),
    Step("environment", "Set up an environment", "admin", "set up an environment"),
    Step("key", "Make a key for your app", "developer", "make a key"),
    Step("mail", "Send a test mail", "developer", "send a test mail"),
    Step("delivered", "See it delivered", "viewer", ""),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """What there is. environment: the oldest with a route, or the oldest; mail: its newest."""

    provider_accounts: Sequence[ProviderAccount] = ()
    environment: Environment | None = None
    routes: Sequence[Route] = ()
    keys: Sequence[ApiKey] = ()
    mail: EmailSummary | None = None
    delivered: bool = False
    done: frozenset[str] = field(default=frozenset())

    @property
    def current(self) -> Step:
        """The first step that is not done; the last one after all are."""
        return next((step for step in STEPS if step.slug not in self.done), STEPS[-1])

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return len(self.done) == len(STEPS)

    def ready(self, slug: str) -> bool:
        """Whether what the step builds on is there."""
        needed = {"environment": "provider", "key": "environment", "mail": "environment", "delivered": "mail"}
        return slug not in needed or needed[slug] in self.done

    @property
    def routed(self) -> list[ProviderAccount]:
        """The provider accounts of the environment's routes, in order."""
        by_id = {account.id: account for account in self.provider_accounts}
        return [
            by_id[route.provider_account_id] for route in self.routes if route.provider_account_id in by_id
        ]

    @property
    def unrouted(self) -> list[ProviderAccount]:
        """Those that the environment does not use."""
        used = {route.provider_account_id for route in self.routes}
        return [account for account in self.provider_accounts if account.id not in used]


def progress() -> Progress:
    """How far the account has come. Raises RpcFailure."""
    accounts = ask(ListProviderAccountsRequest(page_size=100), ListProviderAccountsResponse).provider_accounts
    environment, routes = _environment()
    keys, mail, delivered = _sending(environment) if environment else ([], None, False)
    facts = {
        "provider": bool(accounts),
        "environment": bool(routes),
        "key": bool(keys),
        "mail": mail is not None,
        "delivered": delivered,
    }
    done = frozenset(slug for slug, there in facts.items() if there)
    return Progress(accounts, environment, routes, keys, mail, delivered, done)


def _environment() -> tuple[Environment | None, Sequence[Route]]:
    found = environments(_LOOKED_AT)
    for environment in found:
        routes = ask(ListRoutesRequest(environment_id=environment.id), ListRoutesResponse).routes
        if routes:
            return environment, routes
    return (found[0] if found else None), []


def _sending(environment: Environment) -> tuple[list[ApiKey], EmailSummary | None, bool]:
    """The keys that work, the newest mail, and whether any was ever delivered."""
    id_ = environment.id
    keys = ask(ListApiKeysRequest(environment_id=id_, page_size=100), ListApiKeysResponse).api_keys
    working = [key for key in keys if not key.HasField("revoke_time")]
    newest = ask(ListEmailsRequest(environment_id=id_, page_size=1), ListEmailsResponse).emails
    if not newest:
        return working, None, False
    delivered = newest[0].state == DELIVERY_STATE_DELIVERED or bool(
        ask(
            ListEmailsRequest(environment_id=id_, page_size=1, state=DELIVERY_STATE_DELIVERED),
            ListEmailsResponse,
        ).emails
    )
    return working, newest[0], delivered


def dismissed() -> bool:
    """Whether this browser need not show the guide for this account any more."""
    return request.cookies.get(_DISMISSED) == me().account_id


def dismiss(response: Response) -> None:
    """Not to be shown any more: in this browser, also after logging out."""
    response.set_cookie(
        _DISMISSED,
        me().account_id,
        max_age=_REMEMBERED_S,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
