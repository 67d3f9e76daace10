"""What HTTP providers share: the call, its deadlines, what went wrong and when, how answers become results.

A provider's own file declares its fields, its capabilities, its table of failures, how to build the request
from a hand-off and how to read an acceptance. What a failure says about "was it sent?" is decided here, once:

    no connection, no TLS, request not completely written        UNREACHABLE  (certainly not sent)
    request written, then time-out, broken connection, half 2xx  AMBIGUOUS    (maybe sent)
    a status of 300 and above                                    the provider's table of failures, then COMMON
"""

from __future__ import annotations

import base64
import json
import re
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from flute_server import egress
from flute_server.domain.message import Address, Attachment, Handoff, Message
from flute_server.domain.outcome import ErrorKind, Reply, SendResult
from flute_server.providers.advice import advice
from flute_server.providers.base import NEVER, CredentialCheck, CredentialError, Field, Network, Provider
from flute_server.providers.failures import Fault, Rule, judge
from flute_server.providers.redaction import clip, redactor

MAX_ANSWER = 64 * 1024
MAX_FINDINGS = 960 * 1024  # of a look-up; egress ends an answer at 1 MiB
LONGEST_WAIT_S = 86_400.0  # of Retry-After; beyond a day it is a mistake

# Header fields that every API has fields for, or writes itself.
RESERVED_HEADERS = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "subject",
        "reply-to",
        "content-type",
        "content-transfer-encoding",
        "mime-version",
    }
)

