"""How often people may try: by the address with which they log in, and by the client from which they call.

One client that guesses is stopped long before it can lock anybody out from elsewhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from flute_server.domain.bucket import Slow
from flute_server.errors import RateLimited
from flute_server.sending.limits import Meter, network

# Guesses of one person's password from one client, from everywhere, and of everybody's from one client.
_GUESSES_HERE = Slow(every_s=30, burst=10)
_GUESSES = Slow(every_s=10, burst=100)
_GUESSES_FROM = Slow(every_s=2, burst=60)
# Of one person's codes by who has the password: of a million codes three are right at a time.
_CODES = Slow(every_s=300, burst=25)
# Mails to one address, and mails that one client has sent.
_MAILS_TO = Slow(every_s=600, burst=4)
_MAILS_FROM = Slow(every_s=30, burst=20)
_SIGN_UPS_FROM = Slow(every_s=60, burst=20)
_INVITATIONS = Slow(every_s=60, burst=50)

_TOO_OFTEN = "too many tries"
_TOO_MANY_MAILS = "too many mails were asked for"


def log_in(meter: Meter, email: str, address: str) -> None:
    """Raises RateLimited."""
    limits = {f"login:{_mark(email)}:{network(address)}": _GUESSES_HERE, f"login:{_mark(email)}": _GUESSES}
    _hold(meter, {**limits, f"login-from:{network(address)}": _GUESSES_FROM}, _TOO_OFTEN)


def token(meter: Meter, email: str, address: str) -> None:
    """A mailed token, with the password of this address; empty where none is asked. Raises RateLimited."""
    if email:
        log_in(meter, email, address)
    else:
        _hold(meter, {f"login-from:{network(address)}": _GUESSES_FROM}, _TOO_OFTEN)


def logged_in(meter: Meter, email: str, address: str) -> None:
    """The password was right: what was guessed before was a person's mistake."""
    meter.forgive(f"login:{_mark(email)}:{network(address)}")


def code(meter: Meter, user_id: str, address: str) -> None:
    """user_id: empty for a challenge that is none. Raises RateLimited.

    That stands however long it goes on; what a few minutes allow is kept in the database besides.
    """
    own = {f"code-of:{user_id}": _CODES} if user_id else {}
    _hold(meter, {**own, f"code-from:{network(address)}": _GUESSES_FROM}, _TOO_OFTEN)


def code_was_right(meter: Meter, user_id: str) -> None:
    """What was typed before was a person's mistake."""
    meter.forgive(f"code-of:{user_id}")


def proof(meter: Meter, user_id: object) -> None:
    """A person who is logged in proves themselves once more. Raises RateLimited."""
    _hold(meter, {f"proof:{user_id}": _GUESSES_HERE}, _TOO_OFTEN)


def sign_up(meter: Meter, email: str, address: str) -> None:
    """Raises RateLimited."""
    limits = {f"mail:{_mark(email)}": _MAILS_TO, f"signup-from:{network(address)}": _SIGN_UPS_FROM}
    _hold(meter, limits, "too many sign-ups")


def mail(meter: Meter, email: str, address: str) -> None:
    """A mail to an address that somebody names. Raises RateLimited."""
    limits = {f"mail:{_mark(email)}": _MAILS_TO, f"mail-from:{network(address)}": _MAILS_FROM}
    _hold(meter, limits, _TOO_MANY_MAILS)


def invitation(meter: Meter, email: str, account_id: str, inviter: str) -> None:
    """One to an address, of an account, and by a person, who may have many accounts. Raises RateLimited."""
    limits = {f"invite:{account_id}": _INVITATIONS, f"invite-by:{_mark(inviter)}": _INVITATIONS}
    _hold(meter, {**limits, f"invited:{_mark(email)}": _MAILS_TO}, "too many invitations")


def _hold(meter: Meter, limits: Mapping[str, Slow], text: str) -> None:
    """Raises RateLimited. While Redis is away nobody is held up: people must get in."""
    wait_s = meter.hold(limits)
    if wait_s:
        raise RateLimited("RATE_LIMITED", f"{text}; try again in {math.ceil(wait_s):,} s", wait_s)


def _mark(email: str) -> str:
    """Not the address itself, which is nobody's business in Redis."""
    return hashlib.sha256(email.strip().lower().encode()).hexdigest()[:32]
