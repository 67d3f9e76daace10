"""Settings of the server and the workers; the only reader of their environment variables."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parseaddr
from urllib.parse import parse_qs, unquote, urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LOOPBACK: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1"))


class ConfigError(Exception):
    """A setting is missing or wrong. Stops start-up; never part of the runtime error tree."""


@dataclass(frozen=True)
class Relay:
    """The mail server that takes Flute's own mail. security: starttls, tls or none."""

    host: str
    port: int
    security: str
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Config:
    """Everything a process of the server side needs to know. Secrets are kept out of repr."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    secret_keys: tuple[str, ...] = field(repr=False)
    service_token: str = field(repr=False)
    grpc_address: str = "127.0.0.1:50051"
    grpc_threads: int = 8
    grpc_tls_cert: str = ""
    grpc_tls_key: str = field(default="", repr=False)
    trusted_peers: tuple[Network, ...] = _LOOPBACK  # where web runs, which tells whom it serves
    allow_private_addresses: bool = False
    worker_sends: int = 32
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    log_level: str = "INFO"
    dns_server: str = ""  # HOST:PORT, an IP address; empty: those of the system
    data_dir: str = ""  # where `flute up` keeps everything; empty: not known
    public_url: str = ""  # where recipients reach web, without a slash at the end; empty: not known
    sign_up: str = "invitation"  # who may, after the first person: open, invitation or closed
    system_smtp: Relay | None = None
    system_from: str = ""  # an address, also with a name before it: Flute <flute@example.com>

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Config:
        """Read the settings. Raises ConfigError naming the variable to set."""
        return cls(
            database_url=_required(env, "DATABASE_URL", "postgresql://user:password@host/flute"),
            redis_url=_required(env, "REDIS_URL", "redis://host:6379/0"),
            secret_keys=tuple(_required(env, "FLUTE_SECRET_KEYS", "Fernet keys, newest first").split(",")),
            service_token=_required(env, "FLUTE_SERVICE_TOKEN", "at least 32 random characters"),
            grpc_address=env.get("FLUTE_GRPC_ADDRESS", cls.grpc_address),
            grpc_threads=_integer(env, "FLUTE_GRPC_THREADS", cls.grpc_threads),
            grpc_tls_cert=env.get("FLUTE_GRPC_TLS_CERT", ""),
            grpc_tls_key=env.get("FLUTE_GRPC_TLS_KEY", ""),
            trusted_peers=_networks(env, "FLUTE_GRPC_TRUSTED_PEERS") or _this_machine(env),
            allow_private_addresses=_switch(env, "FLUTE_ALLOW_PRIVATE_ADDRESSES"),
            worker_sends=_integer(env, "FLUTE_WORKER_SENDS", cls.worker_sends),
            connect_timeout_s=_seconds(env, "FLUTE_CONNECT_TIMEOUT", cls.connect_timeout_s),
            read_timeout_s=_seconds(env, "FLUTE_READ_TIMEOUT", cls.read_timeout_s),
            log_level=env.get("FLUTE_LOG_LEVEL", cls.log_level).upper(),
            dns_server=_ip_address(env, "FLUTE_DNS_SERVER"),
            data_dir=env.get("FLUTE_DATA_DIR", "").strip(),
            public_url=_url(env, "FLUTE_PUBLIC_URL"),
            sign_up=_choice(env, "FLUTE_SIGN_UP", cls.sign_up, ("open", "invitation", "closed")),
            system_smtp=_relay(env, "FLUTE_SYSTEM_SMTP"),
            system_from=_sender(env, "FLUTE_SYSTEM_FROM", needed_by="FLUTE_SYSTEM_SMTP"),
        )


def _required(env: Mapping[str, str], name: str, hint: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise ConfigError(f"{name} is not set ({hint})")
    return value


def _integer(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name, "").strip() or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
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


def _switch(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "0").strip().lower()
    if value not in {"", "0", "1", "false", "true"}:
        raise ConfigError(f"{name} must be 0 or 1, not {value!r}")
    return value in {"1", "true"}


def _networks(env: Mapping[str, str], name: str) -> tuple[Network, ...]:
    value = env.get(name, "").strip()
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",")) if value else ()
    except ValueError as error:
        text = f"{name} must be addresses or networks such as 10.0.0.5, 10.1.0.0/24"
        raise ConfigError(f"{text}, with commas between: {error}") from error


def _this_machine(env: Mapping[str, str]) -> tuple[Network, ...]:
    """From where its own programs come: loopback, and the address at which the server listens."""
    host = env.get("FLUTE_GRPC_ADDRESS", "").strip().rpartition(":")[0].strip("[]")
    try:
        return (*_LOOPBACK, ipaddress.ip_network(host))
    except ValueError:
        return _LOOPBACK


def _ip_address(env: Mapping[str, str], name: str) -> str:
    """1.2.3.4, 1.2.3.4:53, ::1 or [::1]:53; with the port in the end."""
    value = env.get(name, "").strip()
    if not value:
        return ""
    found = re.fullmatch(r"(?:\[([0-9a-f:]+)\]|([0-9.]+))(?::(\d{1,5}))?|([0-9a-f:]+)", value.lower())
    try:
        host = ipaddress.ip_address((found[1] or found[2] or found[4]) if found else value)
        port = int((found and found[3]) or 53)
    except ValueError as error:
        raise ConfigError(f"{name} must be an IP address such as 127.0.0.1:53, not {value!r}") from error
    if not 0 < port < 65536:
        raise ConfigError(f"{name} names a port that there is not: {value!r}")
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


def _url(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip().rstrip("/")
    # Whoever gets a mail follows it: nothing that would end a header's <...> early.
    if value and not re.fullmatch(r"https?://[^\s<>?#\"]+", value):
        raise ConfigError(f"{name} must be an address such as https://mail.example.com, not {value!r}")
    return value


def _choice(env: Mapping[str, str], name: str, default: str, choices: Sequence[str]) -> str:
    value = env.get(name, "").strip().lower() or default
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return value


def _relay(env: Mapping[str, str], name: str) -> Relay | None:
    """smtp://user:password@host:port with STARTTLS, smtps:// with TLS; ?starttls=off for neither."""
    value = env.get(name, "").strip()
    if not value:
        return None
    # Never shown: it holds a password.
    wrong = ConfigError(
        f"{name} must be like smtp://user:password@mail.example.com:587 (with STARTTLS; without any"
        " encryption if ?starttls=off follows) or smtps://user:password@mail.example.com:465"
    )
    try:
        url, port = urlsplit(value), urlsplit(value).port
    except ValueError:
        raise wrong from None
    options = parse_qs(url.query, keep_blank_values=True)
    plain = options == {"starttls": ["off"]} and url.scheme == "smtp"
    if (
        url.scheme not in {"smtp", "smtps"}
        or not url.hostname
        or url.path.strip("/")
        or not (plain or not options)
    ):
        raise wrong
    username, password = unquote(url.username or ""), unquote(url.password or "")
    if bool(username) != bool(password):
        raise wrong
    security = "tls" if url.scheme == "smtps" else "none" if plain else "starttls"
    return Relay(url.hostname, port or (465 if security == "tls" else 587), security, username, password)


def _sender(env: Mapping[str, str], name: str, needed_by: str) -> str:
    value = env.get(name, "").strip()
    if not value and env.get(needed_by, "").strip():
        raise ConfigError(f"{name} is not set (from which address Flute's own mail comes, with {needed_by})")
    if value and not re.fullmatch(r"[^\s@<>]+@[^\s@<>]+", parseaddr(value)[1]):
        raise ConfigError(f"{name} must be an address such as Flute <flute@example.com>, not {value!r}")
    return value
