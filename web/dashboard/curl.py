"""A mail as the command that would send it: to be pasted into a POSIX shell, whatever the mail says."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterable
from typing import Any

from flute.v1.email_pb2 import Address, EmailContent


def send(base_url: str, content: EmailContent, key: str = "$FLUTE_KEY") -> str:
    """POST /v1/email. key: a shell variable, or the key itself. Files are read where the command runs."""
    marks = [f"file-{secrets.token_hex(16)}" for _ in content.attachments]
    body = shlex.quote(json.dumps(_body(content, marks), ensure_ascii=False, indent=2))
    for mark, file in zip(marks, content.attachments, strict=True):
        body = body.replace(mark, f"'\"$(base64 < {shlex.quote(file.filename)} | tr -d '\\n')\"'")
    parts = [
        f"curl {shlex.quote(base_url + '/v1/email')}",
        f'-H "Authorization: Bearer {key}"',
        "-H 'Content-Type: application/json'",
        f"-d {body}",
    ]
    return " \\\n  ".join(parts)


def read(url: str, key: str = "$FLUTE_KEY") -> str:
    """GET it."""
    return f'curl {shlex.quote(url)} \\\n  -H "Authorization: Bearer {key}"'


def hello(domain: str, to: str) -> EmailContent:
    """A first mail, from an address of this domain."""
    mail = EmailContent(subject="Hello from Flute", text="It works.", to=[Address(email=to)])
    getattr(mail, "from").email = f"hello@{domain}"  # a word of Python's
    return mail


def _body(content: EmailContent, marks: Iterable[str]) -> dict[str, Any]:
    """What is given, by the names of the JSON API."""
    files = [
        {"filename": file.filename, "content": mark}
        for file, mark in zip(content.attachments, marks, strict=True)
    ]
    body = {
        "from": _address(getattr(content, "from")),
        **{name: [_address(one) for one in getattr(content, name)] for name in ("to", "cc", "bcc")},
        "subject": content.subject,
        "text": content.text,
        "html": content.html,
        "attachments": files,
        "tags": list(content.tags),
        "send_at": content.send_at.ToJsonString() if content.HasField("send_at") else "",
    }
    return {name: value for name, value in body.items() if value}


def _address(address: Address) -> dict[str, str]:
    return {"email": address.email} | ({"name": address.name} if address.name else {})
