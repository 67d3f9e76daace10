"""The installation's own secrets in DIR/secrets.json, made once. Credentials cannot be read without."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import LocalError
from .files import read_json, write_json

FILE = "secrets.json"


@dataclass(frozen=True)
class Secrets:
    """What the parts need beyond addresses. web_secret: signs the cookies of the dashboard."""

    secret_keys: str = field(repr=False)
    service_token: str = field(repr=False)
    web_secret: str = field(repr=False)


def load_secrets(data_dir: Path, env: Mapping[str, str] = os.environ) -> Secrets:
    """Read the secrets, making what is missing. What the environment has of them wins."""
    stored: dict[str, Any] = read_json(data_dir / FILE)
    if not stored:
        stored = _create(data_dir, env)
    if "web_secret" not in stored:
        stored["web_secret"] = secrets.token_urlsafe(48)
        write_json(data_dir / FILE, stored)
    try:
        keys, token = ",".join(map(str, stored["secret_keys"])), str(stored["service_token"])
    except (KeyError, TypeError) as error:
        raise LocalError(f"{data_dir / FILE} lacks {error}. Restore it from a backup.") from error
    return Secrets(
        secret_keys=env.get("FLUTE_SECRET_KEYS", "").strip() or keys,
        service_token=env.get("FLUTE_SERVICE_TOKEN", "").strip() or token,
        web_secret=env.get("FLUTE_WEB_SECRET", "").strip() or str(stored["web_secret"]),
    )


def _create(data_dir: Path, env: Mapping[str, str]) -> dict[str, Any]:
    if (data_dir / "postgres").exists() and not env.get("FLUTE_SECRET_KEYS"):
        raise LocalError(
            f"{data_dir / FILE} is missing, but there is a database beside it: its provider credentials "
            "cannot be read without the keys in that file. Restore it from a backup, set FLUTE_SECRET_KEYS, "
            "or move the whole folder away to begin anew."
        )
    created: dict[str, Any] = {
        "secret_keys": [base64.urlsafe_b64encode(os.urandom(32)).decode()],  # a Fernet key
        "service_token": secrets.token_urlsafe(32),
    }
    write_json(data_dir / FILE, created)
    return created
