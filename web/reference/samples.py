"""An example of every call, as a request and as code in three languages. They run: FLUTE_URL and FLUTE_KEY
are all that they need. tests/e2e/test_docs.py does that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from string import Template
from textwrap import indent
from typing import Any
from urllib.parse import urlencode

from flute_json.naming import Kind, kind
from web.api.operations import Operation

Json = dict[str, Any]

ID = "71fea4e9-e980-4eca-acd2-4e5a7a9684e2"
# Calls that may have an Idempotency-Key, each with one of its own.
_KEYS = {
    "SendEmail": "order-4711-receipt",
    "SendEmailBatch": "news-2026-11",
    "ResendEmail": "order-4711-again",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One call. data: a body that is no JSON, with its media type."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: Json | None = None
    key: str = ""  # for the header Idempotency-Key
    data: str = ""
    media_type: str = ""
    returns_json: bool = True

    @property
    def target(self) -> str:
        """Path and query."""
        return self.path + (f"?{urlencode(self.query)}" if self.query else "")


_MAIL: Json = {
    "from": {"name": "Acme", "email": "hello@flutemail.io"},
    "to": [{"name": "Ada Lovelace", "email": "ada@example.com"}],
    "subject": "Your receipt",
    "text": "Thank you for order 4711.",
    "html": "<p>Thank you for order <b>4711</b>.</p>",
    "tags": ["receipt"],
    "metadata": {"order": "4711"},
}

# Bodies by name of the call; a call with a body that is not here is shown with an empty one.
_BODIES: dict[str, Json] = {
    "SendEmail": _MAIL,
    "SendEmailBatch": {
        "emails": [
            {
                "from": {"name": "Acme", "email": "hello@flutemail.io"},
                "to": [{"email": address}],
                "subject": f"News for {name}",
                "text": f"Dear {name}, there are news.",
            }
            for name, address in (("Ada", "ada@example.com"), ("Grace", "grace@example.com"))
        ]
    },
    "RescheduleEmail": {"send_at": "2026-12-01T08:00:00Z"},
    "ResendEmail": {"recipients": "failed"},
    "CreateSuppression": {"email": "bob@example.com", "text": "asked by phone"},
    "CreateWebhookEndpoint": {
        "url": "https://app.example.com/flute",
        "description": "Orders",
        "event_types": ["delivered", "bounced", "complained"],
    },
    "UpdateWebhookEndpoint": {"paused": False, "event_types": ["bounced", "complained"]},
    "RotateWebhookSecret": {"overlap_s": 86400},
    "ReplayWebhookDeliveries": {"start_time": "2026-11-22T00:00:00Z", "only_failed": True},
}

_QUERIES: dict[str, dict[str, str]] = {
    "ListEmails": {"status": "bounced", "tag": "receipt", "metadata[order]": "4711", "page_size": "20"},
    "ListEvents": {"types": "delivered", "page_size": "100"},
    "ListSuppressions": {"reason": "bounce"},
    "ListWebhookDeliveries": {"status": "failed"},
    "GetStatistics": {"interval": "day", "group_by": "provider_account"},
}


def request_of(operation: Operation) -> Request:
    """The example of a call of the contract."""
    path = operation.path
    for name in operation.places:
        path = path.replace(f"{{{name}}}", str(place(operation, name)))
    return Request(
        method=operation.method,
        path=path,
        query=_QUERIES.get(operation.name, {}),
        body=None if operation.body is None else _BODIES.get(operation.name, {}),
        key=_KEYS.get(operation.name, ""),
    )


def place(operation: Operation, name: str) -> str | int:
    """The example of a step of the path."""
    return 0 if kind(operation.request.fields_by_name[name]) is Kind.INTEGER else ID


def code_of(request: Request) -> list[Json]:
    """The example in each language, as the extension x-codeSamples wants it."""
    return [
        {"lang": "Shell", "label": "curl", "source": _shell(request)},
        {"lang": "Python", "label": "Python", "source": _python(request)},
        {"lang": "JavaScript", "label": "JavaScript", "source": _javascript(request)},
    ]


def _shell(request: Request) -> str:
    method = "" if request.method == "GET" else f" -X {request.method}"
    # curl would read the brackets of metadata[order] as a range.
    target = request.target.replace("[", "%5B").replace("]", "%5D")
    parts = [f'curl{method} "$FLUTE_URL{target}"', '-H "Authorization: Bearer $FLUTE_KEY"']
    parts += [f"-H '{name}: {value}'" for name, value in _headers(request)]
    if request.body is not None:
        parts.append(f"-d '{_json(request.body)}'")
    if request.data:
        parts.append(f"--data-binary $'{request.data.encode('unicode_escape').decode()}'")
    return " \\\n  ".join(parts)


_PYTHON = Template("""\
import os

