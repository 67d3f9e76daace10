"""What the contract suites share: mails, credentials of the sandbox, and a server that repeats secrets."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import replace
from typing import Any

from flute_server.domain.message import Address, Attachment, Handoff, Message, Recipient, RecipientKind
from flute_server.providers.base import Network, Provider
from flute_server.sandbox import Sandbox

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def network(*, read_timeout_s: float = 10.0, allow_private: bool = True) -> Network:
    return Network(connect_timeout_s=2.0, read_timeout_s=read_timeout_s, allow_private=allow_private)


def credentials(slug: str, sandbox: Sandbox, **changed: str) -> dict[str, str]:
    own = sandbox.credentials(slug)
    if slug == "smtp":
        host, port = sandbox.address(slug)
        own |= {"host": host, "port": str(port), "security": "none"}
    else:
        own["base_url"] = sandbox.base_url(slug)
    return own | changed


def secrets(provider: Provider) -> list[str]:
    values = [provider.credentials[field.name] for field in provider.fields if field.secret]
    return [value for value in values if value]


def handoff(message: Message, *, email_id: str = "email-1", attempt_id: str = "attempt-1") -> Handoff:
    """Everybody named in the message, with ids r1, r2, ..."""
    people = [
        *((a, RecipientKind.TO) for a in message.to),
        *((a, RecipientKind.CC) for a in message.cc),
        *((a, RecipientKind.BCC) for a in message.bcc),
    ]
    return Handoff(
        email_id, attempt_id, message, tuple(Recipient(f"r{n}", a, k) for n, (a, k) in enumerate(people, 1))
    )


def only(full: Handoff, *ids: str) -> Handoff:
    return replace(full, recipients=tuple(r for r in full.recipients if r.id in ids))


SIMPLE = Message(
    sender=Address("news@flutemail.io", "Flute News"),
    to=(Address("ada@example.com", "Ada"),),
    subject="Hello",
    text="hi there\n",
    html="<p>hi <b>there</b></p>\n",
)
FULL = Message(
    sender=Address("news@flutemail.io", "Jürgen, Weiß"),
    to=(Address("ada@example.com", "Ada Lövelace"), Address("bob@example.net")),
    cc=(Address("cyd@example.org", 'Cyd "C; D" Day'),),
    bcc=(Address("dan@bücher.example"),),
    reply_to=(Address("help@flutemail.io", "Hilfe ☂"), Address("ops@flutemail.io")),
    subject="Grüße aus dem Zürichsee: ☂ " + "und noch ein langer Betreff " * 4 + "Ende",
    text="Zeile eins\n.ein Punkt\nüber ☂\n",
    html='<p>über ☂ <img src="cid:logo1"></p>\n',
    headers=(("X-Campaign", "7"), ("X-Note", "naïve ☂")),
    attachments=(
        Attachment("Größe.pdf", b"%PDF-1.4 not really", "application/pdf"),
        Attachment("logo.png", PNG, "image/png", "logo1"),
    ),
    tags=("welcome", "first", "second", "third"),
    metadata={"order": "stays in Flute"},
)


def merged(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """A provider may play one mail per recipient or one for all; a reader sees one mail either way."""
    assert entries
    mail = dict(entries[0])
    mail["recipients"] = {r for entry in entries for r in entry["envelope"]["recipients"]}
    return mail


class EchoServer:
    """Answers any call with an error that repeats a secret, in HTTP and SMTP words alike."""

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(1)  # nobody speaks: SMTP
            try:
                spoke = connection.recv(65536)
            except TimeoutError:
                spoke = b""
            if spoke:
                said = {"message": "no s3cr3t", "Message": "no s3cr3t", "ErrorCode": 300}
                body = json.dumps(said | {"errors": [said]}).encode()
                head = b"HTTP/1.1 422 No\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
                connection.sendall(head + body)
            else:
                connection.sendall(b"554 go away, s3cr3t\r\n")
