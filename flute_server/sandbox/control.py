"""The control port: what was sent, how each provider shall behave, how often it was called."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from flute_server.sandbox.control_events import EventControl
from flute_server.sandbox.inbox import Inbox
from flute_server.sandbox.modes import KINDS, Mode, ModeError, parse
from flute_server.sandbox.poster import EventLog
from flute_server.sandbox.provider import Calls, Provider
from flute_server.sandbox.responses import array, check_filters, number, problem, problems

FILTERS = frozenset({"provider", "to", "limit", "offset", "content"})


class Control:
    """The JSON API over the sandbox's state."""

    def __init__(self, inbox: Inbox, log: EventLog, providers: Mapping[str, Provider]) -> None:
        self._inbox = inbox
        self._providers = providers
        self._events = EventControl(inbox, log, providers)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[problems])
        app.add_routes(
            [
                web.get("/", self.overview),
                web.get("/inbox", self.list_inbox),
                web.get("/inbox/count", self.count_inbox),
                web.delete("/inbox", self.empty_inbox),
                web.get("/providers/{name}/mode", self.get_mode),
                web.put("/providers/{name}/mode", self.put_mode),
                web.delete("/modes", self.reset_modes),
                web.get("/providers/{name}/calls", self.get_calls),
                web.delete("/providers/{name}/calls", self.reset_calls),
                *self._events.routes(),
            ]
        )
        return app

    async def overview(self, _: web.Request) -> web.Response:
        """GET /: the providers with address, accepted credentials and mode; the modes there are."""
        modes = {
            name: {"meaning": kind.meaning, "settings": sorted(kind.taken)} for name, kind in KINDS.items()
        }
        providers = {name: provider.describe() for name, provider in self._providers.items()}
        return web.json_response({"providers": providers, "modes": modes})

    async def list_inbox(self, request: web.Request) -> web.StreamResponse:
        """GET /inbox?provider=&to=&limit=&offset=&content=1: a JSON array, oldest first, streamed."""
        entries = self._inbox.select(
            **self._filters(request), offset=number(request, "offset") or 0, limit=number(request, "limit")
        )
        with_content = request.query.get("content", "0") not in {"", "0", "false"}
        return await array(request, entries, lambda entry: self._inbox.describe(entry, with_content))

    async def count_inbox(self, request: web.Request) -> web.Response:
        return web.json_response({"count": self._inbox.count(**self._filters(request))})

    async def empty_inbox(self, _: web.Request) -> web.Response:
        return web.json_response({"deleted": self._inbox.clear()})

    async def get_mode(self, request: web.Request) -> web.Response:
        return web.json_response(self._provider(request).mode.describe())

    async def put_mode(self, request: web.Request) -> web.Response:
        """PUT /providers/<name>/mode: in force when this answers."""
        provider = self._provider(request)
        try:
            mode = parse(await request.read())
            provider.check_mode(mode)
        except ModeError as error:
            raise problem(422, str(error)) from error
        await provider.set_mode(mode)
        return web.json_response(mode.describe())

    async def reset_modes(self, _: web.Request) -> web.Response:
        for provider in self._providers.values():
            await provider.set_mode(Mode())
        return web.json_response({name: p.mode.describe() for name, p in self._providers.items()})

    async def get_calls(self, request: web.Request) -> web.Response:
        return web.json_response(self._provider(request).calls.describe())

    async def reset_calls(self, request: web.Request) -> web.Response:
        provider = self._provider(request)
        provider.calls = Calls()
        return web.json_response(provider.calls.describe())

    def _provider(self, request: web.Request) -> Provider:
        return self._known(request.match_info["name"], 404)

    def _known(self, name: str, status: int) -> Provider:
        if name not in self._providers:
            raise problem(status, f"unknown provider {name!r}; choose one of {', '.join(self._providers)}")
        return self._providers[name]

    def _filters(self, request: web.Request) -> dict[str, str]:
        check_filters(request, FILTERS)
        provider = request.query.get("provider", "")
        if provider:
            self._known(provider, 400)
        return {"provider": provider, "to": request.query.get("to", "")}