# How an empty send is answered when the key is good; and the kinds which mean otherwise all the same.
COMPLAINS_OF_CONTENT = {400, 422}
UNUSABLE = {ErrorKind.AUTH, ErrorKind.QUOTA, ErrorKind.SUSPENDED, ErrorKind.RATE, ErrorKind.SERVER}
NOBODY = Handoff(email_id="", attempt_id="", message=Message(Address(""), ()), recipients=())


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One call, without what all calls of the account share (address of the host, key, agent)."""

    path: str
    body: bytes = field(repr=False)
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"
    max_answer: int = MAX_ANSWER

    @classmethod
    def to_ask(cls, path: str, query: Mapping[str, str]) -> HttpRequest:
        return cls(f"{path}?{urlencode(query)}", b"", method="GET", max_answer=MAX_FINDINGS)

    @classmethod
    def of_json(cls, path: str, data: object) -> HttpRequest:
        return cls(path, _ENCODER.encode(data).encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer as the providers read it; secrets are already gone from `text`."""

    status: int
    headers: Mapping[str, str]
    text: str
    retry_after: float | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is anything else."""
        try:
            parsed = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}


class HttpProvider(Provider):
    """A provider that is called with requests. One object is shared by all threads that send."""

    default_base_url: ClassVar[str]
    failures: ClassVar[tuple[Rule, ...]]
    repeats_headers: ClassVar[bool] = False  # can carry a header field twice
    look_up_keeps: ClassVar[timedelta] = NEVER  # what it looks up in forgets older mails

    def __init__(self, credentials: Mapping[str, str], network: Network) -> None:
        super().__init__(credentials, network)
        secrets = [self.credentials[f.name] for f in self.fields if f.secret]
        self._redact = redactor([*secrets, *self.derived_secrets()])
        self._base_url = self.credentials["base_url"]
        self._headers = {
            "User-Agent": "Flute/1",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **self.authorization(),
        }
        adapter = egress.CheckedAdapter(
            allow_private=network.allow_private,
            answer_timeout_s=network.read_timeout_s,
            pool_size=network.max_connections,
            ca_file=network.ca_file,
        )
        self._session = egress.CheckedSession(adapter)

    @classmethod
    def validate(cls, credentials: Mapping[str, str]) -> dict[str, str]:
        values = super().validate(credentials)
        values["base_url"] = _base_url(values["base_url"], cls.default_base_url)
        return values

    # What a provider declares.

    @abstractmethod
    def authorization(self) -> dict[str, str]:
        """The header fields that carry the key."""

    @abstractmethod
    def build(self, handoff: Handoff) -> HttpRequest:
        """The call that sends this mail. Pure."""

    @abstractmethod
    def empty_send(self) -> HttpRequest:
        """A call to the same address which lacks everything that a mail needs."""

    @abstractmethod
    def accepted(self, answer: HttpAnswer, handoff: Handoff) -> SendResult | None:
        """What a 2xx answer means; None when it is not this provider's way of accepting. Pure."""

    @abstractmethod
    def faults(self, answer: HttpAnswer, handoff: Handoff) -> list[Fault]:
        """What the answer complains about; empty if it is not in the provider's error form. Pure."""

    def derived_secrets(self) -> Iterable[str]:
        """Texts that are made from secrets and give them away."""
        return ()

    # What they share.

    def send(self, handoff: Handoff) -> SendResult:
        answer = self._call(self.build(handoff))
        return SendResult(answer) if isinstance(answer, Reply) else self.read(answer, handoff)

    def read(self, answer: HttpAnswer, handoff: Handoff) -> SendResult:
        """What an answer means for every recipient. Pure."""
        if answer.status < 300:
            result = self.accepted(answer, handoff)
            if result is not None:
                return result
        faults = self.faults(answer, handoff)
        if faults or answer.status >= 300:
            faults = faults or [Fault(answer.status, text=answer.text, own=False)]
            return judge(self.failures, faults, handoff, answer.retry_after)
        text = clip(f"this is not how {self.name} answers; is base_url right? {answer.text}")
        return SendResult(Reply(ErrorKind.AMBIGUOUS, str(answer.status), text=text))

    def check(self) -> CredentialCheck:
        """An empty send: providers look at the key before the content, and this content sends nothing.

        Unlike the look-up calls that some providers offer, it needs no other right than the one to send.
        """
        answer = self._call(self.empty_send())
        if isinstance(answer, Reply):
            return CredentialCheck(ok=False, text=answer.text, advice=advice(answer.kind, answer.text))
        reply = self.read(answer, NOBODY).reply
        if (
            answer.status in COMPLAINS_OF_CONTENT
            and self.faults(answer, NOBODY)
            and reply.kind not in UNUSABLE
        ):
            return CredentialCheck(ok=True, text=f"{self.name} accepts these credentials")
        text = f"{self.name} answers {answer.status}: {reply.text}"
        refused = reply.kind is ErrorKind.AUTH
        return CredentialCheck(ok=False, text=text, advice=advice(reply.kind, text), refused=refused)

    def ask(self, path: str, query: Mapping[str, str]) -> HttpAnswer | Reply:
        """A GET; a Reply when there is no answer to read."""
        return self._call(HttpRequest.to_ask(path, query))

    def close(self) -> None:
        self._session.close()

    def objections(self, handoff: Handoff) -> tuple[str, ...]:
        found = super().objections(handoff)
        names = [name.lower() for name, _ in handoff.message.headers]
        if not self.repeats_headers and len(set(names)) < len(names):
            found += (f"{self.name} carries a header field only once",)
        return found

    def _call(self, request: HttpRequest) -> HttpAnswer | Reply:
        """Make the call; a Reply when there is no answer to read. The one place that knows foreign errors."""
        try:
            response = self._session.send(
                self._prepared(request),
                stream=True,
                timeout=(self.network.connect_timeout_s, self.network.read_timeout_s),
                allow_redirects=False,
                proxies={},
            )
            return self._read(response, request.max_answer)
        except egress.NotSent as error:
            return self._failed(ErrorKind.UNREACHABLE, error)
        except (egress.AnswerLost, requests.RequestException, HTTPError, OSError) as error:
            # What is not known to be harmless counts as maybe sent.
            return self._failed(ErrorKind.AMBIGUOUS, error)

    def _prepared(self, request: HttpRequest) -> requests.PreparedRequest:
        """What requests would prepare, without parsing and encoding the same things for every mail."""
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = self._base_url + request.path
        own = {"Content-Type": request.content_type, "Content-Length": str(len(request.body))}
        if request.method == "GET":
            own = {}
        prepared.headers = CaseInsensitiveDict({**self._headers, **request.headers, **own})
        prepared.body = request.body or None
        prepared.hooks = {"response": []}
        return prepared

    def _read(self, response: requests.Response, limit: int) -> HttpAnswer:
        raw = response.raw
        parts: list[bytes] = []
        left = limit
        try:
            while left > 0 and (chunk := raw.read(left, decode_content=True)):
                parts.append(chunk)
                left -= len(chunk)
        except (HTTPError, OSError) as error:
            # A refusal is one whether or not its explanation arrives; an acceptance may hang on the body.
            if response.status_code < 300:
                raise egress.AnswerLost(f"the answer broke off: {error}") from error
            left = 0
        if left <= 0:
            raw.close()
        text = self._redact(b"".join(parts).decode("utf-8", "replace"))
        wait = retry_after(response.headers.get("Retry-After", ""), time.time())
        return HttpAnswer(response.status_code, response.headers, text, wait)

    def _failed(self, kind: ErrorKind, error: Exception) -> Reply:
        return Reply(kind, text=clip(self._redact(str(error))))


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait, from a number or a date (RFC 9110 section 10.2.3); None if it is neither."""
    value = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return min(float(value), LONGEST_WAIT_S)
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(moment - now, 0.0), LONGEST_WAIT_S)


def base_url_field(default: str, regions: str = "") -> Field:
    """The optional field that every HTTP provider has."""
    text = f"Leave empty for {default}. {regions}".strip()
    return Field("base_url", "API address", required=False, default=default, help=text)


def _base_url(value: str, default: str) -> str:
    """An http(s) address without a trailing slash; a bare host gets the path of the documented address."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise CredentialError("base_url", f"base_url is not a web address: {error}") from None
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.query or parts.fragment:
        raise CredentialError("base_url", f"base_url is an https address such as {default}")
    if not value.isascii() or " " in value:
        raise CredentialError("base_url", "base_url holds characters that a web address cannot have")
    path = parts.path.rstrip("/") or urlsplit(default).path
    return f"{parts.scheme}://{parts.netloc}{path}"


def encoded(attachment: Attachment) -> str:
    """The file as JSON bodies carry it: base64 without line breaks."""
    return base64.b64encode(attachment.content).decode()


def text_of(value: object) -> str:
    """A provider's text, whatever type it came in."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def entries(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON list; empty for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def our_ids(handoff: Handoff) -> dict[str, str]:
    """What comes back in a provider's events; the recipient's id only where it can mean but one."""
    ids = {"flute_email": handoff.email_id, "flute_attempt": handoff.attempt_id}
    if len(handoff.recipients) == 1:
        ids["flute_recipient"] = handoff.recipients[0].id
    return ids
