"""The control port's part for what happens after acceptance: webhooks, bounces, events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from flute_server.sandbox.events import MADE_BY_HAND, Event, Happening, Letter
from flute_server.sandbox.http import HttpProvider
from flute_server.sandbox.inbox import Entry, Inbox, letters
from flute_server.sandbox.modes import ModeError
from flute_server.sandbox.poster import EventLog, Outgoing
from flute_server.sandbox.provider import Provider
from flute_server.sandbox.responses import array, check_filters, number, problem
from flute_server.sandbox.smtp import Smtp
from flute_server.sandbox.webhook import SetupError, parse_target
from flute_server.sandbox.wordings import usual_text

FILTERS = frozenset({"provider", "kind", "to", "message_id", "flute_email", "state", "limit", "offset"})
MAKING = frozenset({"message_id", "flute_email", "recipient", "kind", "text", "class", "at"})
# Made-up events are numbered after those that the mode decides.
FIRST_NUMBER = 1000


class EventControl:
    """Its handlers."""

    def __init__(self, inbox: Inbox, log: EventLog, providers: Mapping[str, Provider]) -> None:
        self._inbox = inbox
        self._log = log
        self._providers = providers

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/events", self.list_events),
            web.get("/events/count", self.count_events),
            web.delete("/events", self.forget_events),
            web.post("/providers/{name}/events", self.make_event),
            web.get("/providers/{name}/webhook", self.get_webhook),
            web.put("/providers/{name}/webhook", self.put_webhook),
            web.delete("/providers/{name}/webhook", self.delete_webhook),
            web.get("/providers/smtp/bounces", self.get_bounces),
            web.put("/providers/smtp/bounces", self.put_bounces),
            web.delete("/providers/smtp/bounces", self.delete_bounces),
        ]

    async def list_events(self, request: web.Request) -> web.StreamResponse:
        """GET /events: every event that was sent or is about to be, oldest first."""
        found = self._log.select(
            _filter(request), offset=number(request, "offset") or 0, limit=number(request, "limit")
        )
        return await array(request, found, Outgoing.describe)

    async def count_events(self, request: web.Request) -> web.Response:
        """GET /events/count: how many, by kind and by state."""
        return web.json_response(self._log.count(_filter(request)))

    async def forget_events(self, _: web.Request) -> web.Response:
        """DELETE /events: empty the list and call back what is on its way."""
        for provider in self._providers.values():
            provider.poster.clear()
        return web.json_response({"deleted": self._log.clear()})

    async def get_webhook(self, request: web.Request) -> web.Response:
        return web.json_response(self._http(request).describe_webhook())

    async def put_webhook(self, request: web.Request) -> web.Response:
        """PUT /providers/<name>/webhook: events of mails accepted from now on are posted there."""
        provider = self._http(request)
        try:
            await provider.webhook.set(parse_target(await request.read(), provider.webhook.voice))
        except SetupError as error:
            raise problem(422, str(error)) from error
        return web.json_response(provider.describe_webhook())

    async def delete_webhook(self, request: web.Request) -> web.Response:
        provider = self._http(request)
        provider.webhook.target = None
        provider.poster.clear()
        return web.json_response(provider.describe_webhook())

    async def get_bounces(self, _: web.Request) -> web.Response:
        return web.json_response(self._smtp().describe_bounces())

    async def put_bounces(self, request: web.Request) -> web.Response:
        """PUT /providers/smtp/bounces {"host", "port"}: bounces are delivered to that SMTP server."""
        data = await _object(request, frozenset({"host", "port"}))
        host, port = data.get("host"), data.get("port")
        if not isinstance(host, str) or not host or not isinstance(port, int) or not 0 < port < 65536:
            raise problem(422, "a host and a port are needed, the address of a mail server")
        self._smtp().bounces.server = (host, port)
        return web.json_response(self._smtp().describe_bounces())

    async def delete_bounces(self, _: web.Request) -> web.Response:
        self._smtp().bounces.server = None
        self._smtp().poster.clear()
        return web.json_response(self._smtp().describe_bounces())

    async def make_event(self, request: web.Request) -> web.Response:
        """POST /providers/<name>/events: something happens to a mail that is in the inbox."""
        provider = self._provider(request)
        data = await _object(request, MAKING)
        if not provider.listens:
            raise problem(409, f"nobody would be told: set up a webhook (or bounces) for {provider.name}")
        entry = await self._entry(provider, data)
        event = self._event(provider, entry, data)
        entry.by_hand = [*(entry.by_hand or ()), event]
        return web.json_response(provider.aftermath.report(event).describe(), status=201)

    def _event(self, provider: Provider, entry: Entry, data: Mapping[str, Any]) -> Event:
        kind = data.get("kind")
        if kind not in MADE_BY_HAND:
            raise problem(422, f"unknown kind {kind!r}; choose one of {', '.join(MADE_BY_HAND)}")
        klass = _text(data, "class")
        try:
            if klass:
                provider.check_class(klass)
        except ModeError as error:
            raise problem(422, str(error)) from error
        letter = _letter(letters(entry, self._inbox.read(entry)), data.get("recipient"))
        event = Event(
            kind=Happening(kind),
            letter=letter,
            at=_moment(data),
            number=FIRST_NUMBER + len(entry.by_hand or ()),
            text=_text(data, "text") or usual_text(Happening(kind), letter),
            klass=klass,
        )
        if not provider.tells(event):
            raise problem(422, f"{provider.name} does not tell of mails that are {kind}")
        return event

    async def _entry(self, provider: Provider, data: Mapping[str, Any]) -> Entry:
        """The newest mail with this id."""
        message_id, flute_email = _text(data, "message_id"), _text(data, "flute_email")
        if not message_id and not flute_email:
            raise problem(422, "say which mail: message_id (the provider's) or flute_email (ours)")
        for entry in self._inbox.newest(provider.name, flute_email):
            if message_id in {"", entry.message_id} and (
                not flute_email or self._is_ours(entry, flute_email)
            ):
                return entry
            await asyncio.sleep(0)
        raise problem(404, f"{provider.name} has accepted no such mail")

    def _is_ours(self, entry: Entry, flute_email: str) -> bool:
        return any(
            letter.metadata.get("flute_email") == flute_email
            for letter in letters(entry, self._inbox.read(entry))
        )

    def _provider(self, request: web.Request) -> Provider:
        name = request.match_info["name"]
        if name not in self._providers:
            raise problem(404, f"unknown provider {name!r}; choose one of {', '.join(self._providers)}")
        return self._providers[name]

    def _http(self, request: web.Request) -> HttpProvider:
        provider = self._provider(request)
        if not isinstance(provider, HttpProvider):
            raise problem(404, f"{provider.name} has no webhook; its bounces are mails, see /bounces")
        return provider

    def _smtp(self) -> Smtp:
        provider = self._providers[Smtp.name]
        assert isinstance(provider, Smtp)  # noqa: S101 - it is the one of this name
        return provider


def _filter(request: web.Request) -> Callable[[Outgoing], bool]:
    check_filters(request, FILTERS)
    query = request.query
    wanted: dict[str, Callable[[Outgoing], str]] = {
        "provider": lambda item: item.provider,
        "kind": lambda item: item.event.kind.value,
        "to": lambda item: item.event.letter.recipient.lower(),
        "message_id": lambda item: item.event.letter.message_id,
        "flute_email": lambda item: str(item.event.letter.metadata.get("flute_email", "")),
        "state": lambda item: item.state,
    }
    tests = [
        (read, query[name].lower() if name == "to" else query[name])
        for name, read in wanted.items()
        if query.get(name)
    ]
    return lambda item: all(read(item) == value for read, value in tests)


def _letter(found: list[Letter], recipient: object) -> Letter:
    if recipient is None and len(found) == 1:
        return found[0]
    for letter in found:
        if isinstance(recipient, str) and letter.recipient.lower() == recipient.lower():
            return letter
    raise problem(422, f"say which recipient: {', '.join(letter.recipient for letter in found)}")


async def _object(request: web.Request, known: frozenset[str]) -> dict[str, Any]:
    try:
        data = json.loads(await request.read())
    except ValueError as error:
        raise problem(422, f"the body is not JSON: {error}") from error
    if not isinstance(data, dict) or data.keys() - known:
        raise problem(422, f"the body is an object with members out of {', '.join(sorted(known))}")
    return data


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name, "")
    if not isinstance(value, str) or not value.isprintable():
        raise problem(422, f"{name} must be a printable string, not {value!r}")
    return value


def _moment(data: Mapping[str, Any]) -> float:
    """When it happened; now, unless said otherwise."""
    value = data.get("at", time.time())
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise problem(422, f"at must be a time in unix seconds, not {value!r}")
    return value
