"""The control port: what was sent, how each provider shall behave, how often it was called."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from flute_server.sandbox.inbox import Entry, Inbox
from flute_server.sandbox.modes import KINDS, Mode, ModeError, parse
from flute_server.sandbox.provider import Calls, Provider

# Mails that are written in one go; a few milliseconds' work.
PAGE = 20

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """The JSON API over the sandbox's state."""

    def __init__(self, inbox: Inbox, providers: Mapping[str, Provider]) -> None:
        self._inbox = inbox
        self._providers = providers

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
            ]
        )
        return app

    async def overview(self, _: web.Request) -> web.Response:
        """GET /: the providers with address, accepted credentials and mode; the modes there are."""
        modes = {
            name: {"meaning": kind.meaning, "settings": sorted(kind.settings)} for name, kind in KINDS.items()
        }
        providers = {name: provider.describe() for name, provider in self._providers.items()}
        return web.json_response({"providers": providers, "modes": modes})

    async def list_inbox(self, request: web.Request) -> web.StreamResponse:
        """GET /inbox?provider=&to=&limit=&offset=&content=1: a JSON array, oldest first, streamed."""
        entries = self._inbox.select(
            **self._filters(request), offset=_number(request, "offset") or 0, limit=_number(request, "limit")
        )
        with_content = request.query.get("content", "0") not in {"", "0", "false"}
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        opening = b"["
        for first in range(0, len(entries), PAGE):
            shown = [self._shown(entry, with_content) for entry in entries[first : first + PAGE]]
            await response.write(opening + b",\n".join(shown))
            opening = b",\n"
            # Let the providers answer: reading a long inbox must not stop them.
            await asyncio.sleep(0)
        await response.write(b"]\n" if entries else b"[]\n")
        await response.write_eof()
        return response

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
        for name in request.query:
            if name not in {"provider", "to", "limit", "offset", "content"}:
                raise problem(400, f"unknown filter {name!r}; choose provider, to, limit, offset or content")
        provider = request.query.get("provider", "")
        if provider:
            self._known(provider, 400)
        return {"provider": provider, "to": request.query.get("to", "")}

    def _shown(self, entry: Entry, with_content: bool) -> bytes:
        return json.dumps(self._inbox.describe(entry, with_content), ensure_ascii=False).encode(
            errors="replace"
        )


def problem(status: int, detail: str) -> web.HTTPException:
    """A JSON error that says what to do instead."""
    return _STATUSES[status](text=json.dumps({"error": detail}), content_type="application/json")


_STATUSES: Mapping[int, type[web.HTTPException]] = {
    400: web.HTTPBadRequest,
    404: web.HTTPNotFound,
    422: web.HTTPUnprocessableEntity,
}


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors of aiohttp itself (no such path, wrong method) as JSON too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.content_type == "application/json":
            raise
        return web.json_response(
            {"error": f"{error.reason}: {request.method} {request.path}"}, status=error.status
        )


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise problem(400, f"{name} must be a whole number, not {text!r}")
    return int(text)
