"""How far an account has come on the way to its first delivered mail: by what is there, not by clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flask import current_app, request
from flute.v1.email_pb2 import EmailSummary
from flute.v1.environment_service_pb2 import (
    Environment,
    EnvironmentSummary,
    ListEnvironmentsRequest,
    ListEnvironmentsResponse,
)
from flute.v1.provider_account_service_pb2 import (
    ListProviderAccountsRequest,
    ListProviderAccountsResponse,
    ProviderAccount,
)
from flute.v1.statistics_service_pb2 import AccountProgress, GetAccountProgressRequest
from werkzeug.wrappers import Response

from web.dashboard import provider_state
from web.dashboard.ask import ask
from web.dashboard.me import me

# Environments and provider accounts, the oldest; of newcomers there is hardly one.
_LOOKED_AT = 100
# The kind of provider that plays what becomes of its mail.
SIMULATOR = "simulator"
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
    """What there is in the whole account. environment: the oldest with a route, or the oldest; routes: the
    names of its provider accounts, in order; keyed: the names of the environments with a key that works;
    mail: the newest; handed_over: of some mail no more can be known, and none is known to be delivered."""

    provider_accounts: Sequence[ProviderAccount] = ()
    environment: Environment | None = None
    routes: Sequence[str] = ()
    keyed: Sequence[str] = ()
    mail: EmailSummary | None = None
    handed_over: bool = False
    done: frozenset[str] = field(default=frozenset())

    @property
    def current(self) -> Step:
        """The first step that is not done; the last one after all are."""
        return next((step for step in STEPS if step.slug not in self.done), STEPS[-1])

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return len(self.done) == len(STEPS)

    @property
    def begun(self) -> bool:
        """Something is there to go on from."""
        return bool(self.provider_accounts or self.done)

    def ready(self, slug: str) -> bool:
        """Whether what the step builds on is there; for an environment, refused credentials will do."""
        if slug == "environment":
            return bool(self.provider_accounts)
        needed = {"key": "environment", "mail": "environment", "delivered": "mail"}
        return slug not in needed or needed[slug] in self.done

    @property
    def doubted(self) -> list[ProviderAccount]:
        """The provider accounts whose credentials failed when they were tried."""
        return [account for account in self.provider_accounts if provider_state.doubted(account)]

    @property
    def routed(self) -> list[ProviderAccount]:
        """The provider accounts of the environment's routes, in order."""
        by_name = {account.name: account for account in self.provider_accounts}
        return [by_name[name] for name in self.routes if name in by_name]

    @property
    def unrouted(self) -> list[ProviderAccount]:
        """Those that the environment does not use."""
        return [account for account in self.provider_accounts if account.name not in self.routes]


def progress() -> Progress:
    """How far the account has come. Raises RpcFailure."""
    accounts = ask(
        ListProviderAccountsRequest(page_size=_LOOKED_AT), ListProviderAccountsResponse
    ).provider_accounts
    told = ask(ListEnvironmentsRequest(page_size=_LOOKED_AT), ListEnvironmentsResponse)
    come = ask(GetAccountProgressRequest(), AccountProgress)
    pairs = list(zip(told.environments, told.summaries, strict=True))
    environment, routes = _environment(pairs)
    keyed = [one.name for one, summary in pairs if summary.key_count]
    facts = {
        # Whoever routes mail through refused credentials has gone on all the same.
        "provider": bool(routes) or any(not provider_state.doubted(account) for account in accounts),
        "environment": bool(routes),
        "key": bool(keyed),
        "mail": come.HasField("last_email"),
        "delivered": come.delivered or come.handed_over,
    }
    done = frozenset(slug for slug, there in facts.items() if there)
    mail = come.last_email if facts["mail"] else None
    return Progress(accounts, environment, routes, keyed, mail, come.handed_over, done)


def _environment(
    pairs: Sequence[tuple[Environment, EnvironmentSummary]],
) -> tuple[Environment | None, Sequence[str]]:
    """The oldest with a route, or the oldest, and the names of its provider accounts."""
    if not pairs:
        return None, []
    environment, summary = next((pair for pair in pairs if pair[1].routes), pairs[0])
    return environment, [route.provider_account for route in summary.routes]


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
