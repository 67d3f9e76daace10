"""A provider's event webhook: where it goes, set up as a person would in the provider's console."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp

from flute_server.sandbox.events import Event, Happening
from flute_server.sandbox.poster import Batch, Verdict

TIMEOUT_S = 10.0


class SetupError(ValueError):
    """The webhook cannot be set up so."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where events are posted."""

    url: str
    username: str = ""
    password: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    signing: bool = True

    def describe(self) -> dict[str, object]:
        return {
            "url": self.url,
            "username": self.username,
            "password": self.password,
            "headers": dict(self.headers),
        }

    def authorization(self) -> dict[str, str]:
        if not self.username and not self.password:
            return {}
        pair = f"{self.username}:{self.password}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


class Voice(ABC):
    """How one provider tells of events."""

    batch_size: ClassVar[int] = 1
    # Settings that this provider's console has beside the URL.
    settings: ClassVar[frozenset[str]] = frozenset()
    # What it has words for.
    kinds: ClassVar[frozenset[Happening]] = frozenset(Happening)

    @abstractmethod
    def tell(self, event: Event) -> dict[str, Any]:
        """The event in the provider's words."""

    @abstractmethod
    def body(self, events: Sequence[Event], batch: Batch) -> bytes:
        """What is posted for these events."""

    def headers(self, target: Target, body: bytes, batch: Batch) -> dict[str, str]:
        """Beside Content-Type and credentials."""
        return {}

    def keys(self) -> dict[str, str]:
        """What the console shows for checking signatures."""
        return {}

    def ping(self) -> bytes:
        """Posted when the webhook is set up and to be answered with 200; empty for none."""
        return b""

    def taken(self, status: int) -> bool:
        return status == 200

    def final(self, status: int) -> bool:
        """An answer after which the provider does not try again."""
        return False

    def objection(self, klass: str) -> str:
        """Why this is not one of the provider's classes; empty when it is."""
        return ""


class Webhook:
    """Posts events to the target, over kept-alive connections."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.target: Target | None = None
        self._session: aiohttp.ClientSession | None = None

    async def set(self, target: Target) -> None:
        """Raises SetupError when the provider would try the address and does not like the answer."""
        ping = self.voice.ping()
        if ping:
            status = await self._post(target, ping, Batch([]))
            if status != "200":
                raise SetupError(f"the test POST to {target.url} was answered with {status}, not 200")
        self.target = target

    async def deliver(self, batch: Batch) -> Verdict:
        target = self.target
        if target is None:
            return Verdict("", "no webhook", taken=False, final=True)
        body = self.voice.body([item.event for item in batch.items], batch)
        status = await self._post(target, body, batch)
        if not status.isdecimal():
            return Verdict(target.url, status, taken=False)
        code = int(status)
        return Verdict(target.url, status, self.voice.taken(code), self.voice.final(code))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _post(self, target: Target, body: bytes, batch: Batch) -> str:
        """The HTTP status, or what went wrong."""
        headers = {
            "Content-Type": "application/json",
            **target.authorization(),
            **target.headers,
            **self.voice.headers(target, body, batch),
        }
        try:
            async with self._client().post(
                target.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                await response.read()
                return str(response.status)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return type(error).__name__

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Certificates are the operator's affair: a sandbox posts to test servers.
            connector = aiohttp.TCPConnector(limit=0, ssl=False)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=False
            )
        return self._session


def parse_target(body: bytes, voice: Voice) -> Target:
    """The set-up as JSON. Raises SetupError."""
    try:
        data = json.loads(body)
    except ValueError as error:
        raise SetupError(f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise SetupError("the body must be an object with a url")
    known = {"url", *voice.settings}
    for name in data:
        if name not in known:
            raise SetupError(f"unknown setting {name!r}; this provider takes {', '.join(sorted(known))}")
    return Target(
        url=_url(data.get("url")),
        username=_text(data, "username"),
        password=_text(data, "password"),
        headers=_headers(data.get("headers", {})),
        signing=_switch(data.get("signing", True)),
    )


def _url(value: object) -> str:
    if not isinstance(value, str) or urlsplit(value).scheme not in {"http", "https"}:
        raise SetupError(f"url must be a http or https address, not {value!r}")
    return value


def _text(data: Mapping[str, object], name: str) -> str:
    value = data.get(name, "")
    if not isinstance(value, str) or not value.isprintable():
        raise SetupError(f"{name} must be a printable string, not {value!r}")
    return value


def _headers(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise SetupError(f"headers must be an object of strings, not {value!r}")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise SetupError(f"signing must be true or false, not {value!r}")
    return value
