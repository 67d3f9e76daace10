"""What the HTTP providers share: connections, counting, modes. Each provider adds its own dialect."""

from __future__ import annotations

import asyncio
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from flute_server.sandbox.aftermath import let_overtake
from flute_server.sandbox.events import Event
from flute_server.sandbox.inbox import Entry, Inbox
from flute_server.sandbox.listener import Listener, ResetProtocol
from flute_server.sandbox.mail import Mail
from flute_server.sandbox.modes import Effect, Mode, ModeError
from flute_server.sandbox.poster import EventLog, Outgoing
from flute_server.sandbox.provider import Provider
from flute_server.sandbox.webhook import Voice, Webhook

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Over every provider's own cap, so that the provider's answer and not ours is seen.
MAX_BODY = 64 * 1024 * 1024


class Answer(NamedTuple):
    """What goes back to the caller."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"


class Refused(Exception):
    """The provider says no. `answer` is its way of saying so."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.decode("utf-8", "replace"))
        self.answer = answer


class Call(NamedTuple):
    """One HTTP request, read completely."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Received(NamedTuple):
    """What an endpoint made of a call: the mails it carries, and the answer once they are taken.

    An endpoint that takes no mail (a credential check) gives none. `ids` are the provider's ids for them.
    """

    answer: Answer
    mails: tuple[Mail, ...] = ()
    ids: tuple[str, ...] = ()


class HttpProvider(Provider, ABC):
    """A provider's HTTP API on a port of its own."""

    scheme: ClassVar[str] = "http"
    max_bytes: ClassVar[int]
    voice: ClassVar[type[Voice]]
    # Modes of things that happen after acceptance, which this provider tells at once instead.
    refused_at_once: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, inbox: Inbox, log: EventLog, host: str, port: int) -> None:
        self.webhook = Webhook(self.voice())
        super().__init__(inbox, log, self.webhook.deliver, self.voice.batch_size)
        # Cancelling tells `hang` and `slow` that the client has gone away.
        self._server = web.Server(
            self._serve, request_factory=self._request, handler_cancellation=True, access_log=None
        )
        self.listener = Listener(host, port, self._protocol)

    # What a provider must say in its own words.

    @abstractmethod
    def authenticate(self, call: Call) -> None:
        """Raises Refused when the credentials are not the sandbox's."""

    @abstractmethod
    def receive(self, call: Call) -> Received:
        """Check the call as strictly as the real provider. Raises Refused."""

    @abstractmethod
    def refusal(self, mode: Mode, mails: tuple[Mail, ...]) -> Answer:
        """This provider's answer in one of the modes that refuse."""

    @abstractmethod
    def too_large(self) -> Answer:
        """The call's body is over the provider's cap."""

    @abstractmethod
    def check_route(self, method: str, path: str) -> None:
        """Raises Refused when the provider has no such endpoint."""

    def partial(self, mode: Mode, received: Received) -> Received | None:
        """A provider that can take some recipients and refuse others returns what is left of the call."""
        return None

    # Events.

    @property
    def listens(self) -> bool:
        return self.webhook.target is not None

    def tells(self, event: Event) -> bool:
        return event.kind in self.voice.kinds

    def check_class(self, klass: str) -> None:
        objection = self.webhook.voice.objection(klass)
        if objection:
            raise ModeError(objection)

    def describe(self) -> dict[str, object]:
        return {**super().describe(), "webhook": self.describe_webhook()}

    def describe_webhook(self) -> dict[str, object]:
        """What the provider's console shows: the set-up, and the keys to check signatures with."""
        target = self.webhook.target
        return {**({"url": None} if target is None else target.describe()), **self.webhook.voice.keys()}

    # Connections.

    def drop_connections(self) -> None:
        for connection in list(self._server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        self.listener.release()
        self.drop_connections()
        await self._server.shutdown(0)
        await self.poster.close()
        await self.webhook.close()

    def _protocol(self) -> asyncio.Protocol:
        if self.mode.name == "reset" and self.mode.draw():
            self.calls.begin()
            self.calls.answer("reset")
            return ResetProtocol()
        return self._server()

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: Any,  # noqa: ANN401 - aiohttp keeps the type to itself
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)

    # One call.

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        mode = self.mode
        self.calls.begin()
        try:
            answer = await self._answer(request, mode)
        except Refused as refused:
            answer = refused.answer
        except asyncio.CancelledError:
            self.calls.answer(mode.name if mode.name in {"drop_answer", "hang"} else "gone")
            raise
        self.calls.answer(str(answer.status))
        response = web.Response(
            status=answer.status,
            body=answer.body,
            headers=answer.headers or None,
            content_type=answer.content_type if answer.body else None,
        )
        if mode.name == "reset":
            # Connections are drawn anew in this mode; so each serves one call.
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest, mode: Mode) -> Answer:
        if (request.content_length or 0) > self.max_bytes:
            raise Refused(self.too_large())
        body = await request.read()
        if len(body) > self.max_bytes:
            raise Refused(self.too_large())
        call = Call(request.method, request.raw_path, request.headers, body)
        self.check_route(call.method, unquote(call.path.partition("?")[0]))
        self.authenticate(call)
        received = self.receive(call)
        return await self._behave(request, mode if mode.draw() else mode.otherwise(), call, received)

    async def _behave(self, request: web.BaseRequest, mode: Mode, call: Call, received: Received) -> Answer:
        if mode.name == "ok" or not self._applies(mode, received):
            return await self._accept(call, mode, received)
        if mode.effect is Effect.ACCEPTED:
            answer = await self._accept(call, mode, received)
            await self._withhold(request, mode)
            return answer
        if mode.effect is Effect.AFTER and mode.name not in self.refused_at_once:
            return await self._accept(call, mode, received)
        rest = self.partial(mode, received)
        if rest is not None:
            return await self._accept(call, mode, rest)
        return self._with_retry_after(mode, self.refusal(mode, received.mails))

    def _applies(self, mode: Mode, received: Received) -> bool:
        """Does the mode concern this call? With `domains`, only if a receiver is in one of them."""
        if mode.effect is Effect.CONNECTION:
            return False
        if not received.mails:
            return mode.effect is Effect.ANY_CALL and not mode.domains
        return any(mode.concerned(mail.recipients) for mail in received.mails)

    async def _accept(self, call: Call, mode: Mode, received: Received) -> Answer:
        events: list[Outgoing] = []
        for part, mail in enumerate(received.mails):
            if mail.send:
                events += self._keep(call, part, mode, mail, received.ids[part])
        await let_overtake(mode, events)
        return received.answer

    def _keep(self, call: Call, part: int, mode: Mode, mail: Mail, message_id: str) -> list[Outgoing]:
        entry = Entry(
            provider=self.name,
            message_id=message_id,
            envelope_from=mail.envelope_from or mail.sender.email,
            recipients=mail.recipients,
            raw=call.body,
            content_type=call.headers.get("Content-Type", ""),
            part=part,
            fate=mode,
        )
        return self.keep(entry, mail)

    async def _withhold(self, request: web.BaseRequest, mode: Mode) -> None:
        """The mail is taken; what becomes of the answer? Returns when it may be given."""
        if mode.name == "slow":
            await asyncio.sleep(mode.seconds)
            return
        if mode.name == "drop_answer" and request.transport is not None:
            request.transport.abort()
        # Ends by being cancelled when the connection is gone.
        await asyncio.Event().wait()

    def _with_retry_after(self, mode: Mode, answer: Answer) -> Answer:
        if mode.retry_after is None:
            return answer
        return answer._replace(headers={**answer.headers, "Retry-After": f"{mode.retry_after:g}"})


def as_json(data: object) -> bytes:
    """Compact JSON, characters as they are."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def parse_json(body: bytes, refuse: Callable[[str], Refused]) -> Any:  # noqa: ANN401 - whatever was sent
    """The body as JSON in UTF-8. Numbers beyond JSON (NaN, Infinity) are no JSON either."""
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
        if _SURROGATE.search(body):
            # Half a surrogate pair is no character: it could not be written down again.
            as_json(data)
        return data
    except UnicodeError:
        raise refuse("the body is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise refuse(f"the body is not JSON: {error}") from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
