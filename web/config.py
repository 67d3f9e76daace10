"""Settings of the web processes; the only reader of their environment variables."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class ConfigError(Exception):
    """A setting is missing or wrong. Stops start-up; never answered to a client."""


@dataclass(frozen=True)
class WebConfig:
    """Everything a web process needs to know. Its one secret signs cookies: callers bring their keys."""

    bind: str = "127.0.0.1:8000"
    # One for two cores: the other serves flute_server, workers and database, which cost as much.
    workers: int = max(1, (os.cpu_count() or 2) // 2)
    threads: int = 16
    access_log: bool = False
    log_level: str = "INFO"
    max_body_bytes: int = 35 * 1024 * 1024
    body_timeout_s: float = 10.0
    grpc_address: str = "127.0.0.1:50051"
    grpc_tls_ca: str = ""
    rpc_timeout_s: float = 10.0
    # How many proxies in front of us add to X-Forwarded-For. With 0, the header is anybody's word.
    trusted_proxies: int = 0
    # What signs the cookies of people who are logged in; the same in all processes.
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    # Where the world reaches us, without a slash at the end; empty: not known.
    public_url: str = ""

    @property
    def secure(self) -> bool:
        """Whether people reach us over TLS, so that their cookies need not travel otherwise."""
        return self.public_url.startswith("https://")

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> WebConfig:
        """Read the settings. Raises ConfigError naming the variable to set."""
        return cls(
            bind=env.get("FLUTE_WEB_BIND", "").strip() or cls.bind,
            workers=_integer(env, "FLUTE_WEB_WORKERS", cls.workers),
            threads=_integer(env, "FLUTE_WEB_THREADS", cls.threads),
            access_log=_switch(env, "FLUTE_WEB_ACCESS_LOG"),
            log_level=env.get("FLUTE_LOG_LEVEL", "").strip().upper() or cls.log_level,
            max_body_bytes=_integer(env, "FLUTE_WEB_MAX_BODY", cls.max_body_bytes),
            body_timeout_s=_seconds(env, "FLUTE_WEB_BODY_TIMEOUT", cls.body_timeout_s),
            grpc_address=env.get("FLUTE_GRPC_ADDRESS", "").strip() or cls.grpc_address,
            grpc_tls_ca=_file(env, "FLUTE_GRPC_TLS_CA"),
            rpc_timeout_s=_seconds(env, "FLUTE_WEB_RPC_TIMEOUT", cls.rpc_timeout_s),
            trusted_proxies=_integer(env, "FLUTE_WEB_TRUSTED_PROXIES", cls.trusted_proxies, least=0),
            secret_key=_secret(env, "FLUTE_WEB_SECRET"),
            public_url=env.get("FLUTE_PUBLIC_URL", "").strip().rstrip("/"),
        )


def _integer(env: Mapping[str, str], name: str, default: int, least: int = 1) -> int:
    value = env.get(name, "").strip() or str(default)
    if not value.isdecimal() or not least <= int(value) <= 1 << 30:
        raise ConfigError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    value = env.get(name, "").strip() or str(default)
    try:
        seconds = float(value)
    except ValueError as error:
        raise ConfigError(f"{name} must be a number of seconds, not {value!r}") from error
    if not 0 < seconds < 3600:
        raise ConfigError(f"{name} must be between 0 and 3600 seconds, not {value!r}")
    return seconds


def _secret(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip() or secrets.token_urlsafe(48)
    if len(value) < 32:
        raise ConfigError(
            f"{name} must have at least 32 random characters, the same for all processes of web"
        )
    return value


def _switch(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "").strip().lower() or "0"
    if value not in {"0", "1", "false", "true"}:
        raise ConfigError(f"{name} must be 0 or 1, not {value!r}")
    return value in {"1", "true"}


def _file(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if value and not Path(value).is_file():
        raise ConfigError(f"{name} names no file: {value!r}")
    return value
