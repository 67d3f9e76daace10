"""The second factor: codes of an authenticator app (RFC 6238) and recovery codes."""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import time

import pyotp
from sqlalchemy import delete, func, select

from flute_server.admin import system_mail
from flute_server.errors import FailedPrecondition, InvalidArgument, Violation, invalid
from flute_server.models import RecoveryCode, User, db
from flute_server.vault import token_hash, vault

STEP_S = 30
# How many steps a phone's clock may be early or late.
WINDOW = 1
CODES = 10
ISSUER = "Flute"
_CODE_OCTETS = 10


def begin(user: User) -> tuple[str, str]:
    """A fresh secret and its otpauth address; it counts when `enable` has seen a code of it."""
    secret = pyotp.random_base32()
    user.totp_pending = vault(system_mail.config().secret_keys).seal({"secret": secret})
    return secret, pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER)


def enable(user: User, code: str) -> list[str]:
    """Ask for codes from now on; the recovery codes. Raises FailedPrecondition, InvalidArgument."""
    if user.totp_pending is None:
        raise FailedPrecondition("TOTP_NOT_BEGUN", "begin anew: there is no secret that waits for its code")
    step = matching_step(_opened(user.totp_pending), code, time.time(), None)
    if step is None:
        raise wrong_code()
    user.totp, user.totp_pending, user.totp_step = user.totp_pending, None, step
    return renew_codes(user)


def disable(user: User) -> None:
    """Ask for codes no more."""
    user.totp = user.totp_pending = user.totp_step = None
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))


def renew_codes(user: User) -> list[str]:
    """New recovery codes; the old ones end."""
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    codes = [_new_code() for _ in range(CODES)]
    db.session.add_all(RecoveryCode(user_id=user.id, hash=token_hash(_canonical(code))) for code in codes)
    return codes


def codes_left(user: User) -> int:
    """How many recovery codes were not used yet."""
    return db.session.scalar(select(func.count()).where(RecoveryCode.user_id == user.id)) or 0


def take(user: User, code: str) -> str:
    """Use a code up: "code" of the app or "recovery code"; empty if it is none. The user's row is locked."""
    if user.totp is None:
        return ""
    step = matching_step(_opened(user.totp), code, time.time(), user.totp_step)
    if step is not None:
        user.totp_step = step
        return "code"
    where = RecoveryCode.user_id == user.id, RecoveryCode.hash == token_hash(_canonical(code))
    used = db.session.scalar(delete(RecoveryCode).where(*where).returning(RecoveryCode.user_id))
    return "recovery code" if used else ""


def matching_step(secret: str, code: str, now: float, last: int | None) -> int | None:
    """Which 30 seconds since 1970 the code is of: now's or those beside them, later than the last used."""
    given = "".join(code.split())
    if not re.fullmatch(r"[0-9]{6}", given):
        return None
    present = int(now) // STEP_S
    generator = pyotp.HOTP(secret)
    found = None
    for step in range(max(0, present - WINDOW), present + WINDOW + 1):
        if hmac.compare_digest(generator.at(step), given) and (last is None or step > last):
            found = step
    return found


def wrong_code() -> InvalidArgument:
    """The error for a code that is none."""
    text = "this code does not count now; type the next one, and see that the clock of your phone is right"
    return invalid([Violation("code", text)])


def _opened(sealed: bytes) -> str:
    return vault(system_mail.config().secret_keys).open(sealed)["secret"]


def _new_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_CODE_OCTETS)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _canonical(code: str) -> str:
    return "".join(c for c in code.lower() if c.isalnum())
