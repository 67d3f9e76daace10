"""The control port's answers: long arrays piece by piece, errors that say what to do instead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from aiohttp import web

# Items that are written in one go; a few milliseconds' work.
PAGE = 20

Item = TypeVar("Item")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUSES: Mapping[int, type[web.HTTPException]] = {
    400: web.HTTPBadRequest,
    404: web.HTTPNotFound,
    409: web.HTTPConflict,
    422: web.HTTPUnprocessableEntity,
}


def problem(status: int, detail: str) -> web.HTTPException:
    """To be raised."""
    return _STATUSES[status](text=json.dumps({"error": detail}), content_type="application/json")


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


async def array(
    request: web.Request, items: Sequence[Item], show: Callable[[Item], Mapping[str, object]]
) -> web.StreamResponse:
    """A JSON array. The providers go on answering meanwhile: reading a long list must not stop them."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    opening = b"["
    for first in range(0, len(items), PAGE):
        shown = [_json(show(item)) for item in items[first : first + PAGE]]
        await response.write(opening + b",\n".join(shown))
        opening = b",\n"
        await asyncio.sleep(0)
    await response.write(b"]\n" if items else b"[]\n")
    await response.write_eof()
    return response


def _json(data: Mapping[str, object]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode(errors="replace")


def check_filters(request: web.Request, known: frozenset[str]) -> None:
    """A misspelt filter would show everything."""
    for name in request.query:
        if name not in known:
            raise problem(400, f"unknown filter {name!r}; choose one of {', '.join(sorted(known))}")


def number(request: web.Request, name: str) -> int | None:
    """A whole number from the query; None when it is not there."""
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise problem(400, f"{name} must be a whole number, not {text!r}")
    return int(text)
