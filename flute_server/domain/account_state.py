"""What a provider account is called, from all that is known of it: one word for lists and pages.

Routing asks the breaker alone: a check that was refused is evidence, and mail is tried all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from flute_server.domain.breaker import BreakerState


class AccountState(StrEnum):
    """The words, the gravest first; see ProviderAccountState in the proto for each word's meaning."""

    PAUSED = "paused"
    FAILING = "failing"
    RECOVERING = "recovering"
    CREDENTIALS_REFUSED = "credentials_refused"
    CHECK_FAILED = "check_failed"
    SLOWED_DOWN = "slowed_down"
    NOT_TRIED = "not_tried"
    HEALTHY = "healthy"


class Check(StrEnum):
    """How the last check of the credentials ended."""

    NONE = "none"  # there was none since they were given
    OK = "ok"
    REFUSED = "refused"  # the provider does not take them
    FAILED = "failed"  # it could not be asked, or said no for another reason


@dataclass(frozen=True, slots=True)
class Evidence:
    """slowed_down: it asked for a pause.

    mail_decides: some was taken since the last check, or given to it at all where there was none.
    """

    paused: bool = False
    breaker: BreakerState = BreakerState.CLOSED
    slowed_down: bool = False
    check: Check = Check.NONE
    mail_decides: bool = False


# The first that holds counts.
_RULES: tuple[tuple[AccountState, Callable[[Evidence], bool]], ...] = (
    (AccountState.PAUSED, lambda known: known.paused),
    (AccountState.FAILING, lambda known: known.breaker is BreakerState.OPEN),
    (AccountState.RECOVERING, lambda known: known.breaker is BreakerState.HALF_OPEN),
    (AccountState.CREDENTIALS_REFUSED, lambda known: known.check is Check.REFUSED and not known.mail_decides),
    (AccountState.CHECK_FAILED, lambda known: known.check is Check.FAILED and not known.mail_decides),
    (AccountState.SLOWED_DOWN, lambda known: known.slowed_down),
    (AccountState.NOT_TRIED, lambda known: known.check is Check.NONE and not known.mail_decides),
)


def state_of(known: Evidence) -> AccountState:
    """Healthy unless something speaks against it."""
    return next((state for state, holds in _RULES if holds(known)), AccountState.HEALTHY)
