"""The settings, the keys and the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from cryptography.fernet import Fernet

from flute_server.checkup.check import Ask, Check, Status, judged
from flute_server.config import Config, ConfigError
from flute_server.vault import Vault, vault

LEAST_FREE_BYTES = 1024**3
SHORTEST_TOKEN = 32
# So many stored secrets are tried.
TRIED = 500

_SEALED = f"""
SELECT credentials FROM provider_account
UNION ALL SELECT secret FROM webhook_endpoint
UNION ALL SELECT totp FROM "user" WHERE totp IS NOT NULL
LIMIT {TRIED}
"""  # noqa: S608  a constant


def secret_keys(config: Config) -> Iterator[Check]:
    """The keys under which credentials are sealed, and the service token."""
    name, title = "secret_keys", "Secret keys"
    bad = [n for n, key in enumerate(config.secret_keys, start=1) if not _is_fernet_key(key)]
    if bad:
        text = f"number {', '.join(map(str, bad))} in FLUTE_SECRET_KEYS is no Fernet key"
        fix = "a Fernet key is 32 random bytes in URL-safe base64; keep the old ones after the new one"
        yield Check(name, title, Status.FAILING, text, fix)
    else:
        yield Check(name, title, Status.OK, f"{len(config.secret_keys)} valid")
    if len(config.service_token) < SHORTEST_TOKEN:
        text = f"FLUTE_SERVICE_TOKEN is shorter than {SHORTEST_TOKEN} characters"
        yield Check(
            "service_token", "Service token", Status.FAILING, text, "make one with: openssl rand -base64 32"
        )


def stored_secrets(config: Config, ask: Ask) -> Iterator[Check]:
    """Whether what is sealed in the database can be opened with the present keys."""
    keys = vault(config.secret_keys)
    sealed = [bytes(row[0]) for row in ask(_SEALED)]
    shut = sum(not _opens(keys, secret) for secret in sealed)
    text = f"{len(sealed)} stored secrets can be opened" if sealed else "no secret is stored yet"
    if shut:
        text = f"{shut} of {len(sealed)} stored secrets cannot be opened with the keys in FLUTE_SECRET_KEYS"
    fix = "put the key with which they were sealed back at the end of FLUTE_SECRET_KEYS, and restart"
    yield judged("stored_secrets", "Stored secrets", text, fix, bad=shut > 0)


def addresses(config: Config) -> Iterator[Check]:
    """What the world, and people who forget their password, depend on."""
    text = config.public_url or "FLUTE_PUBLIC_URL is not set: links in mail lead nowhere"
    fix = "set FLUTE_PUBLIC_URL for server and workers to the address at which the world reaches web"
    yield judged("public_url", "Public address", text, fix, bad=not config.public_url, status=Status.WARNING)
    route = config.system_smtp
    text = f"leaves through {route.host}" if route else "FLUTE_SYSTEM_SMTP is not set: nobody gets a reset"
    fix = (
        "set FLUTE_SYSTEM_SMTP, for example smtp://user:password@mail.example.com:587, and FLUTE_SYSTEM_FROM"
        " for server and workers; `flute user mail` shows the links that wait"
    )
    yield judged("system_mail", "System mail", text, fix, bad=not route, status=Status.WARNING)


def disk(folder: Path) -> Iterator[Check]:
    """A full disk stops the database. folder: where it is, which need not be there yet."""
    place = next(place for place in (folder, *folder.parents) if place.exists())
    usage = shutil.disk_usage(place)
    text = f"{usage.free / 1024**3:.1f} GiB free of {usage.total / 1024**3:.0f} at {place}"
    fix = "make room: PostgreSQL stops when it is full"
    yield judged("disk", "Disk", text, fix, bad=usage.free < LEAST_FREE_BYTES)


def _opens(keys: Vault, sealed: bytes) -> bool:
    try:
        keys.open(sealed)
    except ConfigError:
        return False
    return True


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key.strip())
    except ValueError:
        return False
    return True
