"""What Schemathesis does besides: webhooks go to nobody, mail can be sent, and codes must be documented."""

from __future__ import annotations

import itertools
import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import redis
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

# Nothing listens there, and nothing leaves this machine.
NOBODY = "http://127.0.0.1:9/hook"
_numbers = itertools.count()
_valkey = redis.from_url(os.environ["REDIS_URL"])


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Runs before every request, whatever made it."""
    # Flute slows down who tries many keys, by address, and here one address tries them all.
    _valkey.delete("flute:stranger:127.0.0.1")
    body: Any = case.body
    if isinstance(body, dict):
        if _is_address(body.get("url")):
            body["url"] = NOBODY
        if isinstance(body.get("access_token"), str):
            # The key comes in the header. Schemathesis takes that away to see that a call without it is
            # refused, and does not know that a body may have the key as well.
            del body["access_token"]
    if case.meta is not None and case.meta.generation.mode.is_positive:
        _mend(case, body)


def _mend(case: Case[Any], body: Any) -> None:
    """What a schema allows and chance does not find: without it, most calls would end before they begin."""
    if case.query:
        case.query.pop("page_token", None)
    match case.operation.label:
        case "POST /v1/email":
            _mend_mail(body)
        case "POST /v1/email/batch":
            for mail in body["emails"]:
                _mend_mail(mail)
        case "POST /v1/suppressions":
            body["email"] = f"{next(_numbers)}@example.com"
        case "POST /v1/webhook-endpoints":
            body["url"] = NOBODY


def _mend_mail(mail: dict[str, Any]) -> None:
    mail["from"]["email"] = "hello@flutemail.io"
    mail["to"] = [{"email": "ada@example.com"}]
    mail["cc"] = mail["bcc"] = []
    mail["text"] = mail.get("text") or "text"
    if mail.get("send_at"):
        mail["send_at"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def _is_address(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(urlsplit(value).hostname)
    except ValueError:
        return False


@schemathesis.check
def documented_code(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every problem has a code that the document lists for this call and status."""
    if response.headers.get("content-type", [""])[0] != "application/problem+json":
        return
    code = json.loads(response.content)["code"]
    told = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    examples = told.get("content", {}).get("application/problem+json", {}).get("examples", {})
    assert code in examples or not told, f"{response.status_code} {code} is not documented"
