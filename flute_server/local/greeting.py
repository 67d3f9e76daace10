"""What `flute up` says when all is ready: where things are, and what to try first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def greeting(ready: Mapping[str, Any], data_dir: Path, seconds: float) -> str:
    """The text for a person; `ready` is the content of ready.json."""
    lines = ["", f"Flute is ready ({seconds:.1f} s).", "", f"  dashboard {ready['web']}"]
    lines.append(f"  API       {ready['web']}/v1   (reference: {ready['web']}/docs)")
    lines.append(f"  gRPC      {ready['grpc']}")
    if "sandbox" in ready:
        lines.append(f"  sandbox   {ready['sandbox']}   (GET /inbox shows what the providers got)")
    lines.append(f"  data      {data_dir}")
    lines += _try_it(ready) if "access_token" in ready else _first_steps()
    return "\n".join([*lines, "", "Ctrl-C stops everything; the next `flute up` resumes.", ""])


def _try_it(ready: Mapping[str, Any]) -> list[str]:
    return [
        f"  login     {ready['login']['email']}   password {ready['login']['password']}",
        "",
        "Send a mail. SendGrid is down in this demo, so watch it go through Postmark:",
        "",
        f"  curl -s {ready['web']}/v1/email -H 'Content-Type: application/json' -d '{{",
        f'    "access_token": "{ready["access_token"]}",',
        '    "subject": "Hello from Flute",',
        '    "text": "It works.",',
        '    "to": [{"email": "ada@example.com"}],',
        '    "from": {"name": "Flute", "email": "hello@flutemail.io"}',
        "  }'",
        "",
        "Then follow it with the id from the answer:",
        "",
        f"  curl -s {ready['web']}/v1/email/ID",
        "",
        "Let Postmark's mail bounce by its own fault, send once more, and watch it move on to SMTP:",
        "",
        f'  curl -s -X PUT {ready["sandbox"]}/providers/postmark/mode -d \'{{"mode": "block"}}\'',
        "",
        "`flute email ID --explain` tells a mail's story in sentences. With the test_access_token of",
        "ready.json everything works the same, and no provider is called.",
    ]


def _first_steps() -> list[str]:
    return [
        "",
        "Open the dashboard in a browser: the first who signs up runs this installation, and is led to a",
        "first mail. The command line can do the same; `flute --help` tells how.",
    ]
