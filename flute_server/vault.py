"""Secrets at rest: provider credentials under rotating keys, tokens and passwords as hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from flute_server.config import ConfigError
from flute_server.errors import RateLimited

# Public marks by which leaked keys are found, no secrets.
TOKEN_PREFIX = "flute_"  # noqa: S105
SESSION_PREFIX = "flute_session_"
# Each argon2id takes 64 MiB and a core for a while: a flood of log-ins shall take no more than this.
_FEW_AT_ONCE = threading.BoundedSemaphore(2)
# Those and some that wait. More are sent away, or a flood would take all threads from calls about mail.
_FEW_WAIT = threading.BoundedSemaphore(4)


class Vault:
    """Encrypts with the first key and decrypts with any, so that keys can be rotated.

    Raises ConfigError when a key is no Fernet key, or when none of them fits what is stored.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in keys])
        except ValueError as error:
            raise ConfigError("FLUTE_SECRET_KEYS must hold Fernet keys, separated by commas") from error

    def seal(self, values: Mapping[str, str]) -> bytes:
        return self._fernet.encrypt(json.dumps(dict(values)).encode())

    def open(self, sealed: bytes) -> dict[str, str]:
        try:
            values: dict[str, str] = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken as error:
            raise ConfigError(
                "stored credentials cannot be read: FLUTE_SECRET_KEYS lacks the key they were sealed with"
            ) from error
        return values


@cache
def vault(keys: tuple[str, ...]) -> Vault:
    """The vault of these keys, made once a process."""
    return Vault(keys)


def new_token(prefix: str = TOKEN_PREFIX) -> str:
    """A fresh token: 256 random bits behind a prefix that secret scanners can know."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """SHA-256; a token is random enough to need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def password_hash(password: str) -> str:
    """An argon2id string with the library's current parameters (RFC 9106). Raises RateLimited."""
    with _one_of_few():
        return PasswordHasher().hash(password)


def password_matches(password: str, hashed: str | None) -> bool:
    """Whether it is the password; takes as long when there is none to compare with, and is False then.

    Raises RateLimited.
    """
    with _one_of_few(), contextlib.suppress(VerificationError, InvalidHashError):
        return PasswordHasher().verify(hashed or _somebodys_hash(), password) and hashed is not None
    return False


@contextlib.contextmanager
def _one_of_few() -> Iterator[None]:
    if not _FEW_WAIT.acquire(blocking=False):
        raise RateLimited("BUSY", "many people log in just now; try again in a moment", 1.0)
    try:
        with _FEW_AT_ONCE:
            yield
    finally:
        _FEW_WAIT.release()


def is_outdated(hashed: str) -> bool:
    """Whether the library would hash with other parameters today."""
    return PasswordHasher().check_needs_rehash(hashed)


@cache
def _somebodys_hash() -> str:
    return PasswordHasher().hash(secrets.token_urlsafe(16))
