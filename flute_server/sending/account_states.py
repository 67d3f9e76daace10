"""What provider accounts are, in a word each: a fixed number of queries for any number of them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text

from flute_server.domain.account_state import AccountState, Check, Evidence, state_of
from flute_server.domain.breaker import BreakerState
from flute_server.domain.outcome import Outcome
from flute_server.models import Breaker, ProviderAccount, db
from flute_server.providers.registry import PROVIDERS
from flute_server.sending import health
from flute_server.sending.routing import WHOLE

# How many attempts are looked at for one that was accepted, the latest first. Whose latest so many all failed
# takes no mail, whatever it took before.
LOOKED_AT = 500
# What the last check speaks against, where no mail has decided since.
DOUBTS = {
    AccountState.CREDENTIALS_REFUSED: "its credentials were refused when they were last checked",
    AccountState.CHECK_FAILED: "the last check of its credentials failed",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """breakers: of the account as a whole, where it has one, and of the domains at which it is not well."""

    state: AccountState
    breakers: Sequence[Breaker]

    @property
    def whole(self) -> Breaker | None:
        """That of the account as a whole."""
        return next((breaker for breaker in self.breakers if breaker.domain == WHOLE), None)


def next_try(breaker: Breaker, now: datetime) -> datetime | None:
    """When it is tried again, or used again after the pause that it asked for; None where it is in use, or
    waits for a person."""
    if breaker.state == BreakerState.CLOSED and breaker.retry_at and breaker.retry_at <= now:
        return None
    return breaker.retry_at


def read(accounts: Collection[ProviderAccount]) -> dict[uuid.UUID, Standing]:
    """By provider account, how it stands now."""
    rows = {row.id: row for row in accounts}
    breakers = health.of(rows)
    # A good check says enough.
    decided = _decided_by_mail([id_ for id_, row in rows.items() if not row.check_ok])
    return {id_: _standing(row, breakers.get(id_, []), id_ in decided) for id_, row in rows.items()}


def _standing(row: ProviderAccount, breakers: Sequence[Breaker], mail_decides: bool) -> Standing:
    whole = next((breaker for breaker in breakers if breaker.domain == WHOLE), None)
    known = Evidence(
        paused=row.pause_time is not None,
        breaker=BreakerState(whole.state) if whole else BreakerState.CLOSED,
        slowed_down=whole is not None and next_try(whole, datetime.now(UTC)) is not None,
        check=check_of(row),
        mail_decides=mail_decides,
    )
    return Standing(state_of(known), breakers)


def check_of(row: ProviderAccount) -> Check:
    """How the last check of its credentials ended."""
    if row.check_time is None:
        return Check.NONE
    if row.check_ok:
        return Check.OK
    return Check.REFUSED if row.check_refused else Check.FAILED


def _decided_by_mail(ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those that took mail since their last check, or were given some where there was none."""
    if not ids:
        return set()
    played = [slug for slug, kind in PROVIDERS.items() if kind.simulated]
    values: Mapping[str, object] = {"ids": list(ids), "played": played, "most": LOOKED_AT}
    return set(db.session.scalars(_DECIDED, values))


# Mail of test keys is played and says nothing, unless all mail of the account is.
_DECIDED = text(
    f"""
    SELECT p.id
    FROM provider_account p
    WHERE p.id = ANY(:ids) AND EXISTS (
        SELECT FROM (
            SELECT a.id, a.simulated FROM attempt a
            WHERE a.provider_account_id = p.id AND a.start_time > coalesce(p.check_time, '-infinity')
            ORDER BY a.start_time DESC LIMIT :most
        ) latest
        WHERE (NOT latest.simulated OR p.provider = ANY(:played)) AND (
            p.check_time IS NULL OR EXISTS (
                SELECT FROM ledger l WHERE l.attempt_id = latest.id AND l.outcome = '{Outcome.ACCEPTED}'
            )
        )
    )
    """  # noqa: S608  constants only
)
