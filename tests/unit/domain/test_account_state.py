"""What a provider account is called."""

from __future__ import annotations

import pytest

from flute_server.domain.account_state import AccountState, Check, Evidence, state_of
from flute_server.domain.breaker import BreakerState

OPEN, HALF_OPEN = BreakerState.OPEN, BreakerState.HALF_OPEN


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (Evidence(), AccountState.NOT_TRIED),
        (Evidence(mail_decides=True), AccountState.HEALTHY),
        (Evidence(check=Check.OK), AccountState.HEALTHY),
        (Evidence(check=Check.OK, mail_decides=True), AccountState.HEALTHY),
        (Evidence(check=Check.REFUSED), AccountState.CREDENTIALS_REFUSED),
        (Evidence(check=Check.FAILED), AccountState.CHECK_FAILED),
        # Mail that was taken afterwards proves more than the check.
        (Evidence(check=Check.REFUSED, mail_decides=True), AccountState.HEALTHY),
        (Evidence(check=Check.FAILED, mail_decides=True), AccountState.HEALTHY),
        # What mail met counts more than the check.
        (Evidence(breaker=OPEN, check=Check.OK, mail_decides=True), AccountState.FAILING),
        (Evidence(breaker=OPEN, check=Check.REFUSED), AccountState.FAILING),
        (Evidence(breaker=HALF_OPEN, check=Check.REFUSED), AccountState.RECOVERING),
        (Evidence(slowed_down=True, mail_decides=True), AccountState.SLOWED_DOWN),
        (Evidence(slowed_down=True), AccountState.SLOWED_DOWN),
        (Evidence(slowed_down=True, check=Check.REFUSED), AccountState.CREDENTIALS_REFUSED),
        # A person's word stands above all.
        (Evidence(paused=True, breaker=OPEN, check=Check.REFUSED), AccountState.PAUSED),
        (Evidence(paused=True), AccountState.PAUSED),
    ],
)
def test_the_gravest_that_holds_is_the_state(known: Evidence, state: AccountState):
    assert state_of(known) is state