import requests

answer = requests.$method(
    os.environ["FLUTE_URL"] + "$path",
$arguments
    timeout=10,
)
answer.raise_for_status()
print($result)
""")


def _python(request: Request) -> str:
    headers = ['"Authorization": "Bearer " + os.environ["FLUTE_KEY"]']
    headers += [
        f'"{name}": "{value}"' for name, value in _headers(request) if name != "Content-Type" or request.data
    ]
    arguments = [f"headers={{{', '.join(headers)}}},"]
    if len(headers) > 1:
        arguments = ["headers={", *(f"    {header}," for header in headers), "},"]
    if request.query:
        arguments.append(f"params={_literal(request.query)},")
    if request.body is not None:
        arguments.append(f"json={_literal(request.body)},")
    if request.data:
        arguments.append(f"data={json.dumps(request.data)},")
    return _PYTHON.substitute(
        method=request.method.lower(),
        path=request.path,
        arguments=indent("\n".join(arguments), "    "),
        result=_result(request, "answer.status_code", "answer.json()", "answer.text"),
    ).rstrip()


_JAVASCRIPT = Template("""\
const answer = await fetch(process.env.FLUTE_URL + "$target", {
$options
});
if (!answer.ok) throw new Error(await answer.text());
console.log($result);
""")


def _javascript(request: Request) -> str:
    headers = ["Authorization: `Bearer ${process.env.FLUTE_KEY}`"]
    headers += [f'"{name}": "{value}"' for name, value in _headers(request)]
    options = [] if request.method == "GET" else [f'method: "{request.method}",']
    options += ["headers: {", *(f"  {header}," for header in headers), "},"]
    if request.body is not None:
        options.append(f"body: JSON.stringify({_json(request.body)}),")
    if request.data:
        options.append(f"body: {json.dumps(request.data)},")
    return _JAVASCRIPT.substitute(
        target=request.target,
        options=indent("\n".join(options), "  "),
        result=_result(request, "answer.status", "await answer.json()", "await answer.text()"),
    ).rstrip()


def _result(request: Request, status: str, json_: str, text: str) -> str:
    if request.method == "DELETE":
        return status
    return json_ if request.returns_json else text


def _headers(request: Request) -> list[tuple[str, str]]:
    """Besides the key."""
    found = [("Idempotency-Key", request.key)] if request.key else []
    if request.body is not None:
        found.append(("Content-Type", "application/json"))
    if request.data:
        found.append(("Content-Type", request.media_type))
    return found


def _json(body: Json) -> str:
    return _laid_out(body, 2, json.dumps)


def _literal(value: Json) -> str:
    return _laid_out(value, 4, _python_word)


def _python_word(value: object) -> str:
    return repr(value) if isinstance(value, bool) else json.dumps(value)


def _laid_out(value: Any, step: int, word: Callable[[Any], str], column: int = 4) -> str:  # noqa: ANN401 (JSON)
    """As a formatter would: what does not fit into a line has one entry a line."""
    if not isinstance(value, dict | list):
        return word(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    flat = ", ".join(_entries(value, step, word, -1000))
    if len(flat) + column < 76:
        return f"{opening}{flat}{closing}"
    # JSON knows no comma after the last entry, Python's formatters want one.
    last = "" if word is json.dumps else ","
    entries = indent(",\n".join(_entries(value, step, word, column + step)) + last, " " * step)
    return f"{opening}\n{entries}\n{closing}"


def _entries(value: Any, step: int, word: Callable[[Any], str], column: int) -> list[str]:  # noqa: ANN401 (JSON)
    if isinstance(value, list):
        return [_laid_out(item, step, word, column) for item in value]
    return [
        f"{json.dumps(key)}: {_laid_out(item, step, word, column + len(key))}" for key, item in value.items()
    ]
